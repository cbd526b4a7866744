//! Linearizable histories, and others.

use bezant_types::transaction::{Answer, Condition, Outcome, Refusal, Refused, SetAnswer};
use bezant_types::{Amount, Bundle, Operation, RequestNumber, Transaction};

use crate::network::{LIAR, Trial, add, answered, block, client_key, delivered, get, outcome, request, signed_request};

fn set(key: &str, value: &str) -> Operation {
    let (condition, answer) = (Condition::Always, SetAnswer::Written);
    Operation::Set { key: key.into(), value: value.into(), condition, answer }
}

fn value(text: &str) -> Answer {
    Answer::Value(Some(text.into()))
}

/// A history in the making: requests get numbers by themselves.
struct History {
    trial: Trial,
    numbers: u64,
}

impl History {
    fn new() -> Self {
        Self { trial: Trial::of("linearizable"), numbers: 0 }
    }

    /// A client asks. The number is what the answer is given for.
    fn asks(&mut self, client: usize, operation: Operation) -> u64 {
        self.numbers += 1;
        self.trial.asks(client, &request(client, self.numbers, operation));
        self.numbers
    }

    fn told(&mut self, client: usize, number: u64, told: &Outcome) {
        self.trial.accepts(answered(client, number, told));
    }

    /// Asked, and answered at once.
    fn does(&mut self, client: usize, operation: Operation, answer: Answer) {
        let number = self.asks(client, operation);
        self.told(client, number, &outcome(answer));
    }

    #[track_caller]
    fn is_linearizable(&mut self) {
        self.trial.accepts_the_end();
    }

    #[track_caller]
    fn is_not_linearizable(&mut self) {
        self.trial.refuses_the_end("no single copy");
    }
}

#[test]
fn one_after_the_other_is_linearizable() {
    let mut history = History::new();
    history.does(0, set("k", "1"), Answer::Done);
    history.does(0, add("k", 2), Answer::Integer(3));
    history.does(1, get("k"), value("3"));
    history.does(0, Operation::Append { key: "k".into(), suffix: "0".into() }, Answer::Integer(2));
    history.does(1, Operation::Length { key: "k".into() }, Answer::Integer(2));
    history.does(1, Operation::Owner { key: "k".into() }, Answer::Owner(Some(client_key(0).account())));
    history.does(0, Operation::Delete { key: "k".into() }, Answer::Flag(true));
    history.does(1, Operation::Exists { key: "k".into() }, Answer::Flag(false));
    history.does(1, add("k", 5), Answer::Integer(5));
    history.does(1, Operation::Take { key: "k".into() }, value("5"));
    history.does(1, Operation::Size, Answer::Integer(77));
    history.is_linearizable();
}

#[test]
fn what_overlaps_may_take_effect_in_either_order() {
    let mut history = History::new();
    let writing = history.asks(0, set("k", "1"));
    history.does(1, get("k"), Answer::Value(None));
    history.does(1, get("k"), value("1"));
    history.told(0, writing, &outcome(Answer::Done));
    let sums: Vec<_> = (0..2).map(|client| history.asks(client, add("sum", 1))).collect();
    history.does(0, get("k"), value("1"));
    history.told(1, sums[1], &Outcome::Executed(vec![Err(not_yours(0))]));
    history.told(0, sums[0], &outcome(Answer::Integer(1)));
    history.is_linearizable();
}

fn not_yours(owner: usize) -> Refused {
    Refused { operation: 0, reason: Refusal::NotYours { owner: client_key(owner).account() } }
}

#[test]
fn what_was_not_answered_may_have_happened_or_not() {
    for seen in [Answer::Value(None), value("1")] {
        let mut history = History::new();
        history.asks(0, set("k", "1"));
        history.does(1, get("k"), Answer::Value(None));
        history.does(1, get("k"), seen);
        history.is_linearizable();
    }
    let mut expired = History::new();
    let number = expired.asks(0, add("k", 1));
    expired.told(0, number, &Outcome::Expired);
    expired.does(0, add("k", 1), Answer::Integer(2));
    expired.is_linearizable();
}

#[test]
fn what_no_single_copy_could_have_said_is_a_crime() {
    let mut lost = History::new();
    lost.does(0, set("k", "1"), Answer::Done);
    lost.does(0, get("k"), Answer::Value(None));
    lost.is_not_linearizable();

    let mut stale = History::new();
    stale.does(0, set("k", "1"), Answer::Done);
    stale.does(0, set("k", "2"), Answer::Done);
    stale.does(1, get("k"), value("1"));
    stale.is_not_linearizable();

    let mut undone = History::new();
    let writing = undone.asks(0, set("k", "1"));
    undone.does(1, get("k"), value("1"));
    undone.does(1, get("k"), Answer::Value(None));
    undone.told(0, writing, &outcome(Answer::Done));
    undone.is_not_linearizable();

    let mut twice = History::new();
    twice.does(0, add("k", 1), Answer::Integer(1));
    twice.does(0, add("k", 1), Answer::Integer(3));
    twice.is_not_linearizable();

    let mut stolen = History::new();
    stolen.does(0, set("k", "1"), Answer::Done);
    stolen.does(1, set("k", "2"), Answer::Done);
    stolen.is_not_linearizable();

    let mut refused = History::new();
    let number = refused.asks(0, set("k", "1"));
    refused.told(0, number, &Outcome::Executed(vec![Err(not_yours(1))]));
    refused.is_not_linearizable();

    let mut from_nowhere = History::new();
    from_nowhere.does(0, get("k"), value("1"));
    from_nowhere.asks(0, set("k", "1"));
    from_nowhere.is_not_linearizable();
}

