//! What a history says of one entry, or of one account's balance: a part of it, which is linearizable if the whole is.
//!
//! Requests of several transactions tie entries and balances together into groups that span a whole world, and with
//! thirty clients waiting at once there are more orders of a group than can be tried. A part has few requests that
//! overlap, so a search of it ends. That every part is linearizable does not make the whole so; but if one is not, the
//! whole is not either, and the complaint is about few requests instead of thousands (compare Horn and Kroening 2015,
//! whose partitions are exact because their operations touch one key each).
//!
//! A part asks for no more than the whole does:
//! * of a transaction that succeeded, it has the operations that concern it, with their answers;
//! * of one that was refused, which changed nothing, it has the refusal if nothing else can have been the cause;
//! * the transactions of a request without an answer may each have taken effect or not.

use std::collections::{BTreeMap, BTreeSet};

use bezant_types::transaction::{Receipt, Refusal};
use bezant_types::{AccountId, Amount, Operation, Transaction};

use super::Call;
use super::model::{Model, Thing, touched_by};

/// What a part is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Subject {
    Entry(Vec<u8>),
    Balance(AccountId),
}

/// The parts of a history that starts from `first`, each with what it starts from.
pub(super) fn parts(calls: &[&Call], first: &Model) -> Vec<(Vec<Call>, Model)> {
    let mut parts: BTreeMap<Subject, Vec<Call>> = BTreeMap::new();
    for call in calls {
        let subjects: BTreeSet<Subject> =
            call.transactions.iter().flat_map(|one| subjects(call.account, one)).collect();
        for subject in subjects {
            let part = project(call, &subject);
            parts.entry(subject).or_default().extend(part);
        }
    }
    let model = |subject| match subject {
        Subject::Entry(_) => first.of_nothing(),
        Subject::Balance(account) => first.of_one_balance(account),
    };
    parts.into_iter().map(|(subject, calls)| (calls, model(subject))).collect()
}

fn subjects(sender: AccountId, transaction: &Transaction) -> BTreeSet<Subject> {
    let mut subjects: BTreeSet<Subject> =
        transaction.operations.iter().flat_map(|one| of_operation(sender, one)).collect();
    if transaction.fee != Amount::ZERO {
        subjects.extend([Subject::Balance(sender), Subject::Balance(AccountId::FEES)]);
    }
    subjects
}

fn of_operation(sender: AccountId, operation: &Operation) -> Vec<Subject> {
    if let Operation::Transfer { to, .. } = operation {
        return vec![Subject::Balance(sender), Subject::Balance(*to)];
    }
    if let Operation::Balance { account } = operation {
        return vec![Subject::Balance(*account)];
    }
    match touched_by(operation) {
        Some(Thing::Entry(key)) => vec![Subject::Entry(key)],
        Some(Thing::Money) | None => Vec::new(),
    }
}

/// What a request is to a part: itself, less what does not concern the part, or several that nobody was told about.
fn project(call: &Call, subject: &Subject) -> Vec<Call> {
    let concerned = |one: &Transaction| subjects(call.account, one).contains(subject);
    let like = |transactions, answer| Call { transactions, answer, ..*call };
    let Some((told, receipts)) = &call.answer else {
        let concerned = call.transactions.iter().filter(|one| concerned(one));
        return concerned.map(|one| like(vec![keep(call.account, one, subject).0], None)).collect();
    };
    let pairs = call.transactions.iter().zip(receipts).filter(|(one, _)| concerned(one));
    let kept: Vec<(Transaction, Receipt)> =
        pairs.filter_map(|(one, receipt)| keep_answered(call.account, one, receipt, subject)).collect();
    if kept.is_empty() {
        return Vec::new();
    }
    let (transactions, receipts) = kept.into_iter().unzip();
    vec![like(transactions, Some((*told, receipts)))]
}

fn keep_answered(
    sender: AccountId,
    transaction: &Transaction,
    receipt: &Receipt,
    subject: &Subject,
) -> Option<(Transaction, Receipt)> {
    match receipt {
        Ok(answers) => {
            let (kept, places) = keep(sender, transaction, subject);
            Some((kept, Ok(places.into_iter().map(|place| answers[place].clone()).collect())))
        }
        Err(refused) => {
            let alone = transaction.operations.len() == 1 && transaction.fee == Amount::ZERO;
            let by_this = match subject {
                Subject::Entry(_) => true,
                Subject::Balance(account) => *account == sender && matches!(refused.reason, Refusal::Overdraft { .. }),
            };
            (alone && by_this).then(|| (transaction.clone(), receipt.clone()))
        }
    }
}

/// The operations that concern the part, and where they stood. A fee is a matter of money.
fn keep(sender: AccountId, transaction: &Transaction, subject: &Subject) -> (Transaction, Vec<usize>) {
    let concerns = |place: &usize| of_operation(sender, &transaction.operations[*place]).contains(subject);
    let places: Vec<usize> = (0..transaction.operations.len()).filter(concerns).collect();
    let operations = places.iter().map(|place| transaction.operations[*place].clone()).collect();
    let fee = match subject {
        Subject::Entry(_) => Amount::ZERO,
        Subject::Balance(_) => transaction.fee,
    };
    (Transaction { fee, operations }, places)
}
