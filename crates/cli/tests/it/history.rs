//! What clients did and saw, and whether one copy could have done it: judged by the Wing-Gong-Lowe checker of
//! `todc-utils`, which knows nothing of this project.
//!
//! An operation that was not answered may have been executed at any later time, or never. It is recorded as answered
//! after everything else, when nobody looks any more: executed then or never makes no difference to anybody. A read
//! without an answer says nothing and is left out.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use todc_utils::{Action, History as Checked, Specification, WGLChecker};

/// What can be done to one key, with what was seen of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Writes a number.
    Set(i64),
    /// Reads; what was read.
    Get(Option<i64>),
    /// Adds one; the sum, if it was told.
    Increment(Option<i64>),
}

/// One key of a single copy.
struct Register;

impl Specification for Register {
    type State = Option<i64>;
    type Operation = Operation;

    fn init() -> Self::State {
        None
    }

    fn apply(operation: &Operation, state: &Self::State) -> (bool, Self::State) {
        match operation {
            Operation::Set(value) => (true, Some(*value)),
            Operation::Get(seen) => (seen == state, *state),
            Operation::Increment(sum) => {
                let next = state.unwrap_or(0) + 1;
                (sum.is_none_or(|sum| sum == next), Some(next))
            }
        }
    }
}

#[derive(Clone, Debug)]
struct Entry {
    key: String,
    operation: Operation,
    called: usize,
    /// `usize::MAX` if it was never answered.
    answered: usize,
}

/// What all clients did, in the order in which they saw it.
#[derive(Debug, Default)]
pub(crate) struct History {
    clock: AtomicUsize,
    entries: Mutex<Vec<Entry>>,
}

impl History {
    /// The moment before an operation is sent.
    pub(crate) fn now(&self) -> usize {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// An operation was answered just now, with what it says.
    pub(crate) fn answered(&self, key: &str, operation: Operation, called: usize) {
        let answered = self.now();
        self.entries.lock().unwrap().push(Entry { key: key.into(), operation, called, answered });
    }

    /// An operation will never be answered.
    pub(crate) fn unanswered(&self, key: &str, operation: Operation, called: usize) {
        if !matches!(operation, Operation::Get(_)) {
            let entry = Entry { key: key.into(), operation, called, answered: usize::MAX };
            self.entries.lock().unwrap().push(entry);
        }
    }

    /// How many operations were answered so far.
    pub(crate) fn answers(&self) -> usize {
        self.entries.lock().unwrap().iter().filter(|entry| entry.answered != usize::MAX).count()
    }

    /// How many increments of `key` were answered, and how many were not.
    pub(crate) fn increments(&self, key: &str) -> (i64, i64) {
        let entries = self.entries.lock().unwrap();
        let of_key = entries.iter().filter(|one| one.key == key && matches!(one.operation, Operation::Increment(_)));
        let (answered, not): (Vec<_>, Vec<_>) = of_key.partition(|one| one.answered != usize::MAX);
        (i64::try_from(answered.len()).unwrap(), i64::try_from(not.len()).unwrap())
    }

    /// Panics unless, key by key, one copy could have given these answers.
    pub(crate) fn check(&self) {
        let mut keys: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for entry in self.entries.lock().unwrap().iter() {
            keys.entry(entry.key.clone()).or_default().push(entry.clone());
        }
        assert!(!keys.is_empty(), "nothing was recorded");
        for (key, entries) in keys {
            assert!(is_linearizable(&entries), "no single copy could have given the answers about {key}: {entries:#?}");
        }
    }
}

fn is_linearizable(entries: &[Entry]) -> bool {
    let mut actions = Vec::with_capacity(2 * entries.len());
    for (process, entry) in entries.iter().enumerate() {
        actions.push((entry.called, (process, Action::Call(entry.operation))));
        actions.push((entry.answered, (process, Action::Response(entry.operation))));
    }
    actions.sort_by_key(|(moment, _)| *moment);
    WGLChecker::<Register>::is_linearizable(Checked::from_actions(
        actions.into_iter().map(|(_, action)| action).collect(),
    ))
}

fn judged(script: &[(Operation, usize, usize)]) -> bool {
    let entry = |(operation, called, answered): &(Operation, usize, usize)| Entry {
        key: "k".into(),
        operation: *operation,
        called: *called,
        answered: *answered,
    };
    is_linearizable(&script.iter().map(entry).collect::<Vec<_>>())
}

#[test]
fn the_checker_accepts_what_one_copy_could_have_done() {
    use Operation::{Get, Increment, Set};
    assert!(judged(&[(Set(1), 0, 1), (Get(Some(1)), 2, 3)]));
    assert!(
        judged(&[(Set(1), 0, 5), (Get(None), 1, 2), (Get(Some(1)), 3, 4)]),
        "a write takes effect while it is under way"
    );
    assert!(judged(&[(Set(1), 0, usize::MAX), (Get(None), 1, 2), (Get(None), 3, 4)]), "unanswered, and never executed");
    assert!(
        judged(&[(Set(1), 0, usize::MAX), (Get(None), 1, 2), (Get(Some(1)), 3, 4)]),
        "unanswered, and executed later"
    );
    assert!(judged(&[(Increment(Some(1)), 0, 1), (Increment(None), 2, usize::MAX), (Increment(Some(3)), 3, 4)]));
}

#[test]
fn the_checker_refuses_what_no_single_copy_could_have_done() {
    use Operation::{Get, Increment, Set};
    assert!(!judged(&[(Set(1), 0, 1), (Get(None), 2, 3)]), "an acknowledged write is lost");
    assert!(!judged(&[(Set(1), 0, 1), (Set(2), 2, 3), (Get(Some(1)), 4, 5)]), "a stale read");
    assert!(!judged(&[(Set(1), 0, 5), (Get(Some(1)), 1, 2), (Get(None), 3, 4)]), "a write is undone");
    assert!(!judged(&[(Increment(Some(1)), 0, 1), (Increment(Some(3)), 2, 3)]), "an increment is executed twice");
    assert!(!judged(&[(Increment(Some(1)), 0, 1), (Increment(Some(1)), 2, 3)]), "an increment is lost");
}
