//! Requests that wait to be ordered.
//!
//! A client sends its request to every replica, so every replica knows what the primary owes. The pool is bounded in
//! bytes per client: a client that floods fills its own share and nobody else's (hazard 81). And a primary takes from
//! the clients in turn: were it first come, first served, clients who flood it and nobody else would make every other
//! client's request wait behind theirs until the backups lose patience with it.
//!
//! Of each client the lowest number comes first, and a backup watches the clients in line: whoever was served in the
//! order of its numbers goes to the end. So a client that floods waits for itself and cannot make that the primary's
//! fault, by whatever order it sends what it has to whom; and a client of whom only later requests are served stays
//! where it is until its turn comes (rule P-8).
//!
//! What waits is owed by the primary, so nothing may wait that can never be executed: a client that signs two requests
//! under one number, and sends them to different replicas, would have honest primaries accused by those that wait for
//! the other one (hazard 72). With a request everything leaves that its execution makes void: what has the same number,
//! and what lies a multiple of the client's window below it (rule P-1).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bezant_types::{AccountId, Digest, Moment, Request, RequestNumber};

use crate::ignored::Ignored;
use crate::line::Line;

/// How many bytes of one client may wait, requests of the largest size aside: one of any size is always admitted.
pub(crate) const CLIENT_QUOTA: usize = 32 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Waiting {
    request: Request,
    arrival: u64,
    /// Since when the primary of this view owes it.
    since: Moment,
}

/// All that waits of a client, by number and arrival.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Share {
    bytes: usize,
    numbers: BTreeSet<(RequestNumber, u64)>,
    /// What of it no proposal of this view holds.
    unproposed: BTreeSet<(RequestNumber, u64)>,
    /// Since when it has its place in the line.
    since: Moment,
}

/// The waiting requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pool {
    /// How many request numbers of a client the ledger remembers.
    window: u64,
    waiting: BTreeMap<Digest, Waiting>,
    order: BTreeMap<u64, Digest>,
    unproposed: BTreeSet<u64>,
    shares: BTreeMap<AccountId, Share>,
    /// The clients in the order in which a backup watches what they are owed.
    line: Line,
    /// Those of whom something is unproposed, in the order in which a primary takes from them.
    turns: Line,
    /// Which requests wait under which number, by client and place in its window.
    by_number: BTreeSet<(AccountId, u64, RequestNumber, Digest)>,
    next_arrival: u64,
}

impl Pool {
    /// Nothing waits. `window` is the genesis' `client_window`.
    pub(crate) fn new(window: u32) -> Self {
        Self {
            window: window.max(1).into(),
            waiting: BTreeMap::new(),
            order: BTreeMap::new(),
            unproposed: BTreeSet::new(),
            shares: BTreeMap::new(),
            line: Line::default(),
            turns: Line::default(),
            by_number: BTreeSet::new(),
            next_arrival: 0,
        }
    }

    /// Lets a request wait. Where its client's share is full, what has higher numbers gives way: were a low number
    /// refused here and owed elsewhere, a client could have the primary blamed for what it kept it from taking.
    pub(crate) fn admit(&mut self, now: Moment, request: Request) -> Result<(), Ignored> {
        let digest = request.digest();
        if self.waiting.contains_key(&digest) {
            return Err(Ignored::Duplicate);
        }
        self.make_room(&request)?;
        let (client, arrival) = (request.client(), self.next_arrival);
        let numbered = (request.number(), arrival);
        self.line.join(client);
        self.turns.join(client);
        let empty = || Share { bytes: 0, numbers: BTreeSet::new(), unproposed: BTreeSet::new(), since: now };
        let share = self.shares.entry(client).or_insert_with(empty);
        share.bytes += request.size();
        share.numbers.insert(numbered);
        share.unproposed.insert(numbered);
        self.next_arrival += 1;
        self.order.insert(arrival, digest);
        self.unproposed.insert(arrival);
        self.by_number.insert(self.number_of(&request, digest));
        self.waiting.insert(digest, Waiting { request, arrival, since: now });
        Ok(())
    }

