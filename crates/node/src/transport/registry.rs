//! The accepted connections of a replica: at most one per member, and a bounded number per client.
//!
//! **The adversary** is a known client that opens connections to crowd out other clients, or to be counted several
//! times; or a member that connects again and again. A client's connections are counted against its key, and share one
//! budget that outlives them, so closing and reopening gives nothing back. Members do not compete with clients for
//! places.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bezant_types::{AccountId, Committee, ReplicaId};
use tokio::sync::Semaphore;

use super::event::{ConnectionId, Refusal};
use super::inbox::Budget;
use super::limits::Limits;
use super::outbox::Outbox;

#[derive(Debug)]
pub(super) struct Registry {
    limits: Limits,
    next: AtomicU64,
    replica_budgets: Vec<Budget>,
    state: Mutex<State>,
    /// What all clients together may occupy of the host.
    of_clients: Arc<Semaphore>,
}

#[derive(Debug, Default)]
struct State {
    replicas: BTreeMap<ReplicaId, Place>,
    /// Bounded by the clients that the genesis knows.
    clients: BTreeMap<AccountId, Client>,
    by_connection: BTreeMap<ConnectionId, AccountId>,
}

#[derive(Debug)]
struct Client {
    budget: Budget,
    places: BTreeMap<ConnectionId, Arc<Outbox>>,
}

/// One connection's place.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) id: ConnectionId,
    pub(super) outbox: Arc<Outbox>,
    pub(super) budget: Budget,
}

/// A client's place, given up when dropped.
#[derive(Debug)]
pub(super) struct ClientPlace {
    registry: Arc<Registry>,
    account: AccountId,
    pub(super) place: Place,
}

impl Drop for ClientPlace {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        state.by_connection.remove(&self.place.id);
        if let Some(client) = state.clients.get_mut(&self.account) {
            client.places.remove(&self.place.id);
        }
    }
}

/// A member's place, given up when dropped, unless a newer connection has taken it.
#[derive(Debug)]
pub(super) struct ReplicaPlace {
    registry: Arc<Registry>,
    replica: ReplicaId,
    pub(super) place: Place,
}

impl Drop for ReplicaPlace {
    fn drop(&mut self) {
        let mut state = self.registry.lock();
        if state.replicas.get(&self.replica).is_some_and(|place| place.id == self.place.id) {
            state.replicas.remove(&self.replica);
        }
    }
}

impl Registry {
    pub(super) fn new(limits: Limits, committee: Committee) -> Arc<Self> {
        let budget = |_| Budget::new(limits.incoming_per_replica, None);
        Arc::new(Self {
            next: AtomicU64::new(1),
            replica_budgets: committee.members().map(budget).collect(),
            state: Mutex::default(),
            of_clients: Arc::new(Semaphore::new(limits.incoming_of_clients)),
            limits,
        })
    }

    /// Takes the place of a member. Whoever had it is told to close: the newest connection is the one that the member
    /// believes in, and the older one may be half open without our knowing.
    pub(super) fn admit_replica(self: &Arc<Self>, replica: ReplicaId) -> Option<ReplicaPlace> {
        let budget = self.replica_budgets.get(replica.index())?.clone();
        // Nothing but signs of life is ever sent here.
        let outbox = Arc::new(Outbox::new(0, 0, 0));
        let place = Place { id: self.connection_id(), outbox, budget };
        if let Some(older) = self.lock().replicas.insert(replica, place.clone()) {
            older.outbox.close();
        }
        Some(ReplicaPlace { registry: self.clone(), replica, place })
    }

    /// Takes a place of a client.
    pub(super) fn admit_client(self: &Arc<Self>, account: AccountId) -> Result<ClientPlace, Refusal> {
        let Limits { connections_per_client, client_connections, reply_frame, outgoing_per_client, .. } = self.limits;
        let mut state = self.lock();
        if state.by_connection.len() >= client_connections {
            return Err(Refusal::Crowded(client_connections));
        }
        let client = state.clients.entry(account).or_insert_with(|| Client {
            budget: Budget::new(self.limits.incoming_per_client, Some(self.of_clients.clone())),
            places: BTreeMap::new(),
        });
        if client.places.len() >= connections_per_client {
            return Err(Refusal::TooManyConnections(connections_per_client));
        }
        let outbox = Arc::new(Outbox::new(reply_frame, outgoing_per_client, outgoing_per_client));
        let place = Place { id: self.connection_id(), outbox, budget: client.budget.clone() };
        client.places.insert(place.id, place.outbox.clone());
        state.by_connection.insert(place.id, account);
        drop(state);
        Ok(ClientPlace { registry: self.clone(), account, place })
    }

