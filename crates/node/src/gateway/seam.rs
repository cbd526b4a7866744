//! What the gateway asks of the group, as two concrete channels.
//!
//! The native client stands on the other side: it signs a [`Submission`] as one bundle, sends it to the replicas, and
//! answers once `f + 1` of them gave the same outcome. A [`Query`] needs no place in the order.
//!
//! **The contract.** Every reply channel is answered by the submission's deadline, with an error if there is nothing
//! better; the gateway holds that against the other side with a limit of its own, so that a client of Redis is never
//! left in silence. Receipts are as many as transactions, in their order. Several submissions are under way at a time
//! and may be executed in any order.

use std::fmt;
use std::time::Duration;

use bezant_types::transaction::{Receipt, Transaction};
use bezant_types::{AccountId, Amount, Digest, ReplicaId, SequenceNumber, View};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The gateway's end of the seam.
#[derive(Clone, Debug)]
pub struct GroupLink {
    /// Bundles to be ordered and executed.
    pub submissions: mpsc::Sender<Submission>,
    /// Questions beside the order.
    pub queries: mpsc::Sender<Query>,
}

/// The native client's end of the seam.
#[derive(Debug)]
pub struct GroupRequests {
    /// Bundles to be ordered and executed.
    pub submissions: mpsc::Receiver<Submission>,
    /// Questions beside the order.
    pub queries: mpsc::Receiver<Query>,
}

/// Both ends. The channels are as deep as the gateway ever fills them: its bundles in flight, and a few questions.
pub fn seam() -> (GroupLink, GroupRequests) {
    let (submit, submissions) = mpsc::channel(DEPTH);
    let (ask, queries) = mpsc::channel(DEPTH);
    (GroupLink { submissions: submit, queries: ask }, GroupRequests { submissions, queries })
}

/// Transactions that are to travel under one signature, within the genesis' limits for a bundle.
#[derive(Debug)]
pub struct Submission {
    /// The bundle's transactions. Each applies or not by itself, in this order.
    pub transactions: Vec<Transaction>,
    /// When an error is due.
    pub deadline: Instant,
    /// Takes the outcome. It is closed if the gateway has given up.
    pub reply: oneshot::Sender<Result<Vec<Receipt>, SubmitError>>,
}

/// Why there are no receipts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too few equal replies in time. The bundle may have been executed, or may yet be.
    #[error(
        "no {needed} replicas answered alike within {}, only {replies} did: the command may or may not have been executed",
        Seconds(*.waited)
    )]
    NoQuorum {
        /// How long it was waited for.
        waited: Duration,
        /// How many equal replies there were at most.
        replies: usize,
        /// How many it takes, f + 1.
        needed: usize,
    },
    /// The bundle's number left the client's window: it was not executed now, and nobody knows whether it was before.
    #[error("the request grew too old to be told apart from a repetition: it may or may not have been executed")]
    Expired,
    /// Another request with the same number was executed: two programs use one client key.
    #[error("another program uses the same client key and took this request's number: the command was not executed")]
    NumberReused,
    /// It was executed, and what it came to is not kept any more.
    #[error("the command was executed, but its answer was too large to be kept")]
    NotKept,
    /// It broke a rule that is checked before ordering, and was not sent.
    #[error("{0}")]
    Refused(String),
    /// The other side is stopping. The bundle may have been sent.
    #[error("the gateway is shutting down: the command may or may not have been executed")]
    ShuttingDown,
}

/// A question that needs no place in the order.
#[derive(Debug)]
pub enum Query {
    /// A proof of what the ledger holds, or does not hold, at a stable checkpoint.
    Prove {
        /// Of what.
        subject: Subject,
        /// The checkpoint must cover this sequence number. Everything that was acknowledged before is then in it.
        at_least: SequenceNumber,
        /// When an error is due.
        deadline: Instant,
        /// Takes the proof, which the other side has verified.
        reply: oneshot::Sender<Result<Proof, QueryError>>,
    },
    /// The state root of a stable checkpoint.
    Root {
        /// The checkpoint must cover this sequence number.
        at_least: SequenceNumber,
        /// When an error is due.
        deadline: Instant,
        /// Takes the checkpoint.
        reply: oneshot::Sender<Result<CertifiedRoot, QueryError>>,
    },
    /// What the other side knows of the group without asking anybody.
    Status {
        /// Takes the status.
        reply: oneshot::Sender<GroupStatus>,
    },
}

/// What a proof is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// An entry, present or absent.
    Entry(Vec<u8>),
    /// An account's balance.
    Balance(AccountId),
}

/// What a proof has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The entry exists.
    Entry {
        /// What it holds.
        value: Vec<u8>,
        /// To whom it belongs.
        owner: AccountId,
    },
    /// There is no such entry.
    NoEntry,
    /// The account holds this much.
    Balance(Amount),
}

/// A checkpoint that a quorum signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedRoot {
    /// The height of the state.
    pub sequence: SequenceNumber,
    /// The root that commits to every account and entry of it.
    pub root: Digest,
    /// Who signed.
    pub signers: Vec<ReplicaId>,
}

/// A verified proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// What it shows.
    pub finding: Finding,
    /// At which state.
    pub checkpoint: CertifiedRoot,
    /// The proof with its certificate, as `bezant verify` reads it.
    pub bytes: Vec<u8>,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nobody gave a valid answer in time.
    #[error("no replica gave a valid answer within {}", Seconds(*.waited))]
    NoAnswer {
        /// How long it was waited for.
        waited: Duration,
    },
    /// The question cannot be answered.
    #[error("{0}")]
    Refused(String),
    /// The other side is stopping.
    #[error("the gateway is shutting down")]
    ShuttingDown,
}

/// What the native client knows of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupStatus {
    /// The highest view that a weak quorum claims, if known.
    pub view: Option<View>,
    /// The highest sequence number that a weak quorum has executed, if known.
    pub executed: Option<SequenceNumber>,
    /// The last stable checkpoint that is known.
    pub stable: Option<CertifiedRoot>,
    /// Which replicas there is a connection to.
    pub connected: Vec<ReplicaId>,
}

/// A duration as a person reads it: `5 s`, `0.25 s`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = (self.0.as_secs_f64() * 100.0).round() / 100.0;
        write!(f, "{rounded} s")
    }
}

/// More than any gateway has in flight, see [`super::Options::bundles_in_flight`].
const DEPTH: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_whether_the_command_may_have_been_executed() {
        let waited = Duration::from_millis(5_000);
        let text = SubmitError::NoQuorum { waited, replies: 1, needed: 2 }.to_string();
        assert_eq!(
            text,
            "no 2 replicas answered alike within 5 s, only 1 did: the command may or may not have been executed"
        );
        assert!(SubmitError::Expired.to_string().contains("may or may not"));
        assert!(SubmitError::ShuttingDown.to_string().contains("may or may not"));
        assert!(SubmitError::NumberReused.to_string().contains("was not executed"));
        assert!(SubmitError::NotKept.to_string().contains("was executed"));
    }

    #[test]
    fn durations_read_as_seconds() {
        assert_eq!(Seconds(Duration::from_millis(250)).to_string(), "0.25 s");
        assert_eq!(Seconds(Duration::from_secs(5)).to_string(), "5 s");
    }
}