    fn make_room(&mut self, request: &Request) -> Result<(), Ignored> {
        let Some(share) = self.shares.get(&request.client()) else { return Ok(()) };
        let mut bytes = share.bytes.saturating_add(request.size());
        let mut later = share.unproposed.iter().rev().take_while(|(number, _)| request.number() < *number);
        let mut evicted = Vec::new();
        while bytes > CLIENT_QUOTA && bytes > request.size() {
            let digest = later.next().and_then(|(_, arrival)| self.order.get(arrival)).ok_or(Ignored::ClientQuota)?;
            bytes -= self.get(digest).map_or(0, Request::size);
            evicted.push(*digest);
        }
        evicted.iter().for_each(|digest| self.remove(digest));
        Ok(())
    }

    pub(crate) fn get(&self, digest: &Digest) -> Option<&Request> {
        self.waiting.get(digest).map(|waiting| &waiting.request)
    }

    /// A request of this number was executed: it waits no more, nor does what the ledger now refuses because of it.
    pub(crate) fn spend(&mut self, client: AccountId, number: RequestNumber) {
        let slot = number.get() % self.window;
        let least = (client, slot, RequestNumber::new(0), Digest::new([0; 32]));
        let from = self.by_number.range(least..);
        let spent = from.take_while(|(of, at, theirs, _)| (*of, *at) == (client, slot) && *theirs <= number);
        let digests: Vec<_> = spent.map(|(.., digest)| *digest).collect();
        digests.iter().for_each(|digest| self.remove(digest));
    }

    fn number_of(&self, request: &Request, digest: Digest) -> (AccountId, u64, RequestNumber, Digest) {
        (request.client(), request.number().get() % self.window, request.number(), digest)
    }

    fn remove(&mut self, digest: &Digest) {
        let Some(Waiting { request, arrival, .. }) = self.waiting.remove(digest) else { return };
        self.by_number.remove(&self.number_of(&request, *digest));
        self.order.remove(&arrival);
        let client = request.client();
        self.place(client, request.number(), arrival);
        if let Some(share) = self.shares.get_mut(&client) {
            share.bytes -= request.size();
            share.numbers.remove(&(request.number(), arrival));
            if share.numbers.is_empty() {
                self.line.leave(client);
                self.shares.remove(&client);
            }
        }
    }

    /// A request of this number was executed for the first time. If the client waits for none that comes before it,
    /// then it was served in its order and goes to the end of the line.
    pub(crate) fn serve(&mut self, now: Moment, client: AccountId, number: RequestNumber) {
        let lowest = self.shares.get(&client).and_then(|share| share.numbers.first());
        if lowest.is_some_and(|(lowest, _)| number < *lowest) {
            self.step_back(now, client);
        }
    }

    /// A client goes to the end of the line.
    pub(crate) fn step_back(&mut self, now: Moment, client: AccountId) {
        if let Some(share) = self.shares.get_mut(&client) {
            share.since = now;
            self.line.step_back(client);
        }
    }

    /// The client at the head of the line, since when it has had its place there, and the lowest number under which
    /// something of it waits.
    pub(crate) fn head(&self) -> Option<(AccountId, Moment, RequestNumber)> {
        let client = self.line.first()?;
        let share = self.shares.get(&client)?;
        Some((client, share.since, share.numbers.first()?.0))
    }

    /// Whether something of the client waits under this number.
    pub(crate) fn waits(&self, client: AccountId, number: RequestNumber) -> bool {
        self.under(client, number).next().is_some()
    }

    /// What of the client waits under this number, and no proposal of this view holds: one of it, since executing any
    /// is the end of all.
    pub(crate) fn unproposed_of(&self, client: AccountId, number: RequestNumber) -> Option<&Request> {
        self.under(client, number).filter(|arrival| self.unproposed.contains(arrival)).find_map(|one| self.arrived(one))
    }

