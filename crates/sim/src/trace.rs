//! What happened, a line an event, in fixed columns: when, to whom, what.
//!
//! ```text
//!        12.417 r2  says     prepare v0 n3 5af21c88 -> all
//! ```
//!
//! The same scenario and the same version of the program give the same lines, byte for byte.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};

use bezant_ledger::transfer::{Content, Detail, Wanted};
use bezant_pbft::message::Batch;
use bezant_pbft::packet::Message;
use bezant_types::Digest;

/// Where lines go.
#[derive(Clone, Debug, Default)]
pub enum Trace {
    /// Nowhere: fastest.
    #[default]
    Off,
    /// The last so many are kept, for the one who asks why.
    Last(usize, VecDeque<String>),
    /// All of them.
    All(Vec<String>),
}

/// Who something happened to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Who {
    Machine(u16),
    Client(usize),
    World,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(index) => write!(f, "r{index:<3}"),
            Self::Client(index) => write!(f, "c{index:<3}"),
            Self::World => f.write_str("-   "),
        }
    }
}

impl Trace {
    /// A trace that keeps the last `lines`.
    pub fn last(lines: usize) -> Self {
        Self::Last(lines, VecDeque::with_capacity(lines))
    }

    /// The lines that were kept.
    pub fn lines(&self) -> Vec<String> {
        match self {
            Self::Off => Vec::new(),
            Self::Last(_, lines) => lines.iter().cloned().collect(),
            Self::All(lines) => lines.clone(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        !matches!(self, Self::Off)
    }

    pub(crate) fn write(&mut self, line: String) {
        match self {
            Self::Off => {}
            Self::Last(limit, lines) => {
                if lines.len() == *limit {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            Self::All(lines) => lines.push(line),
        }
    }
}

/// A line of a trace.
pub(crate) fn line(now_us: u64, who: Who, what: &str, text: fmt::Arguments<'_>) -> String {
    let mut line = String::with_capacity(80);
    // Writing to a string does not fail.
    let _ = write!(line, "{:>7}.{:03} {who} {what:<9}{text}", now_us / 1_000, now_us % 1_000);
    line.truncate(line.trim_end().len());
    line
}

/// Lines that a scenario's author looks out for, and what came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lookout {
    wanted: Vec<Vec<String>>,
    found: Vec<Vec<String>>,
}

impl Lookout {
    pub(crate) fn new(wanted: Vec<Vec<String>>) -> Self {
        Self { wanted, found: Vec::new() }
    }

    /// Whether lines are still looked at.
    pub(crate) fn is_open(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Looks at a line, its time aside.
    pub(crate) fn look(&mut self, line: &str) {
        if !self.is_open() {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        let meets = |wanted: &[String], words: &[&str]| wanted.iter().zip(words).all(|(a, b)| a == "*" || a == b);
        let has = |wanted: &[String]| words.windows(wanted.len().max(1)).any(|row| meets(wanted, row));
        self.found.extend(self.wanted.extract_if(.., |wanted| has(wanted)));
    }

    /// Whether there was a line with these words.
    pub(crate) fn found(&self, words: &[String]) -> bool {
        self.found.iter().any(|one| one == words)
    }
}

/// The first digits of a digest.
pub(crate) struct Short(pub(crate) Digest);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == Batch::Null.digest() {
            return f.write_str("null");
        }
        self.0.as_bytes()[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What is asked of another's state, in a few words.
pub(crate) struct Sought<'a>(pub(crate) &'a Wanted);

impl fmt::Display for Sought<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Wanted::Header { root } => write!(f, "header {}", Short(*root)),
            Wanted::Subtree { hash, detail: Detail::Leaves, .. } => write!(f, "leaves {}", Short(*hash)),
            Wanted::Subtree { hash, detail: Detail::Hashes, .. } => write!(f, "hashes {}", Short(*hash)),
        }
    }
}

/// What is given of one's state, in a few words.
pub(crate) struct Served<'a>(pub(crate) &'a Content);

impl fmt::Display for Served<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Content::Unknown => f.write_str("nothing"),
            Content::Header { header, trie_root } => write!(f, "header {}", Short(header.root(*trie_root))),
            Content::Leaves(bytes) => write!(f, "{} bytes of leaves", bytes.len()),
            Content::Outline(_) => f.write_str("hashes"),
        }
    }
}

/// A message in a few words.
pub(crate) struct Brief<'a>(pub(crate) &'a Message);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Message::PrePrepare(vote, batch) => {
                let m = vote.message();
                write!(f, "pre-prepare v{} n{} {}", m.view, m.sequence, Short(m.digest))?;
                match batch {
                    Some(Batch::Requests { requests, .. }) => write!(f, " of {}", requests.len()),
                    Some(Batch::Seal { .. }) => f.write_str(" seal"),
                    Some(Batch::Null) => f.write_str(" null"),
                    None => f.write_str(" again"),
                }
            }
            Message::Prepare(vote) => {
                let m = vote.message();
                write!(f, "prepare v{} n{} {} by {}", m.view, m.sequence, Short(m.digest), vote.signer())
            }
            Message::Commit(vote) => {
                let m = vote.message();
                write!(f, "commit v{} n{} {} by {}", m.view, m.sequence, Short(m.digest), vote.signer())
            }
            Message::Checkpoint(vote) => {
                let m = vote.message();
                write!(f, "checkpoint n{} {} by {}", m.sequence, Short(m.root), vote.signer())
            }
            Message::ViewChange(message) => {
                let m = message.message();
                let low = m.checkpoint.as_ref().map_or(0, |one| one.vote.sequence.get());
                write!(
                    f,
                    "view-change v{} {} by {} above n{low} prepared",
                    m.view,
                    Short(message.digest()),
                    message.signer()
                )?;
                m.prepared.iter().try_for_each(|one| write!(f, " n{}:v{}", one.sequence, one.view))
            }
            Message::NewView(message) => {
                let m = message.message();
                write!(f, "new-view v{} {} of", m.view, Short(message.digest()))?;
                m.view_changes.iter().try_for_each(|one| write!(f, " {}", one.signer))?;
                f.write_str(" proposes")?;
                m.proposals.iter().try_for_each(|one| write!(f, " {}", Short(*one)))
            }
            Message::Status(message) => {
                let m = message.message();
                write!(f, "status v{} {:?} stable n{} executed n{}", m.view, m.standing, m.stable, m.executed)
            }
            Message::Fetch(message) => {
                let m = message.message();
                write!(f, "fetch {} requests {} batches", m.requests.len(), m.batches.len())
            }
            Message::Requests(requests) => write!(f, "{} requests", requests.len()),
            Message::Batch(sequence, batch) => write!(f, "batch n{sequence} {}", Short(batch.digest())),
            Message::Decided(decided) => {
                let m = &decided.commits.vote;
                write!(f, "decided v{} n{} {}", m.view, m.sequence, Short(m.digest))
            }
            Message::Stable(endorsed) => {
                write!(f, "stable n{} {}", endorsed.vote.sequence, Short(endorsed.vote.root))
            }
        }
    }
}
