//! Linearizable: one copy of the ledger could have given all the answers (Herlihy and Wing 1990).
//!
//! What honest clients asked and what they were told is set against a tiny ledger of this module's own ([`model`]). A
//! request that was not answered may take effect at any time after it was asked, or never; so may one whose outcome was
//! not told. Entries that no request touches together are judged apart: linearizability is a local property. Of each
//! group it is asked, from cheap to dear:
//!
//! 1. Does the order of the blocks explain all answers ([`order`])? Then it is linearizable. One pass.
//! 2. Is what it says of a single entry or balance linearizable ([`parts`])? If not, nor is the whole. Short searches.
//! 3. Is there any order that explains all answers ([`mod@search`])? A search that is given up after so many attempts
//!    is a complaint like a crime, with words of its own: what was not decided has not passed.
//!
//! The workload may use every operation but `Grant` and `Revoke`, within the limits of the genesis: the model knows
//! neither. What a corrupted client asks is not shown when it is asked, so what it touches in any block that is
//! delivered is not judged, and all balances are one thing.

mod model;
mod order;
mod parts;
mod search;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bezant_pbft::Block;
use bezant_types::keys::Role;
use bezant_types::transaction::Receipt;
use bezant_types::{AccountId, Bundle, Outcome, RequestNumber, Transaction};

use self::model::{Model, Thing};
use self::order::Order;
use self::search::{Unexplained, search};
use super::{Oracle, Property, Setting};
use crate::sight::{ClientIndex, Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "linearizable",
    claim: "one copy of the ledger, executing each request at one moment between its asking and its answer, could have \
            given honest clients all the answers that they got",
};

/// A request, with what is known of it.
#[derive(Clone, Debug)]
struct Call {
    client: ClientIndex,
    account: AccountId,
    role: Role,
    number: RequestNumber,
    transactions: Vec<Transaction>,
    asked: usize,
    answer: Option<(usize, Vec<Receipt>)>,
}

impl Call {
    fn told(&self) -> Option<&[Receipt]> {
        self.answer.as_ref().map(|(_, receipts)| receipts.as_slice())
    }

    /// Whether its answer, if there is one, has a receipt for each transaction and an answer for each operation.
    fn is_answered_in_full(&self) -> bool {
        self.told().is_none_or(|told| {
            let all = |(one, receipt): (&Transaction, &Receipt)| {
                receipt.as_ref().map_or(true, |answers| answers.len() == one.operations.len())
            };
            told.len() == self.transactions.len() && self.transactions.iter().zip(told).all(all)
        })
    }
}

/// What honest clients did and were told, in the order in which that happened.
#[derive(Debug)]
pub(super) struct Linearizable {
    clients: Vec<(AccountId, Role)>,
    balances: BTreeMap<AccountId, u64>,
    /// How many bytes a value has at most.
    longest: u64,
    corrupted: BTreeSet<AccountId>,
    /// What corrupted clients have touched.
    tainted: BTreeSet<Thing>,
    order: Order,
    clock: usize,
    calls: Vec<Call>,
    open: HashMap<(ClientIndex, RequestNumber), usize>,
}

