//! Searches that enumerate instead of drawing: small worlds, Twins, ByzzFuzz.

use std::time::Duration;

use bezant_sim::exhaustive::{self, Bounds, Crime, Limits};
use bezant_sim::rounds::Scope;
use bezant_sim::twins::Space;
use serde::Serialize;

use crate::print::Style;
use crate::text;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Searches")]
pub(super) struct Searches {
    /// Try every order of messages, timeouts and crashes in a small world of four bare replicas
    #[arg(long, group = "search")]
    pub(super) exhaustive: bool,
    /// With --exhaustive: follow a deterministic schedule with at most so many deviations, instead of every order
    #[arg(long, value_name = "N", requires = "exhaustive")]
    delays: Option<u8>,
    /// With --exhaustive: this replica is corrupted
    #[arg(long, value_name = "REPLICA", requires = "exhaustive", value_parser = clap::value_parser!(u16).range(0..4))]
    corrupted: Option<u16>,
    /// With --exhaustive: how many requests, each for a sequence number of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=4))]
    slots: u64,
    /// With --exhaustive: how many views
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=8))]
    views: u64,
    /// With --exhaustive: how many crashes
    #[arg(long, value_name = "N", default_value_t = 0)]
    crashes: u8,
    /// With --exhaustive: how many states at most
    #[arg(long, value_name = "N", default_value_t = 50_000_000)]
    states: usize,
    /// With --exhaustive: how many seconds at most
    #[arg(long, value_name = "N", default_value_t = 600)]
    seconds: u64,
    /// Run the scenarios of Twins: two honest machines with one key, and every partition of the machines in each round
    #[arg(long, group = "search")]
    pub(super) twins: bool,
    /// With --twins: so many of the scenarios, as --seed says, instead of all
    #[arg(long, value_name = "COUNT", requires = "twins")]
    pub(super) sample: Option<usize>,
    /// With --twins: the scenario of this number alone
    #[arg(long, value_name = "N", requires = "twins", conflicts_with = "sample")]
    pub(super) nth: Option<u64>,
    /// Run worlds of ByzzFuzz: few and small faults in the first protocol rounds
    #[arg(long, group = "search")]
    pub(super) byzzfuzz: bool,
    /// With --twins and --byzzfuzz: how many rounds [default: 2 and 24]
    #[arg(long, value_name = "N")]
    rounds: Option<u32>,
    /// With --byzzfuzz: in how many rounds the corrupted member says something else
    #[arg(long, value_name = "N", default_value_t = 2)]
    process_faults: usize,
    /// With --byzzfuzz: in how many rounds the network parts
    #[arg(long, value_name = "N", default_value_t = 2)]
    network_faults: usize,
}

/// What came of an exhaustive search.
#[derive(Serialize)]
struct Found {
    states: usize,
    transitions: u64,
    states_per_second: u64,
    /// Breadth first: every state up to so many steps was taken.
    depth: Option<usize>,
    /// Breadth first: different states of single replicas.
    local_states: Option<usize>,
    /// Delay-bounded: courses that were followed to their end.
    courses: Option<u64>,
    /// Those of them in which a later view was opened.
    with_new_view: Option<u64>,
    exhausted: bool,
    crime: Option<String>,
    path: Vec<String>,
    seconds: f64,
}

impl Searches {
    pub(super) fn space(&self) -> anyhow::Result<Space> {
        Space::new(self.rounds.unwrap_or(TWINS_ROUNDS)).map_err(anyhow::Error::msg)
    }

    pub(super) fn scope(&self) -> Scope {
        let Self { process_faults, network_faults, .. } = *self;
        Scope { rounds: self.rounds.unwrap_or(BYZZFUZZ_ROUNDS).into(), process_faults, network_faults }
    }

    /// The flags that choose the worlds again.
    pub(super) fn flags(&self) -> String {
        let Scope { rounds, process_faults, network_faults } = self.scope();
        if self.twins {
            format!("--twins --rounds {}", self.rounds.unwrap_or(TWINS_ROUNDS))
        } else {
            format!("--byzzfuzz --rounds {rounds} --process-faults {process_faults} --network-faults {network_faults}")
        }
    }

    /// Says whether nothing is wrong.
    pub(super) fn explore(&self, style: Style) -> anyhow::Result<bool> {
        let Self { corrupted, slots, views, crashes, states, seconds, .. } = *self;
        let bounds = Bounds { traitor: corrupted, slots, views, crashes, checkpoint_interval: None };
        let limits = Limits { states, depth: usize::MAX, time: Duration::from_secs(seconds) };
        let rate = |states: usize, seconds: f64| (states as f64 / seconds.max(1e-9)) as u64;
        let split = |crime: Option<Crime>| crime.map_or((None, Vec::new()), |Crime { what, path }| (Some(what), path));
        let found = match self.delays {
            None => {
                let report = exhaustive::breadth_first(bounds, limits).map_err(anyhow::Error::msg)?;
                let (crime, path) = split(report.crime);
                Found {
                    states: report.states,
                    transitions: report.transitions,
                    states_per_second: rate(report.states, report.seconds),
                    depth: Some(report.depth),
                    local_states: Some(report.local_states),
                    courses: None,
                    with_new_view: None,
                    exhausted: report.exhausted,
                    crime,
                    path,
                    seconds: report.seconds,
                }
            }
            Some(deviations) => {
                let report = exhaustive::delay_bounded(bounds, deviations, limits).map_err(anyhow::Error::msg)?;
                let (crime, path) = split(report.crime);
                Found {
                    states: report.states,
                    transitions: report.transitions,
                    states_per_second: rate(report.states, report.seconds),
                    depth: None,
                    local_states: None,
                    courses: Some(report.courses),
                    with_new_view: Some(report.with_new_view),
                    exhausted: report.exhausted,
                    crime,
                    path,
                    seconds: report.seconds,
                }
            }
        };
        style.print(&found, told)?;
        Ok(found.crime.is_none())
    }
}

fn told(found: &Found) -> String {
    let mut text = String::new();
    for line in &found.path {
        text += &format!("{line}\n");
    }
    text += &match &found.crime {
        Some(crime) => format!("FAILED: {crime}\n"),
        None if found.exhausted => "passed: there is no other state, and none is bad\n".to_owned(),
        None => "passed as far as it went: there is more\n".to_owned(),
    };
    text += &format!(
        "{} states ({} a second), {} transitions",
        text::thousands(found.states as u64),
        text::thousands(found.states_per_second),
        text::thousands(found.transitions)
    );
    if let (Some(depth), Some(local)) = (found.depth, found.local_states) {
        text += &format!(", complete to depth {depth}; {} states of single replicas", text::thousands(local as u64));
    }
    if let (Some(courses), Some(with_new_view)) = (found.courses, found.with_new_view) {
        let (courses, opened) = (text::thousands(courses), text::thousands(with_new_view));
        text += &format!("; {courses} courses, {opened} of them with a later view");
    }
    text + &format!("; {:.1} s", found.seconds)
}

const TWINS_ROUNDS: u32 = 2;
const BYZZFUZZ_ROUNDS: u32 = 24;
