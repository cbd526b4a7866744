//! Asks others for help all the time.
//!
//! *Paper or hazard* — help as amplification: a question of a hundred bytes may be answered by megabytes; hazards 66,
//! 70, 82, 93.
//!
//! *Power* — one member.
//!
//! *Goal* — that the others work and send for it instead of for their clients.
//!
//! *Strategy* — in each tick, statuses that claim to be at the beginning, in the middle of a view change or without a
//! log; fetches of every request and batch that it has heard of, as many as fit; questions for the state of every root
//! that it has heard of. And, because its own line is no wider than that of each of those it asks, very many fetches
//! of a single request: they cost it least for what they make others send.
//!
//! *Defences* — help is rationed by peer and status interval, in messages and in bytes (`catch_up.rs`, hazard 70);
//! pieces of state by the host's quota.
//!
//! *What the model leaves out* — what it costs to check its signatures: the host's door has a share for each peer.

use bezant_ledger::Prefix;
use bezant_ledger::transfer::{Detail, PieceId, PieceRequest, Wanted};
use bezant_pbft::message::{Fetch, Standing, Status};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{ReplicaId, SequenceNumber, View};

use super::notes::Notes;
use super::{Adversary, Corrupted, Hearing, honestly};

/// How many questions of all kinds it asks each of the others in a tick.
const MIXED: u64 = 16;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct FetchFlood {
    per_tick: usize,
    notes: Notes,
    questions: u64,
}

impl FetchFlood {
    /// Asks each of the others for a single request so often in each tick, and for everything else a few times.
    pub fn new(per_tick: usize) -> Self {
        Self { per_tick, notes: Notes::new(), questions: 0 }
    }

    fn status(&self, me: &mut Corrupted) -> Packet {
        let standings = [Standing::Normal, Standing::ViewChanging, Standing::Recovering];
        let standing = *me.dice.pick(&standings).unwrap_or(&Standing::Normal);
        let view = *me.dice.pick(&[View::ZERO, self.notes.view]).unwrap_or(&View::ZERO);
        let executed = SequenceNumber::new(me.dice.below(self.notes.executed.get().saturating_add(1)));
        Packet::Status(me.sign(Status { view, standing, stable: SequenceNumber::ZERO, executed }))
    }

    fn fetch(&self, me: &Corrupted) -> Packet {
        let requests = self.notes.requests.iter().copied().collect();
        let batches = self.notes.batches.iter().copied().collect();
        Packet::Fetch(me.sign(Fetch { requests, batches }))
    }

    fn question(&mut self, me: &mut Corrupted) -> Option<PieceRequest> {
        let (_, root) = *self.notes.roots.pick(&mut me.dice)?;
        self.questions += 1;
        let subtree = Wanted::Subtree { prefix: Prefix::ROOT, hash: root, detail: Detail::Leaves };
        let wanted = *me.dice.pick(&[Wanted::Header { root }, subtree])?;
        Some(PieceRequest { id: PieceId::new(self.questions), wanted })
    }
}

impl Adversary for FetchFlood {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        self.notes.said(me, message);
        honestly(message)
    }

    fn on_hearing(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        self.notes.heard(message);
        Hearing::Passes
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        let fetch = self.fetch(me);
        let newest = self.notes.requests.iter().next_back().copied();
        let single = newest.map(|one| Packet::Fetch(me.sign(Fetch { requests: vec![one], batches: vec![] })));
        for to in me.others() {
            for turn in 0..MIXED {
                if turn % 4 == 0 {
                    let status = self.status(me);
                    me.tell(to, status);
                } else if turn % 4 == 1
                    && let Some(question) = self.question(me)
                {
                    me.ask(to, question);
                } else {
                    me.tell(to, fetch.clone());
                }
            }
            for again in single.iter().cycle().take(self.per_tick) {
                me.tell(to, again.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_asks_everybody_for_everything_that_it_has_heard_of() {
        let stage = Stage::new(4);
        let (mut me, mut flood) = (stage.traitor(1, &[]), FetchFlood::new(100));
        for message in stage.everything(2) {
            flood.on_hearing(&mut me, ReplicaId::new(2), &message);
        }
        flood.on_tick(&mut me);
        let deeds = me.take_deeds();
        assert_eq!(deeds.len(), (16 + 100) * 3);
        let asks = |deed: &Deed| matches!(deed, Deed::Ask { .. });
        let fetches = |deed: &Deed| {
            matches!(deed, Deed::Tell { packet: Packet::Fetch(fetch), .. }
            if fetch.message.requests.contains(&stage.request(0, 3).digest()))
        };
        assert!(deeds.iter().any(asks) && deeds.iter().any(fetches));
        for deed in &deeds {
            if let Deed::Tell { packet, .. } = deed {
                assert!(stage.receive(packet).is_some(), "each is in order: {packet:?}");
            }
        }
    }
}
