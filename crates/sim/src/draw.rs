//! The random scheduler: draws a scenario from a seed.
//!
//! Everything is drawn before the world begins, so that a world that fails can be printed, shortened and kept. What is
//! drawn stays within the model: at most f members are corrupted or have lost their disk, and at some time the network
//! keeps its bound, everybody is up, clocks are set right, and nothing more goes wrong. Before that moment anything
//! goes: all members may be down at once.

use std::fmt;
use std::str::FromStr;

use bezant_types::Committee;

use crate::adversary;
use crate::dice::Dice;
use crate::people::BRISK;
use crate::scenario::{Damage, Flow, Kind, Scenario, Span, Step, Weather};

/// A family of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// Loss, repetition, reordering, slow and narrow links.
    Network,
    /// Cuts between groups, one-way losses of single kinds of messages.
    Partitions,
    /// Processes that end, in the middle of a write, between a sync and what it allows, or all at once.
    Crashes,
    /// Disks that fill up, fail to sync, are slow, or are replaced by empty ones.
    Disks,
    /// Clocks that jump and drift.
    Clocks,
    /// Members that lie.
    Traitors,
    /// Clients that lie.
    Clients,
}

impl Family {
    /// All of them, with names and what they are.
    pub const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Network, "network", "loss, repetition, reordering, slow and narrow links"),
        (Self::Partitions, "partitions", "groups that cannot reach each other; kinds of messages lost one way"),
        (Self::Crashes, "crashes", "processes that end: in the middle of a write, before a word is out, all at once"),
        (Self::Disks, "disks", "disks that fill up, fail to sync, are slow, or are replaced by empty ones"),
        (Self::Clocks, "clocks", "clocks that jump and drift"),
        (Self::Traitors, "traitors", "up to f members that lie, each in a way of its own, or twins with one key"),
        (Self::Clients, "clients", "clients that lie or flood"),
    ];
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(one, ..)| one == self).map_or("", |(_, name, _)| name))
    }
}

impl FromStr for Family {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, name, _)| *name == text).map(|(family, ..)| *family);
        let names = || Self::ALL.map(|(_, name, _)| name).join(", ");
        found.ok_or_else(|| format!("`{text}` is no family of faults. There are: all, none, {}", names()))
    }
}

/// What kind of world to draw.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many replicas.
    pub replicas: u16,
    /// How many honest clients.
    pub clients: usize,
    /// How long it lasts.
    pub run: Span,
    /// The mean pause of a client between an answer and its next request.
    pub pause: Span,
    /// Which faults there are.
    pub faults: Vec<Family>,
    /// Which adversaries traitors are drawn from; empty for all.
    pub adversaries: Vec<String>,
}

/// Draws the scenario of a seed.
pub fn draw(plan: &Plan, seed: u64) -> Scenario {
    let mut dice = Dice::stream(seed, 3);
    let mut scenario = Scenario::quiet(seed, plan.replicas, plan.clients, plan.run);
    scenario.pause = Some(plan.pause);
    // A storm now and then shows what one that never ends shows, and leaves time for everything else.
    scenario.rest = Some(Span::millis(9_000));
    scenario.parameters = draw_parameters(&mut dice);
    let has = |family| plan.faults.contains(&family);
    if has(Family::Network) {
        scenario.network = draw_weather(&mut dice);
    }
    let f = Committee::new(usize::from(plan.replicas)).map_or(0, Committee::max_faulty);
    let mut bad = Vec::new();
    if has(Family::Traitors) {
        draw_traitors(&mut dice, plan, f, &mut scenario, &mut bad);
    }
    if has(Family::Clients) && dice.below(3) == 0 {
        let names = adversary::client::names();
        scenario.corrupted_clients.extend(dice.pick(&names).map(|name| (*name).to_owned()));
    }
    let calm = stabilises(plan.run);
    // Whoever may lose its disk is one of the f.
    let may_lose = if bad.len() < f && has(Family::Disks) && dice.below(2) == 0 {
        Some(dice.below(u64::from(plan.replicas)) as u16).filter(|one| !bad.contains(one))
    } else {
        None
    };
    let families: Vec<Family> = [Family::Partitions, Family::Crashes, Family::Disks, Family::Clocks]
        .into_iter()
        .filter(|family| has(*family))
        .collect();
    let mut at = 500_000;
    while at < calm.as_micros() {
        let Some(family) = dice.pick(&families).copied() else { break };
        let mut blow = Blow { dice: &mut dice, n: plan.replicas, may_lose, at, steps: &mut scenario.steps };
        match family {
            Family::Partitions => blow.part(),
            Family::Crashes => blow.crash(),
            Family::Disks => blow.spoil_a_disk(),
            Family::Clocks => blow.turn_a_clock(),
            Family::Network | Family::Traitors | Family::Clients => {}
        }
        at += 200_000 + dice.below(8_000_000);
    }
    scenario.steps.retain(|(at, _)| *at < calm);
    scenario.steps.push((calm, Step::Stabilise));
    scenario.steps.sort_by_key(|(at, _)| *at);
    // In a world that ends soon what doubles must not outgrow the time that is left.
    let longest = scenario.liveness_ms() / TIMEOUTS;
    if longest < BRISK.max_view_change_timeout_ms {
        let longest = longest.max(BRISK.request_timeout_ms);
        scenario.parameters.push(("max-view-change-timeout-ms".to_owned(), longest));
    }
    // Now and then bytes are what is scarce: batches and answers are cut off by their size, and lines are full.
    if dice.below(4) == 0 {
        scenario.values = *dice.pick(&[200, 1_000, 4_000]).unwrap_or(&0);
    }
    scenario
}

