//! Many worlds, on all cores.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::draw::{Plan, draw};
use crate::scenario::Scenario;
use crate::trace::Trace;
use crate::world::{Failure, Report, World};

/// How many of the last lines of a failing world are kept.
const LAST_LINES: usize = 200;

/// Runs a scenario to its end. An assertion of the code that is judged is a failure like any other.
pub fn run(scenario: &Scenario, trace: bool) -> Report {
    let trace = if trace { Trace::All(Vec::new()) } else { Trace::Off };
    run_with(scenario, trace)
}

/// As [`run`], with the last lines of what happened.
pub fn run_for_its_end(scenario: &Scenario) -> Report {
    run_with(scenario, Trace::last(LAST_LINES))
}

fn run_with(scenario: &Scenario, trace: Trace) -> Report {
    let nothing = |failure| Report {
        failure: Some((0, failure)),
        events: 0,
        asked: 0,
        answered: 0,
        longest_wait_us: 0,
        longest_unanswered_us: 0,
        sent_bytes: 0,
        view: 0,
        accused: Vec::new(),
        height: 0,
        trace: Trace::Off,
    };
    let world = match World::new(scenario, trace) {
        Ok(world) => world,
        Err(nonsense) => return nothing(Failure::Nonsense(nonsense)),
    };
    match catch_unwind(AssertUnwindSafe(|| world.run())) {
        Ok(report) => report,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            nothing(Failure::Panic(text.unwrap_or_else(|| "a panic without words".into())))
        }
    }
}

/// Whether two failures are the same mistake: what differs is numbers.
pub fn same_failure(one: &Failure, other: &Failure) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).take(40).collect::<String>();
    match (one, other) {
        (Failure::Violation(one), Failure::Violation(other)) => one.oracle == other.oracle,
        (Failure::Panic(one), Failure::Panic(other)) => words(one) == words(other),
        (Failure::Unexpected(one), Failure::Unexpected(other)) => words(one) == words(other),
        (Failure::Nonsense(one), Failure::Nonsense(other)) => one == other,
        (Failure::Violation(_) | Failure::Panic(_) | Failure::Unexpected(_) | Failure::Nonsense(_), _) => false,
    }
}

/// What came of a campaign.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Worlds that were run.
    pub worlds: u64,
    /// Events in all of them.
    pub events: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Views that were entered beyond the first, in the worst world.
    pub highest_view: u64,
    /// Worlds in which somebody was accused.
    pub accusing: u64,
    /// The seeds that fail, and how.
    pub failures: Vec<(u64, Failure)>,
    /// How long it took, in seconds of the machine's time.
    pub seconds: f64,
}

/// Runs the worlds of seeds `first..first + count` on `threads` threads; stops early after `most_failures`.
pub fn campaign(
    plan: &Plan,
    first: u64,
    count: u64,
    threads: usize,
    most_failures: usize,
    progress: impl Fn(&Summary) + Sync,
) -> Summary {
    campaign_of(first..first + count, |seed| draw(plan, seed), threads, most_failures, progress)
}

/// Runs the worlds that `scenario` makes of these numbers.
pub fn campaign_of(
    numbers: impl Iterator<Item = u64> + Send,
    scenario: impl Fn(u64) -> Scenario + Sync,
    threads: usize,
    most_failures: usize,
    progress: impl Fn(&Summary) + Sync,
) -> Summary {
    let started = Instant::now();
    let (numbers, summary) = (Mutex::new(numbers), Mutex::new(Summary::default()));
    let work = || {
        loop {
            let number = numbers.lock().unwrap_or_else(PoisonError::into_inner).next();
            let over = || summary.lock().unwrap_or_else(PoisonError::into_inner).failures.len() >= most_failures;
            let Some(number) = number.filter(|_| !over()) else { return };
            let report = run(&scenario(number), false);
            let mut summary = summary.lock().unwrap_or_else(PoisonError::into_inner);
            summary.worlds += 1;
            summary.events += report.events;
            summary.answered += report.answered;
            summary.highest_view = summary.highest_view.max(report.view);
            summary.accusing += u64::from(!report.accused.is_empty());
            summary.failures.extend(report.failure.map(|(_, failure)| (number, failure)));
            summary.seconds = started.elapsed().as_secs_f64();
            progress(&summary);
        }
    };
    std::thread::scope(|scope| {
        (0..threads.max(1)).for_each(|_| drop(scope.spawn(work)));
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failures.sort_by_key(|(number, _)| *number);
    summary
}
