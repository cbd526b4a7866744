//! Small histories drawn at random, judged by every way there is and by trying all orders.

use bezant_types::transaction::{Answer, Refusal, Refused};
use bezant_types::{Amount, Operation};

use super::*;
use crate::dice::Dice;

const CLIENTS: u64 = 2;
/// How many bytes a value has at most.
const LONGEST: u64 = 4;

fn account(client: u64) -> AccountId {
    AccountId::new([client as u8; 32])
}

fn balances() -> BTreeMap<AccountId, u64> {
    (0..CLIENTS).map(|client| (account(client), 2)).collect()
}

fn operation(dice: &mut Dice) -> Operation {
    let key = vec![b'a' + dice.below(2) as u8];
    let account = account(dice.below(CLIENTS));
    match dice.below(6) {
        0 | 1 => Operation::Get { key },
        2 | 3 => Operation::Add { key, delta: 1 },
        4 => Operation::Transfer { to: account, amount: Amount::new(2) },
        _ => Operation::Balance { account },
    }
}

/// What an operation may come to.
fn receipts() -> Vec<Receipt> {
    let numbers = 1..6;
    let refused = |reason| Err(Refused { operation: 0, reason });
    let mut receipts: Vec<Receipt> = numbers.clone().map(|sum| Ok(vec![Answer::Integer(sum)])).collect();
    receipts.extend(numbers.map(|number| Ok(vec![Answer::Value(Some(number.to_string().into_bytes()))])));
    receipts.extend([0, 2, 4].map(|balance| Ok(vec![Answer::Balance(Amount::new(balance))])));
    receipts.extend((0..CLIENTS).map(|one| refused(Refusal::NotYours { owner: account(one) })));
    receipts.push(refused(Refusal::Overdraft { balance: Amount::ZERO, needed: Amount::new(2) }));
    receipts.extend([Ok(vec![Answer::Value(None)]), Ok(vec![Answer::Done])]);
    receipts
}

/// Executes a request on a true copy, and says what it came to.
fn execute(truth: &mut Model, call: &Call) -> Vec<Receipt> {
    let all = receipts();
    let mut one = |transaction: &Transaction| {
        let fits = |receipt: &&Receipt| {
            let alone = std::slice::from_ref(transaction);
            truth.clone().execute(call.account, call.role, alone, Some(std::slice::from_ref(*receipt)))
        };
        let receipt = all.iter().find(fits).cloned().unwrap_or_else(|| Ok(Vec::new()));
        truth.execute(call.account, call.role, std::slice::from_ref(transaction), None);
        receipt
    };
    call.transactions.iter().map(&mut one).collect()
}

/// Up to eight requests, executed when they are asked or when they are answered. One in five is not answered, and of
/// the answers a few are lies.
fn history(dice: &mut Dice) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut waiting: Vec<(usize, Option<Vec<Receipt>>)> = Vec::new();
    let mut truth = Model::new(balances(), LONGEST);
    let count = dice.between(3, 8) as usize;
    for clock in 1.. {
        if !waiting.is_empty() && (calls.len() == count || dice.below(2) == 0) {
            let (one, known) = waiting.swap_remove(dice.below(waiting.len() as u64) as usize);
            let mut receipts = known.unwrap_or_else(|| execute(&mut truth, &calls[one]));
            if dice.below(12) == 0 {
                receipts[0] = dice.pick(&self::receipts()).cloned().unwrap_or_else(|| Ok(Vec::new()));
            }
            calls[one].answer = (dice.below(5) > 0).then_some((clock, receipts));
        } else if calls.len() < count {
            let client = dice.below(CLIENTS);
            let transactions = (0..dice.between(1, 2)).map(|_| Transaction::single(operation(dice))).collect();
            let call = Call {
                client: ClientIndex(client as usize),
                account: account(client),
                role: Role::Write,
                number: RequestNumber::new(clock as u64),
                transactions,
                asked: clock,
                answer: None,
            };
            let known = (dice.below(2) == 0).then(|| execute(&mut truth, &call));
            waiting.push((calls.len(), known));
            calls.push(call);
        } else {
            break;
        }
    }
    calls
}

/// Whether any order at all explains the answers.
fn some_order_explains(left: &[&Call], model: &Model) -> bool {
    let first_answer = left.iter().filter_map(|call| call.answer.as_ref().map(|(told, _)| *told)).min();
    let Some(first_answer) = first_answer else { return true };
    (0..left.len()).filter(|one| left[*one].asked < first_answer).any(|one| {
        let (call, mut next, mut rest) = (left[one], model.clone(), left.to_vec());
        rest.remove(one);
        next.execute(call.account, call.role, &call.transactions, call.told()) && some_order_explains(&rest, &next)
    })
}

#[test]
fn what_is_decided_is_what_trying_all_orders_decides() {
    let (mut dice, mut fitting, mut by_parts, mut refused) = (Dice::new(1), 0, 0, 0);
    for _ in 0..10_000 {
        let calls = history(&mut dice);
        let calls: Vec<&Call> = calls.iter().collect();
        let first = Model::new(balances(), LONGEST);
        let explained = some_order_explains(&calls, &first);
        assert_eq!(search(&calls, first.clone()).is_ok(), explained, "{calls:#?}");
        if calls.iter().any(|call| !call.is_answered_in_full()) {
            continue;
        }
        let parts = parts::parts(&calls, &first);
        let part_fails =
            parts.into_iter().any(|(part, first)| search(&part.iter().collect::<Vec<_>>(), first).is_err());
        assert!(!(part_fails && explained), "{calls:#?}");
        fitting += usize::from(explained);
        by_parts += usize::from(part_fails);
        refused += usize::from(!explained);
    }
    // All three are put to the test: what fits, what does not, and what does not although each part does.
    assert!(fitting > 1_000 && by_parts > 1_000 && refused > by_parts + 20, "{fitting} {by_parts} {refused}");
}

#[test]
fn a_value_is_never_longer_than_it_may_be() {
    let append = |suffix: &[u8]| Transaction::single(Operation::Append { key: b"a".to_vec(), suffix: suffix.to_vec() });
    let told = |suffix: &[u8], receipt: Receipt| {
        let mut model = Model::new(balances(), LONGEST);
        model.execute(account(0), Role::Write, &[append(b"abc")], None);
        model.execute(account(0), Role::Write, &[append(suffix)], Some(&[receipt]))
    };
    let too_long = || Err(Refused { operation: 0, reason: Refusal::ValueTooLong { found: 5, limit: LONGEST } });
    assert!(told(b"d", Ok(vec![Answer::Integer(4)])) && !told(b"d", too_long()));
    assert!(told(b"de", too_long()) && !told(b"de", Ok(vec![Answer::Integer(5)])));
}