    /// Where answers to a client go.
    pub(super) fn outboxes_of(&self, account: AccountId) -> Vec<Arc<Outbox>> {
        let state = self.lock();
        state.clients.get(&account).map(|client| client.places.values().cloned().collect()).unwrap_or_default()
    }

    /// Where answers on one connection go, if it still is.
    pub(super) fn outbox_on(&self, connection: ConnectionId) -> Option<Arc<Outbox>> {
        let state = self.lock();
        let account = state.by_connection.get(&connection)?;
        state.clients.get(account)?.places.get(&connection).cloned()
    }

    /// Whether a member's connection to us is up.
    pub(super) fn hears(&self, replica: ReplicaId) -> bool {
        self.lock().replicas.contains_key(&replica)
    }

    /// Whether `place` was taken over by a newer connection of the same member.
    pub(super) fn is_replaced(&self, place: &ReplicaPlace) -> bool {
        self.lock().replicas.get(&place.replica).is_none_or(|current| current.id != place.place.id)
    }

    /// Lets all connections send what they have and end.
    pub(super) fn close(&self) {
        let state = self.lock();
        let of_clients = state.clients.values().flat_map(|client| client.places.values());
        of_clients.chain(state.replicas.values().map(|place| &place.outbox)).for_each(|outbox| outbox.close());
    }

    fn connection_id(&self) -> ConnectionId {
        ConnectionId::new(self.next.fetch_add(1, Ordering::Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use bezant_types::genesis::Parameters;

    use super::*;

    fn registry() -> Arc<Registry> {
        let standard = Limits::for_network(&Parameters::standard());
        let limits = Limits { connections_per_client: 2, client_connections: 3, ..standard };
        Registry::new(limits, Committee::new(4).unwrap())
    }

    fn account(seed: u8) -> AccountId {
        AccountId::new([seed; 32])
    }

    #[test]
    fn a_client_has_so_many_places_and_gets_them_back() {
        let registry = registry();
        let first = registry.admit_client(account(1)).unwrap();
        let _second = registry.admit_client(account(1)).unwrap();
        assert_eq!(registry.admit_client(account(1)).unwrap_err(), Refusal::TooManyConnections(2));
        drop(first);
        registry.admit_client(account(1)).unwrap();
    }

    #[test]
    fn all_clients_together_have_so_many_places_and_members_do_not_need_them() {
        let registry = registry();
        let _places: Vec<_> = [1, 1, 2].map(|seed| registry.admit_client(account(seed)).unwrap()).into();
        assert_eq!(registry.admit_client(account(3)).unwrap_err(), Refusal::Crowded(3));
        assert!(registry.admit_replica(ReplicaId::new(3)).is_some());
    }

    #[test]
    fn a_reply_finds_every_connection_of_its_client_and_no_other() {
        let registry = registry();
        let first = registry.admit_client(account(1)).unwrap();
        let second = registry.admit_client(account(1)).unwrap();
        let other = registry.admit_client(account(2)).unwrap();
        assert_eq!(registry.outboxes_of(account(1)).len(), 2);
        assert!(Arc::ptr_eq(&registry.outbox_on(other.place.id).unwrap(), &other.place.outbox));
        drop(first);
        let left = registry.outboxes_of(account(1));
        assert!(left.len() == 1 && Arc::ptr_eq(&left[0], &second.place.outbox));
    }

    #[test]
    fn closing_and_reopening_does_not_renew_a_clients_budget() {
        let registry = registry();
        let first = registry.admit_client(account(1)).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let held = runtime.block_on(first.place.budget.take(1000));
        drop(first);
        let again = registry.admit_client(account(1)).unwrap();
        assert_eq!(again.place.budget.free(), registry.limits.incoming_per_client - 1000);
        drop(held);
    }

    #[test]
    fn a_newer_connection_of_a_member_replaces_the_older() {
        let registry = registry();
        let replica = ReplicaId::new(2);
        let older = registry.admit_replica(replica).unwrap();
        let newer = registry.admit_replica(replica).unwrap();
        assert!(older.place.outbox.is_closing() && registry.is_replaced(&older));
        drop(older);
        assert!(registry.hears(replica) && !registry.is_replaced(&newer));
        drop(newer);
        assert!(!registry.hears(replica));
    }
}
