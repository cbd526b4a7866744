//! What travels in the transport's frames: between replicas ([`PeerFrame`]), from clients ([`Ask`]) and to them
//! ([`Tell`]).
//!
//! The transport has authenticated the channel. That is not enough: a message's sender is its signer, so votes,
//! requests and replies are signed as well and can be handed on. What is not signed proves itself (a proof by its
//! certificate) or only ever concerns the one who asked (a piece of state, checked against a hash that a quorum
//! signed).

use bezant_ledger::transfer::{Piece, PieceRequest};
use bezant_ledger::{Key, Proof};
use bezant_pbft::certificate::Endorsed;
use bezant_pbft::message::{Checkpoint, Reply, Standing};
use bezant_pbft::packet::Packet;
use bezant_types::codec::Format;
use bezant_types::{Bundle, Digest, ReplicaId, RequestNumber, SequenceNumber, Signable, Signed, View};
use borsh::{BorshDeserialize, BorshSerialize};

/// The head of every frame between replicas.
pub const PEER: Format = Format { magic: *b"BZPR", version: 1 };
/// The head of every frame from a client.
pub const ASK: Format = Format { magic: *b"BZAS", version: 1 };
/// The head of every frame to a client.
pub const TELL: Format = Format { magic: *b"BZTL", version: 1 };
/// The head of a proof file.
pub const PROOF_FILE: Format = Format { magic: *b"BZPF", version: 1 };
/// The head of a file of evidence.
pub const EVIDENCE_FILE: Format = Format { magic: *b"BZEV", version: 1 };

/// What replicas send each other.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum PeerFrame {
    /// Agreement.
    Packet(Packet),
    /// State transfer: a question.
    AskPiece(PieceRequest),
    /// State transfer: its answer.
    Piece(Piece),
}

/// What a client asks a replica. `id` comes back with the answer; it is the client's to choose.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Ask {
    /// To order and execute this.
    Submit(Signed<Bundle>),
    /// For a proof of what the ledger holds under `key` as of the last stable checkpoint, once that covers `at_least`.
    Prove {
        /// Names the question.
        id: u64,
        /// Of what.
        key: Key,
        /// The checkpoint must be at or above this: the replica answers when it is.
        at_least: SequenceNumber,
    },
    /// For the last stable checkpoint, once that covers `at_least`.
    Root {
        /// Names the question.
        id: u64,
        /// The checkpoint must be at or above this.
        at_least: SequenceNumber,
    },
    /// Where the replica stands.
    Status {
        /// Names the question.
        id: u64,
    },
}

/// What a replica tells a client.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Tell {
    /// What a request came to.
    Reply(Signed<Reply>),
    /// A request was not taken. Only this replica says so; others may have taken it.
    Refused {
        /// Which request.
        number: RequestNumber,
        /// Why, and whether trying again helps.
        refusal: Refusal,
    },
    /// The answer to [`Ask::Prove`].
    Proof {
        /// The question's name.
        id: u64,
        /// The proof.
        proof: CertifiedProof,
    },
    /// The answer to [`Ask::Root`]; `None` while there is none but the genesis.
    Root {
        /// The question's name.
        id: u64,
        /// The checkpoint.
        checkpoint: Option<Endorsed<Checkpoint>>,
    },
    /// The answer to [`Ask::Status`].
    Status {
        /// The question's name.
        id: u64,
        /// The report.
        report: Box<Signed<StatusReport>>,
    },
    /// A question is not answered. Only this replica says so; others may answer.
    Unanswerable {
        /// The question's name.
        id: u64,
        /// Why, and whether asking again helps.
        reason: Unanswerable,
    },
}

/// Why a replica does not answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
pub enum Unanswerable {
    /// Too many questions of this client wait here already.
    #[error("too many questions of this client are waiting: try again")]
    Busy,
    /// No key in this network is so long.
    #[error("the key is longer than {limit} bytes, the most in this network")]
    KeyTooLong {
        /// The longest that there is.
        limit: u32,
    },
    /// The checkpoint that is asked for is further ahead of what the replica has executed than any can be that is under
    /// way.
    #[error("the checkpoint that is asked for lies too far ahead of what this replica has executed")]
    TooFarAhead,
}

/// Why a replica did not take a request.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, thiserror::Error)]
pub enum Refusal {
    /// Too much of this client waits here already.
    #[error("too much of this client is waiting: try again")]
    Busy,
    /// It breaks a limit of the genesis, or its signature is not valid.
    #[error("{0}")]
    Bad(String),
}

/// A proof of what the ledger holds, with the certificate of the state that it is about. Whoever has the genesis can
/// check it, offline.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct CertifiedProof {
    /// A quorum of signatures under the state root.
    pub checkpoint: Endorsed<Checkpoint>,
    /// What is proven to be there, or not there.
    pub key: Key,
    /// The way from there to the root.
    pub proof: Proof,
}

/// A replica's connection to another.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct PeerReport {
    /// Which other replica.
    pub id: ReplicaId,
    /// Where it is.
    pub address: String,
    /// Whether there is a connection to it.
    pub connected: bool,
    /// Bytes that wait to be sent to it.
    pub queued_bytes: u64,
    /// Frames that were dropped because too many waited.
    pub dropped_frames: u64,
    /// Why there is no connection, or why the last one ended.
    pub last_error: Option<String>,
    /// The last checkpoint that it vouched for.
    pub claim: Option<(SequenceNumber, Digest)>,
    /// Whether that contradicts what a quorum signed.
    pub diverged: bool,
}

/// Where a replica stands, in its own words.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct StatusReport {
    /// Its view.
    pub view: View,
    /// How it stands to it.
    pub standing: Standing,
    /// The primary of the view.
    pub primary: ReplicaId,
    /// The last sequence number that it executed.
    pub executed: SequenceNumber,
    /// Its last stable checkpoint; `None` is the genesis.
    pub stable: Option<Endorsed<Checkpoint>>,
    /// Requests that wait to be executed.
    pub waiting: u64,
    /// If it lost its log: from which checkpoint on it votes again, once that is known.
    pub silent_until: Option<SequenceNumber>,
    /// Whether it is fetching the state of others.
    pub fetching_state: bool,
    /// Entries in the ledger, as of the last stable checkpoint.
    pub entries: u64,
    /// Bytes of keys and values in the ledger, as of the last stable checkpoint.
    pub state_bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
    /// Members that contradicted themselves; the proofs are in its `evidence` folder.
    pub accused: Vec<ReplicaId>,
    /// Seconds since it started.
    pub uptime_s: u64,
    /// Its connections. Empty for a client that is not an admin.
    pub peers: Vec<PeerReport>,
}

impl Signable for StatusReport {
    const DOMAIN: &'static str = "bezant/node/status";
    type Signer = ReplicaId;
}
