//! As primary holds each proposal back, just short of the timeout.
//!
//! *Paper or hazard* — Amir et al., *Prime*, DSN 2008; Clement et al., *Aardvark*, NSDI 2009; Aublin et al., *RBFT*,
//! ICDCS 2013; hazards 44 and 45.
//!
//! *Power* — one member, as primary.
//!
//! *Goal* — to keep its view for ever and to slow the group to a crawl.
//!
//! *Strategy* — what it says as primary (pre-prepare, new view) leaves after a share of the request timeout, nine
//! tenths unless another is asked for. As backup it is honest, so that its view comes back.
//!
//! *Defences* — rule P-9, which measures the primary's pace against the group's own; rule P-8 if it is too slow.
//!
//! *What the model leaves out* — it knows the first timeout and not by how much views in a row have doubled it, so it
//! never takes advantage of a timeout that others have inflated.

use bezant_pbft::packet::{Message, Packet};
use bezant_types::ReplicaId;

use super::{Adversary, Corrupted, honestly};

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    permille: u64,
}

impl Slow {
    /// Holds back for so many thousandths of the request timeout.
    pub const fn new(permille: u64) -> Self {
        Self { permille }
    }
}

impl Adversary for Slow {
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet> {
        let as_primary = matches!(message, Message::PrePrepare(..) | Message::NewView(_)) && me.signed(message);
        if !as_primary {
            return honestly(message);
        }
        let after_ms = me.genesis().parameters().request_timeout_ms.saturating_mul(self.permille) / 1000;
        me.tell_later(after_ms, to, message.to_packet());
        vec![]
    }
}

#[cfg(test)]
mod tests {
    use super::super::Deed;
    use super::super::tests::Stage;
    use super::*;

    #[test]
    fn it_holds_its_proposals_back_and_nothing_else() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(0, &[]);
        let mut slow = Slow::new(900);
        let to = ReplicaId::new(2);
        let proposal = stage.pre_prepare(0, 0, 1);
        assert_eq!(slow.on_saying(&mut me, to, &proposal), vec![]);
        let after_ms = stage.genesis().parameters().request_timeout_ms * 9 / 10;
        let later = Deed::Tell { from: me.id(), to, packet: proposal.to_packet(), after_ms };
        assert_eq!(me.take_deeds(), vec![later]);
        let vote = stage.commit(0, 0, 1);
        assert_eq!(slow.on_saying(&mut me, to, &vote), vec![vote.to_packet()]);
        let anothers = stage.pre_prepare(1, 1, 1);
        assert_eq!(slow.on_saying(&mut me, to, &anothers), vec![anothers.to_packet()], "what it only passes on");
    }
}