    fn under(&self, client: AccountId, number: RequestNumber) -> impl Iterator<Item = u64> {
        let numbers = self.shares.get(&client).map(|share| &share.numbers);
        numbers
            .into_iter()
            .flat_map(move |all| all.range((number, 0)..=(number, u64::MAX)))
            .map(|(_, arrival)| *arrival)
    }

    /// The request that arrived then.
    pub(crate) fn arrived(&self, arrival: u64) -> Option<&Request> {
        self.get(self.order.get(&arrival)?)
    }

    /// The oldest requests that no proposal of this view holds, up to so many bytes, and at least one if there is one.
    pub(crate) fn unproposed(&self, max_bytes: usize) -> Vec<Request> {
        let mut bytes = 0usize;
        let fits = |request: &&Request| {
            bytes = bytes.saturating_add(request.size());
            bytes == request.size() || bytes <= max_bytes
        };
        self.unproposed.iter().filter_map(|arrival| self.arrived(*arrival)).take_while(fits).cloned().collect()
    }

    /// When the request that has waited longest without a place arrived.
    pub(crate) fn oldest_unproposed(&self) -> Option<u64> {
        self.unproposed.first().copied()
    }

    /// When a request arrived, in the order of arrivals.
    pub(crate) fn arrival(&self, digest: &Digest) -> Option<u64> {
        self.waiting.get(digest).map(|waiting| waiting.arrival)
    }

    /// Since when the primary of this view owes the request that arrived then.
    pub(crate) fn since(&self, arrival: u64) -> Option<Moment> {
        self.waiting.get(self.order.get(&arrival)?).map(|waiting| waiting.since)
    }

    pub(crate) fn has_unproposed(&self) -> bool {
        !self.unproposed.is_empty()
    }

    /// Takes requests that no proposal of this view holds, one of each client in turn and of each client the lowest
    /// number first, up to the limits, and at least one if there is one. They go on waiting until they are executed.
    pub(crate) fn propose(&mut self, max_requests: usize, max_bytes: usize) -> Vec<Request> {
        let mut batch = Vec::new();
        let mut bytes = 0usize;
        while let Some((client, arrival)) = self.next_in_turn() {
            let request = self.arrived(arrival).expect("what is unproposed waits").clone();
            bytes = bytes.saturating_add(request.size());
            if batch.len() == max_requests || (!batch.is_empty() && bytes > max_bytes) {
                break;
            }
            self.place(client, request.number(), arrival);
            self.turns.step_back(client);
            batch.push(request);
        }
        batch
    }

    /// The first request without a place of the client whose turn it is.
    fn next_in_turn(&self) -> Option<(AccountId, u64)> {
        let client = self.turns.first()?;
        let (_, arrival) = self.shares.get(&client)?.unproposed.first()?;
        Some((client, *arrival))
    }

    /// A request has its place, or is gone.
    fn place(&mut self, client: AccountId, number: RequestNumber, arrival: u64) {
        self.unproposed.remove(&arrival);
        if let Some(share) = self.shares.get_mut(&client) {
            share.unproposed.remove(&(number, arrival));
            if share.unproposed.is_empty() {
                self.turns.leave(client);
            }
        }
    }

    /// Marks a request as held by a proposal.
    pub(crate) fn mark_proposed(&mut self, digest: &Digest) {
        if let Some(waiting) = self.waiting.get(digest) {
            self.place(waiting.request.client(), waiting.request.number(), waiting.arrival);
        }
    }

    /// A new view: what was proposed may have to be proposed again.
    pub(crate) fn release(&mut self, now: Moment) {
        self.waiting.values_mut().for_each(|waiting| waiting.since = now);
        self.unproposed = self.order.keys().copied().collect();
        for share in self.shares.values_mut() {
            share.unproposed.clone_from(&share.numbers);
            share.since = now;
        }
        self.order
            .values()
            .filter_map(|digest| self.waiting.get(digest))
            .for_each(|one| self.turns.join(one.request.client()));
    }

