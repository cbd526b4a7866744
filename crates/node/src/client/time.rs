//! The clock of the pure parts: milliseconds since the client began.

use std::time::Duration;

use bezant_types::Moment;
use tokio::time::Instant;

/// Turns the runtime's clock into [`Moment`]s and back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    start: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { start: Instant::now() }
    }

    pub(super) fn now(self) -> Moment {
        self.at(Instant::now())
    }

    /// Rounded down: a deadline in this clock is never later than the one that was meant.
    pub(super) fn at(self, instant: Instant) -> Moment {
        Moment::new(millis(instant.saturating_duration_since(self.start)))
    }

    /// `None` for a moment that is too far away for the runtime's clock, and so for everybody.
    pub(super) fn instant(self, moment: Moment) -> Option<Instant> {
        self.start.checked_add(Duration::from_millis(moment.get()))
    }
}

/// A duration in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
