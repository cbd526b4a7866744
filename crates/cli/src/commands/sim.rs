//! `bezant sim`: the replicas that run in production, in virtual time, against every malice.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;

use anyhow::{Context as _, bail};
use bezant_sim::campaign::{Summary, campaign_of, run, run_for_its_end};
use bezant_sim::draw::{Family, Plan, draw};
use bezant_sim::minimise::minimise;
use bezant_sim::scenario::{Scenario, Span};
use bezant_sim::world::{Failure, Report};
use bezant_sim::{adversary, language, oracle, rounds};
use clap::Subcommand;
use serde::Serialize;

use self::searches::Searches;
use crate::print::{self, Style, StyleArguments};
use crate::text;

mod costs;
mod searches;

/// Run simulated worlds: real replicas, a simulated network, disks, clocks, and members that lie
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bezant sim --seed 7 --for 10m --faults all       one world: a verdict, and with --trace a line for each event
  bezant sim --seeds 1000 --for 5m                 many worlds on all cores
  bezant sim --script scenarios/prepared_then_partitioned.txt --trace
                                                   what a person wrote
  bezant sim --minimise --seed 7                   the shortest schedule that still fails
  bezant sim --exhaustive --corrupted 0 --views 2  every order of what can happen in a small world
  bezant sim --twins --rounds 2                    every partition of machines, two of which share a key
  bezant sim --byzzfuzz --seeds 1000               small faults in the first protocol rounds
  bezant sim cost slow censoring                   what these adversaries cost the honest clients
  bezant sim list                                  faults, adversaries, oracles

The same seed and version give the same world, byte for byte. The exit status is 0 only if no world failed.")]
pub(crate) struct Sim {
    #[command(subcommand)]
    what: Option<What>,
    /// Run the world of this seed; with --seeds, the first of them
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run so many worlds, with consecutive seeds
    #[arg(long, value_name = "COUNT")]
    seeds: Option<u64>,
    /// Run the scenario in this file
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "minimise"])]
    script: Option<PathBuf>,
    /// How many replicas
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=100))]
    replicas: u16,
    /// How many honest clients
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,
    /// How long each world lasts, in virtual time: 90s, 10m
    #[arg(long = "for", value_name = "TIME", default_value = "2m")]
    duration: Span,
    /// The same in minutes
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    minutes: Option<u64>,
    /// The mean pause of a client between an answer and its next request
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pause: Span,
    /// Which families of faults: all, none, or some of them separated by commas (see `bezant sim list`)
    #[arg(long, value_name = "FAMILIES", default_value = "all")]
    faults: String,
    /// Let traitors be of this kind only; may be given more than once (see `bezant sim list`)
    #[arg(long = "traitor", value_name = "ADVERSARY")]
    traitors: Vec<String>,
    /// How many worlds at once [default: as many as there are cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Print what happens, a line for each event
    #[arg(long)]
    trace: bool,
    /// Print the scenario of the seed, to keep or to change, and do not run it
    #[arg(long, conflicts_with_all = ["seeds", "script"])]
    print: bool,
    /// Shorten the scenario of the seed for as long as it fails in the same way
    #[arg(long)]
    minimise: bool,
    #[command(flatten)]
    searches: Searches,
    #[command(flatten)]
    style: StyleArguments,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What there is: families of faults, adversaries, corrupted clients, oracles, the words of a script
    #[command(after_help = "Example:\n  bezant sim list")]
    List,
    Cost(costs::Costs),
}

/// What came of one world.
#[derive(Serialize)]
struct Verdict {
    seed: u64,
    passed: bool,
    failure: Option<String>,
    at_ms: Option<u64>,
    events: u64,
    asked: u64,
    answered: u64,
    longest_wait_ms: u64,
    highest_view: u64,
    height: u64,
    accused: Vec<(u16, u16)>,
}

/// What came of many.
#[derive(Serialize)]
struct Total {
    worlds: u64,
    failed: Vec<(u64, String)>,
    events: u64,
    answered: u64,
    highest_view: u64,
    worlds_with_accusations: u64,
    seconds: f64,
    events_per_second: u64,
    worlds_per_minute: f64,
}

impl Sim {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        // An assertion that fails in a world is that world's failure, and is reported with it.
        std::panic::set_hook(Box::new(|_| {}));
        match &self.what {
            Some(What::List) => {
                print::line(&list())?;
                return Ok(ExitCode::SUCCESS);
            }
            Some(What::Cost(costs)) => return costs.run(),
            None => {}
        }
        if let Some(path) = &self.script {
            let scenario = read(path)?;
            return self.one(&scenario);
        }
        if self.searches.exhaustive {
            let passed = self.searches.explore(self.style.style())?;
            return Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        if self.searches.twins {
            return self.twins();
        }
        let plan = self.plan()?;
        let scope = self.searches.byzzfuzz.then(|| self.searches.scope());
        let scenario = |seed| scope.map_or_else(|| draw(&plan, seed), |scope| rounds::draw(scope, seed));
        match self.seeds {
            Some(count) => self.many(self.seed..self.seed + count, count, scenario),
            None => self.this(&scenario(self.seed)),
        }
    }

