//! Commands that Redis has not: payments, ownership, and proofs.

use bezant_types::transaction::Operation;
use bezant_types::{AccountId, Amount};

use super::ledger::argument;
use super::rule::account;
use super::{Order, Question, Rule, wording};
use crate::gateway::facts::Facts;
use crate::gateway::seam::{CertifiedRoot, Finding, Proof, Subject};
use crate::resp::{Command, Reply};

fn account_at(command: &Command<'_>, index: usize, facts: &Facts) -> Result<AccountId, Reply> {
    facts.find_account(argument(command, index)?)
}

/// `TRANSFER to amount`
pub(super) fn transfer(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let to = account_at(command, 1, facts)?;
    let amount = parse_amount(argument(command, 2)?).ok_or_else(wording::not_an_integer)?;
    Ok(Order::single(Operation::Transfer { to, amount }, Rule::Ok))
}

/// `BALANCE [account]`, by default the gateway's own.
pub(super) fn balance(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let account = match command.len() {
        1 => facts.account(),
        2 => account_at(command, 1, facts)?,
        _ => return Err(wording::wrong_arity("balance")),
    };
    Ok(Order::single(Operation::Balance { account }, Rule::Balance))
}

/// `OWNER key`
pub(super) fn owner(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    Ok(Order::single(Operation::Owner { key: facts.key(argument(command, 1)?)? }, Rule::Owner))
}

/// `GRANT key account`
pub(super) fn grant(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let (key, to) = (facts.key(argument(command, 1)?)?, account_at(command, 2, facts)?);
    Ok(Order::single(Operation::Grant { key, to }, Rule::Count))
}

/// `REVOKE key account`
pub(super) fn revoke(command: &Command<'_>, facts: &Facts) -> Result<Order, Reply> {
    let (key, from) = (facts.key(argument(command, 1)?)?, account_at(command, 2, facts)?);
    Ok(Order::single(Operation::Revoke { key, from }, Rule::Count))
}

/// `PROVE key`, or `PROVE BALANCE account`
pub(super) fn prove(command: &Command<'_>, facts: &Facts) -> Result<Question, Reply> {
    match command.len() {
        2 => Ok(Question::Prove(Subject::Entry(facts.key(argument(command, 1)?)?))),
        3 if argument(command, 1)?.eq_ignore_ascii_case(b"balance") => {
            Ok(Question::Prove(Subject::Balance(account_at(command, 2, facts)?)))
        }
        3 => Err(wording::syntax()),
        _ => Err(wording::wrong_arity("prove")),
    }
}

/// `ROOT`
pub(super) fn ask_root(_: &Command<'_>, _: &Facts) -> Result<Question, Reply> {
    Ok(Question::Root)
}

/// The reply to `ROOT`.
pub(crate) fn root(checkpoint: &CertifiedRoot) -> Reply {
    Reply::Map(checkpoint_fields(checkpoint))
}

/// The reply to `PROVE`: what was shown, at which state, and the proof in hexadecimal digits for `bezant verify`.
pub(crate) fn proof(proof: Proof) -> Reply {
    let mut fields = match proof.finding {
        Finding::Entry { value, owner } => vec![
            (Reply::text("found"), Reply::Integer(1)),
            (Reply::text("value"), Reply::Bulk(value)),
            (Reply::text("owner"), account(owner)),
        ],
        Finding::NoEntry => vec![(Reply::text("found"), Reply::Integer(0))],
        Finding::Balance(amount) => vec![(Reply::text("balance"), Reply::Unsigned(amount.units()))],
    };
    fields.extend(checkpoint_fields(&proof.checkpoint));
    fields.push((Reply::text("proof"), Reply::Text(hex::encode(&proof.bytes).into())));
    Reply::Map(fields)
}

fn checkpoint_fields(checkpoint: &CertifiedRoot) -> Vec<(Reply, Reply)> {
    let signers = checkpoint.signers.iter().map(|replica| Reply::Integer(replica.get().into())).collect();
    vec![
        (Reply::text("sequence"), Reply::Unsigned(checkpoint.sequence.get())),
        (Reply::text("root"), Reply::Text(checkpoint.root.to_string().into())),
        (Reply::text("signed_by"), Reply::Array(signers)),
    ]
}

/// A decimal amount in its one spelling. It may exceed the integers that Redis knows.
fn parse_amount(text: &[u8]) -> Option<Amount> {
    let canonical = matches!(text, [b'0'] | [b'1'..=b'9', ..]) && text.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(text).ok().filter(|_| canonical)?;
    digits.parse().ok().map(Amount::new)
}
