//! A stand-in for the ledger: deterministic, exactly once, with a root that depends on everything that was executed.

use std::collections::BTreeMap;

use bezant_pbft::Block;
use bezant_types::transaction::Answer;
use bezant_types::{AccountId, Digest, Outcome, RequestNumber};

/// A state: the chain of all requests that were executed, and what became of each number of each client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ledger {
    pub(crate) height: u64,
    pub(crate) root: Digest,
    done: BTreeMap<(AccountId, RequestNumber), (Digest, Outcome)>,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { height: 0, root: Digest::of("test/root", "genesis"), done: BTreeMap::new() }
    }

    /// Executes a block, and says what to answer to whom.
    pub(crate) fn execute(&mut self, block: &Block) -> Vec<(AccountId, RequestNumber, Outcome)> {
        assert_eq!(block.sequence().get(), self.height + 1, "the executor gets blocks in order and without a gap");
        self.height += 1;
        let mut answers = Vec::new();
        for request in &block.requests {
            let key = (request.client(), request.number());
            let outcome = match self.done.get(&key) {
                Some((digest, outcome)) if *digest == request.digest() => outcome.clone(),
                Some(_) => Outcome::NumberReused,
                None => {
                    self.root = Digest::of("test/root", &(self.root, request.digest()));
                    let outcome = Outcome::Executed(vec![Ok(vec![Answer::Height(block.sequence())])]);
                    self.done.insert(key, (request.digest(), outcome.clone()));
                    outcome
                }
            };
            answers.push((key.0, key.1, outcome));
        }
        answers
    }

    /// What became of a number, if anything did.
    pub(crate) fn outcome(&self, client: AccountId, number: RequestNumber) -> Option<&Outcome> {
        self.done.get(&(client, number)).map(|(_, outcome)| outcome)
    }

    /// How many requests were executed.
    pub(crate) fn executed(&self) -> usize {
        self.done.len()
    }
}
