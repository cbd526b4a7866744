//! A client that says different things to different replicas.
//!
//! *Paper or hazard* — Clement et al., *Aardvark*, NSDI 2009 (a request that only the primary believes); hazards 13,
//! 72, 73, 74, 76.
//!
//! *Power* — one client's key.
//!
//! *Goal* — that replicas disagree about what was asked, change views for nothing, or execute something twice.
//!
//! *Strategy* — two requests under one number, each to one half; requests that the primary alone does not get; bad
//! signatures, also under other clients' names; numbers that were used, that are far ahead, and the last there is.
//!
//! *Defences* — signatures, checked alike by all; a request is its digest, and the first of a number that is ordered
//! wins (rule P-1); half of the timeout is the client's (P-8).
//!
//! *What the model leaves out* — it waits for nobody: what it is told does not change what it does, but for the view.

use bezant_pbft::message::Reply;
use bezant_types::{ReplicaId, RequestNumber, Signature, Signed, View};

use super::{CorruptedClient, Schemer, append};

/// See the module's head.
#[derive(Clone, Debug)]
pub struct LyingClient {
    next: RequestNumber,
    /// The view, as the replicas say.
    view: View,
}

impl LyingClient {
    /// One that has asked for nothing yet.
    pub fn new() -> Self {
        Self { next: RequestNumber::new(1), view: View::ZERO }
    }

    fn number(&mut self) -> RequestNumber {
        let number = self.next;
        self.next = number.next();
        number
    }
}

impl Default for LyingClient {
    fn default() -> Self {
        Self::new()
    }
}

impl CorruptedClient for LyingClient {
    fn on_tick(&mut self, me: &mut Schemer) {
        let replicas = me.replicas();
        match me.dice.below(6) {
            // One number, two requests.
            0 | 1 => {
                let number = self.number();
                let (one, other) = (me.sign(append(number, b"one ")), me.sign(append(number, b"other ")));
                for to in replicas {
                    let bundle = if me.dice.permille(500) { &one } else { &other };
                    me.send(to, bundle.clone());
                }
            }
            // Not to the primary.
            2 => {
                let bundle = me.sign(append(self.number(), b"behind its back "));
                let primary = me.genesis().committee().primary(self.view);
                for to in replicas.into_iter().filter(|to| *to != primary) {
                    me.send(to, bundle.clone());
                }
            }
            // To one alone, twice.
            3 => {
                let bundle = me.sign(append(self.number(), b"alone "));
                if let Some(to) = me.dice.pick(&replicas).copied() {
                    me.send(to, bundle.clone());
                    me.send_later(50, to, bundle);
                }
            }
            // A bad signature, its own or another client's.
            4 => {
                let mut bundle = me.sign(append(self.number(), b"nobody signed this "));
                let clients: Vec<_> = me.genesis().clients().iter().map(|entry| entry.key).collect();
                match me.dice.pick(&clients).copied() {
                    Some(other) if other != me.account() => bundle.signer = other,
                    Some(_) | None => bundle = Signed { signature: Signature::new([7; 64]), ..bundle },
                }
                for to in replicas {
                    me.send(to, bundle.clone());
                }
            }
            // A number out of season.
            _ => {
                let window = u64::from(me.genesis().parameters().client_window);
                let past = self.next.saturating_sub(me.dice.below(window + 2));
                let ahead = self.next.saturating_add(window + me.dice.below(3));
                let numbers = [RequestNumber::ZERO, past, ahead, RequestNumber::MAX];
                let number = *me.dice.pick(&numbers).unwrap_or(&past);
                // Its window is pushed past what it used before: that hurts nobody but itself.
                let bundle = me.sign(append(number, b"out of season "));
                for to in replicas {
                    me.send(to, bundle.clone());
                }
            }
        }
    }

    fn on_reply(&mut self, _: &mut Schemer, _: ReplicaId, reply: &Reply) {
        self.view = reply.view;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::super::super::tests::{Stage, client_key, reply};
    use super::*;
    use crate::dice::Dice;

    #[test]
    fn it_signs_two_requests_of_one_number_and_sends_signatures_that_are_none() {
        let stage = Stage::new(4);
        let mut me = Schemer::new(client_key(0), stage.genesis().clone(), Dice::new(1));
        let mut client = LyingClient::new();
        (0..60).for_each(|_| client.on_tick(&mut me));
        let mut requests: BTreeMap<RequestNumber, BTreeSet<_>> = BTreeMap::new();
        let mut bad = 0;
        for sending in me.take_sendings() {
            match sending.bundle.verify(stage.keyring()) {
                Ok(verified) => {
                    assert_eq!(verified.signer(), me.account());
                    requests.entry(verified.message().number).or_default().insert(verified.digest());
                }
                Err(_) => bad += 1,
            }
        }
        assert!(requests.values().any(|digests| digests.len() == 2) && bad > 0);
        assert!(requests.contains_key(&RequestNumber::MAX));
    }

    #[test]
    fn it_avoids_the_primary_of_the_view_that_it_is_told() {
        let stage = Stage::new(4);
        let mut me = Schemer::new(client_key(0), stage.genesis().clone(), Dice::new(1));
        let mut client = LyingClient::new();
        client.on_reply(&mut me, ReplicaId::new(0), &Reply { view: View::new(6), ..reply() });
        let mut left_out = BTreeSet::new();
        for _ in 0..60 {
            client.on_tick(&mut me);
            let to: BTreeSet<_> = me.take_sendings().into_iter().map(|sending| sending.to).collect();
            if to.len() == 3 {
                left_out.extend(me.replicas().into_iter().filter(|one| !to.contains(one)));
            }
        }
        assert_eq!(left_out, BTreeSet::from([ReplicaId::new(2)]));
    }
}
