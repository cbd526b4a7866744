//! A machine's clocks: they start at different times, run at different speeds, and the one on the wall jumps.

use bezant_engine::Now;
use bezant_types::{Moment, Timestamp};

/// What the wall clocks show when a world begins, in milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_700_000_000_000;

/// The clocks of one machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    /// How many millionths too fast both run.
    drift_ppm: i64,
    /// How far the wall clock is ahead, in milliseconds.
    ahead_ms: i64,
    /// What this machine's own clock showed when the process started, in microseconds: its moments count from there.
    started_own_us: u64,
    /// World time when the drift last changed, and what had gathered until then, in microseconds.
    since_us: u64,
    gathered_us: i64,
}

impl Clock {
    /// The process starts.
    pub fn start(&mut self, world_us: u64) {
        self.started_own_us = self.own_us(world_us);
    }

    /// The wall clock jumps.
    pub fn jump(&mut self, ms: i64) {
        self.ahead_ms = self.ahead_ms.saturating_add(ms);
    }

    /// The clocks run at another speed.
    pub fn drift(&mut self, world_us: u64, ppm: i64) {
        self.gathered_us = self.drifted_us(world_us);
        (self.since_us, self.drift_ppm) = (world_us, ppm.clamp(-500_000, 500_000));
    }

    /// Somebody sets the wall clock right, and both run true from now on.
    pub fn set_right(&mut self, world_us: u64) {
        self.drift(world_us, 0);
        self.ahead_ms = -(self.gathered_us / 1_000);
    }

    fn drifted_us(&self, world_us: u64) -> i64 {
        let ran = i64::try_from(world_us.saturating_sub(self.since_us)).unwrap_or(i64::MAX / 1_000_000);
        self.gathered_us.saturating_add(ran.saturating_mul(self.drift_ppm) / 1_000_000)
    }

    fn own_us(&self, world_us: u64) -> u64 {
        world_us.saturating_add_signed(self.drifted_us(world_us))
    }

    /// What they show.
    pub fn now(&self, world_us: u64) -> Now {
        let own_us = self.own_us(world_us);
        let wall = EPOCH_MS.saturating_add(own_us / 1_000).saturating_add_signed(self.ahead_ms);
        let moment = own_us.saturating_sub(self.started_own_us) / 1_000;
        Now { wall: Timestamp::new(wall), moment: Moment::new(moment) }
    }

    /// When, in world time, the clock will show this moment; not before `world_us`.
    pub fn when(&self, world_us: u64, moment: Moment) -> u64 {
        let left_ms = moment.since(self.now(world_us).moment);
        let speed = 1_000_000i64.saturating_add(self.drift_ppm).max(1).unsigned_abs();
        // One microsecond more than the quotient, so that the clock does show it by then.
        let wait = left_ms.saturating_mul(1_000).saturating_mul(1_000_000) / speed;
        world_us.saturating_add(wait).saturating_add(u64::from(left_ms > 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_count_from_the_start_and_never_go_back() {
        let mut clock = Clock::default();
        clock.start(5_000_000);
        assert_eq!(clock.now(5_000_000).moment, Moment::ZERO);
        clock.jump(-10_000);
        assert_eq!(clock.now(7_000_000).moment, Moment::new(2_000));
        assert_eq!(clock.now(7_000_000).wall, Timestamp::new(EPOCH_MS + 7_000 - 10_000));
        let mut last = clock.now(7_000_000).moment;
        for (step, ppm) in [(1, 300_000), (2, -300_000), (3, 0), (4, -1_000)] {
            clock.drift(7_000_000 + step * 100_000, ppm);
            let now = clock.now(7_050_000 + step * 100_000).moment;
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
        }
    }

    #[test]
    fn a_clock_that_is_set_right_shows_the_time_and_its_moments_go_on() {
        let mut clock = Clock::default();
        clock.start(1_000_000);
        clock.drift(2_000_000, 50_000);
        clock.jump(-200_000);
        let before = clock.now(60_000_000).moment;
        clock.set_right(60_000_000);
        assert_eq!(clock.now(60_000_000).wall, Timestamp::new(EPOCH_MS + 60_000));
        assert_eq!(clock.now(61_000_000).moment, before.saturating_add(1_000));
    }

    #[test]
    fn a_moment_is_shown_when_it_is_said_to_be() {
        for ppm in [-200_000, -100, 0, 100, 200_000] {
            let mut clock = Clock::default();
            clock.start(1_000);
            clock.drift(2_000, ppm);
            let at = clock.when(50_000, Moment::new(2_345));
            assert!(clock.now(at + 1_000).moment >= Moment::new(2_345), "{ppm}");
            assert!(clock.now(at - 2_000).moment < Moment::new(2_345), "{ppm}");
        }
    }
}
