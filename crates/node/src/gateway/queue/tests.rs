//! Claims about what goes into which bundle, and whose receipts are whose.

use bezant_types::AccountId;
use bezant_types::codec::encoded_len;
use bezant_types::transaction::{Condition, SetAnswer};

use super::*;

const LIMITS: BundleLimits = BundleLimits { bytes: 4096, operations: 8, answer_bytes: 2048 };

fn get(key: &str) -> (Transaction, OrderSize) {
    order(Operation::Get { key: key.into() }, 1)
}

fn set(key: &str) -> (Transaction, OrderSize) {
    let (condition, answer) = (Condition::Always, SetAnswer::Written);
    order(Operation::Set { key: key.into(), value: b"v".to_vec(), condition, answer }, 0)
}

fn take(key: &str) -> (Transaction, OrderSize) {
    order(Operation::Take { key: key.into() }, 1)
}

fn order(operation: Operation, values: usize) -> (Transaction, OrderSize) {
    let transaction = Transaction::single(operation);
    let size = OrderSize { bytes: encoded_len(&transaction), operations: 1, values };
    (transaction, size)
}

fn name(transaction: &Transaction) -> String {
    match &transaction.operations[..] {
        [Operation::Get { key } | Operation::Set { key, .. } | Operation::Take { key }] => {
            String::from_utf8(key.clone()).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn names(bundle: &Bundled) -> Vec<String> {
    bundle.transactions.iter().map(name).collect()
}

fn value(length: usize) -> Receipt {
    Ok(vec![Answer::Value(Some(vec![0; length]))])
}

fn full() -> Receipt {
    Err(Refused { operation: 0, reason: Refusal::AnswerTooLarge { limit: 2048 } })
}

fn done() -> Receipt {
    Ok(vec![Answer::Done])
}

/// A queue, and the moment at which everything happens.
struct World {
    queue: Queue,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self { queue: Queue::new(LIMITS), now: Instant::now() }
    }

    fn push(&mut self, orders: Vec<(Transaction, OrderSize)>) -> oneshot::Receiver<Settled> {
        self.push_again(VecDeque::from(orders).into())
    }

    fn push_again(&mut self, wanted: Wanted) -> oneshot::Receiver<Settled> {
        let (group, settled) = Group::new(wanted, self.now);
        self.queue.push(group);
        settled
    }

    #[track_caller]
    fn bundle(&mut self, expected: &[&str]) -> Vec<Part> {
        let bundle = self.queue.take().expect("something waits");
        assert_eq!(names(&bundle), expected);
        bundle.parts
    }

    fn settle(&mut self, parts: Vec<Part>, receipts: Vec<Receipt>) {
        self.queue.settle(parts, Ok(receipts));
    }
}

/// The verdicts on a whole group.
#[track_caller]
fn verdicts(receiver: &mut oneshot::Receiver<Settled>) -> Vec<Verdict> {
    let settled = receiver.try_recv().expect("all verdicts are there");
    assert!(settled.rest.orders.is_empty());
    settled.verdicts
}

#[tokio::test]
async fn groups_share_a_bundle_and_each_gets_its_own_receipts() {
    let mut world = World::new();
    let mut one = world.push(vec![get("a"), set("b")]);
    let mut two = world.push(vec![get("c")]);
    assert_eq!(world.queue.commands(), 3);
    let parts = world.bundle(&["a", "b", "c"]);
    assert_eq!(world.queue.commands(), 0);
    assert!(world.queue.take().is_none());
    world.settle(parts, vec![value(1), done(), value(3)]);
    assert_eq!(verdicts(&mut one), [Ok(value(1)), Ok(done())]);
    assert_eq!(verdicts(&mut two), [Ok(value(3))]);
}

#[tokio::test]
async fn a_group_that_does_not_fit_goes_on_only_when_its_first_part_is_answered() {
    let mut world = World::new();
    let all = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let mut one = world.push(all.iter().map(|key| set(key)).collect());
    let mut two = world.push(vec![get("x")]);
    let first = world.bundle(&all[..8]);
    // The other connection's command need not wait; the rest of the pipeline must.
    let second = world.bundle(&["x"]);
    assert!(world.queue.take().is_none());
    world.settle(second, vec![value(1)]);
    assert_eq!(verdicts(&mut two).len(), 1);
    assert!(one.try_recv().is_err());
    world.settle(first, vec![done(); 8]);
    let Settled { verdicts: eight, rest } = one.try_recv().unwrap();
    assert_eq!(eight.len(), 8);
    assert!(world.queue.take().is_none(), "the client has to take the replies first");
    let mut one = world.push_again(rest);
    let rest = world.bundle(&all[8..]);
    world.settle(rest, vec![done(); 2]);
    assert_eq!(verdicts(&mut one).len(), 2);
}

#[tokio::test]
async fn bytes_bound_a_bundle_but_never_keep_a_command_out_for_ever() {
    let mut world = World::new();
    let long = "k".repeat(3000);
    let _one = world.push(vec![set(&long)]);
    let _two = world.push(vec![set(&long)]);
    world.bundle(&[&long]);
    world.bundle(&[&long]);
    let longer = "k".repeat(5000);
    let _three = world.push(vec![set(&longer)]);
    world.bundle(&[&longer]);
}

#[tokio::test]
async fn a_failed_bundle_fails_its_groups_and_sends_nothing_after_it() {
    let mut world = World::new();
    let all: Vec<_> = (0..9).map(|i| set(&i.to_string())).collect();
    let mut one = world.push(all);
    let parts = world.bundle(&["0", "1", "2", "3", "4", "5", "6", "7"]);
    let failure = Failure::Submit(SubmitError::NoQuorum { waited: Duration::ZERO, replies: 0, needed: 2 });
    world.queue.settle(parts, Err(failure.clone()));
    let found = verdicts(&mut one);
    assert_eq!(found[..8], vec![Err(failure); 8]);
    assert_eq!(found[8..], [Err(Failure::HeldBack)]);
    assert_eq!(world.queue.commands(), 0);
}

#[tokio::test]
async fn receipts_that_do_not_match_the_bundle_are_nobodys() {
    let mut world = World::new();
    for receipts in [vec![], vec![done()], vec![done(); 3]] {
        let mut one = world.push(vec![set("a"), set("b")]);
        let parts = world.bundle(&["a", "b"]);
        world.settle(parts, receipts);
        assert_eq!(verdicts(&mut one), vec![Err(Failure::Malformed); 2]);
    }
}

#[tokio::test]
async fn reads_that_found_no_room_are_sent_again_by_themselves() {
    let mut world = World::new();
    let mut one = world.push(vec![get("a"), get("b")]);
    let mut two = world.push(vec![get("c"), get("d"), take("e")]);
    let parts = world.bundle(&["a", "b", "c", "d", "e"]);
    world.settle(parts, vec![value(900), value(900), full(), value(4), full()]);
    assert_eq!(verdicts(&mut one), [Ok(value(900)), Ok(value(900))]);
    let Settled { verdicts: none, rest } = two.try_recv().unwrap();
    assert_eq!(none, []);
    let _before = world.push(vec![get("x")]);
    let mut two = world.push_again(rest);
    let _after = world.push(vec![get("y")]);
    world.bundle(&["x"]);
    // In order, the answered one too: it is read again after what precedes it. What is bet on a value keeps `e` out.
    let parts = world.bundle(&["c", "d"]);
    world.settle(parts, vec![value(900), value(900)]);
    let Settled { verdicts: both, rest } = two.try_recv().unwrap();
    assert_eq!(both, [Ok(value(900)), Ok(value(900))]);
    world.bundle(&["y"]);
    let mut two = world.push_again(rest);
    let parts = world.bundle(&["e"]);
    world.settle(parts, vec![value(900)]);
    assert_eq!(verdicts(&mut two), [Ok(value(900))]);
}

#[tokio::test]
async fn a_refused_read_before_a_write_that_was_done_is_not_sent_again() {
    let mut world = World::new();
    let _one = world.push(vec![get("a")]);
    let mut two = world.push(vec![get("b"), set("b")]);
    let parts = world.bundle(&["a", "b", "b"]);
    world.settle(parts, vec![value(2000), full(), done()]);
    assert_eq!(verdicts(&mut two), [Ok(full()), Ok(done())], "it would see the value that was set after it");
}

#[tokio::test]
async fn a_command_that_finds_no_room_alone_is_refused_for_good() {
    let mut world = World::new();
    let mut one = world.push(vec![get("a"), get("b")]);
    let parts = world.bundle(&["a", "b"]);
    world.settle(parts, vec![full(), full()]);
    let Settled { verdicts: first, rest } = one.try_recv().unwrap();
    assert_eq!(first, [Ok(full())]);
    let mut one = world.push_again(rest);
    let parts = world.bundle(&["b"]);
    world.settle(parts, vec![full()]);
    assert_eq!(verdicts(&mut one), [Ok(full())]);
    assert_eq!(world.queue.commands(), 0);
}

#[tokio::test]
async fn large_values_make_small_bundles_and_small_ones_large_bundles_again() {
    let mut world = World::new();
    let keys = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let push = |world: &mut World| keys.map(|key| world.push(vec![get(key)]));
    let _first = push(&mut world);
    let parts = world.bundle(&keys);
    world.settle(parts, vec![value(900); 8]);
    let _second = push(&mut world);
    world.bundle(&keys[..2]);
    world.bundle(&keys[2..4]);
    for _ in 0..40 {
        world.queue.learn(&[value(1)]);
    }
    world.bundle(&keys[4..]);
}

#[tokio::test]
async fn what_waits_too_long_is_answered_and_not_sent() {
    let mut world = World::new();
    let mut one = world.push(vec![get("a"), get("b")]);
    world.now += Duration::from_secs(1);
    let mut two = world.push(vec![get("c")]);
    let waited = Duration::from_secs(5);
    let first = world.queue.oldest().unwrap();
    assert_eq!(world.queue.expire(first - Duration::from_millis(1), waited), 0);
    assert_eq!(world.queue.expire(first, waited), 2);
    assert_eq!(verdicts(&mut one), vec![Err(Failure::NotSent { waited }); 2]);
    assert!(two.try_recv().is_err());
    world.bundle(&["c"]);
}

#[tokio::test]
async fn nothing_is_sent_for_a_connection_that_is_gone() {
    let mut world = World::new();
    drop(world.push(vec![set("a"), set("b")]));
    let _two = world.push(vec![set("c")]);
    world.bundle(&["c"]);
    assert_eq!(world.queue.commands(), 0);
}

#[test]
fn an_account_operation_is_copied_only_if_it_may_be_sent_again() {
    let size = |values| OrderSize { values, ..OrderSize::default() };
    let account = AccountId::new([1; 32]);
    assert!(may_be_sent_again(&Transaction::single(Operation::Balance { account }), &size(0)));
    assert!(may_be_sent_again(&take("k").0, &size(1)));
    assert!(!may_be_sent_again(&set("k").0, &size(0)));
}
