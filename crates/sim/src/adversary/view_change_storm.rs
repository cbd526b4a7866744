//! Asks for other views all the time.
//!
//! *Paper or hazard* — Castro and Liskov 1999, section 4.5.2 (why f + 1 are needed to move anybody); hazards 23, 42,
//! 43, 80.
//!
//! *Power* — one member; its colluders ask with it.
//!
//! *Goal* — that the group changes views instead of working, that its timeouts grow, that its memory fills with view
//! changes.
//!
//! *Strategy* — in each tick, valid view changes for the next view, for those after it and for views up to a million
//! beyond and the very last, in the name of every key that it holds, to everybody. They claim nothing, so they are
//! cheap to make and right in form. In view 0 as in every other it goes on voting, so that nobody misses it.
//!
//! *Defences* — one alone moves nobody (rule V-6); of each member the last view change is kept; dear checks are
//! rationed for each member. Two different ones for one view are evidence.
//!
//! *What the model leaves out* — view changes that are dear to check: those are among the stale certificates.

use bezant_pbft::message::ViewChange;
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{ReplicaId, View};

use super::notes::Notes;
use super::{Adversary, Corrupted, honestly};

/// How far beyond the group's view it goes, one view after the other.
const BEYOND: u64 = 1_000_000;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct ViewChangeStorm {
    per_tick: u64,
    notes: Notes,
    step: u64,
}

impl ViewChangeStorm {
    /// Asks for so many views in each tick.
    pub fn new(per_tick: u64) -> Self {
        Self { per_tick, notes: Notes::new(), step: 0 }
    }

    /// Near views by turns with ever further ones.
    fn next_view(&mut self, me: &mut Corrupted) -> View {
        self.step = (self.step + 1) % BEYOND;
        match me.dice.below(4) {
            0 => self.notes.view.next(),
            1 => self.notes.view.saturating_add(me.dice.between(1, 4)),
            2 => self.notes.view.saturating_add(self.step),
            _ => *me.dice.pick(&[self.notes.view.saturating_add(BEYOND), View::MAX]).unwrap_or(&View::MAX),
        }
    }
}

impl Adversary for ViewChangeStorm {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        self.notes.said(me, message);
        honestly(message)
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        for _ in 0..self.per_tick {
            let view = self.next_view(me);
            for member in me.held() {
                let change = ViewChange { view, checkpoint: None, prepared: vec![] };
                if let Some(change) = me.sign_as(member, change) {
                    me.tell_others(&Packet::ViewChange(change));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Deed;
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_asks_for_the_next_view_and_for_views_that_nobody_will_see() {
        let stage = Stage::new(4);
        let (mut me, mut storm) = (stage.traitor(1, &[]), ViewChangeStorm::new(8));
        storm.on_saying(&mut me, ReplicaId::new(0), &stage.status(1, 7, 3));
        let mut views = BTreeSet::new();
        for _ in 0..20 {
            storm.on_tick(&mut me);
            for deed in me.take_deeds() {
                let Deed::Tell { packet, .. } = deed else { panic!("it talks") };
                let Some(Message::ViewChange(change)) = stage.receive(&packet) else { panic!("{packet:?}") };
                assert_eq!(change.signer(), me.id());
                views.insert(change.message().view.get());
            }
        }
        assert!(views.iter().all(|view| *view > 7));
        assert!([8, 7 + BEYOND, u64::MAX].iter().all(|view| views.contains(view)), "{views:?}");
    }
}