    /// Forgets everything that waits.
    pub(crate) fn clear(&mut self) {
        let (window, next_arrival) = (self.window, self.next_arrival);
        *self = Self { window, next_arrival, ..Self::new(1) };
    }

    /// How many requests wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use bezant_types::genesis::Parameters;
    use bezant_types::{Bundle, Operation, SecretKey, Transaction, Verified};

    use super::*;

    fn request(client: u8, number: u64) -> Request {
        let key = SecretKey::from_seed([client; 32]);
        let bundle =
            Bundle { number: RequestNumber::new(number), transactions: vec![Transaction::single(Operation::Size)] };
        let signed = Verified::sign(bundle, key.account(), &key, Digest::new([0; 32]));
        Request::new(signed, &Parameters::standard()).expect("within the limits")
    }

    fn pool_of(numbers: &[u64]) -> Pool {
        let mut pool = Pool::new(16);
        for number in numbers {
            pool.admit(Moment::ZERO, request(1, *number)).expect("it is new");
        }
        pool
    }

    fn spend(pool: &mut Pool, number: u64) {
        pool.spend(request(1, 0).client(), RequestNumber::new(number));
    }

    #[test]
    fn what_is_spent_leaves_nothing_behind() {
        let mut pool = pool_of(&[1, 17, 33]);
        spend(&mut pool, 33);
        assert_eq!(pool, Pool { next_arrival: 3, ..Pool::new(16) });
    }

    #[test]
    fn of_a_client_the_lowest_number_is_first() {
        let mut pool = pool_of(&[9, 3, 12]);
        let numbers: Vec<_> = pool.propose(2, usize::MAX).iter().map(|one| one.number().get()).collect();
        assert_eq!(numbers, [3, 9]);
        assert_eq!(pool.head().map(|(.., number)| number.get()), Some(3), "it waits until it is executed");
        pool.admit(Moment::ZERO, request(1, 1)).expect("it is new");
        assert_eq!(pool.propose(9, usize::MAX), [request(1, 1), request(1, 12)]);
    }

    #[test]
    fn a_client_keeps_its_place_in_the_line_until_it_is_served_in_its_order() {
        let mut pool = pool_of(&[5, 7]);
        pool.admit(Moment::ZERO, request(2, 1)).expect("it is new");
        let head = |pool: &Pool| pool.head().map(|(client, _, number)| (client, number.get()));
        let (one, two) = (request(1, 0).client(), request(2, 0).client());
        pool.serve(Moment::ZERO, one, RequestNumber::new(6));
        assert_eq!(head(&pool), Some((one, 5)), "what is first was left out");
        pool.serve(Moment::ZERO, one, RequestNumber::new(4));
        assert_eq!(head(&pool), Some((two, 1)));
        pool.step_back(Moment::ZERO, two);
        assert_eq!(head(&pool), Some((one, 5)));
    }

    #[test]
    fn clients_take_turns_in_the_order_in_which_they_came() {
        let mut pool = Pool::new(16);
        for (client, number) in [(9, 1), (9, 2), (9, 3), (1, 1), (5, 1), (1, 2)] {
            pool.admit(Moment::ZERO, request(client, number)).expect("it is new");
        }
        let first = pool.propose(4, usize::MAX);
        assert_eq!(first, [request(9, 1), request(1, 1), request(5, 1), request(9, 2)]);
        assert_eq!(pool.propose(4, usize::MAX), [request(1, 2), request(9, 3)], "who came next goes on");
        pool.release(Moment::ZERO);
        assert_eq!(pool.propose(2, usize::MAX), [request(9, 1), request(1, 1)], "a new view begins anew");
    }

