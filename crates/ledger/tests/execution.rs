//! What each operation does and refuses (rules L-2, L-4, L-5, L-6, L-7).

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets something else shall fail")]

mod world;

use bezant_ledger::{Item, Key, MAX_GRANTS};
use bezant_types::genesis::Parameters;
use bezant_types::transaction::{Answer, Condition, Refusal, Refused, SetAnswer};
use bezant_types::{AccountId, Amount, Operation, SequenceNumber, Timestamp, Transaction};
use world::*;

fn value(text: &str) -> Answer {
    Answer::Value(Some(text.into()))
}

#[test]
fn a_value_is_read_back_until_it_is_deleted() {
    let mut w = World::new();
    assert_eq!(w.one(ALICE, set("greeting", "hello")), Ok(Answer::Done));
    assert_eq!(w.one(BOB, get("greeting")), Ok(value("hello")));
    assert_eq!(w.one(BOB, Operation::Exists { key: b"greeting".into() }), Ok(Answer::Flag(true)));
    assert_eq!(w.one(BOB, Operation::Length { key: b"greeting".into() }), Ok(Answer::Integer(5)));
    assert_eq!(w.one(BOB, Operation::Owner { key: b"greeting".into() }), Ok(Answer::Owner(Some(ALICE.account()))));
    assert_eq!(w.one(BOB, Operation::Size), Ok(Answer::Integer(1)));
    assert_eq!(w.one(ALICE, delete("greeting")), Ok(Answer::Flag(true)));
    assert_eq!(w.one(ALICE, delete("greeting")), Ok(Answer::Flag(false)));
    assert_eq!(w.one(BOB, get("greeting")), Ok(Answer::Value(None)));
    assert_eq!(w.one(BOB, Operation::Exists { key: b"greeting".into() }), Ok(Answer::Flag(false)));
    assert_eq!(w.one(BOB, Operation::Length { key: b"greeting".into() }), Ok(Answer::Integer(0)));
    assert_eq!(w.one(BOB, Operation::Owner { key: b"greeting".into() }), Ok(Answer::Owner(None)));
    assert_eq!(w.one(BOB, Operation::Size), Ok(Answer::Integer(0)));
}

#[test]
fn what_was_written_is_read_the_same_before_and_after_a_checkpoint() {
    let mut w = World::new();
    w.one(ALICE, set("k", "1")).unwrap();
    w.checkpoint();
    assert_eq!(w.value("k"), Some(b"1".into()));
    w.one(ALICE, append("k", "2")).unwrap();
    assert_eq!(w.value("k"), Some(b"12".into()));
    w.one(ALICE, delete("k")).unwrap();
    assert_eq!(w.value("k"), None, "deleted over the tree");
    w.checkpoint();
    assert_eq!(w.value("k"), None);
}

#[test]
fn a_conditional_set_writes_only_if_its_condition_holds() {
    use Condition::{IfAbsent, IfPresent};
    use SetAnswer::{Previous, Written};
    let mut w = World::new();
    assert_eq!(w.one(ALICE, set_if("k", "1", IfPresent, Written)), Ok(Answer::NotDone));
    assert_eq!(w.value("k"), None);
    assert_eq!(w.one(ALICE, set_if("k", "1", IfAbsent, Written)), Ok(Answer::Done));
    assert_eq!(w.one(ALICE, set_if("k", "2", IfAbsent, Written)), Ok(Answer::NotDone));
    assert_eq!(w.one(ALICE, set_if("k", "2", IfAbsent, Previous)), Ok(value("1")));
    assert_eq!(w.value("k"), Some(b"1".into()));
    assert_eq!(w.one(ALICE, set_if("k", "3", IfPresent, Previous)), Ok(value("1")));
    assert_eq!(w.value("k"), Some(b"3".into()));
    assert_eq!(w.one(ALICE, set_if("new", "4", IfAbsent, Previous)), Ok(Answer::Value(None)));
    assert_eq!(w.value("new"), Some(b"4".into()));
}

#[test]
fn taking_answers_the_value_and_removes_it() {
    let mut w = World::new();
    assert_eq!(w.one(ALICE, take("k")), Ok(Answer::Value(None)));
    w.one(ALICE, set("k", "v")).unwrap();
    assert_eq!(w.one(ALICE, take("k")), Ok(value("v")));
    assert_eq!(w.value("k"), None);
}

