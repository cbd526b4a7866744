//! Repeats what was said, out of season.
//!
//! *Paper or hazard* — a signature is good for ever, its moment is not; hazards 7, 18, 33, 72, 91.
//!
//! *Power* — one member. It makes up nothing.
//!
//! *Goal* — that something genuine is counted twice, in a place or at a time where it means something else, or passes
//! for the word of whoever brings it.
//!
//! *Strategy* — it keeps what it hears and what it says, spread over the whole run, and in each tick repeats a few of
//! them to everybody, those who said them included.
//!
//! *Defences* — the view, the slot and the sender are part of what is signed; tallies are by member; statuses and
//! fetches are taken from their signer's connection only; a request has a number.
//!
//! *What the model leaves out* — sessions on the transport: their transcripts are bound by the handshake.

use bezant_pbft::packet::{Message, Packet};
use bezant_types::ReplicaId;

use super::notes::Recent;
use super::{Adversary, Corrupted, Hearing, honestly};

/// How many of the last messages it keeps, and how many of all that went before.
const LAST: usize = 64;
const KEPT: usize = 256;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Replaying {
    per_tick: u64,
    last: Recent<Packet>,
    /// A sample of everything: what is old must not all be forgotten, or nothing would be out of season.
    kept: Vec<Packet>,
    seen: u64,
}

impl Replaying {
    /// Repeats so many messages in each tick.
    pub fn new(per_tick: u64) -> Self {
        Self { per_tick, last: Recent::new(LAST), kept: Vec::new(), seen: 0 }
    }

    /// Reservoir sampling: each message of the run is kept with the same chance.
    fn keep(&mut self, me: &mut Corrupted, packet: Packet) {
        self.seen += 1;
        if self.kept.len() < KEPT {
            self.kept.push(packet.clone());
        } else {
            let place = usize::try_from(me.dice.below(self.seen)).unwrap_or(usize::MAX);
            if let Some(kept) = self.kept.get_mut(place) {
                *kept = packet.clone();
            }
        }
        self.last.note(packet);
    }
}

impl Adversary for Replaying {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        self.keep(me, message.to_packet());
        honestly(message)
    }

    fn on_hearing(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        self.keep(me, message.to_packet());
        Hearing::Passes
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        for _ in 0..self.per_tick {
            let old = me.dice.permille(500);
            let picked = if old { me.dice.pick(&self.kept) } else { self.last.pick(&mut me.dice) };
            let Some(packet) = picked.cloned() else { return };
            me.tell_others(&packet);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_says_again_what_it_heard_to_everybody_and_makes_up_nothing() {
        let stage = Stage::new(4);
        let (mut me, mut parrot) = (stage.traitor(1, &[]), Replaying::new(8));
        let heard = stage.everything(2);
        for message in &heard {
            assert_eq!(parrot.on_hearing(&mut me, ReplicaId::new(2), message), Hearing::Passes);
        }
        parrot.on_tick(&mut me);
        let deeds = me.take_deeds();
        assert_eq!(deeds.len(), 8 * 3);
        for deed in deeds {
            let Deed::Tell { packet, .. } = deed else { panic!("it talks") };
            assert!(heard.iter().any(|message| message.to_packet() == packet));
        }
    }

    #[test]
    fn what_it_keeps_is_bounded_and_holds_old_things() {
        let stage = Stage::new(4);
        let (mut me, mut parrot) = (stage.traitor(1, &[]), Replaying::new(8));
        for sequence in 0..2_000 {
            parrot.on_hearing(&mut me, ReplicaId::new(2), &stage.status(2, 0, sequence));
        }
        assert_eq!((parrot.kept.len(), parrot.last.iter().count()), (KEPT, LAST));
        let is_old = |packet: &Packet| matches!(packet, Packet::Status(one) if one.message.executed.get() < 500);
        assert!(parrot.kept.iter().any(is_old));
    }
}