    /// One world: shown, shortened or run.
    fn this(&self, scenario: &Scenario) -> anyhow::Result<ExitCode> {
        if self.print {
            print::line(&scenario.to_string())?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.minimise { self.shorten(scenario) } else { self.one(scenario) }
    }

    fn twins(&self) -> anyhow::Result<ExitCode> {
        let space = self.searches.space()?;
        if let Some(number) = self.searches.nth {
            return self.this(&space.scenario(number));
        }
        let numbers = match self.searches.sample {
            Some(count) => space.sample(self.seed, count),
            None => space.numbers().collect(),
        };
        if self.style.style() == Style::Text {
            let (all, unlike) = (text::thousands(space.all()), text::thousands(space.unlike()));
            print::line(&format!("{all} scenarios, {unlike} of them unlike each other, {} to run", numbers.len()))?;
        }
        let count = numbers.len() as u64;
        self.many(numbers.into_iter(), count, |number| space.scenario(number))
    }

    fn plan(&self) -> anyhow::Result<Plan> {
        for name in &self.traitors {
            name.parse::<adversary::Kind>()?;
        }
        let faults = match self.faults.as_str() {
            "all" => Family::ALL.iter().map(|(family, ..)| *family).collect(),
            "none" => Vec::new(),
            some => some
                .split(',')
                .map(|one| one.trim().parse())
                .collect::<Result<_, String>>()
                .map_err(anyhow::Error::msg)?,
        };
        let run = self.minutes.map_or(self.duration, |minutes| Span::millis(minutes.saturating_mul(60_000)));
        if run < Span::millis(1_000) {
            bail!("a world lasts at least 1s");
        }
        let Self { replicas, clients, pause, traitors, .. } = self;
        Ok(Plan { replicas: *replicas, clients: *clients, run, pause: *pause, faults, adversaries: traitors.clone() })
    }

    fn one(&self, scenario: &Scenario) -> anyhow::Result<ExitCode> {
        let report = if self.trace { run(scenario, true) } else { run_for_its_end(scenario) };
        if self.trace && self.style.style() == Style::Text {
            let mut out = std::io::stdout().lock();
            for line in report.trace.lines() {
                if writeln!(out, "{line}").is_err() {
                    return Ok(ExitCode::SUCCESS); // The reader has seen enough.
                }
            }
        }
        let verdict = verdict(scenario.seed, &report);
        self.style.style().print(&verdict, |verdict| verdict_text(verdict, &report, self.trace))?;
        Ok(if verdict.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn many(
        &self,
        numbers: impl Iterator<Item = u64> + Send,
        count: u64,
        scenario: impl Fn(u64) -> Scenario + Sync,
    ) -> anyhow::Result<ExitCode> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = self.threads.unwrap_or(cores);
        let bar = Bar::new(count);
        let summary = campaign_of(numbers, scenario, threads, MOST_FAILURES, |summary| bar.show(summary));
        bar.clear();
        let total = Total {
            worlds: summary.worlds,
            failed: summary.failures.iter().map(|(seed, failure)| (*seed, told(failure))).collect(),
            events: summary.events,
            answered: summary.answered,
            highest_view: summary.highest_view,
            worlds_with_accusations: summary.accusing,
            seconds: summary.seconds,
            events_per_second: (summary.events as f64 / summary.seconds.max(1e-9)) as u64,
            worlds_per_minute: summary.worlds as f64 * 60.0 / summary.seconds.max(1e-9),
        };
        self.style.style().print(&total, |total| self.total_text(total))?;
        Ok(if total.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn shorten(&self, scenario: &Scenario) -> anyhow::Result<ExitCode> {
        let shortest = minimise(scenario, MOST_WORLDS, |best, worlds| {
            if std::io::stderr().is_terminal() {
                eprint!("\r{} steps after {worlds} worlds   ", best.steps.len());
            }
        });
        let Some(shortest) = shortest else {
            print::line(&format!("seed {} does not fail", scenario.seed))?;
            return Ok(ExitCode::SUCCESS);
        };
        let mut scenario = shortest.scenario;
        scenario.comment = vec![format!("Fails with: {}", told(&shortest.failure))];
        print::line(&format!("{scenario}"))?;
        Ok(ExitCode::FAILURE)
    }

    fn total_text(&self, total: &Total) -> String {
        let mut text = String::new();
        for (seed, failure) in &total.failed {
            text += &format!("seed {seed} failed: {failure}\n  {}\n", self.again(*seed));
        }
        text += &format!(
            "{} worlds, {} failed: {} events ({} a second), {} requests answered, highest view {}, somebody accused in {}; \
             {:.1} s, {:.0} worlds a minute\n",
            text::thousands(total.worlds),
            total.failed.len(),
            text::thousands(total.events),
            text::thousands(total.events_per_second),
            text::thousands(total.answered),
            total.highest_view,
            total.worlds_with_accusations,
            total.seconds,
            total.worlds_per_minute,
        );
        text
    }

    /// The command that repeats the world of a seed.
    fn again(&self, seed: u64) -> String {
        let Self { replicas, clients, pause, faults, searches, .. } = self;
        if searches.twins {
            return format!("bezant sim {} --nth {seed} --trace", searches.flags());
        }
        if searches.byzzfuzz {
            return format!("bezant sim {} --seed {seed} --trace", searches.flags());
        }
        let run = self.minutes.map_or(self.duration, |minutes| Span::millis(minutes * 60_000));
        let traitors: String = self.traitors.iter().map(|name| format!(" --traitor {name}")).collect();
        format!(
            "bezant sim --seed {seed} --replicas {replicas} --clients {clients} --for {run} --pause {pause} --faults \
             {faults}{traitors} --trace"
        )
    }
}

fn read(path: &Path) -> anyhow::Result<Scenario> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("{} is not a scenario", path.display()))
}

fn verdict(seed: u64, report: &Report) -> Verdict {
    Verdict {
        seed,
        passed: report.failure.is_none(),
        failure: report.failure.as_ref().map(|(_, failure)| told(failure)),
        at_ms: report.failure.as_ref().map(|(at, _)| at / 1_000),
        events: report.events,
        asked: report.asked,
        answered: report.answered,
        longest_wait_ms: report.longest_wait_us / 1_000,
        highest_view: report.view,
        height: report.height,
        accused: report.accused.clone(),
    }
}

fn verdict_text(verdict: &Verdict, report: &Report, shown: bool) -> String {
    let mut text = String::new();
    if let (Some(failure), Some(at_ms)) = (&verdict.failure, verdict.at_ms) {
        if !shown {
            report.trace.lines().iter().for_each(|line| text += &format!("{line}\n"));
        }
        text += &format!("FAILED at {at_ms} ms: {failure}\n");
    } else {
        text += "passed: nothing that must not happen has happened\n";
    }
    let mut accused: Vec<u16> = verdict.accused.iter().map(|(_, member)| *member).collect();
    accused.sort_unstable();
    accused.dedup();
    text += &format!(
        "{} events; {} of {} requests answered, the slowest after {} ms; height {}, highest view {}; accused: {}",
        text::thousands(verdict.events),
        text::thousands(verdict.answered),
        text::thousands(verdict.asked),
        text::thousands(verdict.longest_wait_ms),
        verdict.height,
        verdict.highest_view,
        if accused.is_empty() { "nobody".to_owned() } else { format!("{accused:?}") },
    );
    text
}

fn told(failure: &Failure) -> String {
    match failure {
        Failure::Violation(violation) => violation.to_string(),
        Failure::Panic(text) => format!("an assertion failed: {text}"),
        Failure::Unexpected(text) | Failure::Nonsense(text) => text.clone(),
    }
}

fn list() -> String {
    let mut text = String::from("Families of faults (--faults):\n");
    let mut add = |name: &str, what: &str| text += &format!("  {name:<24}{what}\n");
    Family::ALL.iter().for_each(|(_, name, what)| add(name, what));
    add("", "");
    add("Adversaries", "(--traitor, and `traitor` in a script)");
    adversary::all().iter().for_each(|kind| add(kind.name, kind.description));
    add("", "");
    add("Corrupted clients", "(`corrupted-client` in a script)");
    adversary::client::all().iter().for_each(|kind| add(kind.name, kind.description));
    add("", "");
    add("Oracles", "what must hold in every world");
    oracle::claims().iter().for_each(|(name, claim)| add(name, claim));
    for (title, phrases) in [
        ("Lines of a script, and what they mean", &language::LINES[..]),
        ("What can happen: `at TIME` and", &language::STEPS[..]),
        ("What to expect: `expect` and", &language::EXPECTATIONS[..]),
    ] {
        text += &format!("\n  {title}\n");
        text.extend(phrases.iter().map(|one| format!("  {:<40}  {}\n", one.example, one.meaning)));
    }
    text
}

/// A line on a terminal that says how far a campaign has come.
struct Bar {
    count: u64,
    shown: Mutex<u64>,
}

impl Bar {
    fn new(count: u64) -> Self {
        Self { count, shown: Mutex::new(0) }
    }

    fn show(&self, summary: &Summary) {
        let Ok(mut shown) = self.shown.lock() else { return };
        let percent = summary.worlds * 100 / self.count.max(1);
        if std::io::stderr().is_terminal() && (percent > *shown || summary.worlds == 1) {
            *shown = percent;
            let filled = "#".repeat((percent / 4) as usize);
            eprint!("\r[{filled:<25}] {} of {} worlds, {} failed ", summary.worlds, self.count, summary.failures.len());
        }
    }

    fn clear(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("\r{:70}\r", "");
        }
    }
}

/// A campaign that fails so often has found what it was for.
const MOST_FAILURES: usize = 20;
/// How many worlds the search for the shortest scenario may run.
const MOST_WORLDS: u64 = 2_000;
