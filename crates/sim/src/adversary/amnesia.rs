//! Forgets its log right after voting, and votes otherwise.
//!
//! *Paper or hazard* — a member that is restarted without its log and not told so; Cosmos and Malachite report it as
//! the commonest way to equivocate without malice; hazards 29, 54, 55, 57.
//!
//! *Power* — one member. It needs no lie: its operator may do it to it.
//!
//! *Goal* — that a batch which was committed somewhere is missing from the view changes.
//!
//! *Strategy* — now and then after a commit it loses its log and starts again as if it had never spoken: it asks for
//! views without what it had prepared, numbers slots anew when it is primary, votes again. Where it remembers a vote of
//! its own it sometimes gives the opposite one.
//!
//! *Defences* — such a member is one of the f; a quorum of view changes has an honest one that remembers. An honest
//! operator starts with `--recover`, and rule A-1 keeps it silent for as long as it might contradict itself. Evidence,
//! when both votes meet.
//!
//! *What the model leaves out* — it forgets its log and not its keys.

use std::collections::BTreeMap;

use bezant_pbft::message::{Batch, Commit, Prepare, ViewChange};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Digest, ReplicaId, SequenceNumber, View};

use super::{Adversary, Corrupted, honestly};

/// How many votes it remembers in order to contradict them.
const MEMORY: usize = 64;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Amnesia {
    permille: u64,
    /// Votes since it last forgot, and before.
    fresh: BTreeMap<(View, SequenceNumber), Digest>,
    forgotten: BTreeMap<(View, SequenceNumber), Digest>,
}

impl Amnesia {
    /// Forgets in so many of a thousand ticks in which it has voted.
    pub fn new(permille: u64) -> Self {
        Self { permille, fresh: BTreeMap::new(), forgotten: BTreeMap::new() }
    }
}

impl Adversary for Amnesia {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        if !me.signed(message) {
            return honestly(message);
        }
        if let Message::Commit(vote) = message {
            let Commit { view, sequence, digest } = *vote.message();
            self.fresh.insert((view, sequence), digest);
            if self.fresh.len() > MEMORY {
                self.fresh.pop_first();
            }
        }
        // What it asks for after it forgot: nothing has prepared that it knows of.
        if let Message::ViewChange(change) = message
            && !self.forgotten.is_empty()
        {
            let view = change.message().view;
            return vec![Packet::ViewChange(me.sign(ViewChange { view, checkpoint: None, prepared: vec![] }))];
        }
        honestly(message)
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        if !self.fresh.is_empty() && me.dice.permille(self.permille) {
            self.forgotten = std::mem::take(&mut self.fresh);
            me.forget();
            return;
        }
        // It comes across a slot that it does not remember.
        let old = self.forgotten.last_key_value().map(|(slot, digest)| (*slot, *digest));
        if let Some(((view, sequence), before)) = old
            && me.dice.permille(100)
        {
            let bogus = me.bogus_digest();
            let digest = *me.dice.pick(&[Batch::Null.digest(), bogus]).unwrap_or(&before);
            let prepare = me.sign(Prepare { view, sequence, digest });
            let commit = me.sign(Commit { view, sequence, digest });
            me.tell_others(&Packet::Prepare(prepare));
            me.tell_others(&Packet::Commit(commit));
            self.forgotten.pop_last();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_votes_forgets_and_votes_otherwise() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), Amnesia::new(500));
        let vote = stage.commit(1, 0, 1);
        assert_eq!(liar.on_saying(&mut me, ReplicaId::new(2), &vote), honestly(&vote));
        let mut deeds = vec![];
        for _ in 0..200 {
            liar.on_tick(&mut me);
            deeds.extend(me.take_deeds());
        }
        let forgot = deeds.iter().position(|deed| *deed == Deed::Forget).expect("it forgets");
        let contradicts = |deed: &Deed| {
            let Deed::Tell { packet, .. } = deed else { return false };
            let Some(Message::Commit(again)) = stage.receive(packet) else { return false };
            let Commit { view, sequence, digest } = *again.message();
            (view, sequence) == (View::ZERO, SequenceNumber::new(1)) && digest != stage.batch(1).digest()
        };
        assert!(deeds[forgot..].iter().any(contradicts));
    }

    #[test]
    fn it_forgets_nothing_before_it_has_voted() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), Amnesia::new(1000));
        (0..100).for_each(|_| liar.on_tick(&mut me));
        assert_eq!(me.take_deeds(), vec![]);
    }
}
