//! The dialling side: keeps one connection to one replica, for ever.
//!
//! **The adversary** accepts and closes, accepts and is silent, or is another node behind the right address. Each
//! attempt has a deadline; between attempts we wait, doubling up to a bound, with jitter so that a restarted replica is
//! not met by everybody at once. The wait falls back only after a connection that lasted, so that accepting and closing
//! does not make us spin.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bezant_types::ReplicaId;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::door::greet;
use super::event::{Event, From, PeerStatus, Reason};
use super::inbox::{Budget, EVENT_OVERHEAD};
use super::node::Node;
use super::outbox::Outbox;
use super::tls::Channel;
use super::wire::{Intake, read_frames, write_frames};

/// One replica as seen by whoever dials it.
pub(super) struct Link {
    pub(super) id: ReplicaId,
    pub(super) address: String,
    pub(super) outbox: Arc<Outbox>,
    /// Pays for what comes back on the dialled connection.
    budget: Budget,
    /// The largest frame that may come back: none between replicas, replies to a client.
    limit: usize,
    state: Mutex<LinkState>,
}

struct LinkState {
    connected: bool,
    since: Instant,
    last_error: Option<String>,
}

impl Link {
    pub(super) fn new(id: ReplicaId, address: String, outbox: Outbox, budget: Budget, limit: usize) -> Arc<Self> {
        let state = Mutex::new(LinkState { connected: false, since: Instant::now(), last_error: None });
        Arc::new(Self { id, address, outbox: Arc::new(outbox), budget, limit, state })
    }

    /// How it is doing. Whether the replica is heard is for the caller to add.
    pub(super) fn status(&self) -> PeerStatus {
        let backlog = self.outbox.backlog();
        let state = self.lock();
        PeerStatus {
            id: self.id,
            address: self.address.clone(),
            connected: state.connected,
            since: state.since,
            heard: state.connected,
            queued_bytes: backlog.bytes,
            dropped_frames: backlog.dropped,
            last_error: state.last_error.clone(),
        }
    }

    fn enter_connected(&self) {
        *self.lock() = LinkState { connected: true, since: Instant::now(), last_error: None };
        self.outbox.up();
    }

    fn enter_disconnected(&self, reason: &Reason) {
        self.outbox.down();
        let error = Some(self.describe(reason));
        *self.lock() = LinkState { connected: false, since: Instant::now(), last_error: error };
    }

    /// Notes a failed attempt. Says it aloud only if it failed otherwise before: a replica that is down for a day is
    /// dialled thousands of times.
    fn note_failure(&self, reason: &Reason) {
        let error = Some(self.describe(reason));
        let mut state = self.lock();
        if state.last_error != error {
            tracing::warn!("replica {} is not reachable: {}", self.id, error.as_deref().unwrap_or_default());
            state.last_error = error;
        }
    }

    fn describe(&self, reason: &Reason) -> String {
        let address = &self.address;
        if let Reason::Refused(words) = reason {
            format!("refused by {address}: {words}")
        } else if let Reason::Unwelcome(refusal) = reason {
            format!("we refused {address}: {refusal}")
        } else {
            format!("{address}: {reason}")
        }
    }

    fn lock(&self) -> MutexGuard<'_, LinkState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Dials, exchanges frames, and dials again, until the link's outbox is closed.
pub(super) async fn keep_dialled(link: Arc<Link>, node: Arc<Node>) {
    let from = From::Replica(link.id);
    let mut backoff = Backoff::new(node.limits.min_backoff, node.limits.max_backoff);
    while !link.outbox.is_closing() {
        match attempt(&link, &node).await {
            Ok(channel) => {
                let begin = Instant::now();
                let (arrival, departure) =
                    (link.budget.take(EVENT_OVERHEAD).await, link.budget.take(EVENT_OVERHEAD).await);
                link.enter_connected();
                tracing::info!("connected to {from} at {}", link.address);
                node.inbox.announce(from, Event::Connected(from), arrival);
                let reason = converse(channel, &link, &node).await;
                link.enter_disconnected(&reason);
                tracing::info!("not connected to {from} at {} any more: {reason}", link.address);
                node.inbox.announce(from, Event::Disconnected(from, reason), departure);
                backoff.after_connection_of(begin.elapsed());
            }
            Err(reason) => link.note_failure(&reason),
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next()) => (),
            () = link.outbox.closed() => return,
        }
    }
}

async fn attempt(link: &Link, node: &Node) -> Result<Channel, Reason> {
    let patience = node.limits.handshake_timeout;
    match timeout(patience, connect(link, node)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Reason::SlowHandshake(patience.as_millis())),
    }
}

async fn connect(link: &Link, node: &Node) -> Result<Channel, Reason> {
    // A name is resolved anew each time: a replica may have moved.
    let socket = TcpStream::connect(&link.address).await.map_err(|error| Reason::io(&error))?;
    socket.set_nodelay(true).map_err(|error| Reason::io(&error))?;
    let mut channel = node.tls.connect(socket).await?;
    let key = channel.key;
    greet(&mut channel.stream, &node.door.hello(), |hello| node.door.judge_replica(link.id, key, hello)).await?;
    Ok(channel)
}

async fn converse(channel: Channel, link: &Link, node: &Node) -> Reason {
    let from = From::Replica(link.id);
    let (read, write) = tokio::io::split(channel.stream);
    let intake = Intake { limit: link.limit, budget: &link.budget, idle_timeout: node.limits.idle_timeout };
    tokio::select! {
        reason = read_frames(read, intake, |frames| node.inbox.deliver(from, frames)) => reason,
        reason = write_frames(write, &link.outbox, node.limits.keepalive) => reason,
    }
}

/// How long to wait before dialling again.
struct Backoff {
    min: Duration,
    max: Duration,
    current: Duration,
}

impl Backoff {
    fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, current: min }
    }

    /// Falls back to the shortest wait if the connection lasted longer than the longest.
    fn after_connection_of(&mut self, duration: Duration) {
        if duration >= self.max {
            self.current = self.min;
        }
    }

    /// The next wait: between half of the current one and all of it, at random.
    fn next(&mut self) -> Duration {
        let full = self.current;
        self.current = (self.current * 2).min(self.max);
        // Without randomness the waits are still right, only not spread.
        let share = getrandom::u32().unwrap_or(u32::MAX);
        full.mul_f64(0.5 + 0.5 * f64::from(share) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIN: Duration = Duration::from_millis(50);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn waits_double_up_to_a_bound_and_are_spread() {
        let mut backoff = Backoff::new(MIN, MAX);
        for round in 0..40 {
            let full = (MIN * 2u32.pow(round.min(10))).min(MAX);
            let wait = backoff.next();
            assert!(full / 2 <= wait && wait <= full, "round {round}: {wait:?} of {full:?}");
        }
    }

    #[test]
    fn only_a_connection_that_lasted_shortens_the_wait() {
        let mut backoff = Backoff::new(MIN, MAX);
        (0..20).for_each(|_| _ = backoff.next());
        backoff.after_connection_of(Duration::from_millis(1));
        assert!(backoff.next() >= MAX / 2);
        backoff.after_connection_of(MAX);
        assert!(backoff.next() <= MIN);
    }
}
