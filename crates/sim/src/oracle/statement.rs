//! What binds whoever signs it.

use bezant_pbft::packet::Message;
use bezant_pbft::record::Record;
use bezant_types::signed::signing_digest;
use bezant_types::{Digest, ReplicaId, SequenceNumber, Signable, Verified, View};

/// Kinds of statements that bind their signer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    PrePrepare,
    Prepare,
    Commit,
    Checkpoint,
    ViewChange,
    NewView,
}

impl Kind {
    /// Whether it is one of the three votes of the normal case.
    pub(super) fn is_vote(self) -> bool {
        match self {
            Self::PrePrepare | Self::Prepare | Self::Commit => true,
            Self::Checkpoint | Self::ViewChange | Self::NewView => false,
        }
    }

    /// Whether it is about a sequence number.
    pub(super) fn has_sequence(self) -> bool {
        self.is_vote() || self == Self::Checkpoint
    }
}

/// What a statement is about: two different ones by one member about one matter contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Matter {
    pub(super) kind: Kind,
    /// Zero for a checkpoint.
    pub(super) view: View,
    /// Zero for a view change and a new view.
    pub(super) sequence: SequenceNumber,
}

impl Matter {
    fn vote(kind: Kind, view: View, sequence: SequenceNumber) -> Self {
        Self { kind, view, sequence }
    }

    fn checkpoint(sequence: SequenceNumber) -> Self {
        Self { kind: Kind::Checkpoint, view: View::ZERO, sequence }
    }

    fn view(kind: Kind, view: View) -> Self {
        Self { kind, view, sequence: SequenceNumber::ZERO }
    }
}

impl std::fmt::Display for Matter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, view, sequence } = self;
        match kind {
            Kind::PrePrepare => write!(f, "a pre-prepare for slot {sequence} in view {view}"),
            Kind::Prepare => write!(f, "a prepare for slot {sequence} in view {view}"),
            Kind::Commit => write!(f, "a commit for slot {sequence} in view {view}"),
            Kind::Checkpoint => write!(f, "a checkpoint at {sequence}"),
            Kind::ViewChange => write!(f, "a view change for view {view}"),
            Kind::NewView => write!(f, "a new view {view}"),
        }
    }
}

/// Something binding that somebody signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) signer: ReplicaId,
    pub(super) matter: Matter,
    /// What it says about it: the batch, the root, or the whole message.
    pub(super) content: Digest,
}

impl Statement {
    /// The binding statement in a message, if it is one.
    pub(super) fn of(message: &Message) -> Option<Self> {
        fn sign<M: Signable<Signer = ReplicaId>>(
            signed: &Verified<M>,
            say: impl FnOnce(&M) -> (Matter, Digest),
        ) -> Option<Statement> {
            let (matter, content) = say(signed.message());
            Some(Statement { signer: signed.signer(), matter, content })
        }
        match message {
            Message::PrePrepare(one, _) => {
                sign(one, |m| (Matter::vote(Kind::PrePrepare, m.view, m.sequence), m.digest))
            }
            Message::Prepare(one) => sign(one, |m| (Matter::vote(Kind::Prepare, m.view, m.sequence), m.digest)),
            Message::Commit(one) => sign(one, |m| (Matter::vote(Kind::Commit, m.view, m.sequence), m.digest)),
            Message::Checkpoint(one) => sign(one, |m| (Matter::checkpoint(m.sequence), m.root)),
            Message::ViewChange(one) => sign(one, |m| (Matter::view(Kind::ViewChange, m.view), one.digest())),
            Message::NewView(one) => sign(one, |m| (Matter::view(Kind::NewView, m.view), one.digest())),
            Message::Status(_)
            | Message::Fetch(_)
            | Message::Requests(_)
            | Message::Batch(..)
            | Message::Decided(_)
            | Message::Stable(_) => None,
        }
    }

    /// The binding statement in a message, if it is one and `replica` made it. What it passes on binds others.
    pub(super) fn by(replica: ReplicaId, message: &Message) -> Option<Self> {
        Self::of(message).filter(|statement| statement.signer == replica)
    }

    /// What a record in the log of `replica` lets it say.
    pub(super) fn implied(genesis: Digest, replica: ReplicaId, record: &Record) -> Option<(Matter, Digest)> {
        Some(match record {
            Record::Proposed(m, _) => (Matter::vote(Kind::PrePrepare, m.view, m.sequence), m.digest),
            Record::Accepted(signed, _) => {
                let m = &signed.message;
                (Matter::vote(Kind::Prepare, m.view, m.sequence), m.digest)
            }
            Record::Prepared(m) => (Matter::vote(Kind::Commit, m.view, m.sequence), m.digest),
            Record::Checkpoint(m) => (Matter::checkpoint(m.sequence), m.root),
            Record::ViewChange(m) => (Matter::view(Kind::ViewChange, m.view), signing_digest(genesis, replica, m)),
            Record::NewView(m) => (Matter::view(Kind::NewView, m.view), signing_digest(genesis, replica, m)),
            Record::Entered(signed) if signed.signer == replica => {
                let m = &signed.message;
                (Matter::view(Kind::NewView, m.view), signing_digest(genesis, replica, m))
            }
            Record::Entered(_) | Record::Bodies(..) | Record::Stable(_) | Record::LogLost | Record::SilentUntil(_) => {
                return None;
            }
        })
    }
}

/// The last checkpoint that a log shows to be stable.
pub(super) fn stable_in(records: &[Record]) -> SequenceNumber {
    let stable = records.iter().filter_map(|record| match record {
        Record::Stable(endorsed) => Some(endorsed.vote.sequence),
        Record::Proposed(..)
        | Record::Accepted(..)
        | Record::Bodies(..)
        | Record::Prepared(_)
        | Record::Checkpoint(_)
        | Record::ViewChange(_)
        | Record::NewView(_)
        | Record::Entered(_)
        | Record::LogLost
        | Record::SilentUntil(_) => None,
    });
    stable.max().unwrap_or_default()
}
