//! Why something that a replica sent was ignored, and how often.

use std::collections::BTreeMap;

use bezant_types::ReplicaId;
use bezant_types::codec::DecodeError;
use bezant_types::signed::Unverified;

use crate::verify::NotProven;
use crate::wire::Unanswerable;

/// Why a frame changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ignored {
    /// Nothing that a replica may tell a client.
    #[error("it is no answer of this version: {0}")]
    NotATell(#[from] DecodeError),
    /// It was signed by another replica than sent it.
    #[error("it sends what replica {0} is said to have signed")]
    NotTheSender(ReplicaId),
    /// It is a reply to another client.
    #[error("it answers another client")]
    OtherClient,
    /// The signature is not valid.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// A reply whose receipts are not those of the request, whatever they say.
    #[error("its receipts do not fit the request")]
    WrongShape,
    /// A proof of another key.
    #[error("it proves another key than was asked for")]
    OtherKey,
    /// A checkpoint that does not cover what was asked for.
    #[error("its checkpoint is older than was asked for")]
    Stale,
    /// A proof or checkpoint that does not hold.
    #[error(transparent)]
    NotProven(#[from] NotProven),
    /// An answer of another kind than the question.
    #[error("it answers another question than was asked")]
    OtherQuestion,
    /// A replica that does not answer.
    #[error("{0}")]
    Unanswerable(Unanswerable),
    /// Nothing that is under way: mostly an answer that came after f + 1 others.
    #[error("nothing that is under way")]
    NotUnderWay,
    /// It answered this already. Its first answer counts.
    #[error("it answered this already")]
    AnsweredBefore,
}

impl Ignored {
    /// Whether an honest replica on an honest network would never cause this.
    fn is_a_fault(&self) -> bool {
        match self {
            Self::NotUnderWay | Self::AnsweredBefore | Self::Unanswerable(_) => false,
            Self::NotATell(_)
            | Self::NotTheSender(_)
            | Self::OtherClient
            | Self::Unverified(_)
            | Self::WrongShape
            | Self::OtherKey
            | Self::Stale
            | Self::NotProven(_)
            | Self::OtherQuestion => true,
        }
    }
}

/// How often each replica was at fault.
#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<ReplicaId, u64>);

impl Faults {
    /// Counts and logs a fault. Of many, few are logged: a liar must not fill the disk with our own hands.
    pub(super) fn note(&mut self, replica: ReplicaId, reason: &Ignored) {
        if !reason.is_a_fault() {
            return;
        }
        let count = self.0.entry(replica).or_default();
        *count = count.saturating_add(1);
        if count.is_power_of_two() {
            tracing::warn!(%replica, faults = *count, %reason, "an answer of a replica was ignored");
        }
    }
}
