//! Checkpoints and water marks (Castro and Liskov 1999, section 4.3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bezant_types::{Committee, Digest, ReplicaId, SequenceNumber, Signature, Signed, Timestamp, Verified, View};

use crate::certificate::CheckpointCertificate;
use crate::evidence::{Evidence, Pair};
use crate::ignored::Ignored;
use crate::message::{Batch, Checkpoint};
use crate::packet::Outgoing;
use crate::ready::{Effect, Executed, Fault, Outbox, Recipients, Timer};
use crate::record::Record;
use crate::replica::{Replica, sequence_of};
use crate::slot::Payload;

/// A state root that a replica vouched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Claim {
    root: Digest,
    signature: Signature,
}

/// The checkpoints that members vouched for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Claims {
    /// Within the window: of each member one per sequence number.
    within: BTreeMap<SequenceNumber, BTreeMap<ReplicaId, Claim>>,
    /// Above the window: of each member the last only (rule C-4), so that claims of 2^60 cost nothing (hazard 20).
    beyond: BTreeMap<ReplicaId, (SequenceNumber, Claim)>,
    /// The last of each member, wherever it was.
    latest: BTreeMap<ReplicaId, (SequenceNumber, Digest)>,
}

impl Claims {
    pub(crate) fn latest(&self) -> Vec<(ReplicaId, SequenceNumber, Digest)> {
        self.latest.iter().map(|(replica, (sequence, root))| (*replica, *sequence, *root)).collect()
    }

    fn known(&self, signer: ReplicaId, sequence: SequenceNumber) -> Option<Claim> {
        let within = self.within.get(&sequence).and_then(|claims| claims.get(&signer)).copied();
        let beyond = self.beyond.get(&signer).filter(|(at, _)| *at == sequence).map(|(_, claim)| *claim);
        within.or(beyond)
    }

    fn insert(&mut self, signer: ReplicaId, sequence: SequenceNumber, claim: Claim, high: SequenceNumber) {
        if sequence <= high {
            self.within.entry(sequence).or_default().insert(signer, claim);
        } else if self.beyond.get(&signer).is_none_or(|(at, _)| *at < sequence) {
            self.beyond.insert(signer, (sequence, claim));
        }
        let latest = self.latest.entry(signer).or_insert((sequence, claim.root));
        if latest.0 < sequence {
            *latest = (sequence, claim.root);
        }
    }

    /// The proof that a state at `sequence` is right, if a quorum vouches for the same one.
    fn certificate(
        &self,
        sequence: SequenceNumber,
        root: Digest,
        committee: Committee,
    ) -> Option<CheckpointCertificate> {
        let within = self.within.get(&sequence).into_iter().flatten().map(|(signer, claim)| (*signer, *claim));
        let beyond =
            self.beyond.iter().filter(|(_, (at, _))| *at == sequence).map(|(signer, (_, claim))| (*signer, *claim));
        let matching = within.chain(beyond).filter(|(_, claim)| claim.root == root);
        let signatures = matching.map(|(signer, claim)| (signer, claim.signature));
        CheckpointCertificate::assemble(Checkpoint { sequence, root }, signatures, committee)
    }

    /// How many members claim to be beyond `high`.
    fn count_beyond(&self, high: SequenceNumber) -> usize {
        self.beyond.values().filter(|(sequence, _)| *sequence > high).count()
    }

    /// The window has moved: forget what is below, and take in what it now covers.
    fn advance(&mut self, low: SequenceNumber, high: SequenceNumber) {
        self.within = self.within.split_off(&low.next());
        let covered: Vec<_> =
            self.beyond.iter().filter(|(_, (at, _))| *at <= high).map(|(signer, _)| *signer).collect();
        for signer in covered {
            if let Some((sequence, claim)) = self.beyond.remove(&signer)
                && low < sequence
            {
                self.within.entry(sequence).or_default().entry(signer).or_insert(claim);
            }
        }
    }
}

impl Replica {
    /// Rule C-1: whether a checkpoint is taken after this batch.
    pub(crate) fn is_checkpoint(&self, sequence: SequenceNumber, batch: &Batch) -> bool {
        sequence.get().is_multiple_of(self.config.parameters().checkpoint_interval)
            || matches!(batch, Batch::Seal { .. })
    }

    /// The executor is done with a block: its requests wait no more, nor does anything under their numbers, and at a
    /// checkpoint this replica vouches for its state.
    pub(crate) fn on_applied(
        &mut self,
        sequence: SequenceNumber,
        executed: &[Executed],
        root: Option<Digest>,
        out: &mut Outbox,
    ) {
        assert!(
            sequence == self.executed.next() && sequence <= self.delivered,
            "blocks are applied in order, each once"
        );
        self.executed = sequence;
        self.pace.executed(sequence);
        for Executed { client, number, fresh } in executed {
            self.pool.spend(*client, *number);
            // What was executed before may be repeated for ever: it is no progress and serves nobody.
            if *fresh {
                self.pool.serve(self.pace.now(), *client, *number);
                self.note_service(*client, *number);
                // The next timeout need not be longer than usual (rule V-5).
                self.fruitless = 0;
            }
        }
        if let Some(root) = root {
            if let Some(before) = self.roots.get(&sequence).filter(|before| **before != root) {
                return out.effect(Effect::Halt(Fault::Inconsistent { sequence, before: *before, now: root }));
            }
            self.roots.insert(sequence, root);
            self.last_checkpoint = sequence;
            if self.seal_armed.take().is_some() {
                out.effect(Effect::CancelTimer(Timer::Seal(self.view)));
            }
            if self.silence.may_vote() {
                vouch(sequence, root, out);
            }
        }
        if let Some(ahead) = self.ahead.clone() {
            self.on_stable(ahead, out);
        }
    }

