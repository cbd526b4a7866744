//! Verified state transfer: how a replica that has fallen behind, or lost its disk, comes by the state of a root that a
//! quorum has signed (rule L-10).
//!
//! # The plan
//!
//! Top down, by hash. The trusted root says which [`Header`] is right, the header's trie root says which children are,
//! and so on. A request names a subtree by its place and *the hash that it must have*; the answer is either all its
//! leaves, if they fit a piece, or an outline: a few levels of it, down to the hashes of subtrees that are then asked
//! for themselves. The receiver rebuilds what it is sent, and takes it only if it hashes to what was asked for.
//!
//! So there is no manifest to lie about and no chunk to poison (hazard 64), no index that could differ from a proof's
//! (hazard 68), and no peer whose claimed height matters (hazard 66): a piece is right or its sender is a liar, by
//! name, at once, at the cost of that one piece. Everything that is kept is part of a state that a quorum signed, and
//! its header, which is checked first, bounds how much that is.
//!
//! # Moving targets
//!
//! The group goes on while one replica fetches (hazard 67). [`Transfer::retarget`] keeps all that was fetched: under
//! the new root, a subtree whose hash is that of one already held, from the replica's own old state or from the
//! transfer so far, is not fetched again. Each attempt therefore starts where the last one stopped, less what has
//! changed since.
//!
//! # Who is asked
//!
//! All peers in turn, each with a few requests under way. One that is silent, or says that it does not have the state,
//! rests, longer each time, and is left out after a number of times in a row. One that lied is left out for good. What
//! it costs a *server* to answer is bounded by `limit` per request; how many it answers is the host's quota (hazard
//! 70).
//!
//! The driver is a pure state machine: time, pieces and new targets go in, requests and the result come out.

mod driver;
mod message;
mod outline;
mod peers;
mod serve;

use bezant_types::{Digest, ReplicaId, SequenceNumber};

pub use self::driver::Transfer;
pub use self::message::{Content, Detail, Outline, Piece, PieceId, PieceRequest, Token, Wanted};
pub use self::serve::serve;
#[cfg(doc)]
use crate::state::Header;
use crate::state::State;

/// What happens to a transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferInput {
    /// Time passed. The first one sets the transfer going; see also [`Transfer::wake_at`].
    Tick,
    /// A peer answered, on a channel that authenticates it.
    Piece {
        /// Who.
        from: ReplicaId,
        /// What.
        piece: Piece,
    },
    /// The group has moved on to another state.
    Retarget {
        /// Its root, from a checkpoint certificate.
        root: Digest,
        /// Its height, from the same certificate.
        height: SequenceNumber,
    },
}

/// What a transfer wants done, or has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferOutput {
    /// Ask a peer.
    Send {
        /// Whom.
        to: ReplicaId,
        /// For what.
        request: PieceRequest,
    },
    /// A peer sent what does not hash to what it was asked for. No honest one does. It is not asked again.
    Blame {
        /// Who.
        replica: ReplicaId,
        /// With what.
        lie: Lie,
    },
    /// A piece changed nothing.
    Ignored {
        /// Whose.
        from: ReplicaId,
        /// Why.
        reason: Ignored,
    },
    /// The state of the target root.
    Finished(State),
    /// There is no way on. A new target starts it again.
    Failed(TransferFailed),
}

/// Why a piece changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// It answers no request under way with this peer: too late, meant for an earlier target, or never asked for.
    Unasked,
    /// The transfer is over.
    Over,
}

/// In what way a piece was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lie {
    /// A header and trie root of another state root.
    #[error("a header of another state")]
    Header,
    /// Bytes that are no records, or not in order, or of keys elsewhere in the tree.
    #[error("malformed records")]
    MalformedRecords,
    /// Records of another subtree.
    #[error("records of another subtree")]
    OtherRecords,
    /// An outline that is none, or says no more than the question did.
    #[error("a malformed outline")]
    MalformedOutline,
    /// An outline of another subtree.
    #[error("an outline of another subtree")]
    OtherOutline,
    /// A header where a subtree was asked for, or the other way round.
    #[error("an answer to another question")]
    OtherKind,
}

/// Why a transfer cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferFailed {
    /// Nobody is left to ask.
    #[error(
        "no peer is left to fetch the state from: {liars} sent wrong data, {silent} did not answer or do not have it"
    )]
    NobodyLeft {
        /// How many sent what they were not asked for.
        liars: usize,
        /// How many were silent, or did not have the state, too often.
        silent: usize,
    },
    /// The certificate and the state that it certifies disagree on the height.
    #[error("the certificate says height {certified}, the state that it certifies is of height {found}")]
    WrongHeight {
        /// The certificate's.
        certified: SequenceNumber,
        /// The state's.
        found: SequenceNumber,
    },
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The size of the target state, once its header is known.
    pub total_bytes: u64,
    /// How much of it is there: fetched for this target, or held from before.
    pub held_bytes: u64,
    /// How much was fetched and verified since the transfer began, for all targets.
    pub fetched_bytes: u64,
}