impl Linearizable {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        let (genesis, corrupted) = (setting.genesis, setting.corrupted_clients.iter());
        Self {
            clients: genesis.clients().iter().map(|client| (client.key, client.role)).collect(),
            balances: genesis.balances().iter().map(|grant| (grant.account, grant.amount.units())).collect(),
            longest: genesis.parameters().max_value_bytes.into(),
            corrupted: corrupted.filter_map(|client| Some(genesis.clients().get(client.0)?.key)).collect(),
            tainted: BTreeSet::new(),
            order: Order::default(),
            clock: 0,
            calls: Vec::new(),
            open: HashMap::new(),
        }
    }

    fn on_asked(&mut self, client: ClientIndex, bundle: &Bundle) {
        let Some((account, role)) = self.clients.get(client.0).copied() else { return };
        self.clock += 1;
        let (number, transactions) = (bundle.number, bundle.transactions.clone());
        self.open.insert((client, number), self.calls.len());
        self.calls.push(Call { client, account, role, number, transactions, asked: self.clock, answer: None });
    }

    fn on_answered(&mut self, client: ClientIndex, number: RequestNumber, outcome: &Outcome) {
        let Some(index) = self.open.remove(&(client, number)) else { return };
        self.clock += 1;
        match outcome {
            Outcome::Executed(receipts) => self.calls[index].answer = Some((self.clock, receipts.clone())),
            // It may have been executed or not, now or before: nothing is known of it.
            Outcome::Expired | Outcome::NumberReused | Outcome::NotKept { .. } => {}
        }
    }

    fn on_delivered(&mut self, block: &Block) {
        self.order.on_delivered(block);
        if self.corrupted.is_empty() {
            return;
        }
        for request in block.requests.iter().filter(|one| self.corrupted.contains(&one.client())) {
            self.tainted.extend(model::touched(request.transactions()));
        }
    }

    fn judge(&self) -> Result<(), String> {
        let mut groups = Groups::default();
        let joined: Vec<usize> =
            self.calls.iter().map(|call| groups.join(model::touched(&call.transactions))).collect();
        let mut calls: BTreeMap<usize, Vec<&Call>> = BTreeMap::new();
        for (call, group) in self.calls.iter().zip(joined) {
            calls.entry(groups.root(group)).or_default().push(call);
        }
        for (group, calls) in calls {
            if self.tainted.iter().any(|thing| groups.has(group, thing)) {
                continue;
            }
            let balances = if groups.has(group, &Thing::Money) { self.balances.clone() } else { BTreeMap::new() };
            self.judge_group(&calls, balances)?;
        }
        Ok(())
    }

    fn judge_group(&self, calls: &[&Call], balances: BTreeMap<AccountId, u64>) -> Result<(), String> {
        if let Some(odd) = calls.iter().find(|call| !call.is_answered_in_full()) {
            return Err(Unexplained::Never { calls: calls.len(), stuck: Box::new((*odd).clone()) }.to_string());
        }
        let first = Model::new(balances, self.longest);
        if self.order.explains(calls, first.clone()) {
            return Ok(());
        }
        for (part, first) in parts::parts(calls, &first) {
            match search(&part.iter().collect::<Vec<_>>(), first) {
                Ok(()) | Err(Unexplained::Undecided { .. }) => {}
                Err(never @ Unexplained::Never { .. }) => return Err(never.to_string()),
            }
        }
        search(calls, first).map_err(|why| why.to_string())
    }
}

impl Oracle for Linearizable {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Asked { client, bundle } => self.on_asked(client, bundle.message()),
            Sight::Delivered { block, .. } => self.on_delivered(block),
            Sight::Answered { client, number, outcome } => self.on_answered(client, number, outcome),
            Sight::Booted { .. }
            | Sight::Crashed { .. }
            | Sight::Said { .. }
            | Sight::Executed { .. }
            | Sight::Installed { .. }
            | Sight::Stable { .. }
            | Sight::Entered { .. }
            | Sight::Accused { .. }
            | Sight::Halted { .. }
            | Sight::Weighed { .. }
            | Sight::Heard { .. }
            | Sight::Stabilised => {}
        }
        Ok(())
    }

    fn at_end(&mut self, _: When) -> Result<(), String> {
        self.judge()
    }
}

/// Which things are touched together: a forest in which each thing and each group points towards its group.
#[derive(Debug, Default)]
struct Groups {
    parents: Vec<usize>,
    of: BTreeMap<Thing, usize>,
}

impl Groups {
    /// Joins the groups of these things, and gives the group that they are in then.
    fn join(&mut self, things: Vec<Thing>) -> usize {
        let mut whole = None;
        for thing in things {
            let group = match self.of.get(&thing) {
                Some(group) => self.root(*group),
                None => {
                    self.parents.push(self.parents.len());
                    self.of.insert(thing, self.parents.len() - 1);
                    self.parents.len() - 1
                }
            };
            match whole {
                None => whole = Some(group),
                Some(whole) => self.parents[group] = whole,
            }
        }
        whole.unwrap_or_else(|| {
            // It touches nothing and is a group of its own.
            self.parents.push(self.parents.len());
            self.parents.len() - 1
        })
    }

    fn root(&self, group: usize) -> usize {
        let mut root = group;
        while self.parents[root] != root {
            root = self.parents[root];
        }
        root
    }

    fn has(&self, group: usize, thing: &Thing) -> bool {
        self.of.get(thing).is_some_and(|one| self.root(*one) == group)
    }
}
