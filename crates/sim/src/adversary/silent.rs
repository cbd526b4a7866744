//! Says nothing.
//!
//! *Paper or hazard* — the crash of every textbook, and the member that takes part in some conversations only
//! (Castro and Liskov 1999, section 4.4; hazards 2, 5, 47, 53).
//!
//! *Power* — one member.
//!
//! *Goal* — a quorum that cannot do without it; an honest member that never learns enough.
//!
//! *Strategy* — it hears everything and says nothing, to all or to some. To those it leaves out it is crashed, to the
//! others it is the vote that they need, so no two members agree on who is alive.
//!
//! *Defences* — quorums that need no traitor; rule P-8 against a silent primary; help by status (rule V-7) for whoever
//! was left out.
//!
//! *What the model leaves out* — a connection that accepts and never reads: bytes in the sender's queue are the
//! transport's to bound.

use std::collections::BTreeSet;

use bezant_ledger::transfer::Piece;
use bezant_pbft::message::Reply;
use bezant_pbft::packet::{Message, Packet};
use bezant_types::ReplicaId;

use super::{Adversary, Corrupted, honestly};

/// See the module's head.
#[derive(Clone, Debug)]
pub struct Silent(Towards);

#[derive(Clone, Debug)]
enum Towards {
    Everybody,
    Some(BTreeSet<ReplicaId>),
    /// All but as many as it needs to have its say: one half, drawn when it first speaks.
    Half,
}

impl Silent {
    /// Silent towards everybody, clients included.
    pub fn to_everybody() -> Self {
        Self(Towards::Everybody)
    }

    /// Silent towards these members only.
    pub fn to_some(members: BTreeSet<ReplicaId>) -> Self {
        Self(Towards::Some(members))
    }

    /// Silent towards one half of the others, whichever the dice say.
    pub fn to_half() -> Self {
        Self(Towards::Half)
    }

    fn is_silent_to(&mut self, me: &mut Corrupted, to: ReplicaId) -> bool {
        if let Towards::Half = self.0 {
            let others = me.others();
            let first = usize::try_from(me.dice.below(others.len() as u64)).unwrap_or(0);
            let half = others.iter().cycle().skip(first).take(others.len() / 2).copied().collect();
            self.0 = Towards::Some(half);
        }
        match &self.0 {
            Towards::Everybody | Towards::Half => true,
            Towards::Some(members) => members.contains(&to),
        }
    }
}

impl Adversary for Silent {
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet> {
        if self.is_silent_to(me, to) { vec![] } else { honestly(message) }
    }

    fn on_answering(&mut self, _: &mut Corrupted, reply: Reply) -> Vec<Reply> {
        match self.0 {
            Towards::Everybody => vec![],
            Towards::Some(_) | Towards::Half => vec![reply],
        }
    }

    fn on_serving(&mut self, me: &mut Corrupted, to: ReplicaId, piece: Piece) -> Vec<Piece> {
        if self.is_silent_to(me, to) { vec![] } else { vec![piece] }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_says_nothing_to_anybody() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(1, &[]);
        for message in stage.everything(1) {
            assert_eq!(Silent::to_everybody().on_saying(&mut me, ReplicaId::new(0), &message), vec![]);
        }
    }

    #[test]
    fn whom_it_leaves_out_it_leaves_out_for_good() {
        let stage = Stage::new(7);
        let mut me = stage.traitor(1, &[]);
        let mut silent = Silent::to_half();
        let prepare = stage.prepare(1, 0, 1);
        let mut hear = || {
            me.others()
                .into_iter()
                .filter(|to| !silent.on_saying(&mut me, *to, &prepare).is_empty())
                .collect::<Vec<_>>()
        };
        let first = hear();
        assert_eq!(first.len(), 3);
        assert_eq!(hear(), first);
    }
}
