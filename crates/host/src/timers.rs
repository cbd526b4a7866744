//! The core's timers, as deadlines.

use std::collections::BTreeMap;

use bezant_pbft::Timer;
use bezant_types::Moment;

/// At most one deadline per timer. Bounded: the core has a handful of timers, and those of views that it left are
/// dropped.
#[derive(Debug, Default)]
pub(crate) struct Timers(BTreeMap<Timer, Moment>);

impl Timers {
    pub(crate) fn set(&mut self, now: Moment, timer: Timer, after_ms: u64) {
        self.0.insert(timer, now.saturating_add(after_ms));
    }

    pub(crate) fn cancel(&mut self, timer: Timer) {
        self.0.remove(&timer);
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.0.values().min().copied()
    }

    /// Takes the timers that have run out.
    pub(crate) fn take_due(&mut self, now: Moment) -> Vec<Timer> {
        let due: Vec<_> = self.0.iter().filter(|(_, at)| **at <= now).map(|(timer, _)| *timer).collect();
        due.iter().for_each(|timer| {
            self.0.remove(timer);
        });
        due
    }
}
