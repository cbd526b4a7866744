//! What a replica is told, and what comes out of a step.
//!
//! Rule R-1, durable before visible: A step returns a [`Ready`], whose effects come out of
//! its `persist` only. The essay on it stands at the head of [`bezant_engine`].

use alloc::vec::Vec;

use bezant_types::{AccountId, Digest, ReplicaId, Request, RequestNumber, SequenceNumber, View};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::{CheckpointCertificate, CommitCertificate};
use crate::evidence::Evidence;
use crate::ignored::{Ignored, Source};
use crate::message::Batch;
use crate::packet::{Message, Outgoing};
use crate::record::Record;

/// A request of a block that was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Executed {
    /// Whose.
    pub client: AccountId,
    /// Its number.
    pub number: RequestNumber,
    /// Whether this block executed it. If not, it was executed before, or never will be.
    pub fresh: bool,
}

/// What a replica is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// The host is ready; the log has been replayed. Once, before anything else.
    Start,
    /// Requests from clients, verified, that the ledger has not executed.
    Submit(Vec<Request>),
    /// Requests from peers, verified, that the ledger has executed or never will, because their numbers are spent
    /// (rule P-1). They are bodies for the slots that lack them, and wait for nothing.
    Bodies(Vec<Request>),
    /// A verified message from the network, or one's own coming back.
    Message(Message),
    /// A peer's connection came up: it may have missed something.
    Connected(ReplicaId),
    /// A timer that was set has run out.
    Timeout(Timer),
    /// The executor has executed the block at `sequence`; `root` is the state root if the block was a checkpoint.
    Applied {
        /// The block's place.
        sequence: SequenceNumber,
        /// What became of the requests in it.
        executed: Vec<Executed>,
        /// The state root after it, if asked for by [`Block::checkpoint`].
        root: Option<Digest>,
    },
    /// The host has fetched and installed the state of a stable checkpoint.
    Restored {
        /// The checkpoint, as asked for by [`Effect::FetchState`].
        certificate: CheckpointCertificate,
    },
}

/// A timer. It carries the view it belongs to, so that one that fires late is recognised and ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The work that the replica watches in this view has not been done.
    Progress(View),
    /// A quorum wants this view and its primary has not opened it.
    NewView(View),
    /// Work lies that this view's primary could have proposed.
    Pace(View),
    /// Batches were executed that no checkpoint covers.
    Seal(View),
    /// Time to tell the others where this replica stands.
    Status,
    /// Bodies that were asked for, or waited for, have not arrived.
    Fetch,
    /// The group is ahead and its blocks have not arrived.
    CatchUp,
}

/// Who is to get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipients {
    /// Every replica, oneself included.
    All,
    /// Every replica but oneself.
    Others,
    /// One replica.
    One(ReplicaId),
}

/// A committed batch with everything needed to execute and to audit it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Block {
    /// The batch.
    pub batch: Batch,
    /// The bodies of its requests, in order.
    pub requests: Vec<Request>,
    /// Proof that it is committed; it names the sequence number.
    pub certificate: CommitCertificate,
    /// Whether the state root after it is wanted.
    pub checkpoint: bool,
}

impl Block {
    /// Its place in the order.
    pub fn sequence(&self) -> SequenceNumber {
        self.certificate.vote().sequence
    }
}

/// What the host is to do, once the records of the step are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Sign and send.
    Send(Recipients, Outgoing),
    /// Execute the block, answer its clients, keep it for audit, and say [`Input::Applied`]. Blocks come in order,
    /// without a gap, each once.
    Deliver(Block),
    /// Call back with [`Input::Timeout`] after so many milliseconds. Setting a timer again moves it.
    SetTimer(Timer, u64),
    /// Forget a timer.
    CancelTimer(Timer),
    /// A checkpoint has become stable and covers what this replica has executed. The log may be compacted behind it.
    Stable(CheckpointCertificate),
    /// The group is ahead, beyond what its members can replay: fetch the state of this checkpoint from the others, then
    /// say [`Input::Restored`]. A later one replaces an earlier one.
    FetchState(CheckpointCertificate),
    /// A member has contradicted itself. Keep the proof.
    Accuse(ReplicaId, Evidence),
    /// A message was ignored.
    Ignored(Source, Ignored),
    /// A client has too much waiting here. Tell it: it may try again later.
    Busy {
        /// Who.
        client: AccountId,
        /// With which request.
        number: RequestNumber,
    },
    /// The replica has entered a view.
    Entered(View),
    /// Something happened that cannot happen while at most f members are malicious and this one works. Stop, and tell
    /// the operator.
    Halt(Fault),
}

/// Why a replica stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Fault {
    /// A quorum vouches for another state than this replica computed.
    #[error(
        "this replica diverged: after sequence number {sequence} its state root is {ours}, while a quorum of members signed \
         {theirs}. Its execution or its disk is at fault. Keep its data directory for inspection, and start it with \
         --recover to rejoin from the others' state"
    )]
    Diverged {
        /// Where.
        sequence: SequenceNumber,
        /// What this replica computed.
        ours: Digest,
        /// What the quorum signed.
        theirs: Digest,
    },
    /// The same blocks gave another state than before the restart.
    #[error(
        "executing the same blocks again gave another state: after sequence number {sequence} the root is {now}, and before \
         the restart this replica vouched for {before}. Its execution or its disk is at fault. Keep its data directory for \
         inspection, and start it with --recover to rejoin from the others' state"
    )]
    Inconsistent {
        /// Where.
        sequence: SequenceNumber,
        /// What it vouched for.
        before: Digest,
        /// What it computed now.
        now: Digest,
    },
    /// Two certificates commit different batches for one slot.
    #[error(
        "two valid certificates commit different batches at sequence number {sequence}: more than f members are malicious, \
         and the ledger can no longer be trusted. Keep all data directories"
    )]
    Broken {
        /// Where.
        sequence: SequenceNumber,
    },
}

/// What came out of a step: records, and effects that cannot be reached before the records are durable.
pub type Ready = bezant_engine::Ready<Record, Effect>;

/// What a step puts down and wants done, while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    records: Vec<Record>,
    effects: Vec<Effect>,
}

impl Outbox {
    pub(crate) fn record(&mut self, record: Record) {
        self.records.push(record);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(crate) fn send(&mut self, to: Recipients, message: Outgoing) {
        self.effects.push(Effect::Send(to, message));
    }

    pub(crate) fn ignore(&mut self, source: Source, reason: Ignored) {
        self.effects.push(Effect::Ignored(source, reason));
    }

    pub(crate) fn close(self) -> Ready {
        Ready::new(self.records, self.effects)
    }
}

/// A block as it is kept for audit and read back after a restart.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StoredBlock {
    /// A quorum of commits.
    pub commits: crate::certificate::Endorsed<crate::message::Commit>,
    /// The batch.
    pub batch: Batch,
    /// The bodies of its requests, in order.
    pub requests: Vec<bezant_types::Signed<bezant_types::Bundle>>,
}

impl Block {
    /// The form that is stored.
    pub fn to_stored(&self) -> StoredBlock {
        StoredBlock {
            commits: self.certificate.as_endorsed().clone(),
            batch: self.batch.clone(),
            requests: self.requests.iter().map(|request| request.as_signed().clone()).collect(),
        }
    }
}