/// How many timeouts of a view change, of the longest, a drawn world leaves for an answer.
const TIMEOUTS: u64 = 4;

/// When a drawn world becomes kind: late, and early enough for everything to be answered.
pub fn stabilises(run: Span) -> Span {
    let run = run.as_micros();
    Span::micros(run.saturating_sub(90_000_000).max(run / 2))
}

fn draw_parameters(dice: &mut Dice) -> Vec<(String, u64)> {
    let set = |pairs: &[(&str, u64)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    match dice.below(4) {
        // A checkpoint at every batch, and a window that is always nearly full.
        0 => set(&[("checkpoint-interval", 1), ("window", 2), ("pipeline", 2)]),
        1 => set(&[("checkpoint-interval", 4), ("window", 8), ("max-batch-requests", 1)]),
        2 => set(&[("checkpoint-interval", 64), ("window", 256), ("pipeline", 8)]),
        _ => Vec::new(),
    }
}

fn draw_weather(dice: &mut Dice) -> Weather {
    let most = [1_000, 5_000, 20_000, 100_000][usize::try_from(dice.below(4)).unwrap_or(0)];
    let bandwidth = (dice.below(4) == 0).then(|| 50_000 << dice.below(6));
    let share = |dice: &mut Dice| if dice.below(2) == 0 { 0 } else { dice.below(100) };
    let (loss, duplicates) = (share(dice), share(dice));
    Weather { least: Span::micros(most / 10), most: Span::micros(most), loss, duplicates, bandwidth }
}

fn draw_traitors(dice: &mut Dice, plan: &Plan, f: usize, scenario: &mut Scenario, bad: &mut Vec<u16>) {
    let all = adversary::names();
    let names: Vec<&str> = all
        .into_iter()
        .filter(|name| plan.adversaries.is_empty() || plan.adversaries.iter().any(|one| one == name))
        .collect();
    let count = dice.below(f as u64 + 1);
    while (bad.len() as u64) < count {
        let one = dice.below(u64::from(plan.replicas)) as u16;
        if bad.contains(&one) {
            continue;
        }
        bad.push(one);
        if plan.adversaries.is_empty() && dice.below(8) == 0 {
            scenario.twins.push(one);
        } else if let Some(name) = dice.pick(&names) {
            scenario.traitors.push((one, (*name).to_owned()));
        }
    }
}

/// One thing that goes wrong, and its end.
struct Blow<'a> {
    dice: &'a mut Dice,
    n: u16,
    may_lose: Option<u16>,
    at: u64,
    steps: &'a mut Vec<(Span, Step)>,
}

