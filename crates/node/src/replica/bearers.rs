//! Who hands over what no honest node hands over, and for how long it is not heard.
//!
//! **The adversary** is a member or client that sends junk on its own channel: frames that cannot be read, signatures
//! that do not hold. Finding that out costs more than making it (hazard 93). A node that does so more than a few times
//! within a second is not read for a pause, which grows as it goes on.
//!
//! Who is held to account is the *bearer*, whose key the channel has authenticated, and never the signer that a message
//! claims: or anybody could silence an honest member by forging its name (hazard 94). Whatever an honest node passes
//! on, it has checked itself.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use bezant_pbft::packet::Rejected;
use bezant_types::codec::DecodeError;
use bezant_types::signed::Unverified;
use bezant_types::{AccountId, ReplicaId};

use crate::transport::From as Sender;

/// The owner of an authenticated channel. All connections of a client are one bearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bearer {
    Replica(ReplicaId),
    Client(AccountId),
}

impl Bearer {
    pub(super) fn of(sender: Sender) -> Self {
        match sender {
            Sender::Replica(id) => Self::Replica(id),
            Sender::Client(account, _) => Self::Client(account),
        }
    }
}

impl fmt::Display for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replica(id) => write!(f, "replica {id}"),
            Self::Client(account) => write!(f, "client {account}"),
        }
    }
}

/// What no honest node hands over.
#[derive(Debug, thiserror::Error)]
pub(super) enum Improper {
    /// A frame of another version, or none.
    #[error("a frame that cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// What only its signer may hand over.
    #[error("what only replica {0} may say, and only for itself")]
    SecondHand(ReplicaId),
    /// More requests than are passed on together.
    #[error("{found} requests in one packet, of at most {limit}")]
    TooManyRequests { found: usize, limit: usize },
    /// A packet that does not hold.
    #[error(transparent)]
    Packet(#[from] Rejected),
    /// A request that its client did not sign.
    #[error("a request that does not hold: {0}")]
    Request(#[from] Unverified),
}

/// Not read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Paused;

/// How each bearer has behaved. Bounded: only members and known clients have a channel.
#[derive(Debug, Default)]
pub(super) struct Bearers(BTreeMap<Bearer, Conduct>);

#[derive(Debug)]
struct Conduct {
    /// When the current second of counting began.
    since: Instant,
    /// Faults within it.
    recent: u32,
    /// Not read before this.
    silent_until: Instant,
    /// Pauses that followed each other closely.
    pauses: u32,
    faults: u64,
    dropped: u64,
}

impl Bearers {
    /// Whether a frame of `bearer` is read now. If not, it is counted.
    pub(super) fn admit(&mut self, bearer: Bearer, now: Instant) -> Result<(), Paused> {
        let Some(conduct) = self.0.get_mut(&bearer) else { return Ok(()) };
        if conduct.silent_until <= now {
            return Ok(());
        }
        conduct.dropped = conduct.dropped.saturating_add(1);
        Err(Paused)
    }

    /// Counts a fault, and logs it. Of many, few are logged: a liar must not fill the disk with our own hands.
    pub(super) fn on_fault(&mut self, bearer: Bearer, improper: &Improper, now: Instant) {
        let conduct = self.0.entry(bearer).or_insert_with(|| Conduct::new(now));
        conduct.faults = conduct.faults.saturating_add(1);
        let Conduct { faults, dropped, .. } = *conduct;
        if faults.is_power_of_two() {
            tracing::warn!(faults, dropped, "turned away from {bearer}: {improper}");
        }
        if let Some(pause) = conduct.on_fault(now) {
            tracing::warn!(faults, dropped, "{bearer} is not read for {} s", pause.as_secs());
        }
    }
}

impl Conduct {
    fn new(now: Instant) -> Self {
        Self { since: now, recent: 0, silent_until: now, pauses: 0, faults: 0, dropped: 0 }
    }

    /// Says how long the bearer is not read from now on, if this was too much.
    fn on_fault(&mut self, now: Instant) -> Option<Duration> {
        if now < self.silent_until {
            return None; // It came with what began the pause.
        }
        if now.saturating_duration_since(self.since) >= SECOND {
            (self.since, self.recent) = (now, 0);
        }
        self.recent += 1;
        if self.recent <= TOLERATED {
            return None;
        }
        if now.saturating_duration_since(self.silent_until) >= FORGIVEN_AFTER {
            self.pauses = 0;
        }
        let pause = SECOND * (1 << self.pauses.min(MOST_DOUBLINGS));
        self.pauses += 1;
        self.silent_until = now + pause;
        (self.since, self.recent) = (self.silent_until, 0);
        Some(pause)
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// Faults within a second that are let pass.
const TOLERATED: u32 = 3;
/// The longest pause is 64 s.
const MOST_DOUBLINGS: u32 = 6;
/// After a pause and so long without another, pauses begin short again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use super::*;

    const LIAR: Bearer = Bearer::Replica(ReplicaId::new(3));

    fn forge(bearers: &mut Bearers, times: u32, now: Instant) {
        for _ in 0..times {
            bearers.on_fault(LIAR, &Improper::Request(Unverified::BadSignature), now);
        }
    }

    #[test]
    fn a_bearer_of_junk_is_not_read_for_a_growing_pause() {
        let (mut bearers, mut now) = (Bearers::default(), Instant::now());
        for seconds in [1, 2, 4, 8, 16, 32, 64, 64] {
            forge(&mut bearers, TOLERATED, now);
            assert_eq!(bearers.admit(LIAR, now), Ok(()), "a few faults are let pass");
            forge(&mut bearers, 500, now);
            let end = now + Duration::from_secs(seconds);
            assert_eq!(bearers.admit(LIAR, end - Duration::from_millis(1)), Err(Paused));
            assert_eq!(bearers.admit(LIAR, end), Ok(()));
            now = end;
        }
        now += FORGIVEN_AFTER;
        forge(&mut bearers, TOLERATED + 1, now);
        assert_eq!(bearers.admit(LIAR, now + SECOND), Ok(()), "after a long time the first pause is short again");
    }

    #[test]
    fn rare_faults_are_borne_for_ever_and_others_are_not_blamed() {
        let (mut bearers, mut now) = (Bearers::default(), Instant::now());
        for _ in 0..100 {
            forge(&mut bearers, TOLERATED, now);
            assert_eq!(bearers.admit(LIAR, now), Ok(()));
            now += SECOND;
        }
        forge(&mut bearers, 100, now);
        assert_eq!(bearers.admit(LIAR, now), Err(Paused));
        assert_eq!(bearers.admit(Bearer::Replica(ReplicaId::new(2)), now), Ok(()));
    }
}
