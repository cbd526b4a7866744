//! Scenarios as text: read, refused with what would be right, printed, drawn and shortened.
#![allow(clippy::unwrap_used, missing_docs, reason = "tests")]

use bezant_sim::campaign::run;
use bezant_sim::draw::{Family, Plan, draw, stabilises};
use bezant_sim::minimise::minimise;
use bezant_sim::scenario::{Damage, Expectation, FIRST_LINE, Flow, Kind, Scenario, Span, Step, Weather};
use bezant_sim::world::Failure;
use bezant_types::Committee;

/// What is wrong with a scenario of these lines.
fn complaint(lines: &str) -> String {
    format!("{FIRST_LINE}\n{lines}").parse::<Scenario>().unwrap_err().to_string()
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_with_what_would_be_right() {
    for (lines, line, right) in [
        ("sing", 2, "none of seed, replicas, clients"),
        ("seed 1\n\n# a comment\nreplicas four", 5, "`four` is not a number of replicas"),
        ("seed", 2, "a seed is missing"),
        ("run 10", 2, "write 250us, 10ms, 3s or 2m"),
        ("run 99999999999999999m", 2, "too long"),
        ("at soon heal", 2, "`soon` is no time"),
        ("at 1s explode", 2, "`explode` is nothing that can happen"),
        ("at 1s", 2, "what happens is missing"),
        ("at 1s cut 0 1", 2, "write `cut 0 1 from 2 3`"),
        ("at 1s delay commit 300ms", 2, "write `delay commit from 0 by 300ms`"),
        ("at 1s delay commit by soon", 2, "`soon` is no time"),
        ("at 1s lose commits", 2, "`commits` is one word too many"),
        ("at 1s crash", 2, "a replica is missing"),
        ("at 1s crash 1 nicely", 2, "`nicely` is one word too many"),
        ("at 1s crash-after-sync 1", 2, "how many of a thousand"),
        ("at 1s jump 1 far", 2, "`far` is not milliseconds"),
        ("seed 1\nat 1s crash 4", 3, "there is no"),
        ("traitor 7 silent", 2, "there is no replica 7: there are 4"),
        ("traitor 1", 2, "the name of an adversary is missing"),
        ("twin 4", 2, "there is no replica 4"),
        ("network 1ms", 2, "a time is missing"),
        ("network 1ms 2ms snow 3", 2, "none of loss, duplicates, bandwidth"),
        ("expect peace", 2, "none of answered, view, later-than"),
        ("expect view", 2, "a view is missing"),
        ("expect served-within 5", 2, "write 250us, 10ms, 3s or 2m"),
        ("expect seen", 2, "a word of the trace is missing"),
        ("heal heal", 2, "`heal` is none of"),
    ] {
        let told = complaint(lines);
        assert!(told.starts_with(&format!("line {line}: ")) && told.contains(right), "{lines:?}: {told}");
    }
    let told = "at 1s heal".parse::<Scenario>().unwrap_err().to_string();
    assert_eq!(told, format!("line 1: the first line must be `{FIRST_LINE}`"));
}

/// What cannot be known before the world is made is the world's to refuse, in a sentence.
#[test]
fn a_world_refuses_names_that_there_are_not() {
    for (lines, right) in [
        ("traitor 1 polite", "choose one of silent, "),
        ("corrupted-client polite", "choose one of "),
        ("parameter weight 3", "there is no parameter `weight`"),
        ("parameter window 8\nparameter checkpoint-interval 8", "window"),
        ("at 1s ask 5 get k", "there is no client 5"),
        ("at 1s ask 0 sing", "none of set K V, get K"),
    ] {
        let scenario: Scenario = format!("{FIRST_LINE}\n{lines}").parse().unwrap();
        let failure = run(&scenario, false).failure;
        let Some((_, Failure::Nonsense(told))) = failure else { panic!("{lines:?}: {failure:?}") };
        assert!(told.contains(right), "{lines:?}: {told}");
    }
}

/// One of each kind of step. Each is made after another kind, so that a new kind has no way around this list.
fn one_of_each() -> Vec<Step> {
    let flow = Flow { kinds: vec![Kind::Commit, Kind::NewView], from: vec![0], to: vec![1, 2] };
    let mut steps = vec![Step::Cut(vec![0, 1], vec![2, 3])];
    while let Some(next) = match steps.last().unwrap() {
        Step::Cut(..) => Some(Step::Lose(Flow::default())),
        Step::Lose(_) => Some(Step::Delay(flow.clone(), Span::millis(300))),
        Step::Delay(..) => Some(Step::Heal),
        Step::Heal => Some(Step::Crash(1, Damage::Loses)),
        Step::Crash(..) => Some(Step::CrashAtWrite(2, 7, Damage::Tears)),
        Step::CrashAtWrite(..) => Some(Step::CrashAfterSync(3, 500)),
        Step::CrashAfterSync(..) => Some(Step::PowerFailure(Damage::Keeps)),
        Step::PowerFailure(_) => Some(Step::Restart(1)),
        Step::Restart(_) => Some(Step::Recover(2)),
        Step::Recover(_) => Some(Step::Replace(3)),
        Step::Replace(_) => Some(Step::FillDisk(0, 4_000)),
        Step::FillDisk(..) => Some(Step::FailSync(1, 3)),
        Step::FailSync(..) => Some(Step::SlowSync(2, Span::micros(1_500))),
        Step::SlowSync(..) => Some(Step::SlowExecution(3, Span::millis(60_000))),
        Step::SlowExecution(..) => Some(Step::Jump(0, -250)),
        Step::Jump(..) => Some(Step::Drift(1, -40_000)),
        Step::Drift(..) => Some(Step::Ask(0, vec!["transfer".into(), "0".into(), "5".into()])),
        Step::Ask(..) => Some(Step::Stabilise),
        Step::Stabilise => None,
    } {
        steps.push(next);
    }
    steps
}

#[test]
fn every_step_and_every_expectation_is_read_as_it_was_printed() {
    let mut scenario = Scenario::quiet(7, 4, 2, Span::millis(90_000));
    scenario.comment = vec!["What it shows.".into(), "Hazards: 1".into()];
    scenario.traitors = vec![(1, "silent".into())];
    scenario.twins = vec![2];
    scenario.corrupted_clients = vec!["lying".into()];
    scenario.rest = Some(Span::millis(9_000));
    scenario.parameters = vec![("window".into(), 16)];
    scenario.network = Weather { loss: 3, duplicates: 4, bandwidth: Some(50_000), ..Weather::FAIR };
    scenario.pause = Some(Span::millis(250));
    scenario.steps = (0..).map(|nth| Span::millis(nth * 10)).zip(one_of_each()).collect();
    let words = || vec!["r1".into(), "says".into(), "*".into()];
    scenario.expectations = vec![
        Expectation::Answered,
        Expectation::View(3),
        Expectation::LaterThan(2),
        Expectation::Accused(1),
        Expectation::NobodyAccused,
        Expectation::Height(12),
        Expectation::Violated("agreement".into()),
        Expectation::Halted(0),
        Expectation::ServedWithin(Span::millis(1_500)),
        Expectation::Seen(words()),
        Expectation::Unseen(words()),
    ];
    assert_eq!(scenario.to_string().parse(), Ok(scenario.clone()), "{scenario}");
    assert_eq!(scenario.steps.len(), 19);
}

#[test]
fn steps_are_taken_in_order_of_time_and_of_lines() {
    let text = format!("{FIRST_LINE}\nat 2s heal\nat 1s crash 0\nat 1s restart 0\n");
    let scenario: Scenario = text.parse().unwrap();
    let steps: Vec<String> = scenario.steps.iter().map(|(at, step)| format!("{at} {step}")).collect();
    assert_eq!(steps, ["1s crash 0 loses", "1s restart 0", "2s heal"]);
}

/// What the trace says can be expected, with and without somebody who reads it.
#[test]
fn expectations_hold_whether_or_not_a_trace_is_kept() {
    let world = |expectation: &str| {
        let text = format!("{FIRST_LINE}\nat 10ms ask 0 set k v\nrun 1s\nexpect {expectation}\n");
        let scenario: Scenario = text.parse().unwrap();
        [true, false].map(|trace| run(&scenario, trace).failure.map(|(_, failure)| failure))
    };
    for holds in ["seen r2 says prepare v0 n1", "seen prepare v0 n1 * by 2", "unseen r0 says prepare", "height 1"] {
        assert_eq!(world(holds), [None, None], "{holds}");
    }
    for fails in ["unseen r2 says prepare v0 n1", "seen r0 says prepare", "served-within 1ms", "height 9", "view 1"] {
        let [with, without] = world(fails);
        assert!(matches!(with, Some(Failure::Unexpected(_))), "{fails}: {with:?}");
        assert_eq!(with, without);
    }
}

/// A crash and one piece of work are to blame; everything else that happens is not.
#[test]
fn a_scenario_that_fails_is_shortened_to_what_makes_it_fail() {
    let text = format!(
        "{FIRST_LINE}\nclients 3\ntraitor 3 replaying\nparameter window 64\nnetwork 1ms 5ms loss 5 duplicates 20\n\
         at 5ms delay checkpoint from 2 by 20ms\nat 10ms ask 0 set k v\nat 20ms slow-execution 2 1ms\n\
         at 25ms jump 1 200\nat 30ms slow-sync 3 1ms\nat 400ms crash 0\nat 450ms ask 1 set l w\n\
         at 500ms drift 2 100\nat 600ms slow-sync 1 2ms\nat 700ms jump 2 -100\nat 900ms slow-execution 1 1ms\n\
         at 5s heal\nrun 8s\nexpect view 0\n"
    );
    let scenario: Scenario = text.parse().unwrap();
    let mut told = 0;
    let shortest = minimise(&scenario, 500, |_, _| told += 1).unwrap();
    let steps: Vec<String> = shortest.scenario.steps.iter().map(|(at, step)| format!("{at} {step}")).collect();
    assert_eq!(steps, ["10ms ask 0 set k v", "400ms crash 0 loses"], "{}", shortest.scenario);
    assert!(shortest.scenario.traitors.is_empty() && shortest.scenario.parameters.is_empty());
    assert_eq!(shortest.scenario.network, Weather::FAIR);
    assert!(matches!(&shortest.failure, Failure::Unexpected(text) if text.contains("not 0")), "{:?}", shortest.failure);
    assert!(told > 0 && shortest.worlds <= 500);
    assert_eq!(run(&shortest.scenario, false).failure.map(|(_, failure)| failure), Some(shortest.failure));
}

#[test]
fn a_scenario_that_passes_is_not_shortened() {
    let scenario = Scenario::quiet(1, 4, 1, Span::millis(1_000));
    assert!(minimise(&scenario, 10, |_, _| ()).is_none());
}

fn plan(replicas: u16, faults: Vec<Family>) -> Plan {
    let (run, pause) = (Span::millis(120_000), Span::millis(1_000));
    Plan { replicas, clients: 3, run, pause, faults, adversaries: Vec::new() }
}

fn all_families() -> Vec<Family> {
    Family::ALL.iter().map(|(family, ..)| *family).collect()
}

/// At most f members are corrupted or lose their disk, every step names somebody who is there, and at the end the
/// network is stable. What is drawn can be printed and read again.
#[test]
fn what_is_drawn_stays_within_the_model() {
    for seed in 0..600 {
        let plan = plan([4, 5, 7, 10][seed as usize % 4], all_families());
        let scenario = draw(&plan, seed);
        assert_eq!(draw(&plan, seed), scenario, "seed {seed}");
        assert_eq!(scenario.to_string().parse(), Ok(scenario.clone()), "seed {seed}");
        let mut bad: Vec<u16> = scenario.traitors.iter().map(|(one, _)| *one).chain(scenario.twins.clone()).collect();
        bad.extend(scenario.steps.iter().filter_map(|(_, step)| match step {
            Step::Replace(one) | Step::Recover(one) => Some(*one),
            Step::Cut(..) | Step::Lose(_) | Step::Delay(..) | Step::Heal | Step::PowerFailure(_) | Step::Restart(_) => {
                None
            }
            Step::Crash(..) | Step::CrashAtWrite(..) | Step::CrashAfterSync(..) | Step::FillDisk(..) => None,
            Step::FailSync(..) | Step::SlowSync(..) | Step::SlowExecution(..) | Step::Jump(..) => None,
            Step::Drift(..) | Step::Ask(..) | Step::Stabilise => None,
        }));
        bad.sort_unstable();
        bad.dedup();
        let f = Committee::new(usize::from(plan.replicas)).map_or(0, Committee::max_faulty);
        assert!(bad.len() <= f, "seed {seed}: {bad:?} are more than {f}");
        let calm = stabilises(plan.run);
        assert_eq!(scenario.steps.last(), Some(&(calm, Step::Stabilise)), "seed {seed}");
        assert!(scenario.steps.is_sorted_by_key(|(at, _)| *at) && calm < plan.run, "seed {seed}");
    }
}

#[test]
fn seeds_draw_different_worlds_and_all_that_is_allowed_comes_up() {
    let scenarios: Vec<Scenario> = (0..400).map(|seed| draw(&plan(4, all_families()), seed)).collect();
    assert!(scenarios.windows(2).all(|pair| pair[0].steps != pair[1].steps));
    let happens = |what: fn(&Step) -> bool| scenarios.iter().any(|one| one.steps.iter().any(|(_, step)| what(step)));
    assert!(happens(|step| matches!(step, Step::Replace(_))) && happens(|step| matches!(step, Step::PowerFailure(_))));
    assert!(happens(|step| matches!(step, Step::Cut(..))) && happens(|step| matches!(step, Step::Jump(..))));
    assert!(scenarios.iter().any(|one| !one.twins.is_empty()));
    assert!(scenarios.iter().any(|one| !one.corrupted_clients.is_empty()));
    let drawn: std::collections::BTreeSet<_> =
        scenarios.iter().flat_map(|one| &one.traitors).map(|(_, name)| name.as_str()).collect();
    assert_eq!(drawn, bezant_sim::adversary::names().into_iter().collect());
}

#[test]
fn without_faults_nothing_goes_wrong() {
    let scenario = draw(&plan(4, Vec::new()), 5);
    assert_eq!(scenario.steps, [(stabilises(Span::millis(120_000)), Step::Stabilise)]);
    assert_eq!((scenario.network, scenario.traitors.len(), scenario.twins.len()), (Weather::FAIR, 0, 0));
}