    /// A request of client 1 that appends so many bytes.
    fn appending(number: u64, bytes: usize) -> Request {
        let key = SecretKey::from_seed([1; 32]);
        let operation = Operation::Append { key: vec![1], suffix: vec![7; bytes] };
        let bundle = Bundle { number: RequestNumber::new(number), transactions: vec![Transaction::single(operation)] };
        let signed = Verified::sign(bundle, key.account(), &key, Digest::new([0; 32]));
        Request::new(signed, &Parameters::standard()).expect("within the limits")
    }

    fn large(number: u64) -> Request {
        appending(number, 900_000)
    }

    /// As many large requests as fit, with numbers from 100 on, and how many that are.
    fn full_share() -> (Pool, u64) {
        let mut pool = Pool::new(1024);
        let count = (CLIENT_QUOTA / large(0).size()) as u64;
        for number in 0..count {
            pool.admit(Moment::ZERO, large(100 + number)).expect("it fits");
        }
        (pool, count)
    }

    #[test]
    fn in_a_full_share_higher_numbers_give_way() {
        let (mut pool, count) = full_share();
        let whole = pool.clone();
        for higher_or_equal in [large(100 + count), appending(99 + count, 900_001)] {
            assert_eq!(pool.admit(Moment::ZERO, higher_or_equal), Err(Ignored::ClientQuota));
            assert_eq!(pool, whole, "what is refused changes nothing");
        }
        pool.admit(Moment::ZERO, large(3)).expect("it is lower than the rest");
        let client = large(0).client();
        let waits = |pool: &Pool, number| pool.waits(client, RequestNumber::new(number));
        assert_eq!(pool.len() as u64, count);
        assert!(!waits(&pool, 99 + count) && waits(&pool, 98 + count));
        pool.admit(Moment::ZERO, appending(99 + count, 240_000)).expect("it fits into what is left");
        pool.admit(Moment::ZERO, appending(1, 1_000_000)).expect("it is lower than the rest");
        assert_eq!(pool.len() as u64, count, "it takes the places of two");
        let proposed = pool.propose(usize::MAX, usize::MAX).len() as u64;
        assert_eq!(proposed, count);
        assert_eq!(pool.admit(Moment::ZERO, large(2)), Err(Ignored::ClientQuota), "what is proposed stays");
    }

    #[test]
    fn a_share_is_full_at_its_last_byte_and_has_room_again_when_something_is_gone() {
        let (mut pool, count) = full_share();
        let left = CLIENT_QUOTA - count as usize * large(0).size();
        let rest = left - (large(0).size() - 900_000);
        let (fits, too_large) = (appending(200, rest), appending(200, rest + 1));
        assert!(fits.size() == left && too_large.size() == left + 1, "lengths are of one length");
        assert_eq!(pool.admit(Moment::ZERO, too_large), Err(Ignored::ClientQuota));
        pool.admit(Moment::ZERO, fits).expect("it fits");
        for round in 0..3 {
            pool.spend(large(0).client(), RequestNumber::new(100 + round));
            pool.admit(Moment::ZERO, large(300 + round)).expect("as much room as was left");
            assert_eq!(pool.admit(Moment::ZERO, large(400)), Err(Ignored::ClientQuota));
        }
    }

    #[test]
    fn a_batch_is_filled_to_its_last_byte() {
        let size = request(1, 0).size();
        for (most, taken) in [(2 * size, 2), (2 * size - 1, 1), (0, 1)] {
            assert_eq!(pool_of(&[1, 2, 3]).propose(9, most).len(), taken);
        }
    }

    #[test]
    fn the_window_is_the_same_after_everything_was_forgotten() {
        let mut pool = pool_of(&[1]);
        pool.clear();
        assert_eq!((pool.len(), pool.next_arrival), (0, 1), "what comes now comes later than what came before");
        for number in [1, 2, 3] {
            pool.admit(Moment::ZERO, request(1, number)).expect("it is new");
        }
        spend(&mut pool, 3);
        assert_eq!(pool.len(), 2, "1 and 2 have places of their own");
    }
}
