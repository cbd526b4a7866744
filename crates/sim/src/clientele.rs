//! The honest clients of a world: what they ask, and what they come to believe.

use std::collections::BTreeMap;

use bezant_pbft::client::{Client, ClientEffect, Patience};
use bezant_pbft::message::Reply;
use bezant_types::genesis::Parameters;
use bezant_types::{
    AccountId, Bundle, Committee, Digest, Moment, Outcome, Request, RequestNumber, SecretKey, Transaction, Verified,
};

use crate::adversary::client::{CorruptedClient, Schemer};
use crate::dice::Dice;

/// How long a client waits before it repeats itself. It never gives up: what was asked must be answered.
const PATIENCE: Patience = Patience { retry_ms: 1_000, give_up_ms: u64::MAX };

/// An honest client.
pub(crate) struct Asker {
    key: SecretKey,
    client: Client,
    pub(crate) dice: Dice,
    outstanding: BTreeMap<RequestNumber, Request>,
    pub(crate) asked: u64,
    pub(crate) answered: u64,
}

/// A corrupted client.
pub(crate) struct Liar {
    pub(crate) mind: Schemer,
    pub(crate) client: Box<dyn CorruptedClient>,
}

/// What a client wants done, or has come to know.
pub(crate) enum Wish {
    /// Send this to every replica.
    Send(Request),
    /// It believes this.
    Believes(RequestNumber, Outcome),
}

impl Asker {
    pub(crate) fn new(key: SecretKey, committee: Committee, dice: Dice) -> Self {
        let client = Client::new(key.account(), committee, PATIENCE, RequestNumber::new(1));
        Self { key, client, dice, outstanding: BTreeMap::new(), asked: 0, answered: 0 }
    }

    pub(crate) fn account(&self) -> AccountId {
        self.key.account()
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.outstanding.is_empty()
    }

    /// Begins a request, signed.
    pub(crate) fn ask(
        &mut self,
        now: Moment,
        genesis: Digest,
        parameters: &Parameters,
        transactions: Vec<Transaction>,
    ) -> (Verified<Bundle>, Request) {
        let bundle = Bundle { number: self.client.take_number(), transactions };
        let verified = Verified::sign(bundle, self.account(), &self.key, genesis);
        let request = Request::new(verified.clone(), parameters).expect("the workload keeps within the limits");
        self.asked += 1;
        self.outstanding.insert(request.number(), request.clone());
        let _ = self.client.submit(now, verified.clone());
        (verified, request)
    }

    /// A replica answers.
    pub(crate) fn on_reply(&mut self, reply: &Verified<Reply>) -> Option<Wish> {
        let effect = self.client.on_reply(reply)?;
        self.wish(effect)
    }

    /// Time has passed.
    pub(crate) fn on_time(&mut self, now: Moment) -> Vec<Wish> {
        let effects = self.client.on_time(now);
        effects.into_iter().filter_map(|effect| self.wish(effect)).collect()
    }

    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        self.client.next_deadline()
    }

    fn wish(&mut self, effect: ClientEffect) -> Option<Wish> {
        match effect {
            ClientEffect::Send(bundle) => self.outstanding.get(&bundle.message.number).cloned().map(Wish::Send),
            ClientEffect::Done(number, outcome) => {
                self.outstanding.remove(&number);
                self.answered += 1;
                Some(Wish::Believes(number, outcome))
            }
            ClientEffect::NoQuorum { .. } => None,
        }
    }
}
