//! A ledger with a few clients, for tests that read as scripts.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::sync::Arc;

use bezant_ledger::{Execution, Ledger, State};
use bezant_types::genesis::{ClientEntry, Genesis, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::transaction::{Answer, Condition, Receipt, Refusal, SetAnswer};
use bezant_types::{
    AccountId, Amount, Bundle, Operation, Outcome, Request, RequestNumber, SecretKey, SequenceNumber, Timestamp,
    Transaction, Verified,
};

pub(crate) const ALICE: Client = Client(101);
pub(crate) const BOB: Client = Client(102);
/// May only read.
pub(crate) const RITA: Client = Client(103);
/// Is not in the genesis.
pub(crate) const MALLORY: Client = Client(104);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Client(pub(crate) u8);

impl Client {
    pub(crate) fn key(self) -> SecretKey {
        SecretKey::from_seed([self.0; 32])
    }

    pub(crate) fn account(self) -> AccountId {
        self.key().account()
    }
}

/// Small limits, so that tests reach them.
pub(crate) fn parameters() -> Parameters {
    Parameters {
        max_key_bytes: 64,
        max_value_bytes: 4096,
        max_reply_bytes: 128 << 10,
        max_bundle_bytes: 1 << 20,
        max_state_bytes: 1 << 20,
        client_window: 16,
        ..Parameters::standard()
    }
}

pub(crate) fn genesis_with(parameters: Parameters) -> Genesis {
    let replica =
        |i: u8| ReplicaEntry { key: Client(i).account(), address: format!("127.0.0.1:{}", 7401 + u16::from(i)) };
    let client = |name: &str, client: Client, role| ClientEntry { name: name.into(), key: client.account(), role };
    Genesis::new(
        "test".into(),
        (0..4).map(replica).collect(),
        vec![client("alice", ALICE, Role::Write), client("bob", BOB, Role::Admin), client("rita", RITA, Role::Read)],
        vec![
            Grant { account: ALICE.account(), amount: Amount::new(1000) },
            Grant { account: RITA.account(), amount: Amount::new(50) },
        ],
        parameters,
    )
    .expect("the test's genesis is valid")
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) genesis: Genesis,
    pub(crate) ledger: Ledger,
    pub(crate) numbers: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(parameters())
    }

    pub(crate) fn with(parameters: Parameters) -> Self {
        let genesis = genesis_with(parameters);
        Self { ledger: Ledger::new(&genesis), genesis, numbers: 0 }
    }

    pub(crate) fn request(&self, client: Client, number: u64, transactions: Vec<Transaction>) -> Request {
        let bundle = Bundle { number: RequestNumber::new(number), transactions };
        let signed = Verified::sign(bundle, client.account(), &client.key(), self.genesis.digest());
        Request::new(signed, self.genesis.parameters()).expect("the test's request is within the limits")
    }

    pub(crate) fn block(&mut self, requests: &[Request]) -> Vec<Execution> {
        let next = self.ledger.height().next();
        self.ledger.execute(next, Timestamp::new(1000 * next.get()), requests)
    }

    /// One request in a block of its own.
    pub(crate) fn run(&mut self, client: Client, transactions: Vec<Transaction>) -> Vec<Receipt> {
        self.numbers += 1;
        let request = self.request(client, self.numbers, transactions);
        let execution = self.block(&[request]).remove(0);
        assert!(execution.fresh || client == MALLORY, "the number is a new one");
        receipts(&execution.outcome)
    }

    /// One transaction.
    pub(crate) fn all(&mut self, client: Client, operations: Vec<Operation>) -> Receipt {
        self.run(client, vec![Transaction { fee: Amount::ZERO, operations }]).remove(0)
    }

    /// One operation.
    pub(crate) fn one(&mut self, client: Client, operation: Operation) -> Result<Answer, Refusal> {
        match self.all(client, vec![operation]) {
            Ok(mut answers) => Ok(answers.remove(0)),
            Err(refused) => Err(refused.reason),
        }
    }

    pub(crate) fn value(&mut self, key: &str) -> Option<Vec<u8>> {
        match self.one(BOB, get(key)).expect("reads are open") {
            Answer::Value(value) => value,
            other => panic!("a Get answers {other:?}"),
        }
    }

    pub(crate) fn balance(&mut self, account: AccountId) -> u64 {
        match self.one(BOB, Operation::Balance { account }).expect("reads are open") {
            Answer::Balance(amount) => amount.units(),
            other => panic!("a Balance answers {other:?}"),
        }
    }

    pub(crate) fn checkpoint(&mut self) -> State {
        self.ledger.checkpoint()
    }
}

pub(crate) fn receipts(outcome: &Arc<Outcome>) -> Vec<Receipt> {
    match &**outcome {
        Outcome::Executed(receipts) => receipts.clone(),
        other => panic!("not executed: {other:?}"),
    }
}

pub(crate) fn next(height: u64) -> SequenceNumber {
    SequenceNumber::new(height)
}

pub(crate) fn get(key: &str) -> Operation {
    Operation::Get { key: key.into() }
}

pub(crate) fn set(key: &str, value: &str) -> Operation {
    set_if(key, value, Condition::Always, SetAnswer::Written)
}

pub(crate) fn set_if(key: &str, value: &str, condition: Condition, answer: SetAnswer) -> Operation {
    Operation::Set { key: key.into(), value: value.into(), condition, answer }
}

pub(crate) fn delete(key: &str) -> Operation {
    Operation::Delete { key: key.into() }
}

pub(crate) fn take(key: &str) -> Operation {
    Operation::Take { key: key.into() }
}

pub(crate) fn append(key: &str, suffix: &str) -> Operation {
    Operation::Append { key: key.into(), suffix: suffix.into() }
}

pub(crate) fn add(key: &str, delta: i64) -> Operation {
    Operation::Add { key: key.into(), delta }
}

pub(crate) fn grant(key: &str, to: Client) -> Operation {
    Operation::Grant { key: key.into(), to: to.account() }
}

pub(crate) fn revoke(key: &str, from: Client) -> Operation {
    Operation::Revoke { key: key.into(), from: from.account() }
}

pub(crate) fn transfer(to: AccountId, amount: u64) -> Operation {
    Operation::Transfer { to, amount: Amount::new(amount) }
}

pub(crate) fn with_fee(fee: u64, operations: Vec<Operation>) -> Transaction {
    Transaction { fee: Amount::new(fee), operations }
}
