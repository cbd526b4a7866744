//! Vouches for states that never were.
//!
//! *Paper or hazard* — Castro and Liskov 1999, section 4.3 (why a checkpoint needs a quorum); hazards 19, 20, 22, 37,
//! 66.
//!
//! *Power* — one member; its colluders' keys vouch for the same.
//!
//! *Goal* — that a window moves, that a state transfer starts for nothing, that a replica halts in the belief that it
//! has diverged, or that memory fills with claims.
//!
//! *Strategy* — its checkpoints name another root, to some or to all; it vouches for places a little ahead, a window
//! ahead and at 2^60, again and again. Its status says that it is far ahead, and then that it is not.
//!
//! *Defences* — a stable checkpoint is a quorum's (rule C-1); of each member one claim above the window is kept (C-4);
//! a status moves nobody. Two roots for one place are evidence.
//!
//! *What the model leaves out* — it executes rightly: a member whose execution is broken is an oracle's business.

use bezant_pbft::message::{Checkpoint, Status};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{ReplicaId, SequenceNumber};

use super::notes::Notes;
use super::{Adversary, Corrupted, Hearing, honestly};

/// A place that no group will reach.
const FAR: u64 = 1 << 60;

/// See the module's head.
#[derive(Clone, Debug)]
pub struct LyingCheckpoints {
    notes: Notes,
}

impl LyingCheckpoints {
    /// One that has not lied yet.
    pub fn new() -> Self {
        Self { notes: Notes::new() }
    }

    /// A claim about a place, in the name of every key that is held: f of them, if the model holds.
    fn claims(me: &mut Corrupted, sequence: SequenceNumber) -> Vec<Packet> {
        let root = me.bogus_digest();
        let claim = |member| me.sign_as(member, Checkpoint { sequence, root });
        me.held().into_iter().filter_map(claim).map(Packet::Checkpoint).collect()
    }
}

impl Default for LyingCheckpoints {
    fn default() -> Self {
        Self::new()
    }
}

impl Adversary for LyingCheckpoints {
    fn on_saying(&mut self, me: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        self.notes.said(me, message);
        if !me.signed(message) {
            return honestly(message);
        }
        if let Message::Checkpoint(vote) = message {
            let sequence = vote.message().sequence;
            let mut lie = Self::claims(me, sequence);
            return match me.dice.below(4) {
                0 => lie,
                1 => {
                    lie.extend(honestly(message));
                    lie
                }
                2 => honestly(message).into_iter().chain(lie).collect(),
                _ => {
                    let interval = me.genesis().parameters().checkpoint_interval;
                    Self::claims(me, sequence.saturating_add(interval))
                }
            };
        }
        if let Message::Status(status) = message
            && me.dice.permille(300)
        {
            let far = SequenceNumber::new(*me.dice.pick(&[FAR, u64::MAX]).unwrap_or(&FAR));
            let lie = match me.dice.below(3) {
                0 => Status { stable: far, executed: far, ..*status.message() },
                1 => Status { executed: SequenceNumber::ZERO, stable: SequenceNumber::ZERO, ..*status.message() },
                _ => Status { executed: SequenceNumber::ZERO, stable: far, ..*status.message() },
            };
            return vec![Packet::Status(me.sign(lie))];
        }
        honestly(message)
    }

    fn on_hearing(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        self.notes.heard(message);
        Hearing::Passes
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        let window = me.genesis().parameters().window;
        let near = self.notes.stable.saturating_add(me.dice.between(1, window));
        let places =
            [near, self.notes.stable.saturating_add(window + 1), SequenceNumber::new(FAR), SequenceNumber::MAX];
        let Some(sequence) = me.dice.pick(&places).copied() else { return };
        let others = me.others();
        let Some(to) = me.dice.pick(&others).copied() else { return };
        for claim in Self::claims(me, sequence) {
            me.tell(to, claim);
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
    fn it_vouches_for_two_states_at_one_place() {
        let stage = Stage::new(4);
        let (mut me, mut liar) = (stage.traitor(1, &[]), LyingCheckpoints::new());
        let honest = stage.checkpoint(1, 64);
        let mut roots = BTreeSet::new();
        for _ in 0..32 {
            for packet in liar.on_saying(&mut me, ReplicaId::new(0), &honest) {
                let Some(Message::Checkpoint(vote)) = stage.receive(&packet) else { panic!("{packet:?}") };
                assert_eq!(vote.signer(), me.id());
                if vote.message().sequence == SequenceNumber::new(64) {
                    roots.insert(vote.message().root);
                }
            }
        }
        assert!(roots.len() >= 2);
    }

    #[test]
    fn it_claims_near_and_far_with_every_key_that_it_has() {
        let stage = Stage::new(7);
        let (mut me, mut liar) = (stage.traitor(1, &[2]), LyingCheckpoints::new());
        let (mut places, mut signers) = (BTreeSet::new(), BTreeSet::new());
        for _ in 0..64 {
            liar.on_tick(&mut me);
            for deed in me.take_deeds() {
                let Deed::Tell { packet, .. } = deed else { panic!("it talks") };
                let Some(Message::Checkpoint(vote)) = stage.receive(&packet) else { panic!("{packet:?}") };
                places.insert(vote.message().sequence.get());
                signers.insert(vote.signer().get());
            }
        }
        assert!(places.contains(&FAR) && places.iter().any(|one| *one <= 256));
        assert_eq!(signers, BTreeSet::from([1, 2]));
    }
}