#[test]
fn appending_lengthens_or_creates() {
    let mut w = World::new();
    assert_eq!(w.one(ALICE, append("k", "ab")), Ok(Answer::Integer(2)));
    assert_eq!(w.one(ALICE, append("k", "cde")), Ok(Answer::Integer(5)));
    assert_eq!(w.one(ALICE, append("k", "")), Ok(Answer::Integer(5)));
    assert_eq!(w.value("k"), Some(b"abcde".into()));
    assert_eq!(w.one(ALICE, append("empty", "")), Ok(Answer::Integer(0)));
    assert_eq!(w.value("empty"), Some(vec![]));
}

#[test]
fn adding_is_exact_or_refused() {
    let mut w = World::new();
    assert_eq!(w.one(ALICE, add("n", 5)), Ok(Answer::Integer(5)));
    assert_eq!(w.one(ALICE, add("n", -15)), Ok(Answer::Integer(-10)));
    assert_eq!(w.value("n"), Some(b"-10".into()));
    assert_eq!(w.one(ALICE, add("n", i64::MIN)), Err(Refusal::IntegerOverflow));
    w.one(ALICE, set("n", "9223372036854775807")).unwrap();
    assert_eq!(w.one(ALICE, add("n", 1)), Err(Refusal::IntegerOverflow));
    assert_eq!(w.one(ALICE, add("n", 0)), Ok(Answer::Integer(i64::MAX)));
    for text in ["", "abc", "+1", "01", "-0", " 1", "1.5", "9223372036854775808"] {
        w.one(ALICE, set("n", text)).unwrap();
        assert_eq!(w.one(ALICE, add("n", 1)), Err(Refusal::NotAnInteger), "{text:?}");
        assert_eq!(w.value("n"), Some(text.into()), "a refused operation changes nothing");
    }
}

#[test]
fn a_transaction_applies_wholly_or_not_at_all() {
    let mut w = World::new();
    w.all(ALICE, vec![set("a", "1"), set("gone", "x"), grant("a", BOB), set("n", "7")]).unwrap();
    for checkpointed in [false, true] {
        if checkpointed {
            w.checkpoint();
        }
        let before = w.ledger.clone();
        let refused = w.run(
            ALICE,
            vec![Transaction {
                fee: Amount::new(1),
                operations: vec![
                    append("a", "2"),
                    set("a", "3"),
                    append("a", "4"),
                    revoke("a", BOB),
                    grant("a", RITA),
                    delete("gone"),
                    set("gone", "again"),
                    set("new", "n"),
                    append("new", "n"),
                    delete("new"),
                    add("n", 1),
                    transfer(BOB.account(), 400),
                    transfer(BOB.account(), 601),
                ],
            }],
        );
        let overdraft = Refusal::Overdraft { balance: Amount::new(600), needed: Amount::new(601) };
        assert_eq!(refused, [Err(Refused { operation: 12, reason: overdraft })]);
        for key in [&b"a"[..], b"gone", b"new", b"n"].map(|key| Key::Entry(key.into())) {
            assert_eq!(w.ledger.get(&key), before.get(&key), "{key:?}");
        }
        for client in [ALICE, BOB].map(|client| Key::Account(client.account())) {
            assert_eq!(w.ledger.get(&client), before.get(&client));
        }
        assert_eq!(w.checkpoint().entries(), 3);
    }
}

#[test]
fn transactions_of_a_request_are_independent_and_see_those_before_them() {
    let mut w = World::new();
    let transactions = vec![
        Transaction::single(set("k", "1")),
        Transaction {
            fee: Amount::ZERO,
            operations: vec![set("k", "2"), add("text", 1), transfer(BOB.account(), 5000)],
        },
        Transaction::single(get("k")),
    ];
    let receipts = w.run(ALICE, transactions);
    assert_eq!(receipts[0], Ok(vec![Answer::Done]));
    assert_eq!(receipts[1].as_ref().unwrap_err().operation, 2);
    assert_eq!(receipts[2], Ok(vec![value("1")]));
}