#[test]
fn money_moves_and_is_not_made() {
    let (rich, poor) = (client_key(0).account(), client_key(1).account());
    let pay = |to, amount| Operation::Transfer { to, amount: Amount::new(amount) };
    let balance = |account| Operation::Balance { account };
    let overdraft = |balance, needed| {
        let reason = Refusal::Overdraft { balance: Amount::new(balance), needed: Amount::new(needed) };
        Outcome::Executed(vec![Err(Refused { operation: 0, reason })])
    };
    let mut history = History::new();
    history.does(0, pay(poor, 60), Answer::Done);
    history.does(1, balance(rich), Answer::Balance(Amount::new(40)));
    let number = history.asks(0, pay(poor, 41));
    history.told(0, number, &overdraft(40, 41));
    history.does(1, pay(rich, 10), Answer::Done);
    history.does(1, balance(poor), Answer::Balance(Amount::new(50)));
    history.is_linearizable();

    let mut made = History::new();
    made.does(0, pay(poor, 60), Answer::Done);
    made.does(1, balance(rich), Answer::Balance(Amount::new(100)));
    made.is_not_linearizable();
    let mut overdrawn = History::new();
    overdrawn.does(0, pay(poor, 60), Answer::Done);
    overdrawn.does(0, pay(poor, 60), Answer::Done);
    overdrawn.is_not_linearizable();
}

/// A request is one step, however much it does; and of a transaction all happens or nothing.
#[test]
fn a_request_of_several_operations_is_one_step() {
    let transaction = |operations| Transaction { fee: Amount::ZERO, operations };
    let bundle = Bundle {
        number: RequestNumber::new(1),
        transactions: vec![
            transaction(vec![add("a", 1), add("b", 1)]),
            transaction(vec![add("a", 1), set("b", "x"), add("b", 1)]),
        ],
    };
    let told = |sum| {
        let failed = Refused { operation: 2, reason: Refusal::NotAnInteger };
        Outcome::Executed(vec![Ok(vec![Answer::Integer(sum), Answer::Integer(1)]), Err(failed)])
    };
    for (sum, seen, fits) in [(1, "1", true), (2, "1", false), (1, "2", false)] {
        let mut history = History { trial: Trial::of("linearizable"), numbers: 1 };
        history.trial.asks(0, &signed_request(0, 0, bundle.clone()));
        history.told(0, 1, &told(sum));
        history.does(1, get("a"), value(seen));
        history.does(1, get("b"), value("1"));
        if fits { history.is_linearizable() } else { history.is_not_linearizable() }
    }
}

#[test]
fn what_a_lying_client_touched_is_not_judged() {
    let mut trial = Trial::with_lying_client("linearizable");
    trial.asks(0, &request(0, 1, get("k"))).asks(0, &request(0, 2, get("other")));
    trial.accepts(answered(0, 1, &outcome(value("the liar's"))));
    trial.accepts(delivered(0, &block(1, &[request(LIAR, 1, set("k", "x"))]))).accepts_the_end();
    trial.accepts(answered(0, 2, &outcome(value("from nowhere")))).refuses_the_end("no single copy");
}

/// Thousands of requests on few entries, each of which overlaps with others.
#[test]
fn a_long_history_is_judged_quickly() {
    let mut history = History::new();
    for round in 1..3_000 {
        let adding = [0, 1].map(|client| history.asks(client, add(&format!("sum {client}"), 1)));
        let before = if round == 1 { Answer::Value(None) } else { value(&(round - 1).to_string()) };
        history.does(0, get("sum 1"), before);
        for client in [0, 1] {
            history.told(client, adding[client], &outcome(Answer::Integer(round)));
        }
    }
    history.is_linearizable();
    history.does(1, get("sum 0"), value("1"));
    history.is_not_linearizable();
}

/// What goes wrong in a crowd.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// A read of an entry is answered with what the entry held long before.
    OldValue,
    /// Money that nobody paid is seen.
    Money,
}

