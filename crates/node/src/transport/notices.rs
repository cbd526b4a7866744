//! What is said about those who were not let in.
//!
//! **The adversary** has no key and knocks all day to fill the disk with lines about it; and a replica whose disk is
//! full stops. So many lines per second are written, and what is kept back is counted and told with the next line.

use std::time::{Duration, Instant};

use super::event::Reason;

/// A bounded voice.
#[derive(Debug, Default)]
pub(super) struct Notices {
    second: Option<Instant>,
    said: u32,
    kept_back: u64,
}

impl Notices {
    /// Says why a connection from `who` did not come to be, unless too much was said lately.
    pub(super) fn refused(&mut self, who: &impl std::fmt::Display, reason: &Reason, now: Instant) {
        let Some(kept_back) = self.may_speak(now) else { return };
        if let Reason::Unwelcome(refusal) = reason {
            tracing::warn!(kept_back, "refused {who}: {refusal}");
        } else {
            tracing::info!(kept_back, "no connection with {who}: {reason}");
        }
    }

    /// How many lines were kept back since the last one, if another may be written now.
    fn may_speak(&mut self, now: Instant) -> Option<u64> {
        if self.second.is_none_or(|begin| now.saturating_duration_since(begin) >= Duration::from_secs(1)) {
            self.second = Some(now);
            self.said = 0;
        }
        if self.said >= LINES_PER_SECOND {
            self.kept_back += 1;
            return None;
        }
        self.said += 1;
        Some(std::mem::take(&mut self.kept_back))
    }
}

const LINES_PER_SECOND: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_knocks_all_day_gets_a_few_lines_and_a_count() {
        let (mut notices, start) = (Notices::default(), Instant::now());
        let lines = (0..1000).filter(|_| notices.may_speak(start).is_some()).count();
        assert_eq!(lines, 5);
        let later = start + Duration::from_secs(1);
        assert_eq!(notices.may_speak(later), Some(995));
        assert_eq!(notices.may_speak(later), Some(0));
    }
}
