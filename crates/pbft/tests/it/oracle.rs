//! What must hold at every moment, whatever the network, the disks and f members do.
//!
//! The oracle sees what leaves the honest members and what reaches their executors. It shares no code with the core.

use std::collections::BTreeMap;

use bezant_pbft::packet::Packet;
use bezant_pbft::record::Record;
use bezant_types::{Digest, Signable, Signed};

/// Kinds of statements that bind whoever signs them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    PrePrepare,
    Prepare,
    Commit,
    Checkpoint,
    ViewChange,
    NewView,
}

/// What a statement is about: two different ones by one member about one matter contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Matter {
    pub(crate) kind: Kind,
    pub(crate) view: u64,
    pub(crate) sequence: u64,
}

pub(crate) type Statement = (Matter, Digest);

fn matter(kind: Kind, view: u64, sequence: u64) -> Matter {
    Matter { kind, view, sequence }
}

fn whole<M: Signable>(message: &M) -> Digest {
    Digest::of("test/whole", message)
}

/// The binding statement that a packet carries in its sender's name, if any.
pub(crate) fn statement(packet: &Packet) -> Option<(u16, Statement)> {
    fn of<M: Signable<Signer = bezant_types::ReplicaId>>(
        signed: &Signed<M>,
        f: impl FnOnce(&M) -> Statement,
    ) -> Option<(u16, Statement)> {
        Some((signed.signer.get(), f(&signed.message)))
    }
    match packet {
        Packet::PrePrepare(s, _) => of(s, |m| (matter(Kind::PrePrepare, m.view.get(), m.sequence.get()), m.digest)),
        Packet::Prepare(s) => of(s, |m| (matter(Kind::Prepare, m.view.get(), m.sequence.get()), m.digest)),
        Packet::Commit(s) => of(s, |m| (matter(Kind::Commit, m.view.get(), m.sequence.get()), m.digest)),
        Packet::Checkpoint(s) => of(s, |m| (matter(Kind::Checkpoint, 0, m.sequence.get()), m.root)),
        Packet::ViewChange(s) => of(s, |m| (matter(Kind::ViewChange, m.view.get(), 0), whole(m))),
        Packet::NewView(s) => of(s, |m| (matter(Kind::NewView, m.view.get(), 0), whole(m))),
        Packet::Status(_)
        | Packet::Fetch(_)
        | Packet::Requests(_)
        | Packet::Batch(..)
        | Packet::Decided(_)
        | Packet::Stable(_) => None,
    }
}

/// What a record on disk lets its writer say.
pub(crate) fn implied(record: &Record) -> Option<Statement> {
    Some(match record {
        Record::Proposed(m, _) => (matter(Kind::PrePrepare, m.view.get(), m.sequence.get()), m.digest),
        Record::Accepted(s, _) => {
            (matter(Kind::Prepare, s.message.view.get(), s.message.sequence.get()), s.message.digest)
        }
        Record::Prepared(p) => (matter(Kind::Commit, p.view.get(), p.sequence.get()), p.digest),
        Record::Checkpoint(m) => (matter(Kind::Checkpoint, 0, m.sequence.get()), m.root),
        Record::ViewChange(m) => (matter(Kind::ViewChange, m.view.get(), 0), whole(m)),
        Record::NewView(m) => (matter(Kind::NewView, m.view.get(), 0), whole(m)),
        Record::Bodies(..) | Record::Entered(_) | Record::Stable(_) | Record::LogLost | Record::SilentUntil(_) => {
            return None;
        }
    })
}

/// All that one member has ever said, through all its lives.
#[derive(Default)]
pub(crate) struct Words {
    pub(crate) said: BTreeMap<Matter, Digest>,
    left_below: u64,
}

