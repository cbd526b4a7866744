//! Evidence: two signatures of one member that no honest member gives.
//!
//! Anybody who knows the genesis can check it. Most kinds are two different statements about one matter: an honest
//! replica votes once for a slot in a view, once for a checkpoint, and asks once for a view; its log keeps it to that
//! across a crash. Three kinds hold statements of two kinds against each other.
//!
//! # Accepted one batch, committed to another
//!
//! A replica has one proposal for a slot in a view: what comes after it is refused. It prepares that, and commits to
//! that once a quorum has prepared it. A primary proposes once, and commits to its own proposal, which came back to it.
//! After a restart the proposal is in the log; if its record was left out when the log was compacted, a stable
//! checkpoint covers the slot, and the replica accepts nothing there any more
//! ([`Replica::proven`](crate::Replica)). So nobody honest signs an acceptance of one batch and a commit to another for
//! one slot of one view.
//!
//! # Amnesia
//!
//! A replica that committed to a batch in view v, and later asks for a view beyond v without a word of that slot, has
//! *forgotten* what it must not forget: a new view that stands on its word may decide otherwise. Its commit and its
//! view change convict it if the view change's checkpoint lies below the slot and no proof in it is for that slot with
//! view v or a later one. Why that never strikes an honest replica:
//!
//! * **It has the proof when it commits.** A commit follows only on a prepared certificate of the same view, which is
//!   on record before the commit is said. Learning of a decision from others makes nobody commit.
//! * **It keeps the proof, or a later one.** A slot's certificate is replaced only by one of its current view, which is
//!   never lower. The slot itself goes only when a stable checkpoint covers it.
//! * **It reports it.** A view change names the last checkpoint that the replica can prove and the certificate of every
//!   slot above it. A slot at or below that checkpoint is covered by the checkpoint, which lies no longer below it.
//! * **A restart** replays the certificate from the log. If the saved state is older than the log, the low water mark
//!   is, too, so no slot is missing; and the checkpoint behind which the log was compacted is in the log and is the one
//!   that the view change names.
//! * **Compaction** keeps the certificate of every slot above that checkpoint.
//! * **After a view change it commits no more** in earlier views, in whatever life (rule V-1), so the order of the two
//!   signatures does not matter.
//! * **Without its log** it signs no view change before a checkpoint is stable that lies at or above every slot that it
//!   can ever have voted for (rule A-1); its view changes name that one or a later one.

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

/// Two contradictory statements of two kinds by one member.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Clash<M: Signable, N: Signable> {
    /// One of them.
    pub first: Signed<M>,
    /// The other.
    pub second: Signed<N>,
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
    /// A primary proposed one batch and committed to another, for one slot of one view.
    PrePrepareAndCommit(Clash<PrePrepare, Commit>),
    /// A backup prepared one batch and committed to another, for one slot of one view.
    PrepareAndCommit(Clash<Prepare, Commit>),
    /// A replica committed to a batch and asked for a later view without a word of it.
    Amnesia(Clash<Commit, ViewChange>),
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
    /// Whom it is about. Only [`Self::verify`] says whether it convicts.
    pub fn accused(&self) -> ReplicaId {
        match self {
            Self::PrePrepares(pair) => pair.first.signer,
            Self::Prepares(pair) => pair.first.signer,
            Self::Commits(pair) => pair.first.signer,
            Self::Checkpoints(pair) => pair.first.signer,
            Self::ViewChanges(pair) => pair.first.signer,
            Self::NewViews(pair) => pair.first.signer,
            Self::PrePrepareAndCommit(clash) => clash.first.signer,
            Self::PrepareAndCommit(clash) => clash.first.signer,
            Self::Amnesia(clash) => clash.first.signer,
        }
    }

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
            Self::PrePrepareAndCommit(Clash { first, second }) => {
                let contradict =
                    |a: &PrePrepare, b: &Commit| (a.view, a.sequence) == (b.view, b.sequence) && a.digest != b.digest;
                convict_two(first, second, keyring, contradict)
            }
            Self::PrepareAndCommit(Clash { first, second }) => {
                let slots = |a: &Prepare, b: &Commit| (a.view, a.sequence) == (b.view, b.sequence);
                convict_two(first, second, keyring, |a, b| slots(a, b) && a.digest != b.digest)
            }
            Self::Amnesia(Clash { first, second }) => convict_two(first, second, keyring, forgets),
        }
    }
}

/// Whether whoever committed so and asked for a view so has forgotten what it committed to. What the view change claims
/// is taken at its word: a false proof is another crime.
pub(crate) fn forgets(commit: &Commit, change: &ViewChange) -> bool {
    let covered = change.checkpoint.as_ref().is_some_and(|stable| commit.sequence <= stable.vote.sequence);
    let mut proofs = change.prepared.iter();
    let reported = proofs.any(|proof| proof.sequence == commit.sequence && commit.view <= proof.view);
    commit.view < change.view && !covered && !reported
}

fn convict<M: Signable<Signer = ReplicaId>>(
    Pair { first, second }: &Pair<M>,
    keyring: &Keyring,
    same_matter: impl FnOnce(&M, &M) -> bool,
) -> Result<ReplicaId, NotEvidence> {
    convict_two(first, second, keyring, |first, second| first != second && same_matter(first, second))
}

fn convict_two<M: Signable<Signer = ReplicaId>, N: Signable<Signer = ReplicaId>>(
    first: &Signed<M>,
    second: &Signed<N>,
    keyring: &Keyring,
    contradict: impl FnOnce(&M, &N) -> bool,
) -> Result<ReplicaId, NotEvidence> {
    let (first, second) = (first.clone().verify(keyring)?, second.clone().verify(keyring)?);
    if first.signer() != second.signer() {
        return Err(NotEvidence::TwoSigners);
    }
    if !contradict(first.message(), second.message()) {
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
