//! One thing that happens in a scenario: a fault, its end, or a request.

use std::fmt;

use bezant_pbft::packet::{Message, Packet};

use crate::words::{BadScenario, Span, Words};

/// Kinds of messages, as scenarios name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A proposal.
    PrePrepare,
    /// A vote.
    Prepare,
    /// A vote.
    Commit,
    /// A vote.
    Checkpoint,
    /// See [`bezant_pbft::message::ViewChange`].
    ViewChange,
    /// See [`bezant_pbft::message::NewView`].
    NewView,
    /// Where somebody stands.
    Status,
    /// A question for bodies.
    Fetch,
    /// Requests, passed on or fetched.
    Requests,
    /// A batch that was fetched.
    Batch,
    /// A committed batch with its proof.
    Decided,
    /// A stable checkpoint with its proof.
    Stable,
    /// A piece of state, or a question for one.
    Piece,
    /// A client's request.
    Ask,
    /// An answer to a client.
    Reply,
}

impl Kind {
    /// All of them, with their names.
    pub const NAMES: [(Self, &'static str); 15] = [
        (Self::PrePrepare, "pre-prepare"),
        (Self::Prepare, "prepare"),
        (Self::Commit, "commit"),
        (Self::Checkpoint, "checkpoint"),
        (Self::ViewChange, "view-change"),
        (Self::NewView, "new-view"),
        (Self::Status, "status"),
        (Self::Fetch, "fetch"),
        (Self::Requests, "requests"),
        (Self::Batch, "batch"),
        (Self::Decided, "decided"),
        (Self::Stable, "stable"),
        (Self::Piece, "piece"),
        (Self::Ask, "ask"),
        (Self::Reply, "reply"),
    ];

    /// The kind of a message between replicas.
    pub fn of(message: &Message) -> Self {
        match message {
            Message::PrePrepare(..) => Self::PrePrepare,
            Message::Prepare(_) => Self::Prepare,
            Message::Commit(_) => Self::Commit,
            Message::Checkpoint(_) => Self::Checkpoint,
            Message::ViewChange(_) => Self::ViewChange,
            Message::NewView(_) => Self::NewView,
            Message::Status(_) => Self::Status,
            Message::Fetch(_) => Self::Fetch,
            Message::Requests(_) => Self::Requests,
            Message::Batch(..) => Self::Batch,
            Message::Decided(_) => Self::Decided,
            Message::Stable(_) => Self::Stable,
        }
    }
}

impl Kind {
    /// The kind of a packet between replicas.
    pub fn of_packet(packet: &Packet) -> Self {
        match packet {
            Packet::PrePrepare(..) => Self::PrePrepare,
            Packet::Prepare(_) => Self::Prepare,
            Packet::Commit(_) => Self::Commit,
            Packet::Checkpoint(_) => Self::Checkpoint,
            Packet::ViewChange(_) => Self::ViewChange,
            Packet::NewView(_) => Self::NewView,
            Packet::Status(_) => Self::Status,
            Packet::Fetch(_) => Self::Fetch,
            Packet::Requests(_) => Self::Requests,
            Packet::Batch(..) => Self::Batch,
            Packet::Decided(_) => Self::Decided,
            Packet::Stable(_) => Self::Stable,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(kind, _)| kind == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// Which messages a step is about. An empty list stands for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Of these kinds.
    pub kinds: Vec<Kind>,
    /// From these replicas.
    pub from: Vec<u16>,
    /// To these replicas.
    pub to: Vec<u16>,
}

impl Flow {
    /// Whether a message is meant. Clients have no number here, so a flow that names replicas on one side is about
    /// messages that have a replica there.
    pub fn covers(&self, kind: Kind, from: Option<u16>, to: Option<u16>) -> bool {
        let meets = |list: &[u16], one: Option<u16>| list.is_empty() || one.is_some_and(|one| list.contains(&one));
        (self.kinds.is_empty() || self.kinds.contains(&kind)) && meets(&self.from, from) && meets(&self.to, to)
    }

    fn take(words: &mut Words<'_>) -> Result<Self, BadScenario> {
        let mut flow = Self::default();
        loop {
            if words.takes("from") {
                flow.from = words.numbers();
            } else if words.takes("to") {
                flow.to = words.numbers();
            } else if let Some(kind) = Kind::NAMES.iter().find(|(_, name)| words.takes(name)) {
                flow.kinds.push(kind.0);
            } else {
                return Ok(flow);
            }
        }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kind in &self.kinds {
            write!(f, " {kind}")?;
        }
        for (word, list) in [(" from", &self.from), (" to", &self.to)] {
            if !list.is_empty() {
                f.write_str(word)?;
            }
            for replica in list {
                write!(f, " {replica}")?;
            }
        }
        Ok(())
    }
}

/// What a crash does with what a disk was told to write and had not synced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Damage {
    /// It is lost: the machine went down.
    #[default]
    Loses,
    /// It is there: only the process died.
    Keeps,
    /// Some sectors of it are there and some are not.
    Tears,
}

impl Damage {
    fn take(words: &mut Words<'_>) -> Self {
        if words.takes("keeps") {
            Self::Keeps
        } else if words.takes("tears") {
            Self::Tears
        } else {
            words.takes("loses");
            Self::Loses
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loses => "loses",
            Self::Keeps => "keeps",
            Self::Tears => "tears",
        })
    }
}

/// Something that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing passes between these replicas and those, in either direction; clients reach only the latter.
    Cut(Vec<u16>, Vec<u16>),
    /// Messages of a flow are lost.
    Lose(Flow),
    /// Messages of a flow come later than they would.
    Delay(Flow, Span),
    /// Cuts, losses and delays end.
    Heal,
    /// A replica's process ends.
    Crash(u16, Damage),
    /// A replica's machine stops in the middle of its next disk operations: after so many of them.
    CrashAtWrite(u16, u64, Damage),
    /// A replica's process ends after its next sync, when so many of a thousand messages have left.
    CrashAfterSync(u16, u64),
    /// All machines lose power at once.
    PowerFailure(Damage),
    /// A replica that is down starts again from its disk.
    Restart(u16),
    /// A replica that is down starts again without its log, as an operator does with `--recover`.
    Recover(u16),
    /// A replica's disk is replaced by an empty one; it starts again as [`Step::Recover`] says.
    Replace(u16),
    /// A replica's disk takes so many bytes more and then is full.
    FillDisk(u16, u64),
    /// A replica's next sync but so many fails.
    FailSync(u16, u64),
    /// A replica's syncs take so long from now on.
    SlowSync(u16, Span),
    /// A replica's execution of a block takes so long from now on.
    SlowExecution(u16, Span),
    /// A replica's wall clock jumps so many milliseconds ahead, or back.
    Jump(u16, i64),
    /// A replica's clocks run so many millionths too fast, or too slow.
    Drift(u16, i64),
    /// A client asks for something.
    Ask(usize, Vec<String>),
    /// The network keeps its bound from now on, whoever is down starts again, and no fault happens any more.
    Stabilise,
}

