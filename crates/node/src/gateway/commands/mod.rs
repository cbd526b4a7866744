//! Commands: from arguments to a plan, and from receipts to a reply.
//!
//! A command is answered on the spot if it concerns only the connection or the gateway, becomes one [`Order`]: a
//! transaction with the [`Rule`] that turns its receipt into a reply, or becomes a [`Question`] beside the order. One
//! command is one transaction, so each applies as a whole or not at all: `MSET` sets all keys or none.
//!
//! The [`table`] names every command that there is. What Redis has and this gateway has not is in [`unsupported`], each
//! with the reason, so that nobody takes a missing command for a typing error.

mod introspection;
mod ledger;
mod payments;
mod rule;
mod session;
mod table;
mod unsupported;
pub(crate) mod wording;

#[cfg(test)]
mod tests;

use bezant_types::codec::encoded_len;
use bezant_types::transaction::{Operation, SetAnswer, Transaction};
use bezant_types::{Amount, transaction::BadBundle};

use super::facts::Facts;
use super::registry::Surroundings;
use super::seam::Subject;
use crate::resp::{Command, Reply};

pub(crate) use introspection::info;
pub(crate) use payments::{proof, root};
pub(crate) use rule::Rule;
pub(crate) use rule::height;
pub(crate) use session::Fate;
pub(crate) use session::Session;
#[cfg(test)]
pub(crate) use tests::surroundings;
pub(crate) use wording::{failure, query_failure, too_large};

/// What is to be done for a command.
#[derive(Debug, PartialEq)]
pub(crate) enum Plan {
    /// Nothing more: this is the reply.
    Reply(Reply),
    /// To be ordered and executed.
    Order(Order),
    /// To be asked, once all commands before it are answered.
    Ask(Question),
}

/// A transaction, and how its receipt becomes a reply.
#[derive(Debug, PartialEq)]
pub(crate) struct Order {
    /// What is to be executed.
    pub transaction: Transaction,
    /// How to read the receipt.
    pub rule: Rule,
    /// What it adds to a bundle.
    pub size: OrderSize,
}

/// What a transaction adds to a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OrderSize {
    /// Its encoded bytes.
    pub bytes: usize,
    /// Its operations.
    pub operations: usize,
    /// How many of these answer a value, whose length nobody knows in advance.
    pub values: usize,
}

/// Something that needs no place in the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// `PROVE`.
    Prove(Subject),
    /// `ROOT`.
    Root,
    /// `INFO`, of these sections, in lower case; all if there are none.
    Info(Vec<String>),
}

impl Order {
    fn new(operations: Vec<Operation>, rule: Rule) -> Self {
        let values = operations.iter().filter(|one| answers_value(one)).count();
        let count = operations.len();
        let transaction = Transaction { fee: Amount::ZERO, operations };
        let size = OrderSize { bytes: encoded_len(&transaction), operations: count, values };
        Self { transaction, rule, size }
    }

    fn single(operation: Operation, rule: Rule) -> Self {
        Self::new(vec![operation], rule)
    }

    /// What asks where in the order we are.
    pub(crate) fn height() -> Self {
        // Its receipt is read by `height`; the rule is never asked.
        Self::single(Operation::Height, Rule::Integer)
    }
}

fn answers_value(operation: &Operation) -> bool {
    match operation {
        Operation::Get { .. } | Operation::Take { .. } => true,
        Operation::Set { answer, .. } => *answer == SetAnswer::Previous,
        Operation::Delete { .. }
        | Operation::Exists { .. }
        | Operation::Length { .. }
        | Operation::Append { .. }
        | Operation::Add { .. }
        | Operation::Transfer { .. }
        | Operation::Balance { .. }
        | Operation::Owner { .. }
        | Operation::Grant { .. }
        | Operation::Revoke { .. }
        | Operation::Size
        | Operation::Height => false,
    }
}

/// One row of the table.
pub(crate) struct Spec {
    /// In lower case, as Redis reports names.
    name: &'static str,
    /// How many arguments, the name included; at least so many if negative.
    arity: i32,
    /// What `COMMAND` says about it.
    flags: &'static [&'static str],
    /// First key, last key and step, as `COMMAND` says it; 0 for none.
    keys: (i64, i64, i64),
    group: &'static str,
    summary: &'static str,
    handler: Handler,
}

/// Who deals with a command.
#[derive(Clone, Copy)]
enum Handler {
    /// It concerns the connection or the gateway alone.
    Local(fn(&Command<'_>, &mut Session, &Surroundings) -> Result<Reply, Reply>),
    /// It becomes a transaction.
    Order(fn(&Command<'_>, &Facts) -> Result<Order, Reply>),
    /// It becomes a question.
    Ask(fn(&Command<'_>, &Facts) -> Result<Question, Reply>),
}

/// What is to be done for `command` on this connection. An error is a plan too: its reply.
pub(crate) fn plan(command: &Command<'_>, session: &mut Session, around: &Surroundings) -> Plan {
    match try_plan(command, session, around) {
        Ok(plan) => plan,
        Err(error) => Plan::Reply(error),
    }
}

fn try_plan(command: &Command<'_>, session: &mut Session, around: &Surroundings) -> Result<Plan, Reply> {
    if let Some(reply) = session::between_multi_and_exec(command.name(), session) {
        return Err(reply);
    }
    let Some(spec) = table::find(command.name()) else {
        return Err(match unsupported::why(command.name()) {
            Some((name, why)) => wording::unsupported(&name, why),
            None => wording::unknown_command(command),
        });
    };
    check_arity(spec.name, spec.arity, command.len())?;
    match spec.handler {
        Handler::Local(answer) => answer(command, session, around).map(Plan::Reply),
        Handler::Ask(question) => question(command, &around.facts).map(Plan::Ask),
        Handler::Order(order) => {
            let order = order(command, &around.facts)?;
            admit(&order.size, &around.facts)?;
            Ok(Plan::Order(order))
        }
    }
}

/// `arity` counts the name, and is negative for a least number, as in Redis.
fn check_arity(name: &str, arity: i32, found: usize) -> Result<(), Reply> {
    let needed = arity.unsigned_abs() as usize;
    let holds = if arity < 0 { found >= needed } else { found == needed };
    if holds { Ok(()) } else { Err(wording::wrong_arity(name)) }
}

/// Refuses what would not even fit a bundle of its own, before it keeps others waiting.
fn admit(size: &OrderSize, facts: &Facts) -> Result<(), Reply> {
    let limit = facts.parameters().max_bundle_operations as usize;
    if size.operations > limit {
        return Err(too_large(BadBundle::TooManyOperations { found: size.operations, limit }));
    }
    let (found, limit) = (size.bytes + BUNDLE_HEAD, facts.parameters().max_bundle_bytes as usize);
    if found > limit {
        return Err(too_large(BadBundle::TooLarge { found, limit }));
    }
    Ok(())
}

/// What a bundle has besides its transactions: its number and their count.
pub(crate) const BUNDLE_HEAD: usize = 12;
