//! What has arrived and waits for the host: one lane per sender, served in turn.
//!
//! **The adversary** is a member or client that sends as fast as it can. Bytes are bounded by its [`Budget`]; time is
//! bounded here: a million tiny frames of one sender delay another sender's next frame by one frame, not by a million,
//! because the host takes one event of each sender per round. Replicas and clients are two rounds that alternate, so
//! that a crowd of clients does not thin out the group's own votes.
//!
//! # Budget
//!
//! The memory that a sender occupies here is charged to it before it is allocated, with an overhead per frame, and
//! given back when the host drops the last reference to the bytes. When the budget is used up we stop reading this
//! sender's sockets, and TCP tells it to stop sending. All connections of a client draw on one budget; all clients
//! together on a second one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bezant_types::{AccountId, ReplicaId};
use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::event::{Event, From};

/// The receiving end of a mesh. Dropping it makes the mesh stop reading.
#[derive(Debug)]
pub struct EventReceiver {
    inbox: Arc<Inbox>,
}

impl EventReceiver {
    pub(super) fn new(inbox: Arc<Inbox>) -> Self {
        Self { inbox }
    }

    /// The next event; waits until there is one. `None` once the mesh is gone and everything that arrived was taken.
    ///
    /// Nothing is lost when the future is dropped before it is ready.
    pub async fn recv(&mut self) -> Option<Event> {
        loop {
            let arrived = self.inbox.arrived.notified();
            if let Some(event) = self.inbox.pop() {
                return Some(event);
            }
            if self.inbox.is_closed() {
                // Once more: what came before the end may have come after the look above.
                return self.inbox.pop();
            }
            arrived.await;
        }
    }

    /// The next event, if there is one: drains the rest of a turn after [`Self::recv`] gave its first.
    ///
    /// Whoever drains should stop after some number of events: senders are served in turn, so a bounded turn is a fair
    /// one.
    pub fn try_recv(&mut self) -> Option<Event> {
        self.inbox.pop()
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        self.inbox.close();
        let mut state = self.inbox.lock();
        state.lanes.clear();
        state.rounds = Rounds::default();
    }
}

/// The side of the connections.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Bounded: one per replica and known client that has sent something.
    lanes: BTreeMap<Lane, VecDeque<Queued>>,
    /// The lanes that are not empty.
    rounds: Rounds,
    closed: bool,
}

#[derive(Debug, Default)]
struct Rounds {
    replicas: VecDeque<Lane>,
    clients: VecDeque<Lane>,
    last: LastServed,
}

#[derive(Clone, Copy, Debug, Default)]
enum LastServed {
    Replica,
    #[default]
    Client,
}

/// Whose events; connections of one client share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Replica(ReplicaId),
    Client(AccountId),
}

impl Lane {
    fn of(from: From) -> Self {
        match from {
            From::Replica(id) => Self::Replica(id),
            From::Client(account, _) => Self::Client(account),
        }
    }
}

/// An event, and what it costs until it is taken. A frame's cost lives in its bytes instead.
#[derive(Debug)]
struct Queued {
    event: Event,
    _charge: Option<Charge>,
}

impl Inbox {
    /// Adds frames of one sender, in order.
    pub(super) fn deliver(&self, from: From, frames: impl Iterator<Item = Bytes>) {
        self.push(from, frames.map(|bytes| Queued { event: Event::Frame { from, bytes }, _charge: None }));
    }

    /// Adds an event that is not a frame, with its cost.
    pub(super) fn announce(&self, from: From, event: Event, charge: Charge) {
        self.push(from, std::iter::once(Queued { event, _charge: Some(charge) }));
    }

    fn push(&self, from: From, events: impl Iterator<Item = Queued>) {
        let lane = Lane::of(from);
        let mut guard = self.lock();
        let State { lanes, rounds, closed } = &mut *guard;
        if *closed {
            return;
        }
        let queue = lanes.entry(lane).or_default();
        let was_empty = queue.is_empty();
        queue.extend(events);
        if was_empty && !queue.is_empty() {
            rounds.of(lane).push_back(lane);
        }
        drop(guard);
        self.arrived.notify_one();
    }

    fn pop(&self) -> Option<Event> {
        let mut guard = self.lock();
        let State { lanes, rounds, .. } = &mut *guard;
        let lane = rounds.next()?;
        let queue = lanes.get_mut(&lane).expect("a lane in a round has a queue");
        let queued = queue.pop_front().expect("a lane in a round is not empty");
        if queue.is_empty() {
            // A burst's worth of room is not kept for ever.
            queue.shrink_to(KEPT_CAPACITY);
        } else {
            rounds.of(lane).push_back(lane);
        }
        drop(guard);
        Some(queued.event)
    }

    /// Says that nothing will come any more.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.lock().closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rounds {
    fn of(&mut self, lane: Lane) -> &mut VecDeque<Lane> {
        match lane {
            Lane::Replica(_) => &mut self.replicas,
            Lane::Client(_) => &mut self.clients,
        }
    }

    fn next(&mut self) -> Option<Lane> {
        let lane = match self.last {
            LastServed::Client => self.replicas.pop_front().or_else(|| self.clients.pop_front()),
            LastServed::Replica => self.clients.pop_front().or_else(|| self.replicas.pop_front()),
        }?;
        self.last = match lane {
            Lane::Replica(_) => LastServed::Replica,
            Lane::Client(_) => LastServed::Client,
        };
        Some(lane)
    }
}

