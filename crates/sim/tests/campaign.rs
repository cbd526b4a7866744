//! A short campaign of random worlds, in every run of the tests. `BEZANT_SEEDS` says how many; `bezant sim` runs long
//! ones.

use bezant_sim::campaign::campaign;
use bezant_sim::draw::{Family, Plan, draw};
use bezant_sim::scenario::Span;

fn plan(replicas: u16, faults: Vec<Family>, seconds: u64) -> Plan {
    let (run, pause) = (Span::millis(seconds * 1_000), Span::millis(1_000));
    Plan { replicas, clients: 4, run, pause, faults, adversaries: Vec::new() }
}

fn seeds(usual: u64) -> u64 {
    std::env::var("BEZANT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// No world fails, and they are no empty worlds.
fn pass(plan: &Plan, first: u64, count: u64) {
    let summary = campaign(plan, first, count, 2, 1, |_| {});
    if let Some((seed, failure)) = summary.failures.first() {
        panic!("seed {seed} fails with {failure:?}; this is its scenario:\n{}", draw(plan, *seed));
    }
    assert_eq!(summary.worlds, count);
    assert!(summary.answered >= 10 * count, "{} answers in {count} worlds", summary.answered);
}

#[test]
fn worlds_without_faults_pass_in_their_first_view() {
    let summary = campaign(&plan(4, Vec::new(), 40), 1, 4, 2, 1, |_| {});
    assert_eq!((summary.failures, summary.highest_view), (Vec::new(), 0));
}

#[test]
fn four_replicas_survive_everything_at_once() {
    let all = Family::ALL.iter().map(|(family, ..)| *family).collect();
    pass(&plan(4, all, 60), 10_000, seeds(16));
}

#[test]
fn seven_replicas_survive_everything_at_once() {
    let all = Family::ALL.iter().map(|(family, ..)| *family).collect();
    pass(&plan(7, all, 40), 20_000, seeds(3));
}

#[test]
fn five_replicas_survive_crashes_and_partitions() {
    pass(&plan(5, vec![Family::Crashes, Family::Partitions, Family::Network], 40), 30_000, seeds(3));
}
