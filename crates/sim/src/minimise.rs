//! Shortens a scenario that fails, for as long as it goes on failing in the same way.
//!
//! Delta debugging (Zeller and Hildebrandt, 2002) over the steps, then everything else that can be left out: traitors,
//! clients that lie, parameters, weather, time. The randomness of links and clients is drawn from streams of its own,
//! so leaving one thing out does not reshuffle all others more than it must.

use crate::campaign::{run, same_failure};
use crate::scenario::{Scenario, Span, Weather};
use crate::world::Failure;

/// The shortest scenario that was found, and how many worlds it took.
#[derive(Clone, Debug)]
pub struct Shortest {
    /// The scenario.
    pub scenario: Scenario,
    /// How it fails.
    pub failure: Failure,
    /// How many worlds were run.
    pub worlds: u64,
}

/// Shortens `scenario`; `None` if it does not fail at all.
pub fn minimise(scenario: &Scenario, most_worlds: u64, mut progress: impl FnMut(&Scenario, u64)) -> Option<Shortest> {
    let (at, failure) = run(scenario, false).failure?;
    let mut search = Search { best: scenario.clone(), failure, worlds: 1, most_worlds };
    // What comes after the failure did not cause it.
    search.offer(|one| one.run = Span::micros(at + 1));
    loop {
        let before = search.best.clone();
        search.leave_out_steps(&mut progress);
        search.leave_out_the_rest();
        progress(&search.best, search.worlds);
        if search.best == before || search.worlds >= most_worlds {
            return Some(Shortest { scenario: search.best, failure: search.failure, worlds: search.worlds });
        }
    }
}

struct Search {
    best: Scenario,
    failure: Failure,
    worlds: u64,
    most_worlds: u64,
}

impl Search {
    /// Tries a change. It stays if the world still fails in the same way.
    fn offer(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut candidate = self.best.clone();
        change(&mut candidate);
        if candidate == self.best || self.worlds >= self.most_worlds {
            return false;
        }
        self.worlds += 1;
        let fails = run(&candidate, false).failure;
        let same = fails.filter(|(_, failure)| same_failure(failure, &self.failure));
        let Some((_, failure)) = same else { return false };
        (self.best, self.failure) = (candidate, failure);
        true
    }

    /// Leaves out runs of steps: halves first, then ever smaller ones.
    fn leave_out_steps(&mut self, progress: &mut impl FnMut(&Scenario, u64)) {
        let mut size = self.best.steps.len().div_ceil(2).max(1);
        while !self.best.steps.is_empty() {
            let mut from = 0;
            while from < self.best.steps.len() {
                let left_out = self.offer(|one| {
                    let to = (from + size).min(one.steps.len());
                    one.steps.drain(from..to);
                });
                if !left_out {
                    from += size;
                }
            }
            progress(&self.best, self.worlds);
            if size == 1 {
                return;
            }
            size = size.div_ceil(2);
        }
    }

    fn leave_out_the_rest(&mut self) {
        self.offer(|one| one.rounds.clear());
        for index in (0..self.best.rounds.len()).rev() {
            self.offer(|one| drop(one.rounds.remove(index)));
        }
        self.offer(|one| one.traitors.clear());
        self.offer(|one| one.twins.clear());
        self.offer(|one| one.corrupted_clients.clear());
        self.offer(|one| one.parameters.clear());
        self.offer(|one| one.values = 0);
        self.offer(|one| one.network = Weather::FAIR);
        self.offer(|one| one.network.duplicates = 0);
        self.offer(|one| one.network.loss = 0);
        self.offer(|one| one.network.bandwidth = None);
        while self.best.clients > 1 && self.offer(|one| one.clients -= 1) {}
    }
}
