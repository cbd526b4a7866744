//! What a replica writes down before it speaks.

use alloc::vec::Vec;

use bezant_types::codec::Format;
use bezant_types::{Bundle, Request, SequenceNumber, Signed};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::{Endorsed, PreparedProof};
use crate::message::{Batch, Checkpoint, NewView, PrePrepare, ViewChange};

/// The head of every record on disk.
pub const FORMAT: Format = Format { magic: *b"BZRC", version: 1 };

/// A batch with the bodies of its requests, in order.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Bodies {
    /// The batch.
    pub batch: Batch,
    /// The bodies.
    pub requests: Vec<Signed<Bundle>>,
}

impl Bodies {
    pub(crate) fn of(batch: &Batch, requests: &[Request]) -> Self {
        Self { batch: batch.clone(), requests: requests.iter().map(|request| request.as_signed().clone()).collect() }
    }
}

/// One thing that a replica must not forget. The log holds them in the order in which they happened.
///
/// Votes are not recorded as such: they follow. `Accepted` implies this replica's prepare, `Prepared` its commit.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// As primary, it proposes this. The bodies are here unless an earlier record of this slot has them.
    Proposed(PrePrepare, Option<Bodies>),
    /// As backup, it accepts this proposal of the primary. The bodies are here unless an earlier record of this slot
    /// has them: what a quorum accepted survives the crash of all.
    Accepted(Signed<PrePrepare>, Option<Bodies>),
    /// The bodies of a batch that matters in this slot. Written when the log is compacted.
    Bodies(SequenceNumber, Bodies),
    /// This batch prepared here.
    Prepared(PreparedProof),
    /// It vouches for this state.
    Checkpoint(Checkpoint),
    /// It has left the views below this one, with this message.
    ViewChange(ViewChange),
    /// As the primary of a view, it opens it with this message.
    NewView(NewView),
    /// It has entered the view that this message opens.
    Entered(Signed<NewView>),
    /// A checkpoint that it holds the proof of.
    Stable(Endorsed<Checkpoint>),
    /// It has lost an earlier log, and does not know yet how far it may have voted.
    LogLost,
    /// It has lost an earlier log and votes for nothing before a checkpoint at or above this is stable.
    SilentUntil(SequenceNumber),
}
