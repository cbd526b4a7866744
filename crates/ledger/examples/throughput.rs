//! How fast the ledger executes and hashes: `cargo run --release -p bezant-ledger --example throughput`.
//!
//! 100,000 entries of 100 bytes, overwritten at random in batches of 1,000 with a checkpoint after each; one thread.
//! The keys are drawn by a fixed linear congruential generator, so every run does the same work.

use std::time::{Duration, Instant};

use bezant_ledger::{Key, Ledger};
use bezant_types::genesis::{ClientEntry, Genesis, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::transaction::{Condition, SetAnswer};
use bezant_types::{
    Bundle, Operation, Request, RequestNumber, SecretKey, SequenceNumber, Timestamp, Transaction, Verified,
};

const KEYS: u64 = 100_000;
const BATCH: usize = 1_000;
const ROUNDS: usize = 300;
const BUNDLE: usize = 50;

struct Load {
    genesis: Genesis,
    key: SecretKey,
    number: u64,
    random: u64,
}

impl Load {
    fn new() -> Self {
        let account = |seed| SecretKey::from_seed([seed; 32]).account();
        let replica = |i: u8| ReplicaEntry { key: account(i), address: format!("127.0.0.1:{}", 7000 + u16::from(i)) };
        let client = ClientEntry { name: "load".into(), key: account(9), role: Role::Write };
        let genesis = Genesis::new(
            "throughput".into(),
            (0..4).map(replica).collect(),
            vec![client],
            Vec::new(),
            Parameters::standard(),
        )
        .expect("the genesis is valid");
        Self { genesis, key: SecretKey::from_seed([9; 32]), number: 0, random: 1 }
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % KEYS
    }

    fn requests(&mut self, keys: &[u64]) -> Vec<Request> {
        let bundles: Vec<_> = keys.chunks(BUNDLE).map(|chunk| self.request(chunk)).collect();
        bundles
    }

    fn request(&mut self, keys: &[u64]) -> Request {
        self.number += 1;
        let set = |key: &u64| {
            Transaction::single(Operation::Set {
                key: format!("key:{key:012}").into_bytes(),
                value: format!("{:0100}", self.number).into_bytes(),
                condition: Condition::Always,
                answer: SetAnswer::Written,
            })
        };
        let bundle = Bundle { number: RequestNumber::new(self.number), transactions: keys.iter().map(set).collect() };
        let signed = Verified::sign(bundle, self.key.account(), &self.key, self.genesis.digest());
        Request::new(signed, self.genesis.parameters()).expect("the request is within the limits")
    }
}

fn main() {
    let mut load = Load::new();
    let mut ledger = Ledger::new(&load.genesis);
    let mut height = 0;
    let mut block = |ledger: &mut Ledger, requests: &[Request]| {
        height += 1;
        ledger.execute(SequenceNumber::new(height), Timestamp::new(height), requests);
    };

    let all: Vec<_> = (0..KEYS).collect();
    for chunk in all.chunks(8_000) {
        let requests = load.requests(chunk);
        block(&mut ledger, &requests);
    }
    let started = Instant::now();
    ledger.checkpoint();
    print("build the tree", KEYS as usize, started.elapsed());

    let (mut execution, mut hashing, mut best) = (Duration::ZERO, Duration::ZERO, Duration::MAX);
    let mut writing = Duration::ZERO;
    let mut last = ledger.checkpoint();
    for _ in 0..ROUNDS {
        let keys: Vec<_> = (0..BATCH).map(|_| load.draw()).collect();
        let requests = load.requests(&keys);
        let started = Instant::now();
        block(&mut ledger, &requests);
        execution += started.elapsed();
        let started = Instant::now();
        let state = ledger.checkpoint();
        hashing += started.elapsed();
        best = best.min(started.elapsed());
        let started = Instant::now();
        std::hint::black_box(state.changes_since(&last));
        writing += started.elapsed();
        last = state;
    }
    print("execute", ROUNDS * BATCH, execution);
    print("checkpoint", ROUNDS * BATCH, hashing);
    print("checkpoint, best batch", BATCH, best);
    print("execute and checkpoint", ROUNDS * BATCH, execution + hashing);
    print("changes for the store", ROUNDS * BATCH, writing);

    let keys: Vec<_> = (0..10_000).map(|_| Key::Entry(format!("key:{:012}", load.draw()).into_bytes())).collect();
    let started = Instant::now();
    let proofs: Vec<_> = keys.iter().map(|key| last.prove(key)).collect();
    print("prove", keys.len(), started.elapsed());
    let started = Instant::now();
    for (proof, key) in proofs.iter().zip(&keys) {
        proof.verify(last.root(), key).expect("the proof is right");
    }
    print("verify a proof", keys.len(), started.elapsed());
    println!("state root {}, {} entries, {} bytes", last.root(), last.entries(), last.bytes());
}

fn print(what: &str, count: usize, took: Duration) {
    let each = took.as_nanos() as f64 / count as f64;
    println!("{what:24} {each:9.0} ns each {:10.0} per second", 1e9 / each);
}