/// How many bytes a sender may occupy.
#[derive(Clone, Debug)]
pub(super) struct Budget {
    own: Arc<Semaphore>,
    capacity: usize,
    /// What all clients together may occupy, and none of them alone more than its own.
    shared: Option<Arc<Semaphore>>,
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Charge {
    _own: OwnedSemaphorePermit,
    _shared: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(super) fn new(capacity: usize, shared: Option<Arc<Semaphore>>) -> Self {
        Self { own: Arc::new(Semaphore::new(capacity)), capacity, shared }
    }

    /// Waits until `bytes` are free, and takes them. One's own budget is taken first, so that whoever has used it up
    /// does not wait in the shared line, where it would be in the way of others.
    pub(super) async fn take(&self, bytes: usize) -> Charge {
        // The limits see to it that no frame is larger than a budget; and if one were, it would wait for all of it.
        let bytes = u32::try_from(bytes.min(self.capacity)).unwrap_or(u32::MAX);
        let own = self.own.clone().acquire_many_owned(bytes).await.expect("budgets are never closed");
        let shared = match &self.shared {
            Some(shared) => Some(shared.clone().acquire_many_owned(bytes).await.expect("budgets are never closed")),
            None => None,
        };
        Charge { _own: own, _shared: shared }
    }

    /// How many bytes are free now.
    #[cfg(test)]
    pub(super) fn free(&self) -> usize {
        self.own.available_permits()
    }
}

/// Bytes that are charged to their sender for as long as anybody holds a part of them.
pub(super) struct Charged {
    bytes: Vec<u8>,
    _charge: Charge,
}

impl Charged {
    /// Makes shared bytes of received ones.
    pub(super) fn share(bytes: Vec<u8>, charge: Charge) -> Bytes {
        Bytes::from_owner(Self { bytes, _charge: charge })
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What an event costs beside its payload: its place in the lane and the bookkeeping of its bytes.
pub(super) const EVENT_OVERHEAD: usize = 160;
const KEPT_CAPACITY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::event::ConnectionId;

    fn replica(id: u16) -> From {
        From::Replica(ReplicaId::new(id))
    }

    fn client(seed: u8, connection: u64) -> From {
        From::Client(AccountId::new([seed; 32]), ConnectionId::new(connection))
    }

    fn fill(inbox: &Inbox, from: From, frames: usize) {
        inbox.deliver(from, (0..frames).map(|i| Bytes::from(vec![i as u8])));
    }

    fn senders(receiver: &mut EventReceiver, count: usize) -> Vec<From> {
        let next = |_| match receiver.try_recv().unwrap() {
            Event::Frame { from, .. } | Event::Connected(from) | Event::Disconnected(from, _) => from,
        };
        (0..count).map(next).collect()
    }

    #[test]
    fn a_flooding_sender_does_not_delay_another_by_more_than_a_round() {
        let inbox = Arc::new(Inbox::default());
        let mut receiver = EventReceiver::new(inbox.clone());
        fill(&inbox, replica(1), 1000);
        fill(&inbox, replica(2), 1);
        assert_eq!(senders(&mut receiver, 3), [replica(1), replica(2), replica(1)]);
    }

    #[test]
    fn a_crowd_of_clients_takes_every_second_place_and_no_more() {
        let inbox = Arc::new(Inbox::default());
        let mut receiver = EventReceiver::new(inbox.clone());
        for seed in 0..100 {
            fill(&inbox, client(seed, 1), 10);
        }
        fill(&inbox, replica(1), 10);
        let replicas = senders(&mut receiver, 20).into_iter().filter(|from| *from == replica(1)).count();
        assert_eq!(replicas, 10);
    }

    #[test]
    fn connections_of_one_client_are_one_sender() {
        let inbox = Arc::new(Inbox::default());
        let mut receiver = EventReceiver::new(inbox.clone());
        for connection in 0..10 {
            fill(&inbox, client(1, connection), 1);
        }
        fill(&inbox, client(2, 99), 1);
        assert_eq!(senders(&mut receiver, 2)[1], client(2, 99));
    }

    #[test]
    fn frames_of_one_sender_stay_in_order() {
        let inbox = Arc::new(Inbox::default());
        let mut receiver = EventReceiver::new(inbox.clone());
        fill(&inbox, replica(1), 100);
        fill(&inbox, replica(2), 100);
        let mut expected = [0u8; 3];
        while let Some(event) = receiver.try_recv() {
            let Event::Frame { from: From::Replica(id), bytes } = event else { panic!("{event:?}") };
            assert_eq!(bytes[0], expected[id.index()]);
            expected[id.index()] += 1;
        }
        assert_eq!(expected, [0, 100, 100]);
    }

    #[tokio::test]
    async fn what_is_held_stays_charged_until_its_last_part_is_dropped() {
        let budget = Budget::new(100, None);
        let bytes = Charged::share(vec![0; 60], budget.take(60).await);
        let part = bytes.slice(10..20);
        drop(bytes);
        assert_eq!(budget.free(), 40);
        drop(part);
        assert_eq!(budget.free(), 100);
    }

    #[tokio::test]
    async fn a_closed_inbox_gives_what_it_has_and_then_ends() {
        let inbox = Arc::new(Inbox::default());
        let mut receiver = EventReceiver::new(inbox.clone());
        fill(&inbox, replica(1), 1);
        inbox.close();
        assert!(receiver.recv().await.is_some());
        assert!(receiver.recv().await.is_none());
    }
}