    /// Rule C-1: a member vouches for a state.
    pub(crate) fn on_checkpoint(&mut self, vote: Verified<Checkpoint>, out: &mut Outbox) {
        let Checkpoint { sequence, root } = *vote.message();
        if let Err(reason) = self.admit_checkpoint(&vote) {
            if reason == Ignored::Contradiction {
                let known = self.claims.known(vote.signer(), sequence).expect("a contradiction contradicts something");
                let message = Checkpoint { sequence, root: known.root };
                let first = Signed { signer: vote.signer(), message, signature: known.signature };
                out.effect(Effect::Accuse(vote.signer(), Evidence::Checkpoints(Pair::of(first, &vote))));
            }
            return out.ignore(Some(vote.signer()), reason);
        }
        let high = self.high();
        self.claims.insert(vote.signer(), sequence, Claim { root, signature: vote.signature() }, high);
        if let Some(certificate) = self.claims.certificate(sequence, root, self.config.committee()) {
            self.on_stable(certificate, out);
        } else if self.claims.count_beyond(high) == self.config.committee().weak_quorum() {
            // Rule C-4: an honest member is beyond the window. Say where we stand, and be helped.
            self.send_status(Recipients::Others, out);
        }
    }

    fn admit_checkpoint(&self, vote: &Verified<Checkpoint>) -> Result<(), Ignored> {
        let Checkpoint { sequence, root } = *vote.message();
        if sequence <= self.low() {
            return Err(Ignored::BelowWindow);
        }
        match self.claims.known(vote.signer(), sequence) {
            Some(known) if known.root == root => Err(Ignored::Duplicate),
            Some(_) => Err(Ignored::Contradiction),
            None => Ok(()),
        }
    }

    /// A quorum vouches for a state. If this replica has executed that far, its own state must be the same, and the
    /// window moves (rules C-2 and C-3). If not, it is behind.
    pub(crate) fn on_stable(&mut self, certificate: CheckpointCertificate, out: &mut Outbox) {
        let Checkpoint { sequence, root } = *certificate.vote();
        if sequence <= self.low() {
            return;
        }
        if self.executed < sequence {
            if sequence_of(self.ahead.as_ref()) < sequence {
                out.record(Record::Stable(certificate.as_endorsed().clone()));
                self.ahead = Some(certificate);
                self.next = self.next.max(sequence.next());
            }
            return self.on_behind(out);
        }
        match self.roots.get(&sequence) {
            Some(ours) if *ours == root => self.advance(certificate, out),
            // Executed, and no checkpoint was taken there: the batch that a quorum executed was another one.
            None => out.effect(Effect::Halt(Fault::Broken { sequence })),
            Some(ours) => out.effect(Effect::Halt(Fault::Diverged { sequence, ours: *ours, theirs: root })),
        }
    }

    /// Moves the window. What is below the low water mark is discarded; the last delivered blocks stay for a while, for
    /// those who are a little behind.
    pub(crate) fn advance(&mut self, certificate: CheckpointCertificate, out: &mut Outbox) {
        let low = certificate.vote().sequence;
        assert!(self.low() < low && low <= self.executed, "rule C-3: the window follows execution");
        let was_outrun = self.count_beyond(self.high()) > 0;
        if self.settled() < low {
            out.record(Record::Stable(certificate.as_endorsed().clone()));
        }
        self.stable = Some(certificate.clone());
        if sequence_of(self.ahead.as_ref()) <= low {
            self.ahead = None;
            self.fetching.caught_up(out);
        }
        self.slots = self.slots.split_off(&low.next());
        let (slots, recent) = (&self.slots, &self.recent);
        self.placed.retain(|_, sequence| slots.contains_key(sequence) || recent.contains_key(sequence));
        self.roots = self.roots.split_off(&low);
        self.claims.advance(low, self.high());
        self.next = self.next.max(low.next());
        // The window may now have room for more of what the view prescribes.
        self.repropose(out);
        if self.silence.ends_at(low) {
            // What it executed in silence it vouches for now.
            let above: Vec<_> = self.roots.range(low.next()..).map(|(sequence, root)| (*sequence, *root)).collect();
            above.into_iter().for_each(|(sequence, root)| vouch(sequence, root, out));
            self.speak_up(out);
        }
        if was_outrun {
            self.forget_beyond();
            self.send_status(Recipients::Others, out);
        }
        out.effect(Effect::Stable(certificate));
    }

