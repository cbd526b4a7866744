//! Evidence: two signatures of one member that no honest member gives.
//!
//! An honest replica votes once for a slot in a view, once for a checkpoint, and asks once for a view; its log keeps
//! it to that across a crash. Two different signed statements of one kind are therefore proof against their signer, and
//! anybody who knows the genesis can check it.

use bezant_types::signed::Unverified;
use bezant_types::{Keyring, ReplicaId, Signable, Signed, Verified};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::message::{Checkpoint, Commit, NewView, PrePrepare, Prepare, ViewChange};

/// Two contradictory statements of one kind by one member.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Pair<M: Signable> {
    /// One of them.
    pub first: Signed<M>,
    /// The other.
    pub second: Signed<M>,
}

/// What a member is convicted by.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum Evidence {
    /// A primary proposed two batches for one slot of one view.
    PrePrepares(Pair<PrePrepare>),
    /// A backup prepared two batches for one slot of one view.
    Prepares(Pair<Prepare>),
    /// A replica committed to two batches for one slot of one view.
    Commits(Pair<Commit>),
    /// A replica vouched for two states at one sequence number.
    Checkpoints(Pair<Checkpoint>),
    /// A replica asked for one view with two stories.
    ViewChanges(Pair<ViewChange>),
    /// A primary opened one view twice, differently.
    NewViews(Pair<NewView>),
}

/// Why evidence does not convict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotEvidence {
    /// A signature is not valid.
    #[error(transparent)]
    Unverified(#[from] Unverified),
    /// Two members said it.
    #[error("the two statements have different signers")]
    TwoSigners,
    /// The statements are about different things, or are the same.
    #[error("the two statements do not contradict each other")]
    NoContradiction,
}

impl Evidence {
    /// Convicts the member that signed both statements.
    ///
    /// # Errors
    /// [`NotEvidence`] says why nobody is convicted.
    pub fn verify(&self, keyring: &Keyring) -> Result<ReplicaId, NotEvidence> {
        match self {
            Self::PrePrepares(pair) => convict(pair, keyring, |a, b| (a.view, a.sequence) == (b.view, b.sequence)),
            Self::Prepares(pair) => convict(pair, keyring, |a, b| (a.view, a.sequence) == (b.view, b.sequence)),
            Self::Commits(pair) => convict(pair, keyring, |a, b| (a.view, a.sequence) == (b.view, b.sequence)),
            Self::Checkpoints(pair) => convict(pair, keyring, |a, b| a.sequence == b.sequence),
            Self::ViewChanges(pair) => convict(pair, keyring, |a, b| a.view == b.view),
            Self::NewViews(pair) => convict(pair, keyring, |a, b| a.view == b.view),
        }
    }
}

fn convict<M: Signable<Signer = ReplicaId>>(
    pair: &Pair<M>,
    keyring: &Keyring,
    same_matter: impl FnOnce(&M, &M) -> bool,
) -> Result<ReplicaId, NotEvidence> {
    let first = pair.first.clone().verify(keyring)?;
    let second = pair.second.clone().verify(keyring)?;
    if first.signer() != second.signer() {
        return Err(NotEvidence::TwoSigners);
    }
    if first.digest() == second.digest() || !same_matter(first.message(), second.message()) {
        return Err(NotEvidence::NoContradiction);
    }
    Ok(first.signer())
}

impl<M: Signable> Pair<M> {
    /// Puts two statements side by side.
    pub(crate) fn of(first: Signed<M>, second: &Verified<M>) -> Self {
        Self { first, second: second.as_signed().clone() }
    }
}
