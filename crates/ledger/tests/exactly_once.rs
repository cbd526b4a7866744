//! The window of request numbers (rule L-3; hazards 69, 72, 73, 74, 75).

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets something else shall fail")]

mod world;

use std::slice;

use bezant_ledger::{Kept, Ledger};
use bezant_types::{Outcome, RequestNumber, Transaction};
use world::*;

fn increment(w: &World, number: u64) -> bezant_types::Request {
    w.request(ALICE, number, vec![Transaction::single(add("n", 1))])
}

fn count(w: &World) -> i64 {
    match w.ledger.get(&bezant_ledger::Key::Entry(b"n".into())) {
        None => 0,
        Some(bezant_ledger::Item::Entry { value, .. }) => String::from_utf8(value.clone()).unwrap().parse().unwrap(),
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_request_that_comes_again_is_answered_and_not_executed() {
    let mut w = World::new();
    let request = increment(&w, 5);
    assert_eq!(w.ledger.kept(&request), None);
    let first = w.block(slice::from_ref(&request)).remove(0);
    assert!(first.fresh);
    for checkpointed in [false, true] {
        if checkpointed {
            w.checkpoint();
        }
        let again = w.block(slice::from_ref(&request)).remove(0);
        assert!(!again.fresh);
        assert_eq!(again.outcome, first.outcome);
        assert_eq!(w.ledger.kept(&request), Some(first.outcome.clone()));
    }
    assert_eq!(count(&w), 1);
}

#[test]
fn a_request_twice_in_one_block_is_executed_once() {
    let mut w = World::new();
    let request = increment(&w, 5);
    let both = w.block(&[request.clone(), request]);
    assert_eq!((both[0].fresh, both[1].fresh), (true, false));
    assert_eq!(both[0].outcome, both[1].outcome);
    assert_eq!(count(&w), 1);
}

#[test]
fn requests_within_the_window_are_executed_in_any_order() {
    for order in [[9, 3, 15, 0, 7], [0, 3, 7, 9, 15], [15, 9, 7, 3, 0]] {
        let mut w = World::new();
        let requests = order.map(|number| increment(&w, number));
        assert!(w.block(&requests).iter().all(|execution| execution.fresh));
        assert_eq!(count(&w), 5);
    }
}

#[test]
fn a_number_for_another_request_is_refused_and_the_first_stands() {
    let mut w = World::new();
    let (first, second) = (increment(&w, 5), w.request(ALICE, 5, vec![Transaction::single(add("n", 100))]));
    let executions = w.block(&[first.clone(), second.clone(), first]);
    assert_eq!(*executions[1].outcome, Outcome::NumberReused);
    assert!(!executions[1].fresh);
    assert_eq!(executions[2].outcome, executions[0].outcome);
    assert_eq!(w.ledger.kept(&second).as_deref(), Some(&Outcome::NumberReused));
    assert_eq!(count(&w), 1);
}

#[test]
fn a_number_that_left_the_window_is_expired() {
    let mut w = World::new();
    let (old, new) = (increment(&w, 5), increment(&w, 5 + 16));
    w.block(&[old.clone(), new]);
    assert_eq!(w.ledger.kept(&old).as_deref(), Some(&Outcome::Expired));
    assert_eq!(*w.block(&[old, increment(&w, 21 - 16)]).remove(0).outcome, Outcome::Expired);
    assert_eq!(count(&w), 2);
    // A number that was never used, but whose slot has moved on, is as dead.
    w.block(&[increment(&w, 6 + 16)]);
    assert_eq!(*w.block(&[increment(&w, 6)]).remove(0).outcome, Outcome::Expired);
}

#[test]
fn the_last_number_spoils_one_slot_of_its_client_and_nothing_else() {
    let mut w = World::new();
    assert!(w.block(&[increment(&w, u64::MAX)])[0].fresh);
    assert_eq!(*w.block(&[increment(&w, 15)])[0].outcome, Outcome::Expired, "u64::MAX mod 16 is 15");
    assert!(w.block(&[increment(&w, 14)])[0].fresh);
    let bobs = w.request(BOB, 15, vec![Transaction::single(set("b", "1"))]);
    assert!(w.block(&[bobs])[0].fresh);
}

#[test]
fn a_request_of_which_everything_was_refused_is_recorded_too() {
    let mut w = World::new();
    let request = w.request(ALICE, 1, vec![Transaction::single(transfer(BOB.account(), 5000))]);
    let first = w.block(slice::from_ref(&request)).remove(0);
    assert!(first.fresh);
    // Later it would succeed, but it was executed once, and once is all.
    let rich = w.request(ALICE, 2, vec![Transaction::single(set("k", "v"))]);
    w.block(&[rich]);
    assert_eq!(w.block(slice::from_ref(&request))[0].outcome, first.outcome);
    assert_eq!(w.ledger.kept(&request), Some(first.outcome));
}

#[test]
fn an_outcome_too_large_to_keep_is_remembered_by_its_digest() {
    let mut w = World::new();
    w.one(ALICE, set("k", &"x".repeat(4096))).unwrap();
    let request = |w: &World, number, reads: usize| {
        w.request(BOB, number, (0..reads).map(|_| Transaction::single(get("k"))).collect())
    };
    let (small, large) = (request(&w, 1, 15), request(&w, 2, 17));
    let executions = w.block(&[small.clone(), large.clone()]);
    assert_eq!(w.ledger.kept(&small), Some(executions[0].outcome.clone()));
    let outcome = executions[1].outcome.digest();
    assert_eq!(w.ledger.kept(&large).as_deref(), Some(&Outcome::NotKept { outcome }));
    assert_eq!(*w.block(&[large])[0].outcome, Outcome::NotKept { outcome });
    assert_eq!(Kept::of(&executions[1].outcome), Kept::Digest(outcome));
}

#[test]
fn a_replica_that_was_restored_knows_what_was_executed() {
    let mut w = World::new();
    let request = increment(&w, 5);
    let first = w.block(slice::from_ref(&request)).remove(0);
    let state = w.checkpoint();
    w.ledger = Ledger::from_state(&w.genesis, state).unwrap();
    let again = w.block(slice::from_ref(&request)).remove(0);
    assert_eq!((again.fresh, &again.outcome), (false, &first.outcome));
    assert_eq!(count(&w), 1);
}

#[test]
fn a_client_never_takes_more_than_its_window() {
    let mut w = World::new();
    w.block(&(0..16).map(|number| increment(&w, number)).collect::<Vec<_>>());
    let leaves = |w: &mut World| w.checkpoint().items().count();
    let full = leaves(&mut w);
    for round in 1..5 {
        let requests: Vec<_> = (0..16).map(|number| increment(&w, round * 16 + number)).collect();
        w.block(&requests);
        assert_eq!(leaves(&mut w), full);
    }
    assert_eq!(w.ledger.kept(&increment(&w, RequestNumber::ZERO.get())).as_deref(), Some(&Outcome::Expired));
}