/// Thousands of requests, thirty at once, which are executed in another order than they were asked in. Each is about an
/// entry and about money, so that no group is smaller than the whole.
fn crowd(blocks_are_shown: bool, wrong: Wrong) -> History {
    const ROUNDS: i64 = 100;
    const PAIRS: i64 = 15;
    let (rich, poor) = (client_key(0).account(), client_key(1).account());
    let pay = |to, amount| Operation::Transfer { to, amount: Amount::new(amount) };
    let mut history = History::new();
    for round in 1..=ROUNDS {
        // In the block the last comes first, and each reader behind the writer that was asked before it.
        let mut requests = Vec::new();
        for pair in 0..PAIRS {
            let key = format!("k{pair}");
            let paid = (PAIRS - pair).unsigned_abs();
            let old = wrong == Wrong::OldValue && (round, pair) == (ROUNDS / 2, 7);
            let made = wrong == Wrong::Money && (round, pair) == (ROUNDS / 2, 7);
            let seen = Answer::Value(Some((if old { round - 5 } else { round }).to_string().into_bytes()));
            let balance = Answer::Balance(Amount::new(if made { 1_000 } else { paid }));
            let writes = (0, [add(&key, 1), pay(poor, 1)], [Answer::Integer(round), Answer::Done]);
            let reads = (1, [get(&key), Operation::Balance { account: poor }], [seen, balance]);
            for (client, operations, answers) in [writes, reads] {
                history.numbers += 1;
                let number = RequestNumber::new(history.numbers);
                let bundle = Bundle { number, transactions: operations.map(Transaction::single).to_vec() };
                let request = signed_request(client, client, bundle);
                history.trial.asks(client, &request);
                requests.push((client, request, Outcome::Executed(answers.map(|one| Ok(vec![one])).to_vec())));
            }
        }
        let order: Vec<_> = requests.chunks(2).rev().flatten().map(|(_, request, _)| request.clone()).collect();
        if blocks_are_shown {
            history.trial.accepts(delivered(0, &block(2 * round.unsigned_abs(), &order)));
        }
        for (client, request, told) in &requests {
            history.told(*client, request.number().get(), told);
        }
        let back = request(1, history.numbers + 1, pay(rich, PAIRS.unsigned_abs()));
        history.numbers += 1;
        history.trial.asks(1, &back);
        if blocks_are_shown {
            history.trial.accepts(delivered(0, &block(2 * round.unsigned_abs() + 1, &[back])));
        }
        history.told(1, history.numbers, &outcome(Answer::Done));
    }
    history
}

#[test]
fn a_crowd_is_judged_by_the_order_of_the_blocks() {
    crowd(true, Wrong::Nothing).is_linearizable();
}

#[test]
fn in_a_crowd_one_old_value_or_one_wrong_balance_is_found() {
    for blocks_are_shown in [true, false] {
        crowd(blocks_are_shown, Wrong::OldValue).is_not_linearizable();
        crowd(blocks_are_shown, Wrong::Money).is_not_linearizable();
    }
}

/// Without the blocks there are too many orders to try.
#[test]
fn what_was_not_decided_does_not_pass() {
    crowd(false, Wrong::Nothing).trial.refuses_the_end("undecided");
}

/// Each entry by itself was read without a fault. That both are written in one step shows in the whole only.
#[test]
fn what_is_wrong_in_the_whole_only_is_a_crime() {
    for (seen, fits) in [(value("1"), true), (Answer::Value(None), false)] {
        let mut history = History { trial: Trial::of("linearizable"), numbers: 1 };
        let transactions = vec![Transaction { fee: Amount::ZERO, operations: vec![set("a", "1"), set("b", "1")] }];
        let bundle = Bundle { number: RequestNumber::new(1), transactions };
        history.trial.asks(0, &signed_request(0, 0, bundle));
        history.does(1, get("a"), value("1"));
        history.does(1, get("b"), seen);
        history.told(0, 1, &Outcome::Executed(vec![Ok(vec![Answer::Done, Answer::Done])]));
        if fits { history.is_linearizable() } else { history.is_not_linearizable() }
    }
}

/// Blocks are a guess. An order that explains all values is none if it goes against time, and if the blocks' order is
/// wrong another one may be right.
#[test]
fn the_order_of_the_blocks_is_not_believed() {
    let (writing, reading) = (request(0, 1, set("k", "1")), request(1, 2, get("k")));
    let order = [reading.clone(), writing.clone()];
    let nothing = Answer::Value(None);
    let cases =
        [(true, nothing.clone(), true), (true, value("1"), true), (false, value("1"), true), (false, nothing, false)];
    for (overlap, seen, fits) in cases {
        let mut history = History::new();
        history.trial.asks(0, &writing);
        if overlap {
            history.trial.asks(1, &reading);
        }
        history.trial.accepts(delivered(0, &block(1, &order)));
        history.told(0, 1, &outcome(Answer::Done));
        if !overlap {
            history.trial.asks(1, &reading);
        }
        history.told(1, 2, &outcome(seen));
        if fits { history.is_linearizable() } else { history.is_not_linearizable() }
    }
}

#[test]
fn an_answer_that_does_not_fit_its_request_is_a_crime() {
    for told in [Vec::new(), vec![Ok(Vec::new())], vec![Ok(vec![value("1"), value("1")])]] {
        let mut history = History::new();
        let number = history.asks(0, get("k"));
        history.told(0, number, &Outcome::Executed(told));
        history.is_not_linearizable();
    }
}
