//! Why there is no answer, in words that say what is known about the request.

use std::fmt;
use std::time::Duration;

use bezant_types::{Digest, ReplicaId};

use super::numbers::NumbersError;
use crate::transport;

/// Why a client does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The key is no client's, or the limits cannot be.
    #[error(transparent)]
    Transport(#[from] transport::Error),
    /// The file that keeps the request numbers cannot be used.
    #[error(transparent)]
    Numbers(#[from] NumbersError),
}

/// Why there are no receipts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too few equal replies in time. Unless its [`Fate`] says otherwise, the request may have been executed, or may
    /// yet be.
    #[error("{0}")]
    NoQuorum(Box<NoQuorum>),
    /// The request's number left the client's window. It was not executed now, and nobody knows whether it was before.
    #[error(
        "the request grew too old to be told apart from a repetition, or another program uses the same client key: it may or \
         may not have been executed"
    )]
    Expired,
    /// Another request with the same number was executed: two programs use one client key. This one was not executed.
    #[error("another program uses the same client key and took this request's number: the request was not executed")]
    NumberReused,
    /// It was executed, and what it came to is not kept any more.
    #[error("the request was executed, but its answer was too large to be kept")]
    NotKept {
        /// The digest of the outcome.
        outcome: Digest,
    },
    /// It breaks a rule that all replicas check. It was not executed and never will be.
    #[error("the request was refused: {0}")]
    Refused(String),
    /// It was never sent, so it was not executed and never will be.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// The client is stopping. The request may have been sent.
    #[error("the client is stopping: the request may or may not have been executed")]
    ShuttingDown,
}

/// How far a request came that found no quorum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoQuorum {
    /// How long it was waited for.
    pub waited: Duration,
    /// How many equal replies it takes, f + 1.
    pub needed: usize,
    /// How many replicas gave the answer that most of them gave.
    pub alike: usize,
    /// How many replicas answered at all.
    pub answered: usize,
    /// How many different answers they gave: more than one means that somebody lies or has diverged.
    pub versions: usize,
    /// The replicas that did not take the request, and what they said.
    pub refused: Vec<(ReplicaId, String)>,
    /// The replicas that there was no connection to at the end.
    pub unreachable: Vec<ReplicaId>,
    /// What can have become of it.
    pub fate: Fate,
}

/// What can have become of a request that found no quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// No replica was ever reached. It was not executed and never will be.
    NotSent,
    /// Some replica was sent it. Nobody knows.
    Unknown,
}

impl fmt::Display for NoQuorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { waited, needed, alike, answered, versions, refused, unreachable, fate } = self;
        write!(f, "no {needed} replicas answered alike within {}: {answered} answered", Seconds(*waited))?;
        if *versions > 1 {
            write!(f, ", with {versions} different answers, at most {alike} of them alike")?;
        }
        for (replica, why) in refused {
            write!(f, "; replica {replica} did not take the request: {why}")?;
        }
        if !unreachable.is_empty() {
            write!(f, "; no connection to {}", Replicas(unreachable))?;
        }
        f.write_str(match fate {
            Fate::NotSent => ". No replica was ever reached, so the request was not executed",
            Fate::Unknown => ". The request may or may not have been executed",
        })
    }
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Nobody gave a valid answer in time.
    #[error("no replica gave a valid answer within {}{}", Seconds(*.waited), Rejected(.rejected))]
    NoAnswer {
        /// How long it was waited for.
        waited: Duration,
        /// The replicas whose answer did not hold, and why it did not.
        rejected: Vec<(ReplicaId, String)>,
    },
    /// It breaks a rule that all replicas check: nobody will ever answer it.
    #[error("the question was refused: {0}")]
    Refused(String),
    /// It was not asked.
    #[error("the question was not asked: {0}")]
    NotAsked(String),
    /// The client is stopping.
    #[error("the client is stopping")]
    ShuttingDown,
}

/// A duration as a person reads it: `5 s`, `0.25 s`.
pub(super) struct Seconds(pub(super) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", (self.0.as_secs_f64() * 100.0).round() / 100.0)
    }
}

struct Replicas<'a>(&'a [ReplicaId]);

impl fmt::Display for Replicas<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.len() == 1 { "replica " } else { "replicas " })?;
        for (place, replica) in self.0.iter().enumerate() {
            write!(f, "{}{replica}", if place == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

struct Rejected<'a>(&'a [(ReplicaId, String)]);

impl fmt::Display for Rejected<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(replica, why)| write!(f, "; the answer of replica {replica} was rejected: {why}"))
    }
}