impl Words {
    /// Judges one more statement of an honest member.
    pub(crate) fn hear(&mut self, (matter, digest): Statement) -> Result<(), String> {
        if let Some(before) = self.said.insert(matter, digest)
            && before != digest
        {
            return Err(format!("contradicts itself: {matter:?} was {before:?} and is now {digest:?}"));
        }
        match matter.kind {
            Kind::PrePrepare | Kind::Prepare | Kind::Commit if matter.view < self.left_below => {
                Err(format!("says {matter:?} after its view change to {} (rule V-1)", self.left_below))
            }
            Kind::ViewChange | Kind::NewView => {
                self.left_below = self.left_below.max(matter.view);
                Ok(())
            }
            Kind::PrePrepare | Kind::Prepare | Kind::Commit | Kind::Checkpoint => Ok(()),
        }
    }
}

/// What the honest members agreed on.
#[derive(Default)]
pub(crate) struct History {
    batches: BTreeMap<u64, Digest>,
    roots: BTreeMap<u64, Digest>,
}

impl History {
    /// Agreement: no two honest members deliver different batches at one sequence number.
    pub(crate) fn deliver(&mut self, sequence: u64, batch: Digest) -> Result<(), String> {
        let agreed = *self.batches.entry(sequence).or_insert(batch);
        if agreed == batch { Ok(()) } else { Err(format!("delivers {batch:?} at {sequence}, others {agreed:?}")) }
    }

    /// Equal roots at equal heights.
    pub(crate) fn reach(&mut self, height: u64, root: Digest) -> Result<(), String> {
        let agreed = *self.roots.entry(height).or_insert(root);
        if agreed == root { Ok(()) } else { Err(format!("has root {root:?} at height {height}, others {agreed:?}")) }
    }

    /// What was delivered at a sequence number, if anything was.
    pub(crate) fn batch_at(&self, sequence: u64) -> Option<Digest> {
        self.batches.get(&sequence).copied()
    }

    pub(crate) fn height(&self) -> u64 {
        self.batches.keys().next_back().copied().unwrap_or(0)
    }
}

/// One line about a packet, for the trace.
pub(crate) fn describe(packet: &Packet) -> String {
    match packet {
        Packet::PrePrepare(s, batch) => {
            let m = &s.message;
            let batch = if batch.is_some() { "" } else { " (no batch)" };
            format!("pre-prepare v{} n{} {:?}{batch}", m.view, m.sequence, m.digest)
        }
        Packet::Prepare(s) => format!("prepare v{} n{} {:?}", s.message.view, s.message.sequence, s.message.digest),
        Packet::Commit(s) => format!("commit v{} n{} {:?}", s.message.view, s.message.sequence, s.message.digest),
        Packet::Checkpoint(s) => format!("checkpoint n{} {:?}", s.message.sequence, s.message.root),
        Packet::ViewChange(s) => {
            let proofs: Vec<_> = s.message.prepared.iter().map(|p| (p.sequence.get(), p.view.get())).collect();
            let stable = s.message.checkpoint.as_ref().map_or(0, |c| c.vote.sequence.get());
            format!("view-change v{} by {} stable {stable} prepared {proofs:?}", s.message.view, s.signer)
        }
        Packet::NewView(s) => {
            let of: Vec<_> = s.message.view_changes.iter().map(|c| c.signer.get()).collect();
            format!("new-view v{} of {of:?}, {} proposals", s.message.view, s.message.proposals.len())
        }
        Packet::Status(s) => {
            let m = &s.message;
            format!("status of {} v{} {:?} stable {} executed {}", s.signer, m.view, m.standing, m.stable, m.executed)
        }
        Packet::Fetch(s) => format!("fetch {} requests, {:?}", s.message.requests.len(), s.message.batches),
        Packet::Requests(bundles) => format!("{} requests", bundles.len()),
        Packet::Batch(sequence, batch) => format!("batch n{sequence} {:?}", batch.digest()),
        Packet::Decided(d) => format!("decided n{} {:?}", d.commits.vote.sequence, d.commits.vote.digest),
        Packet::Stable(e) => format!("stable n{} {:?}", e.vote.sequence, e.vote.root),
    }
}