impl Step {
    /// The replicas that it names.
    pub(crate) fn replicas(&self) -> Vec<&u16> {
        match self {
            Self::Cut(these, those) => these.iter().chain(those).collect(),
            Self::Lose(flow) | Self::Delay(flow, _) => flow.from.iter().chain(&flow.to).collect(),
            Self::Crash(one, _)
            | Self::CrashAtWrite(one, ..)
            | Self::CrashAfterSync(one, _)
            | Self::Restart(one)
            | Self::Recover(one)
            | Self::Replace(one)
            | Self::FillDisk(one, _)
            | Self::FailSync(one, _)
            | Self::SlowSync(one, _)
            | Self::SlowExecution(one, _)
            | Self::Jump(one, _)
            | Self::Drift(one, _) => vec![one],
            Self::Heal | Self::PowerFailure(_) | Self::Ask(..) | Self::Stabilise => Vec::new(),
        }
    }

    pub(crate) fn take(words: &mut Words<'_>) -> Result<Self, BadScenario> {
        let replica = |words: &mut Words<'_>| words.number("a replica");
        Ok(match words.word("what happens")? {
            "cut" => {
                let these = words.numbers();
                if !words.takes("from") {
                    return Err(words.error("write `cut 0 1 from 2 3`".into()));
                }
                Self::Cut(these, words.numbers())
            }
            "lose" => Self::Lose(Flow::take(words)?),
            "delay" => {
                let flow = Flow::take(words)?;
                if !words.takes("by") {
                    return Err(words.error("write `delay commit from 0 by 300ms`".into()));
                }
                Self::Delay(flow, words.span()?)
            }
            "heal" => Self::Heal,
            "crash" => Self::Crash(replica(words)?, Damage::take(words)),
            "crash-at-write" => {
                Self::CrashAtWrite(replica(words)?, words.number("a number of disk operations")?, Damage::take(words))
            }
            "crash-after-sync" => {
                Self::CrashAfterSync(replica(words)?, words.number("how many of a thousand messages left")?)
            }
            "power-failure" => Self::PowerFailure(Damage::take(words)),
            "restart" => Self::Restart(replica(words)?),
            "recover" => Self::Recover(replica(words)?),
            "replace-disk" => Self::Replace(replica(words)?),
            "fill-disk" => Self::FillDisk(replica(words)?, words.number("a number of bytes")?),
            "fail-sync" => Self::FailSync(replica(words)?, words.number("a number of syncs")?),
            "slow-sync" => Self::SlowSync(replica(words)?, words.span()?),
            "slow-execution" => Self::SlowExecution(replica(words)?, words.span()?),
            "jump" => Self::Jump(replica(words)?, words.number("milliseconds")?),
            "drift" => Self::Drift(replica(words)?, words.number("millionths")?),
            "ask" => {
                let client = words.number("a client")?;
                Self::Ask(client, words.rest().into_iter().map(str::to_owned).collect())
            }
            "stabilise" => Self::Stabilise,
            other => return Err(words.error(format!("`{other}` is nothing that can happen: see `bezant sim list`"))),
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut(these, those) => {
                f.write_str("cut")?;
                these.iter().try_for_each(|one| write!(f, " {one}"))?;
                f.write_str(" from")?;
                those.iter().try_for_each(|one| write!(f, " {one}"))
            }
            Self::Lose(flow) => write!(f, "lose{flow}"),
            Self::Delay(flow, by) => write!(f, "delay{flow} by {by}"),
            Self::Heal => f.write_str("heal"),
            Self::Crash(one, damage) => write!(f, "crash {one} {damage}"),
            Self::CrashAtWrite(one, operations, damage) => write!(f, "crash-at-write {one} {operations} {damage}"),
            Self::CrashAfterSync(one, left) => write!(f, "crash-after-sync {one} {left}"),
            Self::PowerFailure(damage) => write!(f, "power-failure {damage}"),
            Self::Restart(one) => write!(f, "restart {one}"),
            Self::Recover(one) => write!(f, "recover {one}"),
            Self::Replace(one) => write!(f, "replace-disk {one}"),
            Self::FillDisk(one, bytes) => write!(f, "fill-disk {one} {bytes}"),
            Self::FailSync(one, nth) => write!(f, "fail-sync {one} {nth}"),
            Self::SlowSync(one, span) => write!(f, "slow-sync {one} {span}"),
            Self::SlowExecution(one, span) => write!(f, "slow-execution {one} {span}"),
            Self::Jump(one, ms) => write!(f, "jump {one} {ms}"),
            Self::Drift(one, ppm) => write!(f, "drift {one} {ppm}"),
            Self::Ask(client, what) => write!(f, "ask {client} {}", what.join(" ")),
            Self::Stabilise => f.write_str("stabilise"),
        }
    }
}
