//! A group in this process: the far end of the gateway's seam over the real ledger, without replicas between.
//!
//! It is as unkind as the group may be: with [`Kindness::AnyOrder`], bundles that are under way together are executed
//! in an order drawn from a seed, which is what a primary may do to them.

// Each test program and the example use their part of this.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use bezant_ledger::{Item, Key, Ledger, State};
use bezant_node::gateway::seam::{CertifiedRoot, Finding, GroupRequests, GroupStatus, Proof, Query, Subject};
use bezant_node::gateway::seam::{Submission, SubmitError};
use bezant_types::genesis::{ClientEntry, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::{
    AccountId, Amount, Bundle, Genesis, Outcome, ReplicaId, Request, RequestNumber, SecretKey, SequenceNumber,
    Timestamp, Verified, View, codec,
};

/// The key that the gateway under test holds.
pub fn gateway_key() -> SecretKey {
    SecretKey::from_seed([100; 32])
}

/// Another client's key.
pub fn bob_key() -> SecretKey {
    SecretKey::from_seed([101; 32])
}

/// A network with the clients `gateway`, which has 1000, and `bob`, which has nothing.
pub fn genesis(role: Role, change: impl FnOnce(&mut Parameters)) -> Genesis {
    let replica = |i: u8| ReplicaEntry {
        key: SecretKey::from_seed([i; 32]).account(),
        address: format!("127.0.0.1:{}", 7401 + u16::from(i)),
    };
    let mut parameters = Parameters::standard();
    change(&mut parameters);
    let client = |name: &str, key: AccountId, role| ClientEntry { name: name.into(), key, role };
    let clients =
        vec![client("gateway", gateway_key().account(), role), client("bob", bob_key().account(), Role::Write)];
    let balances = vec![Grant { account: gateway_key().account(), amount: Amount::new(1000) }];
    Genesis::new("test".into(), (0..4).map(replica).collect(), clients, balances, parameters).unwrap()
}

/// How submissions that are there at the same time are ordered.
#[derive(Clone, Copy, Debug)]
pub enum Kindness {
    /// As they came.
    Fifo,
    /// As a generator with this seed says.
    AnyOrder(u64),
}

/// Answers a gateway's requests from a ledger of its own.
pub struct Group {
    genesis: Genesis,
    ledger: Ledger,
    number: RequestNumber,
    kindness: Kindness,
    /// How long agreement takes.
    latency: Duration,
}

impl Group {
    pub fn new(genesis: Genesis, kindness: Kindness, latency: Duration) -> Self {
        Self { ledger: Ledger::new(&genesis), genesis, number: RequestNumber::new(1), kindness, latency }
    }

    /// Serves until the gateway is gone.
    pub async fn serve(mut self, mut requests: GroupRequests) {
        let mut pending = Vec::new();
        loop {
            tokio::select! {
                submission = requests.submissions.recv() => match submission {
                    Some(submission) => pending.push(submission),
                    None => return,
                },
                Some(query) = requests.queries.recv() => {
                    self.answer(query);
                    continue;
                }
            }
            if !self.latency.is_zero() {
                tokio::time::sleep(self.latency).await;
            }
            // Let whatever else is on its way arrive, so that there is something to reorder.
            for _ in 0..4 {
                tokio::task::yield_now().await;
                while let Ok(submission) = requests.submissions.try_recv() {
                    pending.push(submission);
                }
            }
            while !pending.is_empty() {
                let next = self.draw(pending.len());
                let submission = pending.remove(next);
                self.execute(submission);
            }
        }
    }

    fn draw(&mut self, among: usize) -> usize {
        match &mut self.kindness {
            Kindness::Fifo => 0,
            Kindness::AnyOrder(state) => {
                // SplitMix64 (Steele et al. 2014).
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                ((z ^ (z >> 31)) % among as u64) as usize
            }
        }
    }

    fn execute(&mut self, submission: Submission) {
        let Submission { transactions, reply, .. } = submission;
        let bundle = Bundle { number: self.number, transactions };
        self.number = self.number.next();
        let key = gateway_key();
        let signed = Verified::sign(bundle, key.account(), &key, self.genesis.digest());
        let request = match Request::new(signed, self.genesis.parameters()) {
            Ok(request) => request,
            Err(bad) => return drop(reply.send(Err(SubmitError::Refused(bad.to_string())))),
        };
        let sequence = self.ledger.height().next();
        let mut executions = self.ledger.execute(sequence, Timestamp::new(sequence.get()), &[request]);
        let outcome = executions.pop().expect("one request has one outcome").outcome;
        let outcome = std::sync::Arc::try_unwrap(outcome).unwrap_or_else(|shared| (*shared).clone());
        let result = match outcome {
            Outcome::Executed(receipts) => Ok(receipts),
            Outcome::Expired => Err(SubmitError::Expired),
            Outcome::NumberReused => Err(SubmitError::NumberReused),
            Outcome::NotKept { .. } => Err(SubmitError::NotKept),
        };
        let _ = reply.send(result);
    }

    fn answer(&mut self, query: Query) {
        match query {
            Query::Prove { subject, at_least, reply, .. } => {
                let state = self.ledger.checkpoint();
                assert!(state.height() >= at_least);
                let _ = reply.send(Ok(prove(&state, subject)));
            }
            Query::Root { at_least, reply, .. } => {
                let state = self.ledger.checkpoint();
                assert!(state.height() >= at_least);
                let _ = reply.send(Ok(certified(&state)));
            }
            Query::Status { reply } => {
                let connected = (0..4).map(ReplicaId::new).collect();
                let executed = Some(self.ledger.height());
                let _ = reply.send(GroupStatus { view: Some(View::ZERO), executed, stable: None, connected });
            }
        }
    }
}

fn certified(state: &State) -> CertifiedRoot {
    let signers = (0..3).map(ReplicaId::new).collect();
    CertifiedRoot { sequence: SequenceNumber::new(state.height().get()), root: state.root(), signers }
}

fn prove(state: &State, subject: Subject) -> Proof {
    let key = match &subject {
        Subject::Entry(key) => Key::Entry(key.clone()),
        Subject::Balance(account) => Key::Account(*account),
    };
    let proof = state.prove(&key);
    let finding = match proof.verify(state.root(), &key).expect("a proof of our own holds") {
        Some(Item::Entry { value, owner, .. }) => Finding::Entry { value: value.to_vec(), owner },
        Some(Item::Balance(amount)) => Finding::Balance(amount),
        Some(_) => panic!("another kind of item"),
        None => match subject {
            Subject::Entry(_) => Finding::NoEntry,
            Subject::Balance(_) => Finding::Balance(Amount::ZERO),
        },
    };
    Proof { finding, checkpoint: certified(state), bytes: codec::encode(&proof) }
}