impl Blow<'_> {
    fn now(&mut self, step: Step) {
        self.steps.push((Span::micros(self.at), step));
    }

    fn later(&mut self, most_ms: u64, step: Step) {
        let at = self.at + 1_000 + self.dice.below(most_ms * 1_000);
        self.steps.push((Span::micros(at), step));
    }

    fn one(&mut self) -> u16 {
        self.dice.below(u64::from(self.n)) as u16
    }

    fn some(&mut self) -> Vec<u16> {
        (0..self.n).filter(|_| self.dice.below(2) == 0).collect()
    }

    fn part(&mut self) {
        match self.dice.below(4) {
            0 => {
                let one = self.one();
                let rest = (0..self.n).filter(|other| *other != one).collect();
                self.now(Step::Cut(vec![one], rest));
            }
            1 => {
                let these = self.some();
                let those = (0..self.n).filter(|one| !these.contains(one)).collect();
                self.now(Step::Cut(these, those));
            }
            2 => {
                let kinds =
                    [Kind::Prepare, Kind::Commit, Kind::Checkpoint, Kind::ViewChange, Kind::NewView, Kind::PrePrepare];
                let kinds = self.dice.pick(&kinds).copied().into_iter().collect();
                let flow = Flow { kinds, from: self.some(), to: self.some() };
                self.now(Step::Lose(flow));
            }
            _ => {
                let flow = Flow { kinds: Vec::new(), from: self.some(), to: self.some() };
                let by = Span::millis(self.dice.between(10, 1_500));
                self.now(Step::Delay(flow, by));
            }
        }
        self.later(12_000, Step::Heal);
    }

    fn damage(&mut self) -> Damage {
        [Damage::Loses, Damage::Keeps, Damage::Tears][usize::try_from(self.dice.below(3)).unwrap_or(0)]
    }

    fn crash(&mut self) {
        let (one, damage) = (self.one(), self.damage());
        match self.dice.below(8) {
            0 => return self.now(Step::PowerFailure(damage)),
            1..=3 => {
                let operations = self.dice.below(12);
                self.now(Step::CrashAtWrite(one, operations, damage));
            }
            4 | 5 => {
                let left = [0, 300, 500, 1_000][usize::try_from(self.dice.below(4)).unwrap_or(0)];
                self.now(Step::CrashAfterSync(one, left));
            }
            _ => self.now(Step::Crash(one, damage)),
        }
        self.later(10_000, Step::Restart(one));
    }

    fn spoil_a_disk(&mut self) {
        let one = self.one();
        match (self.dice.below(6), self.may_lose) {
            (0, Some(loser)) => self.now(Step::Replace(loser)),
            (1, _) => {
                let bytes = self.dice.below(200_000);
                self.now(Step::FillDisk(one, bytes));
            }
            (2, _) => {
                let nth = self.dice.between(1, 20);
                self.now(Step::FailSync(one, nth));
            }
            (3, _) => {
                let slow = Span::millis(self.dice.between(5, 400));
                self.now(Step::SlowSync(one, slow));
                self.later(8_000, Step::SlowSync(one, Span::micros(200)));
            }
            (_, _) => {
                let slow = Span::millis(self.dice.between(1, 100));
                self.now(Step::SlowExecution(one, slow));
                self.later(8_000, Step::SlowExecution(one, Span::micros(50)));
            }
        }
    }

    fn turn_a_clock(&mut self) {
        let one = self.one();
        if self.dice.below(2) == 0 {
            let far = if self.dice.below(4) == 0 { 200_000 } else { 20_000 };
            let ms = self.dice.below(2 * far) as i64 - far as i64;
            self.now(Step::Jump(one, ms));
        } else {
            let ppm = self.dice.below(100_000) as i64 - 50_000;
            self.now(Step::Drift(one, ppm));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_doubles_fits_into_the_time_that_is_left() {
        for (seconds, longest) in [(4, Some(2_000)), (60, Some(5_625)), (120, Some(11_250)), (600, Some(15_000))] {
            let (run, pause) = (Span::millis(seconds * 1_000), Span::millis(400));
            let plan = Plan { replicas: 4, clients: 2, run, pause, faults: vec![], adversaries: vec![] };
            let parameters = draw(&plan, 1).parameters;
            let found = parameters.iter().find(|(name, _)| name == "max-view-change-timeout-ms");
            assert_eq!(found.map(|(_, value)| *value), longest, "{seconds} s");
        }
    }
}