    /// Sees to it that what was executed does not stay without a checkpoint while the group is idle. The primary seals
    /// it; a backup gives it a timeout longer (deviation 6).
    pub(crate) fn watch_seal(&mut self, out: &mut Outbox) {
        let unsealed = self.executed > self.last_checkpoint;
        if !unsealed || self.seal_armed.is_some() || !self.is_active() {
            return;
        }
        let after = self.config.parameters().seal_after_ms;
        let patience = if self.primary() == self.id() { 0 } else { self.timeout_ms() };
        self.seal_armed = Some(self.executed);
        out.effect(Effect::SetTimer(Timer::Seal(self.view), after.saturating_add(patience)));
    }

    /// Nothing has sealed the executed batches for a while: as primary, this replica asks for a checkpoint; as backup,
    /// for another primary, unless more was executed meanwhile. A primary that works but never seals takes a checkpoint
    /// every K sequence numbers all the same.
    pub(crate) fn on_seal_timeout(&mut self, now: Timestamp, view: View, out: &mut Outbox) {
        if view != self.view {
            return;
        }
        let Some(executed) = self.seal_armed.take() else { return };
        if self.executed == self.last_checkpoint {
            return;
        }
        if self.may_propose() {
            self.announce(Payload::new(Batch::Seal { timestamp: now }, |_| None), out);
        } else if self.id() != self.primary() && self.executed == executed && !self.is_behind() {
            self.distrust_primary(out);
        }
    }
}

/// Rule C-1: puts on record that this replica found this state, and says so.
fn vouch(sequence: SequenceNumber, root: Digest, out: &mut Outbox) {
    let checkpoint = Checkpoint { sequence, root };
    out.record(Record::Checkpoint(checkpoint));
    out.send(Recipients::All, Outgoing::Checkpoint(checkpoint));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(sequence: u64) -> SequenceNumber {
        SequenceNumber::new(sequence)
    }

    /// What each of these members claims: a sequence number, and a root of this many.
    fn claims(high: u64, made: &[(u16, u64, u8)]) -> Claims {
        let mut claims = Claims::default();
        for (signer, sequence, root) in made {
            let claim = Claim { root: Digest::new([*root; 32]), signature: Signature::new([*root; 64]) };
            claims.insert(ReplicaId::new(*signer), at(*sequence), claim, at(high));
        }
        claims
    }

    fn root_of(claims: &Claims, signer: u16, sequence: u64) -> Option<Digest> {
        claims.known(ReplicaId::new(signer), at(sequence)).map(|claim| claim.root)
    }

    fn proves(claims: &Claims, sequence: u64) -> bool {
        let committee = Committee::new(4).expect("four may be one");
        claims.certificate(at(sequence), Digest::new([7; 32]), committee).is_some()
    }

    /// Rule C-4.
    #[test]
    fn beyond_the_window_the_highest_claim_of_each_member_is_kept() {
        let claims = claims(10, &[(1, 20, 1), (1, 15, 2), (2, 15, 3), (2, 20, 4), (2, 20, 5)]);
        assert_eq!((root_of(&claims, 1, 20), root_of(&claims, 1, 15)), (Some(Digest::new([1; 32])), None));
        assert_eq!((root_of(&claims, 2, 20), root_of(&claims, 2, 15)), (Some(Digest::new([4; 32])), None));
        assert_eq!((claims.count_beyond(at(19)), claims.count_beyond(at(20))), (2, 0));
        let latest = [(1, 1), (2, 4)].map(|(signer, root)| (ReplicaId::new(signer), at(20), Digest::new([root; 32])));
        assert_eq!(claims.latest(), latest);
    }

    #[test]
    fn claims_of_one_state_prove_it_within_the_window_and_beyond() {
        assert!(proves(&claims(10, &[(0, 8, 7), (1, 8, 7), (2, 8, 7)]), 8));
        assert!(proves(&claims(10, &[(0, 20, 7), (1, 20, 7), (2, 20, 7)]), 20));
        assert!(!proves(&claims(10, &[(0, 20, 7), (1, 20, 7), (2, 21, 7)]), 20), "of another sequence number");
        assert!(!proves(&claims(10, &[(0, 20, 7), (1, 20, 7), (2, 20, 8)]), 20), "of another root");
    }

    #[test]
    fn a_window_that_moves_takes_in_what_it_covers() {
        for sequence in [20, 24] {
            let mut claims = claims(10, &[(0, sequence, 7), (1, sequence, 7), (2, sequence, 7), (3, 12, 7)]);
            claims.advance(at(12), at(24));
            assert!(proves(&claims, sequence));
            assert_eq!(claims.count_beyond(SequenceNumber::ZERO), 0);
            assert_eq!(root_of(&claims, 3, 12), None, "what is at the low water mark is stable");
        }
        let mut claims = claims(10, &[(0, 25, 7), (1, 11, 7)]);
        claims.advance(at(12), at(24));
        assert_eq!((claims.count_beyond(at(24)), root_of(&claims, 1, 11)), (1, None));
    }
}
