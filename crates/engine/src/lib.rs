//! The seam between a protocol and whoever hosts it.
//!
//! An [`Engine`] is a deterministic participant that turns inputs into records and effects, and nothing wider: it does
//! no I/O, reads no clock, holds no key and draws no randomness. The node hosts it on sockets and disks, the simulator
//! in virtual time, the exhaustive search in every order of a small world. All of them drive it through [`turn`].
//!
//! # Durable before visible
//!
//! [`Engine::step`] returns a [`Ready`]. Its effects cannot be read: they come out of [`Ready::persist`], which takes
//! the `Ready`, appends its records to a [`Log`], syncs, and only then hands them over. So nothing is said that the
//! engine could forget: a crash before the sync forgets the vote before anybody heard it; a crash after it finds the
//! vote in the log, and the engine says it again, byte for byte.
//!
//! # Group commit
//!
//! A host may step many inputs, [`Ready::join`] what they gave and persist it with one sync. What was not synced was
//! not said, so a crash forgets all of it consistently.
//!
//! # One's own votes
//!
//! An engine's own votes are effects like any other. They come back to it as messages and are counted then: a vote that
//! was counted is durable by construction.
//!
//! # Time
//!
//! Time is an argument, [`Now`]. A timer that an engine asks for comes back as an input, and carries the view or height
//! that it was set for.

#![no_std]

extern crate alloc;

use alloc::vec::Vec;

use bezant_types::{Moment, Timestamp};

/// What the clocks show when an input is stepped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Now {
    /// The wall clock, in milliseconds since 1970. It may jump, in both directions: it dates proposals, and is never
    /// subtracted from itself.
    pub wall: Timestamp,
    /// Milliseconds since the host started, on a clock that never goes back: for how long something took.
    pub moment: Moment,
}

/// A deterministic participant. The same inputs in the same order give the same outputs.
pub trait Engine {
    /// What it is told: messages that were verified, time that ran out, what its host did for it.
    type Input;
    /// What it must not forget.
    type Record;
    /// What its host is to do for it, once the records of the same step are durable.
    type Effect;
    /// Why a record cannot be of its past.
    type BadRecord;

    /// Takes one input.
    fn step(&mut self, now: Now, input: Self::Input) -> Ready<Self::Record, Self::Effect>;

    /// Takes one record of its log, in the order in which they were written, before the first input.
    ///
    /// # Errors
    /// If the record cannot be of this participant's past.
    fn replay(&mut self, record: Self::Record) -> Result<(), Self::BadRecord>;

    /// Everything that it must not forget, as the records of a fresh log.
    fn dump(&self) -> Vec<Self::Record>;
}

/// Where records become durable.
pub trait Log<Record> {
    /// Why that failed. It is fatal: what happened to the records is not known.
    type Error;

    /// Appends the records as one unit, and returns when they will survive a crash.
    ///
    /// # Errors
    /// If that cannot be promised. The host must stop.
    fn append(&mut self, records: &[Record]) -> Result<(), Self::Error>;
}

/// What came out of a step: records, and effects that cannot be reached before the records are durable.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a step that is not persisted has not happened"]
pub struct Ready<Record, Effect> {
    records: Vec<Record>,
    effects: Vec<Effect>,
}

impl<Record, Effect> Default for Ready<Record, Effect> {
    fn default() -> Self {
        Self { records: Vec::new(), effects: Vec::new() }
    }
}

impl<Record, Effect> Ready<Record, Effect> {
    /// What an engine puts down, and what it wants done.
    pub fn new(records: Vec<Record>, effects: Vec<Effect>) -> Self {
        Self { records, effects }
    }

    /// Puts the outcome of a later step behind this one.
    pub fn join(&mut self, later: Self) {
        self.records.extend(later.records);
        self.effects.extend(later.effects);
    }

    /// Makes the records durable, and only then hands out the effects.
    ///
    /// # Errors
    /// The log's. No effect has become visible.
    pub fn persist<L: Log<Record>>(self, log: &mut L) -> Result<Vec<Effect>, L::Error> {
        if !self.records.is_empty() {
            log.append(&self.records)?;
        }
        Ok(self.effects)
    }

    /// Whether there is nothing to keep and nothing to do.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.effects.is_empty()
    }
}

/// Steps all inputs, makes what they gave durable with one append, and only then hands out what is to be done.
///
/// # Errors
/// The log's. No effect has become visible, and the engine is ahead of its log: the host must stop.
pub fn turn<E: Engine, L: Log<E::Record>>(
    engine: &mut E,
    log: &mut L,
    now: Now,
    inputs: impl IntoIterator<Item = E::Input>,
) -> Result<Vec<E::Effect>, L::Error> {
    let mut ready = Ready::default();
    for input in inputs {
        ready.join(engine.step(now, input));
    }
    ready.persist(log)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// Counts what it is told, and says the sum.
    struct Sum(u64);

    impl Engine for Sum {
        type Input = u64;
        type Record = u64;
        type Effect = u64;
        type BadRecord = core::convert::Infallible;

        fn step(&mut self, _: Now, input: u64) -> Ready<u64, u64> {
            self.0 += input;
            Ready::new(vec![input], vec![self.0])
        }

        fn replay(&mut self, record: u64) -> Result<(), Self::BadRecord> {
            self.0 += record;
            Ok(())
        }

        fn dump(&self) -> Vec<u64> {
            vec![self.0]
        }
    }

    /// Takes so many appends, then fails.
    struct Paper {
        lines: Vec<Vec<u64>>,
        room: usize,
    }

    impl Log<u64> for Paper {
        type Error = &'static str;

        fn append(&mut self, records: &[u64]) -> Result<(), Self::Error> {
            if self.lines.len() == self.room {
                return Err("full");
            }
            self.lines.push(records.to_vec());
            Ok(())
        }
    }

    #[test]
    fn a_turn_is_one_append_and_its_effects_come_after_it() {
        let (mut sum, mut paper) = (Sum(0), Paper { lines: vec![], room: 1 });
        assert_eq!(turn(&mut sum, &mut paper, Now::default(), [1, 2, 3]), Ok(vec![1, 3, 6]));
        assert_eq!(paper.lines, [[1, 2, 3]]);
        assert_eq!(turn(&mut sum, &mut paper, Now::default(), []), Ok(vec![]), "nothing needs no room");
        assert_eq!(turn(&mut sum, &mut paper, Now::default(), [4]), Err("full"), "no effect without its record");
    }

    #[test]
    fn what_is_dumped_replays_to_the_same() {
        let mut sum = Sum(0);
        let mut paper = Paper { lines: vec![], room: 1 };
        turn(&mut sum, &mut paper, Now::default(), [5, 6]).unwrap();
        let mut again = Sum(0);
        sum.dump().into_iter().for_each(|record| again.replay(record).unwrap());
        assert_eq!(again.0, sum.0);
    }
}
