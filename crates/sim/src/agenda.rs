//! What will happen in a world, in order of time, and of scheduling where times are equal.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::world::Event;

/// The events to come. What is put in order is small; the events stay where they are until they happen.
#[derive(Default)]
pub(crate) struct Agenda {
    times: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    serial: u64,
}

impl Agenda {
    pub(crate) fn insert(&mut self, at: u64, event: Event) {
        self.serial += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.times.push(Reverse((at, self.serial, place)));
    }

    /// The next event and its time, if it is not later than `end`.
    pub(crate) fn next_until(&mut self, end: u64) -> Option<(u64, Event)> {
        let Reverse((at, _, place)) = *self.times.peek().filter(|Reverse((at, ..))| *at <= end)?;
        self.times.pop();
        self.free.push(place);
        Some((at, self.events[place].take().expect("an event happens once")))
    }
}
