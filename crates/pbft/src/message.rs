//! What replicas say to each other and to clients.
//!
//! Each type here is signed by its sender (see [`bezant_types::signed`]), with a domain of its own. What needs no
//! signature because it proves itself (a batch by its digest, a certificate by its votes, a request by its client's
//! signature) travels in a [`crate::packet::Packet`] as it is.

use alloc::vec::Vec;

use bezant_types::{
    AccountId, Digest, Outcome, ReplicaId, RequestNumber, SequenceNumber, Signable, Signed, Timestamp, View,
};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::certificate::{Endorsed, PreparedProof};

/// What a sequence number stands for: an ordered list of requests, by digest, or nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub enum Batch {
    /// Fills a gap in a new view (the paper's null request). Changes nothing.
    Null,
    /// Asks for a checkpoint here, so that an idle group does not rest on unproven state. See rule C-1.
    Seal {
        /// The primary's clock.
        timestamp: Timestamp,
    },
    /// Requests, in the order in which they execute.
    Requests {
        /// The primary's clock.
        timestamp: Timestamp,
        /// Which requests: distinct, at least one.
        requests: Vec<Digest>,
    },
}

impl Batch {
    /// What identifies the batch. The variant is part of the encoding, so no list of requests has the null digest.
    pub fn digest(&self) -> Digest {
        Digest::of("bezant/batch", self)
    }

    /// The requests in it.
    pub fn requests(&self) -> &[Digest] {
        match self {
            Self::Null | Self::Seal { .. } => &[],
            Self::Requests { requests, .. } => requests,
        }
    }

    /// The primary's clock when it proposed this. Zero for the null batch, which does not move time.
    pub fn timestamp(&self) -> Timestamp {
        match self {
            Self::Null => Timestamp::ZERO,
            Self::Seal { timestamp } | Self::Requests { timestamp, .. } => *timestamp,
        }
    }
}

/// Declares one of the three votes of the normal case. They have the same fields, and different domains.
macro_rules! vote {
    ($(#[$doc:meta])* $name:ident, $domain:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
        pub struct $name {
            /// The view in which this is said.
            pub view: View,
            /// The place in the order.
            pub sequence: SequenceNumber,
            /// The batch, by digest.
            pub digest: Digest,
        }

        impl Signable for $name {
            const DOMAIN: &'static str = $domain;
            type Signer = ReplicaId;
        }
    };
}

vote! {
    /// The primary proposes a batch for a sequence number.
    PrePrepare, "bezant/pbft/pre-prepare"
}
vote! {
    /// A backup has accepted the proposal.
    Prepare, "bezant/pbft/prepare"
}
vote! {
    /// A replica has seen that a quorum accepted the proposal.
    Commit, "bezant/pbft/commit"
}

/// A replica has executed everything up to a sequence number and found this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub struct Checkpoint {
    /// The last sequence number that is included.
    pub sequence: SequenceNumber,
    /// The root of the state after it.
    pub root: Digest,
}

impl Signable for Checkpoint {
    const DOMAIN: &'static str = "bezant/pbft/checkpoint";
    type Signer = ReplicaId;
}

/// A replica gives up on the primary of every view below `view`, and says what it must not forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct ViewChange {
    /// The view it wants to enter.
    pub view: View,
    /// Its last stable checkpoint with its proof (the paper's C); `None` for the genesis.
    pub checkpoint: Option<Endorsed<Checkpoint>>,
    /// For each slot above it that prepared, the proof with the highest view (the paper's P), by ascending sequence.
    pub prepared: Vec<PreparedProof>,
}

impl Signable for ViewChange {
    const DOMAIN: &'static str = "bezant/pbft/view-change";
    type Signer = ReplicaId;
}

/// The primary of a new view proves that a quorum wants it, and what follows from what they said.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct NewView {
    /// The view that begins.
    pub view: View,
    /// A quorum of view changes for it (the paper's V), by ascending replica.
    pub view_changes: Vec<Signed<ViewChange>>,
    /// What they oblige the primary to propose again, from the sequence number after the highest proven checkpoint on
    /// (the digests of the paper's O). A pre-prepare for each follows.
    pub proposals: Vec<Digest>,
}

impl Signable for NewView {
    const DOMAIN: &'static str = "bezant/pbft/new-view";
    type Signer = ReplicaId;
}

/// How a replica stands to its view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize, BorshDeserialize)]
pub enum Standing {
    /// It works in the view.
    Normal,
    /// It has asked for the view and waits for its new-view message.
    ViewChanging,
    /// It has lost its log and votes for nothing yet.
    Recovering,
}

/// Where a replica stands. Whoever is ahead answers with what the sender lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Status {
    /// Its view.
    pub view: View,
    /// How it stands to it.
    pub standing: Standing,
    /// Its last stable checkpoint.
    pub stable: SequenceNumber,
    /// The last sequence number it has executed.
    pub executed: SequenceNumber,
}

impl Signable for Status {
    const DOMAIN: &'static str = "bezant/pbft/status";
    type Signer = ReplicaId;
}

/// A replica asks for bodies that it knows only by digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Fetch {
    /// Requests.
    pub requests: Vec<Digest>,
    /// Batches, each with the slot in which it was seen.
    pub batches: Vec<(SequenceNumber, Digest)>,
}

impl Fetch {
    /// The most digests of each kind that one message may ask for.
    pub const LIMIT: usize = 4096;
}

impl Signable for Fetch {
    const DOMAIN: &'static str = "bezant/pbft/fetch";
    type Signer = ReplicaId;
}

/// A replica tells a client what its request came to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Reply {
    /// Whose request it was.
    pub client: AccountId,
    /// Which one.
    pub number: RequestNumber,
    /// The replica's view: tells the client who is probably the primary. Not compared between replies.
    pub view: View,
    /// What it came to.
    pub outcome: Outcome,
}

impl Signable for Reply {
    const DOMAIN: &'static str = "bezant/pbft/reply";
    type Signer = ReplicaId;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_request_and_no_seal_is_the_null_batch() {
        let null = Batch::Null.digest();
        assert_ne!(null, Batch::Seal { timestamp: Timestamp::ZERO }.digest());
        assert_ne!(null, Batch::Requests { timestamp: Timestamp::ZERO, requests: Vec::new() }.digest());
        assert_ne!(null, Batch::Requests { timestamp: Timestamp::ZERO, requests: alloc::vec![null] }.digest());
    }
}
