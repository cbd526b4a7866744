//! The core's timers, as deadlines on the monotonic clock.

use std::collections::BTreeMap;
use std::time::Duration;

use bezant_pbft::Timer;
use tokio::time::Instant;

/// At most one deadline per timer. Bounded: the core has a handful of timers, and those of views that it left are
/// dropped.
#[derive(Debug, Default)]
pub(super) struct Timers(BTreeMap<Timer, Instant>);

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, after_ms: u64) {
        self.0.insert(timer, Instant::now() + Duration::from_millis(after_ms));
    }

    pub(super) fn cancel(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }

    /// Takes the timers that have run out.
    pub(super) fn take_due(&mut self) -> Vec<Timer> {
        let now = Instant::now();
        let due: Vec<_> = self.0.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        due.iter().for_each(|timer| {
            self.0.remove(timer);
        });
        due
    }
}
