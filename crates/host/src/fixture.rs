//! A network whose keys the tests hold, and a short true history of it.
//!
//! For the tests of this crate, and of `node`, which includes this file.

#![allow(dead_code, reason = "neither of the two crates uses all of it")]

use bezant_ledger::{Key, Ledger, State};
use bezant_pbft::certificate::{Endorsed, Signatures};
use bezant_pbft::message::{Batch, Checkpoint, Commit};
use bezant_pbft::{Block, Config, Replica, StoredBlock};
use bezant_types::genesis::{ClientEntry, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::transaction::{Condition, SetAnswer};
use bezant_types::{
    AccountId, Amount, Bundle, Digest, Genesis, Operation, ReplicaId, Request, RequestNumber, SecretKey,
    SequenceNumber, Signable, Timestamp, Transaction, Verified, View,
};

pub(crate) const ALICE: u8 = 100;
pub(crate) const BOB: u8 = 101;

/// Keys 0 to 3 are the replicas'.
pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

pub(crate) fn account(seed: u8) -> AccountId {
    key(seed).account()
}

pub(crate) fn replica(id: u16) -> ReplicaId {
    ReplicaId::new(id)
}

pub(crate) fn at(sequence: u64) -> SequenceNumber {
    SequenceNumber::new(sequence)
}

/// Four replicas at these addresses, Alice and Bob with money.
pub(crate) fn genesis_at(addresses: [String; 4], parameters: Parameters) -> Genesis {
    let replicas = addresses.into_iter().zip(0..).map(|(address, seed)| ReplicaEntry { key: account(seed), address });
    let client = |name: &str, seed, role| ClientEntry { name: name.into(), key: account(seed), role };
    let clients = vec![client("alice", ALICE, Role::Write), client("bob", BOB, Role::Admin)];
    let grant = |seed| Grant { account: account(seed), amount: Amount::new(1_000) };
    Genesis::new("test".into(), replicas.collect(), clients, vec![grant(ALICE), grant(BOB)], parameters).unwrap()
}

pub(crate) fn genesis() -> Genesis {
    genesis_at([1, 2, 3, 4].map(|port| format!("127.0.0.1:{port}")), Parameters::standard())
}

/// Another network with the same keys.
pub(crate) fn other_genesis() -> Genesis {
    let parameters = Parameters { pipeline: 3, ..Parameters::standard() };
    genesis_at([1, 2, 3, 4].map(|port| format!("127.0.0.1:{port}")), parameters)
}

/// `vote`, signed by these replicas.
pub(crate) fn endorse<V: Signable<Signer = ReplicaId>>(genesis: &Genesis, vote: V, signers: &[u16]) -> Endorsed<V> {
    let sign = |id: &u16| {
        let signed = Verified::sign(vote.clone(), replica(*id), &key(*id as u8), genesis.digest());
        (replica(*id), signed.signature())
    };
    let signatures: Signatures = signers.iter().map(sign).collect();
    Endorsed { vote, signatures }
}

/// A quorum's signatures under a state.
pub(crate) fn certify(genesis: &Genesis, state: &State) -> Endorsed<Checkpoint> {
    endorse(genesis, Checkpoint { sequence: state.height(), root: state.root() }, &[0, 1, 2])
}

pub(crate) fn entry(key: &str) -> Key {
    Key::Entry(key.as_bytes().to_vec())
}

pub(crate) fn set(key: &str, value: &str) -> Transaction {
    Transaction::single(Operation::Set {
        key: key.into(),
        value: value.into(),
        condition: Condition::Always,
        answer: SetAnswer::Written,
    })
}

/// The block at `sequence`, in which Alice writes `value` under `key`, and the ledger executes it.
pub(crate) fn block(genesis: &Genesis, sequence: u64, key_text: &str, value: &str) -> StoredBlock {
    let bundle = Bundle { number: RequestNumber::new(sequence), transactions: vec![set(key_text, value)] };
    let signed = Verified::sign(bundle, account(ALICE), &key(ALICE), genesis.digest());
    let batch = Batch::Requests { timestamp: Timestamp::new(1_000 + sequence), requests: vec![signed.digest()] };
    let commit = Commit { view: View::ZERO, sequence: at(sequence), digest: batch.digest() };
    StoredBlock { commits: endorse(genesis, commit, &[0, 2, 3]), batch, requests: vec![signed.into_signed()] }
}

/// A true history: blocks 1 to `length`, and the state after each (the first is the genesis').
pub(crate) fn history(genesis: &Genesis, length: u64) -> (Vec<StoredBlock>, Vec<State>) {
    let judge = Replica::new(Config::new(genesis, replica(0)).unwrap());
    let mut ledger = Ledger::new(genesis);
    let mut states = vec![ledger.checkpoint()];
    let blocks: Vec<_> =
        (1..=length).map(|n| block(genesis, n, &format!("key-{}", n % 3), &format!("value-{n}"))).collect();
    for stored in &blocks {
        let Block { batch, requests, certificate, .. } = judge.check_block(stored.clone()).unwrap();
        execute(&mut ledger, certificate.vote().sequence, batch.timestamp(), &requests);
        states.push(ledger.checkpoint());
    }
    (blocks, states)
}

fn execute(ledger: &mut Ledger, sequence: SequenceNumber, timestamp: Timestamp, requests: &[Request]) {
    let executions = ledger.execute(sequence, timestamp, requests);
    assert!(executions.iter().all(|one| one.fresh));
}

pub(crate) fn digest(tag: u8) -> Digest {
    Digest::new([tag; 32])
}
