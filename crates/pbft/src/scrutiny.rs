//! Holding a member's statements about a slot against each other.
//!
//! An equivocator takes care that nobody hears two of its stories. Three things bring them together.
//!
//! * **Kinds.** What a member proposed or prepared, and what it commits to in the same view, must be the same: an
//!   honest one commits to what it accepted ([`crate::evidence`]).
//! * **Certificates.** A certificate that arrives from elsewhere holds votes that this replica was never sent. They are
//!   held against the votes that it was.
//! * **Confrontation.** A backup that prepares something else than this replica was told to was told so by the primary,
//!   or lies. It is shown what the primary told here. If both are honest, it now has two proposals with one signature,
//!   and shows them to all before it leaves the view; who was told neither holds the primary to the first that it is
//!   shown, and leaves at the second. Each vote that is counted causes one such answer at most, so a liar gains a
//!   message for a message; and a view is left once.

use alloc::vec::Vec;

use bezant_types::{ReplicaId, SequenceNumber, Signed, Verified};

use crate::certificate::{CommitCertificate, Endorsed};
use crate::evidence::{Clash, Evidence, Pair};
use crate::message::{Commit, PrePrepare, Prepare};
use crate::packet::{Message, Outgoing};
use crate::ready::{Effect, Outbox, Recipients};
use crate::replica::Replica;
use crate::slot::{Slot, Vote};

impl Replica {
    /// A member has proposed for a slot, prepared, or committed: whether that goes with what it said before.
    pub(crate) fn examine(&self, sequence: SequenceNumber, member: ReplicaId, out: &mut Outbox) {
        let Some(slot) = self.slots.get(&sequence) else { return };
        let voted = slot.commits.of(member);
        let decided = slot.committed.as_ref().and_then(|certificate| signed_by(member, certificate.as_endorsed()));
        for commit in [voted, decided].into_iter().flatten() {
            self.accuse_of_clash(slot, &said(member, sequence, commit), out);
        }
    }

    /// A member has committed: whether that goes with its part in the certificate that is here.
    pub(crate) fn examine_commits(&self, sequence: SequenceNumber, member: ReplicaId, out: &mut Outbox) {
        let Some(slot) = self.slots.get(&sequence) else { return };
        let Some(voted) = slot.commits.of(member) else { return };
        let decided = slot.committed.as_ref().and_then(|certificate| signed_by(member, certificate.as_endorsed()));
        if let Some(decided) = decided.filter(|decided| decided.view == voted.view && decided.digest != voted.digest) {
            let (first, second) = (said(member, sequence, voted), said(member, sequence, decided));
            out.effect(Effect::Accuse(member, Evidence::Commits(Pair { first, second })));
        }
    }

    /// The proof that something was decided is here: everybody in it is examined.
    pub(crate) fn examine_signers(&self, sequence: SequenceNumber, out: &mut Outbox) {
        let certificate = self.slots.get(&sequence).and_then(|slot| slot.committed.as_ref());
        for signer in certificate.into_iter().flat_map(CommitCertificate::signers) {
            self.examine(sequence, signer, out);
            self.examine_commits(sequence, signer, out);
        }
        let decided = certificate.map(|certificate| *certificate.vote());
        let told = self.slots.get(&sequence).and_then(Slot::told);
        if let (Some(decided), Some(told)) = (decided, told)
            && told.view == decided.view
            && told.digest != decided.digest
        {
            self.show(&[Recipients::Others], sequence, told, out);
        }
    }

    /// A proposal was refused because something else is decided: whether its primary had a part in that.
    pub(crate) fn examine_refused(&self, proposal: &Verified<PrePrepare>, out: &mut Outbox) {
        let PrePrepare { view, sequence, digest } = *proposal.message();
        let in_slot =
            self.slots.get(&sequence).and_then(|slot| slot.committed.as_ref()).map(CommitCertificate::as_endorsed);
        let decided = in_slot.or_else(|| self.recent.get(&sequence).map(|block| &block.decided.commits));
        let vote = decided.and_then(|commits| signed_by(proposal.signer(), commits));
        if let Some(vote) = vote.filter(|vote| vote.view == view && vote.digest != digest) {
            let (first, second) = (proposal.as_signed().clone(), said(proposal.signer(), sequence, vote));
            let clash = Clash { first, second };
            out.effect(Effect::Accuse(proposal.signer(), Evidence::PrePrepareAndCommit(clash)));
        }
    }

