//! View changes and new views that rest on certificates which are genuine and out of date.
//!
//! *Paper or hazard* — a certificate proves that something was so once (Castro and Liskov 1999, section 4.4: why the
//! highest view is chosen); hazards 29, 30, 32, 33, 38.
//!
//! *Power* — one member. Nothing of what it shows is forged.
//!
//! *Goal* — that a batch which prepared later, or a checkpoint which is higher, is left out of the new view.
//!
//! *Strategy* — it keeps every certificate that it comes across. Its view change claims an earlier checkpoint, none, or
//! none of what it prepared; proofs of an earlier view for the same slot; its own view change of an earlier view under
//! a new number. As primary it opens a view with one that it opened before, with view changes for earlier views, or
//! with such a view change of its own.
//!
//! *Defences* — any quorum of view changes has an honest member that knows better, and the highest view is chosen among
//! all of them (rule V-2); each view change is for exactly the view that is opened (V-3).
//!
//! *What the model leaves out* — nothing is stale between restarts of the whole group.

use std::collections::BTreeMap;

use bezant_pbft::certificate::{Endorsed, PreparedProof};
use bezant_pbft::message::{Checkpoint, NewView, ViewChange};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{ReplicaId, SequenceNumber, Signed, View};

use super::forge::obliged;
use super::notes::Recent;
use super::{Adversary, Corrupted, Hearing, honestly};

/// How much of each kind it keeps.
const MEMORY: usize = 64;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct StaleCertificates {
    checkpoints: Recent<Endorsed<Checkpoint>>,
    proofs: Recent<PreparedProof>,
    view_changes: Recent<Signed<ViewChange>>,
    openings: Recent<NewView>,
    /// What it tells everybody in this view.
    told: Option<(View, Packet)>,
}

impl StaleCertificates {
    /// One that has nothing yet.
    pub fn new() -> Self {
        Self {
            checkpoints: Recent::new(MEMORY),
            proofs: Recent::new(MEMORY),
            view_changes: Recent::new(MEMORY),
            openings: Recent::new(4),
            told: None,
        }
    }

    fn keep(&mut self, change: &Signed<ViewChange>) {
        change.message.checkpoint.iter().for_each(|one| self.checkpoints.note(one.clone()));
        change.message.prepared.iter().for_each(|one| self.proofs.note(one.clone()));
        self.view_changes.note(change.clone());
    }

    fn note(&mut self, message: &Message) {
        if let Message::Stable(endorsed) = message {
            self.checkpoints.note(endorsed.clone());
        }
        if let Message::ViewChange(change) = message {
            self.keep(change.as_signed());
        }
        if let Message::NewView(opening) = message {
            opening.message().view_changes.iter().for_each(|change| self.keep(change));
        }
    }

    /// Its view change, out of date.
    fn age(&self, me: &mut Corrupted, honest: ViewChange) -> ViewChange {
        let window = me.genesis().parameters().window;
        match me.dice.below(5) {
            // It has prepared nothing.
            0 => ViewChange { prepared: vec![], ..honest },
            // It has seen nothing.
            1 => ViewChange { checkpoint: None, prepared: vec![], ..honest },
            // It stands at an earlier checkpoint, with what of its proofs lies in the window above that.
            2 => {
                let checkpoint = self.checkpoints.pick(&mut me.dice).cloned();
                let low = checkpoint.as_ref().map_or(SequenceNumber::ZERO, |one| one.vote.sequence);
                let within = |one: &PreparedProof| low < one.sequence && one.sequence.since(low) <= window;
                let prepared = honest.prepared.into_iter().filter(within).collect();
                ViewChange { checkpoint, prepared, ..honest }
            }
            // For each slot the proof of the lowest view that it ever saw.
            3 => {
                let mut oldest: BTreeMap<SequenceNumber, PreparedProof> = BTreeMap::new();
                for proof in honest.prepared.iter().chain(self.proofs.iter()) {
                    let known = oldest.entry(proof.sequence).or_insert_with(|| proof.clone());
                    if proof.view < known.view {
                        known.clone_from(proof);
                    }
                }
                let refresh = |one: PreparedProof| oldest.get(&one.sequence).cloned().unwrap_or(one);
                ViewChange { prepared: honest.prepared.into_iter().map(refresh).collect(), ..honest }
            }
            // What it said in an earlier view, its own or another's.
            _ => match self.view_changes.pick(&mut me.dice) {
                Some(earlier) => ViewChange { view: honest.view, ..earlier.message.clone() },
                None => honest,
            },
        }
    }

