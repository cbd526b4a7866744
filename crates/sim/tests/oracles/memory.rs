//! Bounded memory.

use bezant_sim::sight::Sight;
use bezant_types::transaction::Answer;

use crate::network::{
    Trial, WINDOW, change, digest, executed, execution, get, id, is_stable, outcome, request, view_change,
};

fn weighed(items: u64, log_bytes: u64) -> Sight<'static> {
    Sight::Weighed { replica: id(1), items: usize::try_from(items).unwrap(), log_bytes }
}

/// Three clients may each have a window of sixteen requests that come again.
const ALWAYS: u64 = 2 * WINDOW + 3 * 16;

#[test]
fn a_window_of_slots_and_blocks_and_what_was_asked_are_explained() {
    let mut trial = Trial::of("bounded-memory");
    let one = request(0, 1, get("k"));
    trial.boots(1, 0).accepts(weighed(ALWAYS, 12 << 20)).asks(0, &one).accepts(weighed(ALWAYS + 1, 12 << 20));
    let executions = [execution(&one, outcome(Answer::Value(None)), true)];
    // Another has executed it: here it still waits.
    trial.accepts(executed(0, 1, &executions, None)).accepts(weighed(ALWAYS + 1, 0));
    // After a restart from an old state there are slots up to a window above the checkpoint that it knew.
    trial.accepts(is_stable(1, 8, digest(8))).boots(1, 4).accepts(weighed(ALWAYS + 4, 0));
}

#[test]
fn what_nobody_asked_for_is_not_explained() {
    let mut trial = Trial::of("bounded-memory");
    trial.boots(1, 0).refuses(weighed(ALWAYS + 1, 0), "are explained");
    let one = request(0, 1, get("k"));
    let executions = [execution(&one, outcome(Answer::Value(None)), true)];
    let mut executed_here = Trial::of("bounded-memory");
    executed_here.asks(0, &one).accepts(executed(1, 1, &executions, None)).refuses(weighed(ALWAYS + 1, 0), "explained");
    // A flooding client fills its quota, and no more.
    let mut flooded = Trial::with_lying_client("bounded-memory");
    flooded.accepts(weighed((32 << 20) / 121, 0)).refuses(weighed((32 << 20) / 121 + ALWAYS, 0), "are explained");
}

#[test]
fn a_log_that_is_not_begun_anew_is_a_crime() {
    let mut trial = Trial::of("bounded-memory");
    trial.boots(1, 0).asks(0, &request(0, 1, get("k"))).accepts(weighed(0, 12 << 20));
    trial.refuses(weighed(0, 13 << 20), "the log of replica 1");
    // Views that come to nothing cost something each.
    for view in 1..100 {
        trial.says(1, &view_change(1, change(view, None, vec![])));
    }
    trial.accepts(weighed(0, 13 << 20)).accepts(is_stable(1, 4, digest(4))).refuses(weighed(0, 13 << 20), "the log");
}