#[test]
fn only_the_owner_and_whom_it_lets_write_an_entry() {
    let mut w = World::new();
    w.one(ALICE, set("k", "1")).unwrap();
    let not_yours = || Err(Refusal::NotYours { owner: ALICE.account() });
    let writes = [set("k", "2"), delete("k"), take("k"), append("k", "2"), add("k", 1)];
    for write in &writes {
        assert_eq!(w.one(BOB, write.clone()), not_yours(), "{write:?}");
        assert_eq!(w.value("k"), Some(b"1".into()));
    }
    assert_eq!(w.one(BOB, grant("k", BOB)), Err(Refusal::NotOwner { owner: ALICE.account() }));
    assert_eq!(w.one(ALICE, grant("k", BOB)), Ok(Answer::Flag(true)));
    assert_eq!(w.one(ALICE, grant("k", BOB)), Ok(Answer::Flag(false)));
    assert_eq!(w.one(BOB, add("k", 1)), Ok(Answer::Integer(2)));
    assert_eq!(w.one(BOB, Operation::Owner { key: b"k".into() }), Ok(Answer::Owner(Some(ALICE.account()))));
    assert_eq!(
        w.one(BOB, grant("k", RITA)),
        Err(Refusal::NotOwner { owner: ALICE.account() }),
        "a grant is not ownership"
    );
    assert_eq!(w.one(BOB, revoke("k", BOB)), Err(Refusal::NotOwner { owner: ALICE.account() }));
    assert_eq!(w.one(ALICE, revoke("k", BOB)), Ok(Answer::Flag(true)));
    assert_eq!(w.one(ALICE, revoke("k", BOB)), Ok(Answer::Flag(false)));
    assert_eq!(w.one(BOB, set("k", "2")), not_yours());
}

#[test]
fn a_condition_that_does_not_hold_needs_no_authority() {
    let mut w = World::new();
    w.one(ALICE, set("lock", "alice")).unwrap();
    let answer = w.one(BOB, set_if("lock", "bob", Condition::IfAbsent, SetAnswer::Written));
    assert_eq!(answer, Ok(Answer::NotDone));
    let answer = w.one(BOB, set_if("lock", "bob", Condition::IfPresent, SetAnswer::Written));
    assert_eq!(answer, Err(Refusal::NotYours { owner: ALICE.account() }));
}

#[test]
fn deleting_removes_owner_and_grants() {
    let mut w = World::new();
    w.all(ALICE, vec![set("k", "1"), grant("k", BOB)]).unwrap();
    w.one(BOB, delete("k")).unwrap();
    w.one(BOB, set("k", "2")).unwrap();
    assert_eq!(w.one(ALICE, Operation::Owner { key: b"k".into() }), Ok(Answer::Owner(Some(BOB.account()))));
    assert_eq!(w.one(ALICE, set("k", "3")), Err(Refusal::NotYours { owner: BOB.account() }));
}

#[test]
fn an_entry_has_at_most_so_many_grants_and_keeps_them_in_order() {
    let mut w = World::new();
    w.one(ALICE, set("k", "1")).unwrap();
    let to = |i: u8| Operation::Grant { key: b"k".into(), to: AccountId::new([i; 32]) };
    for i in (0..MAX_GRANTS as u8).rev() {
        assert_eq!(w.one(ALICE, to(i + 10)), Ok(Answer::Flag(true)));
    }
    assert_eq!(w.one(ALICE, to(200)), Err(Refusal::TooManyGrants { limit: 64 }));
    assert_eq!(w.one(ALICE, to(10)), Ok(Answer::Flag(false)), "what is there already needs no room");
    let Some(Item::Entry { grants, .. }) = w.ledger.get(&Key::Entry(b"k".into())) else { panic!("an entry") };
    assert!(grants.is_sorted() && grants.len() == MAX_GRANTS);
}

#[test]
fn grants_that_mean_nothing_are_refused_or_not_kept() {
    let mut w = World::new();
    assert_eq!(w.one(ALICE, grant("k", BOB)), Err(Refusal::NoSuchEntry));
    assert_eq!(w.one(ALICE, revoke("k", BOB)), Err(Refusal::NoSuchEntry));
    w.one(ALICE, set("k", "1")).unwrap();
    let to_fees = Operation::Grant { key: b"k".into(), to: AccountId::FEES };
    assert_eq!(w.one(ALICE, to_fees), Err(Refusal::ReservedAccount));
    assert_eq!(w.one(ALICE, grant("k", ALICE)), Ok(Answer::Flag(false)), "the owner may write anyway");
}

