//! What the connections of one gateway share: the facts, the counters, and who is connected.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::Options;
use super::budget::Budget;
use super::facts::Facts;

/// What every connection sees.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// The network and the limits.
    pub(crate) facts: Facts,
    /// How the gateway was told to behave.
    pub(crate) options: Options,
    /// What it counts.
    pub(crate) counters: Arc<Counters>,
    /// The bytes that all connections together may hold.
    pub(crate) budget: Budget,
    pub(crate) clients: Clients,
    pub(crate) started: Instant,
}

impl Surroundings {
    pub(crate) fn new(facts: Facts, options: Options) -> Self {
        Self {
            facts,
            budget: Budget::new(options.bytes_in_all),
            options,
            counters: Arc::default(),
            clients: Clients::default(),
            started: Instant::now(),
        }
    }
}

/// What a gateway counts. Each only grows, but `bundles_in_flight`.
#[derive(Debug, Default)]
pub struct Counters {
    /// Connections that were accepted.
    pub connections: AtomicU64,
    /// Connections that were turned away because there were too many.
    pub rejected_connections: AtomicU64,
    /// Commands, of all kinds.
    pub commands: AtomicU64,
    /// Commands that became transactions and were sent.
    pub ordered_commands: AtomicU64,
    /// Bundles that were sent.
    pub bundles: AtomicU64,
    /// Bundles that are under way now.
    pub bundles_in_flight: AtomicU64,
    /// Bundles that failed as a whole, for want of a quorum or otherwise.
    pub failed_bundles: AtomicU64,
    /// Commands that were not sent because the group did not answer earlier ones.
    pub unsent_commands: AtomicU64,
    /// Bytes read from clients.
    pub bytes_in: AtomicU64,
    /// Bytes written to clients.
    pub bytes_out: AtomicU64,
}

/// Adds to a counter. Counters order nothing, so no ordering is asked of memory.
pub(crate) fn count(counter: &AtomicU64, more: usize) {
    counter.fetch_add(more as u64, Ordering::Relaxed);
}

/// What a counter says.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// Who is connected. Bounded by the most connections that the gateway accepts.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    next: AtomicU64,
    connected: Mutex<BTreeMap<u64, Client>>,
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) since: Instant,
    pub(crate) name: String,
}

impl Clients {
    /// Enters a connection, and gives it its number.
    pub(crate) fn enter(&self, address: SocketAddr) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.lock().insert(id, Client { address, since: Instant::now(), name: String::new() });
        id
    }

    pub(crate) fn leave(&self, id: u64) {
        self.lock().remove(&id);
    }

    pub(crate) fn rename(&self, id: u64, name: &str) {
        if let Some(client) = self.lock().get_mut(&id) {
            name.clone_into(&mut client.name);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// One line for each connection, as `CLIENT LIST` gives it, or for the one of this number.
    pub(crate) fn lines(&self, only: Option<u64>) -> String {
        let connected = self.lock();
        let wanted = connected.iter().filter(|(id, _)| only.is_none_or(|only| only == **id));
        let mut text = String::new();
        for (id, Client { address, since, name }) in wanted {
            let age = since.elapsed().as_secs();
            text.push_str(&format!("id={id} addr={address} name={name} age={age} db=0\n"));
        }
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Client>> {
        // Nothing panics while it holds this lock, and a list of clients is worth no panic of its own.
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
