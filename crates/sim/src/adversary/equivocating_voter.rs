//! Votes for several digests in one slot.
//!
//! *Paper or hazard* — what the matching of votes in view, sequence number and digest is for (Castro and Liskov 1999,
//! section 4.2); hazards 2, 3, 4, 5, 24.
//!
//! *Power* — one member, mostly as backup; it covers for a colluding primary.
//!
//! *Goal* — a quorum that is none: votes counted twice, for another digest, or before there is anything to vote for;
//! the primary's proposal and its prepare counted as two.
//!
//! *Strategy* — its prepares and commits name another digest, both digests in either order, nothing, or a slot and view
//! that have not come. It commits before it can have seen a prepare. Under a colluding primary it says nothing of its
//! own and votes with each one who votes: two halves that were proposed different batches both find it on their side.
//!
//! *Defences* — a tally has one vote of each member for each slot (rule P-3), and counts those that match (P-4, P-5);
//! a second one is evidence.
//!
//! *What the model leaves out* — votes are not timed to arrive in the one order that would matter.

use bezant_pbft::message::{Commit, Prepare};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Digest, ReplicaId, SequenceNumber, View};

use super::corrupted::signer;
use super::notes::Notes;
use super::{Adversary, Corrupted, Hearing, honestly};

/// See the module's head.
#[derive(Clone, Debug)]
pub struct EquivocatingVoter {
    notes: Notes,
}

impl EquivocatingVoter {
    /// One that has not lied yet.
    pub fn new() -> Self {
        Self { notes: Notes::new() }
    }

    /// Whether the primary of a view is one of its own, who needs cover.
    fn covers_for(me: &Corrupted, view: View) -> bool {
        let primary = me.primary(view);
        primary != me.id() && me.is(primary)
    }

    /// Votes of both kinds for what `to` voted for: a prepare even as primary, whose proposal counts as one already.
    fn agree(me: &mut Corrupted, to: ReplicaId, view: View, sequence: SequenceNumber, digest: Digest) {
        let prepare = me.sign(Prepare { view, sequence, digest });
        me.tell(to, Packet::Prepare(prepare));
        let commit = me.sign(Commit { view, sequence, digest });
        me.tell(to, Packet::Commit(commit));
    }
}

impl Default for EquivocatingVoter {
    fn default() -> Self {
        Self::new()
    }
}

impl Adversary for EquivocatingVoter {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        self.notes.said(me, message);
        if !me.signed(message) {
            return honestly(message);
        }
        let honest = message.to_packet();
        if let Message::Prepare(vote) = message {
            let Prepare { view, sequence, digest } = *vote.message();
            if Self::covers_for(me, view) {
                return vec![];
            }
            let other = self.notes.other_digest(me, digest);
            let lie = Packet::Prepare(me.sign(Prepare { view, sequence, digest: other }));
            let early = Packet::Commit(me.sign(Commit { view, sequence, digest }));
            return match me.dice.below(6) {
                0 => vec![lie, honest],
                1 => vec![honest, lie],
                2 => vec![lie],
                3 => vec![early, honest],
                4 => vec![],
                _ => vec![honest.clone(), honest],
            };
        }
        if let Message::Commit(vote) = message {
            let Commit { view, sequence, digest } = *vote.message();
            if Self::covers_for(me, view) {
                return vec![];
            }
            let other = self.notes.other_digest(me, digest);
            let lie = Packet::Commit(me.sign(Commit { view, sequence, digest: other }));
            let (views, slots) = (me.dice.below(3), me.dice.below(9));
            let (view, sequence) = (view.saturating_add(views), sequence.saturating_add(slots));
            let ahead = Packet::Commit(me.sign(Commit { view, sequence, digest: other }));
            return match me.dice.below(6) {
                0 => vec![lie, honest],
                1 => vec![honest, lie],
                2 => vec![lie],
                3 => vec![ahead, honest],
                4 => vec![],
                _ => vec![honest.clone(), honest],
            };
        }
        vec![honest]
    }

    fn on_hearing(&mut self, me: &mut Corrupted, from: ReplicaId, message: &Message) -> Hearing {
        self.notes.heard(message);
        let own_vote = signer(message) == Some(from) && !me.is(from);
        if let Message::Prepare(vote) = message
            && own_vote
        {
            let Prepare { view, sequence, digest } = *vote.message();
            if Self::covers_for(me, view) || me.dice.permille(100) {
                Self::agree(me, from, view, sequence, digest);
            }
        }
        Hearing::Passes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Deed;
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_prepares_two_digests_for_one_slot_under_its_own_signature() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), EquivocatingVoter::new());
        let vote = stage.prepare(1, 0, 1);
        let mut digests = BTreeSet::new();
        for _ in 0..64 {
            for packet in liar.on_saying(&mut me, ReplicaId::new(2), &vote) {
                if let Some(Message::Prepare(vote)) = stage.receive(&packet) {
                    assert_eq!(vote.signer(), me.id());
                    digests.insert(vote.message().digest);
                }
            }
        }
        assert!(digests.len() >= 2, "{digests:?}");
    }

    #[test]
    fn under_a_colluding_primary_it_agrees_with_both_sides() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[0]), EquivocatingVoter::new());
        assert_eq!(liar.on_saying(&mut me, ReplicaId::new(2), &stage.prepare(1, 0, 1)), vec![]);
        liar.on_hearing(&mut me, ReplicaId::new(2), &stage.prepare(2, 0, 1));
        let told = me.take_deeds();
        assert_eq!(told.len(), 2);
        for deed in told {
            let Deed::Tell { to, packet, .. } = deed else { panic!("it talks") };
            assert_eq!(to, ReplicaId::new(2));
            assert!(stage.receive(&packet).is_some());
        }
    }
}