#[test]
fn money_moves_and_its_sum_does_not() {
    let mut w = World::new();
    assert_eq!(w.one(ALICE, transfer(BOB.account(), 300)), Ok(Answer::Done));
    assert_eq!((w.balance(ALICE.account()), w.balance(BOB.account())), (700, 300));
    assert_eq!(w.one(ALICE, transfer(ALICE.account(), 700)), Ok(Answer::Done), "to oneself");
    assert_eq!(w.balance(ALICE.account()), 700);
    assert_eq!(w.one(ALICE, transfer(BOB.account(), 0)), Ok(Answer::Done));
    assert!(w.ledger.supply_holds());
}

#[test]
fn an_overdraft_is_refused() {
    let mut w = World::new();
    let overdraft =
        |balance, needed| Err(Refusal::Overdraft { balance: Amount::new(balance), needed: Amount::new(needed) });
    assert_eq!(w.one(ALICE, transfer(BOB.account(), 1001)), overdraft(1000, 1001));
    assert_eq!(w.one(ALICE, transfer(ALICE.account(), 1001)), overdraft(1000, 1001));
    assert_eq!(w.one(BOB, transfer(ALICE.account(), u64::MAX)), overdraft(0, u64::MAX));
    assert_eq!(w.one(ALICE, transfer(AccountId::FEES, 1)), Err(Refusal::ReservedAccount));
    assert_eq!((w.balance(ALICE.account()), w.balance(BOB.account())), (1000, 0));
}

#[test]
fn an_empty_account_has_no_leaf() {
    let mut w = World::new();
    w.one(ALICE, transfer(BOB.account(), 1000)).unwrap();
    assert_eq!(w.checkpoint().get(&Key::Account(ALICE.account())), None);
    w.one(BOB, transfer(ALICE.account(), 1)).unwrap();
    assert_eq!(w.checkpoint().get(&Key::Account(ALICE.account())), Some(&Item::Balance(Amount::new(1))));
}

#[test]
fn a_fee_is_paid_exactly_if_its_transaction_applies() {
    let mut w = World::new();
    let receipts =
        w.run(ALICE, vec![with_fee(10, vec![set("k", "1")]), with_fee(10, vec![add("k", 1), grant("x", BOB)])]);
    assert!(receipts[0].is_ok() && receipts[1].is_err());
    assert_eq!((w.balance(ALICE.account()), w.balance(AccountId::FEES)), (990, 10));
    // The fee is due after the operations: what they spent is gone.
    let receipts = w.run(ALICE, vec![with_fee(10, vec![set("k", "2"), transfer(BOB.account(), 985)])]);
    let overdraft = Refusal::Overdraft { balance: Amount::new(5), needed: Amount::new(10) };
    assert_eq!(receipts, [Err(Refused { operation: 2, reason: overdraft })]);
    assert_eq!((w.balance(ALICE.account()), w.balance(BOB.account()), w.balance(AccountId::FEES)), (990, 0, 10));
    assert_eq!(w.value("k"), Some(b"1".into()));
}

#[test]
fn a_reader_reads_and_changes_nothing() {
    let mut w = World::new();
    w.all(ALICE, vec![set("k", "1"), grant("k", RITA)]).unwrap();
    assert_eq!(w.one(RITA, get("k")), Ok(value("1")));
    let writes = [set("k", "2"), delete("x"), take("k"), append("k", ""), add("k", 0), transfer(BOB.account(), 0)];
    for write in writes {
        let refused = w.all(RITA, vec![get("k"), write]).unwrap_err();
        assert_eq!(refused, Refused { operation: 1, reason: Refusal::ReadOnly });
    }
    let receipts = w.run(RITA, vec![with_fee(1, vec![get("k")])]);
    assert_eq!(receipts, [Err(Refused { operation: 1, reason: Refusal::ReadOnly })], "a fee is a change, too");
    assert_eq!(w.balance(RITA.account()), 50);
}

#[test]
fn a_stranger_gets_nothing_done_and_leaves_no_trace() {
    let mut w = World::new();
    let before = w.checkpoint();
    let request = w.request(MALLORY, 1, vec![Transaction::single(get("k")), Transaction::single(set("k", "1"))]);
    let execution = w.block(std::slice::from_ref(&request)).remove(0);
    assert!(!execution.fresh);
    assert!(
        receipts(&execution.outcome)
            .iter()
            .all(|receipt| receipt == &Err(Refused { operation: 0, reason: Refusal::ReadOnly }))
    );
    assert_eq!(w.ledger.kept(&request), None);
    assert_eq!(w.checkpoint().changes_since(&before), []);
}