    /// Its new view, out of date.
    fn reopen(&self, me: &mut Corrupted, honest: NewView) -> NewView {
        let own = me.id();
        match me.dice.below(4) {
            // As it opened a view before.
            0 => match self.openings.pick(&mut me.dice) {
                Some(earlier) => NewView { view: honest.view, ..earlier.clone() },
                None => honest,
            },
            // With what some said for earlier views.
            1 => {
                let earlier = |change: Signed<ViewChange>| {
                    let mut known = self.view_changes.iter().filter(|one| one.signer == change.signer);
                    known.next().cloned().unwrap_or(change)
                };
                NewView { view_changes: honest.view_changes.into_iter().map(earlier).collect(), ..honest }
            }
            // With its own word, out of date, and what follows from that and the others'.
            2 => {
                let mut opening = honest;
                for change in opening.view_changes.iter_mut().filter(|change| change.signer == own) {
                    let aged = self.age(me, change.message.clone());
                    *change = me.sign(aged);
                }
                NewView { proposals: obliged(&opening.view_changes), ..opening }
            }
            // With what would follow if the others had not said what they said.
            _ => {
                let alone: Vec<_> = honest.view_changes.iter().take(1).cloned().collect();
                NewView { proposals: obliged(&alone), ..honest }
            }
        }
    }
}

impl Default for StaleCertificates {
    fn default() -> Self {
        Self::new()
    }
}

impl Adversary for StaleCertificates {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        if !me.signed(message) {
            self.note(message);
            return honestly(message);
        }
        if let Message::ViewChange(change) = message {
            let view = change.message().view;
            if let Some((known, told)) = &self.told
                && *known == view
            {
                return vec![told.clone()];
            }
            let aged = self.age(me, change.message().clone());
            let packet = Packet::ViewChange(me.sign(aged));
            self.told = Some((view, packet.clone()));
            self.keep(change.as_signed());
            return vec![packet];
        }
        if let Message::NewView(opening) = message {
            let stale = self.reopen(me, opening.message().clone());
            self.openings.note(opening.message().clone());
            return vec![Packet::NewView(me.sign(stale))];
        }
        honestly(message)
    }

    fn on_hearing(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        self.note(message);
        Hearing::Passes
    }
}

#[cfg(test)]
mod tests {
    use bezant_pbft::certificate::{CheckpointCertificate, PreparedCertificate};

    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn what_it_shows_is_genuine_and_less_than_what_it_knows() {
        let stage = Stage::new(4);
        let (committee, keyring) = (stage.genesis().committee(), stage.keyring());
        let (mut me, mut liar) = (stage.traitor(1, &[]), StaleCertificates::new());
        for view in 1..4 {
            liar.on_hearing(&mut me, ReplicaId::new(2), &Message::ViewChange(stage.view_change(2, view)));
        }
        let honest = stage.view_change(1, 6);
        let mut poorer = 0;
        for _ in 0..50 {
            let aged = liar.age(&mut me, honest.message().clone());
            let ViewChange { view, checkpoint, prepared } = &aged;
            assert_eq!(*view, View::new(6));
            assert!(checkpoint.iter().all(|one| CheckpointCertificate::check(one.clone(), committee, keyring).is_ok()));
            assert!(prepared.iter().all(|one| PreparedCertificate::check(one.clone(), committee, keyring).is_ok()));
            poorer += u32::from(aged != *honest.message());
        }
        assert!(poorer > 25, "{poorer}");
    }

    #[test]
    fn its_new_views_are_those_of_another_time() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), StaleCertificates::new());
        for view in 1..4 {
            for other in [0, 2] {
                let change = Message::ViewChange(stage.view_change(other, view));
                liar.on_hearing(&mut me, ReplicaId::new(other), &change);
            }
        }
        let honest = stage.new_view(1, 5);
        let stale: Vec<_> = (0..30).map(|_| liar.reopen(&mut me, honest.message().clone())).collect();
        assert!(stale.iter().any(|one| one.view_changes.iter().any(|change| change.message.view != one.view)));
        assert!(stale.iter().all(|one| one.view == honest.message().view));
    }
}
