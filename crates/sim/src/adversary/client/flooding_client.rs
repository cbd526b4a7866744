//! A client that sends as much as it can, to some of the replicas.
//!
//! *Paper or hazard* — Clement et al., *Aardvark*, NSDI 2009 (the client flood); hazards 75, 80, 81.
//!
//! *Power* — one client's key and its bandwidth.
//!
//! *Goal* — that the others wait: their requests behind its own, or the replicas' memory full of it.
//!
//! *Strategy* — valid requests, each of a number of its own, without waiting for an answer, to a changing half of the
//! replicas: those that have them must fetch, pass on or wait for what the others never got. One in eight is sent
//! again.
//!
//! *Defences* — what waits is bounded for each client ([`Effect::Busy`](bezant_pbft::Effect::Busy)); a batch takes the
//! oldest first; half of the timeout is the client's (rule P-8).
//!
//! *What the model leaves out* — many clients with one purse: who may be a client is the genesis' to say.

use bezant_types::{Bundle, ReplicaId, RequestNumber, Signed};

use super::{CorruptedClient, Schemer, append};

/// See the module's head.
#[derive(Clone, Debug)]
pub struct FloodingClient {
    per_tick: u64,
    bytes: usize,
    next: RequestNumber,
    last: Option<(ReplicaId, Signed<Bundle>)>,
}

impl FloodingClient {
    /// Sends so many requests in each tick, of about so many bytes.
    pub fn new(per_tick: u64, bytes: usize) -> Self {
        Self { per_tick, bytes, next: RequestNumber::new(1), last: None }
    }
}

impl CorruptedClient for FloodingClient {
    fn on_tick(&mut self, me: &mut Schemer) {
        let replicas = me.replicas();
        let first = usize::try_from(me.dice.below(replicas.len() as u64)).unwrap_or(0);
        let half: Vec<_> = replicas.iter().cycle().skip(first).take(replicas.len().div_ceil(2)).copied().collect();
        for _ in 0..self.per_tick {
            let number = self.next;
            self.next = number.next();
            let bundle = me.sign(append(number, &vec![b'x'; self.bytes]));
            for to in &half {
                me.send(*to, bundle.clone());
                self.last = Some((*to, bundle.clone()));
            }
            if me.dice.below(8) == 0
                && let Some((to, bundle)) = self.last.clone()
            {
                me.send_later(10, to, bundle);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::tests::{Stage, client_key};
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn it_sends_many_valid_requests_to_some_replicas() {
        let stage = Stage::new(4);
        let mut me = Schemer::new(client_key(0), stage.genesis().clone(), Dice::new(1));
        let mut flood = FloodingClient::new(16, 1_000);
        flood.on_tick(&mut me);
        let sendings = me.take_sendings();
        let (mut to, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for sending in sendings {
            let verified = sending.bundle.verify(stage.keyring()).unwrap();
            verified.message().validate(stage.genesis().parameters()).unwrap();
            to.insert(sending.to);
            numbers.insert(verified.message().number);
        }
        assert_eq!((to.len(), numbers.len()), (2, 16));
    }
}