#[test]
fn what_is_too_long_is_refused_by_its_length() {
    let mut w = World::new();
    let (long_key, long_value) = ("k".repeat(65), "v".repeat(4097));
    let too_long = || Err(Refusal::KeyTooLong { found: 65, limit: 64 });
    let key = || long_key.clone().into_bytes();
    let operations = [
        get(&long_key),
        set(&long_key, ""),
        delete(&long_key),
        take(&long_key),
        append(&long_key, ""),
        add(&long_key, 1),
        grant(&long_key, BOB),
        revoke(&long_key, BOB),
        Operation::Exists { key: key() },
        Operation::Length { key: key() },
        Operation::Owner { key: key() },
    ];
    for operation in operations {
        assert_eq!(w.one(ALICE, operation), too_long());
    }
    assert_eq!(w.one(ALICE, set("k", &long_value)), Err(Refusal::ValueTooLong { found: 4097, limit: 4096 }));
    assert_eq!(w.one(ALICE, append("k", &long_value)), Err(Refusal::ValueTooLong { found: 4097, limit: 4096 }));
    assert_eq!(w.one(ALICE, set(&long_key[1..], &long_value[1..])), Ok(Answer::Done));
    assert_eq!(w.one(ALICE, append(&long_key[1..], "v")), Err(Refusal::ValueTooLong { found: 4097, limit: 4096 }));
    assert_eq!(w.one(ALICE, set("", "empty keys are keys")), Ok(Answer::Done));
}

#[test]
fn a_sum_that_does_not_fit_the_shortest_values_is_refused() {
    let mut w = World::with(Parameters { max_value_bytes: 1, ..parameters() });
    assert_eq!(w.one(ALICE, add("n", 9)), Ok(Answer::Integer(9)));
    assert_eq!(w.one(ALICE, add("n", 1)), Err(Refusal::ValueTooLong { found: 2, limit: 1 }));
}

#[test]
fn a_full_ledger_refuses_to_grow_and_lets_shrink() {
    let mut w = World::new();
    let block = "x".repeat(4096);
    let full = Refusal::StateFull { limit: 1 << 20 };
    let mut written = 0;
    let refused = loop {
        match w.one(ALICE, set(&format!("k{written}"), &block)) {
            Ok(_) => written += 1,
            Err(refusal) => break refusal,
        }
    };
    assert_eq!(refused, full);
    assert!(written > 200, "{written} blocks of 4 KiB fit 1 MiB");
    assert!(w.checkpoint().bytes() <= (1 << 20) + 2000, "what is above the limit are recorded outcomes");
    w.one(ALICE, set("k0", &block[1..])).unwrap();
    let room = (1 << 20) - w.checkpoint().bytes();
    assert_eq!(w.one(ALICE, append("k1", &block)), Err(Refusal::ValueTooLong { found: 8192, limit: 4096 }));
    assert_eq!(w.one(ALICE, set("new", &"x".repeat(room as usize))), Err(full.clone()));
    // Paying somebody new needs a leaf, too; paying somebody known does not.
    w.one(ALICE, append("k0", "x")).unwrap();
    let needed = AccountId::new([7; 32]);
    while w.one(ALICE, add(&format!("fill{}", w.numbers), 1)).is_ok() {}
    assert_eq!(w.one(ALICE, transfer(needed, 1)), Err(full.clone()));
    assert_eq!(w.one(ALICE, transfer(RITA.account(), 1)), Ok(Answer::Done));
    assert_eq!(w.one(ALICE, grant("k0", BOB)), Err(full));
    assert_eq!(w.one(ALICE, delete("k0")), Ok(Answer::Flag(true)));
    assert_eq!(w.one(ALICE, set("fits", "again")), Ok(Answer::Done));
}

