//! Who may even begin a handshake.
//!
//! **The adversary** has no key. It opens connections: many per second, to make us compute handshakes; or many at once
//! that say nothing (hazard 82), to occupy the places of those who would.
//!
//! * A token bucket per address bounds the computing. Members and strangers behind one address share its bucket: a
//!   stranger on a member's own machine can slow down that member's reconnecting, not the connections that it has.
//! * The number of handshakes under way is bounded, and a new one ends the *oldest*. Refusing the newest would let as
//!   many silent connections as there are places keep everybody out; an honest handshake takes milliseconds and is
//!   never the oldest for long.
//! * Each handshake has a deadline as a whole, so a byte a second buys nothing.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

/// The buckets of the addresses that connected lately, and the handshakes that are under way.
#[derive(Debug)]
pub(super) struct Gate {
    per_second: u32,
    buckets: BTreeMap<IpAddr, Bucket>,
    places: usize,
    pending: VecDeque<AbortHandle>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Gate {
    pub(super) fn new(per_second: u32, places: usize) -> Self {
        Self { per_second, buckets: BTreeMap::new(), places, pending: VecDeque::new() }
    }

    /// Whether a connection from `address` is within its rate; counts it if so.
    pub(super) fn admits(&mut self, address: IpAddr, now: Instant) -> bool {
        let rate = f64::from(self.per_second);
        let network = network_of(address);
        if self.buckets.len() >= MOST_ADDRESSES && !self.buckets.contains_key(&network) {
            self.forget(now);
        }
        let bucket = self.buckets.entry(network).or_insert(Bucket { tokens: rate, filled: now });
        let elapsed = now.saturating_duration_since(bucket.filled);
        bucket.tokens = (bucket.tokens + elapsed.as_secs_f64() * rate).min(rate);
        bucket.filled = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    /// Gives a place to a handshake, if need be that of the oldest.
    pub(super) fn enter(&mut self, handshake: AbortHandle) {
        self.pending.retain(|pending| !pending.is_finished());
        if self.pending.len() >= self.places
            && let Some(oldest) = self.pending.pop_front()
        {
            oldest.abort();
        }
        self.pending.push_back(handshake);
    }

    /// Makes room: a bucket that has had time to fill says nothing. If all are fresh, so many addresses attack at once
    /// that rates per address say nothing either; the places still bound the work.
    fn forget(&mut self, now: Instant) {
        self.buckets.retain(|_, bucket| now.saturating_duration_since(bucket.filled) < REFILL);
        if self.buckets.len() >= MOST_ADDRESSES {
            self.buckets.clear();
        }
    }
}

/// One subscriber has a whole IPv6 /64, so that is what counts as an address.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
    }
}

const MOST_ADDRESSES: usize = 4096;
/// A bucket holds a second's worth.
const REFILL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn an_address_gets_its_rate_and_no_more() {
        let (mut gate, start) = (Gate::new(10, 4), Instant::now());
        let admitted = (0..100).filter(|_| gate.admits(address(1), start)).count();
        assert_eq!(admitted, 10);
        assert!(gate.admits(address(2), start), "another address has its own");
        let later = start + Duration::from_millis(500);
        assert_eq!((0..100).filter(|_| gate.admits(address(1), later)).count(), 5);
    }

    #[test]
    fn a_subscriber_cannot_multiply_itself_within_its_prefix() {
        let (mut gate, now) = (Gate::new(10, 4), Instant::now());
        let inside = |i: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, i, i, i, i]);
        assert_eq!((0..100).filter(|i| gate.admits(inside(*i), now)).count(), 10);
        assert!(gate.admits(IpAddr::from([0x2001, 0xdb8, 0, 8, 0, 0, 0, 1]), now));
        let mapped = IpAddr::from([0, 0, 0, 0, 0, 0xffff, 0xc000, 0x0201]);
        (0..10).for_each(|_| assert!(gate.admits(address(1), now)));
        assert!(!gate.admits(mapped, now), "an IPv4 address in IPv6 clothes is the same");
    }

    #[test]
    fn addresses_without_number_are_remembered_within_a_bound() {
        let (mut gate, now) = (Gate::new(10, 4), Instant::now());
        for i in 0..3 * MOST_ADDRESSES as u32 {
            gate.admits(IpAddr::from(i.to_be_bytes()), now);
            assert!(gate.buckets.len() <= MOST_ADDRESSES);
        }
    }

    #[tokio::test]
    async fn a_newcomer_takes_the_place_of_the_oldest_handshake() {
        let mut gate = Gate::new(10, 3);
        let handshakes: Vec<_> = (0..5).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        handshakes.iter().for_each(|handshake| gate.enter(handshake.abort_handle()));
        let mut ended = Vec::new();
        for handshake in handshakes {
            let abort = handshake.abort_handle();
            ended.push(tokio::time::timeout(Duration::from_millis(50), handshake).await.is_ok());
            abort.abort();
        }
        assert_eq!(ended, [true, true, false, false, false]);
    }
}