    fn accuse_of_clash(&self, slot: &Slot, commit: &Signed<Commit>, out: &mut Outbox) {
        let (member, Commit { view, sequence, digest }) = (commit.signer, commit.message);
        let clashes = |vote: &Vote| vote.view == view && vote.digest != digest;
        let proposer = self.config.committee().primary(view) == member;
        if let Some(Vote { digest, signature, .. }) = slot.told().filter(|vote| proposer && clashes(vote)) {
            let first = Signed { signer: member, message: PrePrepare { view, sequence, digest }, signature };
            let clash = Clash { first, second: commit.clone() };
            out.effect(Effect::Accuse(member, Evidence::PrePrepareAndCommit(clash)));
        }
        if let Some(Vote { digest, signature, .. }) = slot.prepares.of(member).filter(clashes) {
            let first = Signed { signer: member, message: Prepare { view, sequence, digest }, signature };
            let clash = Clash { first, second: commit.clone() };
            out.effect(Effect::Accuse(member, Evidence::PrepareAndCommit(clash)));
        }
    }

    /// A backup has prepared: if that is not what the primary proposed here, it is shown that.
    pub(crate) fn confront(&self, sequence: SequenceNumber, backup: ReplicaId, out: &mut Outbox) {
        self.confront_some(sequence, |one| one == backup, out);
    }

    /// The primary has proposed: whoever prepared something else before is shown that.
    pub(crate) fn confront_all(&self, sequence: SequenceNumber, out: &mut Outbox) {
        self.confront_some(sequence, |_| true, out);
    }

    fn confront_some(&self, sequence: SequenceNumber, among: impl Fn(ReplicaId) -> bool, out: &mut Outbox) {
        let Some(slot) = self.slots.get(&sequence) else { return };
        let Some(proposal) = slot.proposal else { return };
        let contradicts = |vote: Vote| vote.view == proposal.view && vote.digest != proposal.digest;
        let backups = self.config.committee().members().filter(|one| among(*one));
        let to = backups.filter(|one| slot.prepares.of(*one).is_some_and(contradicts)).map(Recipients::One);
        let to: Vec<_> = to.collect();
        self.show(&to, sequence, proposal, out);
    }

    /// Two proposals for one slot of one view: everybody is shown both before this backup leaves it.
    pub(crate) fn expose(&self, sequence: SequenceNumber, known: Vote, other: &Verified<PrePrepare>, out: &mut Outbox) {
        if self.id() != self.primary() {
            self.show(&[Recipients::Others], sequence, known, out);
            out.send(Recipients::Others, Outgoing::Proven(Message::PrePrepare(other.clone(), None)));
        }
    }

    /// Shows what a primary proposed, without the batch: it is the signature that counts.
    fn show(&self, to: &[Recipients], sequence: SequenceNumber, proposal: Vote, out: &mut Outbox) {
        if to.is_empty() {
            return;
        }
        let Vote { view, digest, signature } = proposal;
        let signer = self.config.committee().primary(view);
        let proposal = Signed { signer, message: PrePrepare { view, sequence, digest }, signature };
        let proposal = proposal.verify(self.config.keyring()).expect("it was verified when it came");
        for one in to {
            out.send(*one, Outgoing::Proven(Message::PrePrepare(proposal.clone(), None)));
        }
    }
}

fn signed_by(member: ReplicaId, commits: &Endorsed<Commit>) -> Option<Vote> {
    let Commit { view, digest, .. } = commits.vote;
    let mut signatures = commits.signatures.iter();
    let (_, signature) = signatures.find(|(signer, _)| *signer == member)?;
    Some(Vote { view, digest, signature: *signature })
}

fn said(signer: ReplicaId, sequence: SequenceNumber, Vote { view, digest, signature }: Vote) -> Signed<Commit> {
    Signed { signer, message: Commit { view, sequence, digest }, signature }
}