#[test]
fn a_ledger_is_filled_to_its_last_byte_and_no_further() {
    let limit = 1 << 20;
    let full = Refusal::StateFull { limit };
    let mut w = World::new();
    for size in [3000, 100] {
        while w.one(ALICE, set(&format!("k{}", w.numbers), &"x".repeat(size))).is_ok() {}
    }
    // To the byte, by replacing and by appending.
    let mut fill = |by: fn(&str) -> Operation| {
        w.one(ALICE, set("k1", "")).unwrap();
        w.one(ALICE, set("k1", &"x".repeat(1000))).unwrap();
        let room = usize::try_from(limit - w.checkpoint().bytes()).unwrap();
        assert_eq!(w.one(ALICE, by(&"x".repeat(room + 1))), Err(full.clone()), "a byte too many");
        let room = usize::try_from(limit - w.checkpoint().bytes()).unwrap();
        assert!(w.one(ALICE, by(&"x".repeat(room))).is_ok(), "what fits exactly");
    };
    fill(|more| set("k1", &["x".repeat(1000).as_str(), more].concat()));
    fill(|more| append("k1", more));
    // Bob's first outcome is recorded whatever there is room for. What grows nothing is as good as before.
    let length = w.value("k1").unwrap().len();
    assert!(w.checkpoint().bytes() > limit, "above the limit");
    assert_eq!(w.one(ALICE, set("k1", &"y".repeat(length))), Ok(Answer::Done));
    assert_eq!(w.one(ALICE, append("k1", "")), Ok(Answer::Integer(length as i64)));
    assert_eq!(w.one(ALICE, append("k1", "y")), Err(full.clone()));
    assert_eq!(w.one(ALICE, set("k1", &"y".repeat(length + 1))), Err(full));
}

#[test]
fn answers_that_do_not_fit_a_reply_are_refused_one_transaction_at_a_time() {
    let mut w = World::new();
    w.one(ALICE, set("k", &"x".repeat(4096))).unwrap();
    let receipts = w.run(BOB, (0..40).map(|_| Transaction::single(get("k"))).collect());
    let refused = Err(Refused { operation: 0, reason: Refusal::AnswerTooLarge { limit: 128 << 10 } });
    let fitting = (128 << 10) / (4096 + 6);
    assert!(receipts[..fitting].iter().all(Result::is_ok));
    assert!(receipts[fitting..].iter().all(|receipt| receipt == &refused));
    // As large as it may be, to the byte.
    let left = (128 << 10) - fitting * (4096 + 6);
    for (more, fits) in [(0, true), (1, false)] {
        w.one(ALICE, set("rest", &"x".repeat(left - 6 + more))).unwrap();
        let all = (0..fitting).map(|_| Transaction::single(get("k"))).chain([Transaction::single(get("rest"))]);
        assert_eq!(w.run(BOB, all.collect()).iter().all(Result::is_ok), fits, "{left} bytes and {more}");
    }
    // A refused transaction's answers are not given, so they take no room.
    let greedy = Transaction { fee: Amount::ZERO, operations: vec![get("k"); 40] };
    let receipts = w.run(BOB, vec![greedy, Transaction::single(get("k"))]);
    assert!(receipts[0].is_err() && receipts[1].is_ok());
    // Nothing is removed whose value could not be told.
    let mut operations = vec![get("k"); fitting];
    operations.push(take("k"));
    assert!(w.all(ALICE, operations).is_err());
    assert!(w.value("k").is_some());
}

#[test]
fn the_ledgers_time_never_runs_backwards() {
    let mut w = World::new();
    w.ledger.execute(next(1), Timestamp::new(500), &[]);
    w.ledger.execute(next(2), Timestamp::new(400), &[]);
    assert_eq!(w.ledger.timestamp(), Timestamp::new(500));
    w.ledger.execute(next(3), Timestamp::MAX, &[]);
    assert_eq!(w.ledger.timestamp(), Timestamp::MAX);
}

#[test]
fn the_height_is_that_of_the_block() {
    let mut w = World::new();
    w.block(&[]);
    assert_eq!(w.one(ALICE, Operation::Height), Ok(Answer::Height(SequenceNumber::new(2))));
    assert_eq!(w.ledger.height(), SequenceNumber::new(2));
}

#[test]
#[should_panic(expected = "block 2 was to be executed after block 0")]
fn a_gap_is_not_executed() {
    World::new().ledger.execute(next(2), Timestamp::ZERO, &[]);
}

#[test]
#[should_panic(expected = "block 1 was to be executed after block 1")]
fn a_block_is_not_executed_twice() {
    let mut w = World::new();
    w.block(&[]);
    w.ledger.execute(next(1), Timestamp::ZERO, &[]);
}
