//! As primary proposes at the high water mark and leaves gaps.
//!
//! *Paper or hazard* — Castro and Liskov 1999, section 4.2 (what the high water mark is against); hazards 15, 16, 17,
//! 31.
//!
//! *Power* — one member, as primary.
//!
//! *Goal* — that the window is used up and nothing in it can execute; that the next primary has a window of gaps to
//! fill.
//!
//! *Strategy* — the first batch of its view goes to the highest place that is allowed, the second to one place above
//! it, the third to the low water mark itself, which are not; those that follow to every second place below, now and
//! then above again. It votes for them as if they were in order.
//!
//! *Defences* — the window bounds how far it gets; nothing executes over a gap, so rule P-8 removes it; a new view
//! fills gaps with null batches (V-2), which cost an agreement each and no execution.
//!
//! *What the model leaves out* — it knows the low water mark of its own replica only, which may be behind.

use std::collections::BTreeMap;

use bezant_pbft::message::{Commit, PrePrepare, Prepare};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Digest, ReplicaId, SequenceNumber, View};

use super::corrupted::signer;
use super::notes::Notes;
use super::{Adversary, Corrupted, Hearing, honestly};

/// How many slots it remembers to have moved.
const MEMORY: usize = 1024;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct WatermarkExhaustion {
    notes: Notes,
    /// Where it moved what, so that everybody hears the same.
    moved: BTreeMap<(View, SequenceNumber), SequenceNumber>,
    placed: BTreeMap<(View, SequenceNumber), Digest>,
    /// How many batches it moved in a view.
    count: (View, u64),
}

impl WatermarkExhaustion {
    /// One that has moved nothing yet.
    pub fn new() -> Self {
        Self { notes: Notes::new(), moved: BTreeMap::new(), placed: BTreeMap::new(), count: (View::ZERO, 0) }
    }

    fn place(&mut self, me: &mut Corrupted, vote: PrePrepare) -> SequenceNumber {
        let key = (vote.view, vote.sequence);
        if let Some(known) = self.moved.get(&key) {
            return *known;
        }
        if self.count.0 != vote.view {
            self.count = (vote.view, 0);
        }
        let high = self.notes.stable.saturating_add(me.genesis().parameters().window);
        let place = match self.count.1 {
            1 => high.next(),
            2 => self.notes.stable,
            count if me.dice.below(8) > 0 => high.saturating_sub(2 * count).max(vote.sequence),
            _ => high.next(),
        };
        self.count.1 += 1;
        self.moved.insert(key, place);
        self.placed.insert((vote.view, place), vote.digest);
        if self.moved.len() > MEMORY {
            self.moved.pop_first();
            self.placed.pop_first();
        }
        place
    }
}

impl Default for WatermarkExhaustion {
    fn default() -> Self {
        Self::new()
    }
}

impl Adversary for WatermarkExhaustion {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        self.notes.said(me, message);
        if let Message::PrePrepare(vote, batch) = message
            && me.signed(message)
        {
            let sequence = self.place(me, *vote.message());
            let moved = PrePrepare { sequence, ..*vote.message() };
            return vec![Packet::PrePrepare(me.sign(moved), batch.clone())];
        }
        honestly(message)
    }

    fn on_hearing(&mut self, me: &mut Corrupted, from: ReplicaId, message: &Message) -> Hearing {
        // The honest replica inside knows nothing of these slots and does not vote for them.
        if let Message::Prepare(vote) = message
            && signer(message) == Some(from)
        {
            let Prepare { view, sequence, digest } = *vote.message();
            if self.placed.get(&(view, sequence)) == Some(&digest) {
                let commit = me.sign(Commit { view, sequence, digest });
                me.tell(from, Packet::Commit(commit));
            }
        }
        Hearing::Passes
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_goes_to_the_high_water_mark_and_leaves_gaps_below() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(0, &[]), WatermarkExhaustion::new());
        let window = stage.genesis().parameters().window;
        let mut places = vec![];
        for sequence in 1..20 {
            let proposal = stage.pre_prepare(0, 0, sequence);
            let said = liar.on_saying(&mut me, ReplicaId::new(1), &proposal);
            assert_eq!(liar.on_saying(&mut me, ReplicaId::new(2), &proposal), said, "everybody hears the same");
            let Some(Message::PrePrepare(vote, _)) = stage.receive(&said[0]) else { panic!("{said:?}") };
            places.push(vote.message().sequence.get());
        }
        assert!(places.iter().all(|place| *place == 0 || *place > window - 40), "{places:?}");
        assert!(places.iter().filter(|place| **place <= window).count() > 10, "{places:?}");
    }
}
