//! The replica's end: a connection from and to every other replica, and connections from clients.

use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use bezant_types::{AccountId, Genesis, ReplicaId, SecretKey};
use bytes::Bytes;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::accept::accept_all;
use super::dial::{Link, keep_dialled};
use super::door::Party;
use super::error::Error;
use super::event::{ConnectionId, PeerStatus};
use super::inbox::{Budget, EventReceiver, Inbox};
use super::limits::Limits;
use super::node::Node;
use super::outbox::{Dirty, Outbox};
use super::registry::Registry;

/// What a replica's transport needs to know.
pub struct MeshConfig {
    /// The network. Replicas are dialled at the addresses that it names.
    pub genesis: Genesis,
    /// The key of one of its replicas, which says which one this is.
    pub key: SecretKey,
    /// Where others connect, already bound: see [`listen`].
    pub listener: TcpListener,
    /// What peers may cost.
    pub limits: Limits,
}

/// A replica's connections. Dropping it ends them all at once; [`Mesh::shutdown`] lets them finish.
pub struct Mesh {
    me: ReplicaId,
    /// One per other replica, in order of their ids.
    links: Vec<Arc<Link>>,
    registry: Arc<Registry>,
    dirty: Dirty,
    inbox: Arc<Inbox>,
    stop: Arc<Notify>,
    accepting: JoinSet<()>,
    dialling: JoinSet<()>,
}

/// Where a reply goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyTo {
    /// To every live connection of this client.
    Client(AccountId),
    /// To this connection.
    Connection(ConnectionId),
}

impl std::convert::From<AccountId> for ReplyTo {
    fn from(account: AccountId) -> Self {
        Self::Client(account)
    }
}

impl std::convert::From<ConnectionId> for ReplyTo {
    fn from(connection: ConnectionId) -> Self {
        Self::Connection(connection)
    }
}

impl Mesh {
    /// Starts accepting and dialling. Must be called on a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error`] if the key is no replica's, the limits cannot be, or the listener does not work.
    pub async fn start(config: MeshConfig) -> Result<(Self, EventReceiver), Error> {
        let MeshConfig { genesis, key, listener, limits } = config;
        let not_a_replica = || Error::NotAReplica { key: key.account(), genesis: genesis.digest() };
        let me = genesis.keyring().replica_of(key.account()).ok_or_else(not_a_replica)?;
        let node = Node::new(&genesis, &key, Party::Replica(me), limits)?;
        let listener = adopt(listener)?;

        let registry = Registry::new(node.limits.clone(), genesis.committee());
        let links: Vec<_> = genesis
            .committee()
            .members()
            .zip(genesis.replicas())
            .filter(|(id, _)| *id != me)
            .map(|(id, entry)| {
                let Limits { replica_frame, outgoing_per_replica, outgoing_while_down, .. } = node.limits;
                let outbox = Outbox::new(replica_frame, outgoing_per_replica, outgoing_while_down);
                // Only for announcing that it came and went: between replicas nothing comes back on a dialled
                // connection.
                Link::new(id, entry.address.clone(), outbox, Budget::new(EVENTS_ONLY, None), 0)
            })
            .collect();

        let mut accepting = JoinSet::new();
        let stop = Arc::new(Notify::new());
        accepting.spawn(accept_all(listener, node.clone(), registry.clone(), stop.clone()));
        let mut dialling = JoinSet::new();
        for link in &links {
            dialling.spawn(keep_dialled(link.clone(), node.clone()));
        }
        let inbox = node.inbox.clone();
        let receiver = EventReceiver::new(inbox.clone());
        Ok((Self { me, links, registry, dirty: Dirty::default(), inbox, stop, accepting, dialling }, receiver))
    }

    /// Which replica this is.
    pub fn me(&self) -> ReplicaId {
        self.me
    }

    /// Queues a frame for another replica. It leaves with the next [`Self::flush`]. Never waits: if the queue is full
    /// its oldest frames are dropped and counted. What a replica says to itself does not come here.
    pub fn send(&self, to: ReplicaId, frame: Bytes) {
        match self.links.binary_search_by_key(&to, |link| link.id) {
            Ok(index) => self.dirty.push(&self.links[index].outbox, frame),
            Err(_) => tracing::error!("a frame for replica {to} was not sent: there is no such other replica"),
        }
    }

    /// Queues a frame for a client: for each of its live connections, or for the given one. A client that is not
    /// connected misses it, and asks again.
    pub fn reply(&self, client: impl Into<ReplyTo>, frame: Bytes) {
        match client.into() {
            ReplyTo::Client(account) => {
                for outbox in self.registry.outboxes_of(account) {
                    self.dirty.push(&outbox, frame.clone());
                }
            }
            ReplyTo::Connection(connection) => {
                if let Some(outbox) = self.registry.outbox_on(connection) {
                    self.dirty.push(&outbox, frame);
                }
            }
        }
    }

    /// Sends what was queued since the last flush, with one write per peer. Called once at the end of a turn.
    pub fn flush(&self) {
        self.dirty.flush();
    }

    /// How the connections to the other replicas are doing, in order of their ids.
    pub fn peers(&self) -> Vec<PeerStatus> {
        let heard = |link: &Arc<Link>| PeerStatus { heard: self.registry.hears(link.id), ..link.status() };
        self.links.iter().map(heard).collect()
    }

    /// Sends what is queued, for a bounded time, and ends all connections. When it returns the port is free.
    pub async fn shutdown(mut self) {
        self.flush();
        self.stop.notify_one();
        tokio::join!(finish(&self.links, &mut self.dialling), all_end(&mut self.accepting));
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.inbox.close();
    }
}

/// Lets dialled connections send what they have, and ends those that take too long.
pub(super) async fn finish(links: &[Arc<Link>], dialling: &mut JoinSet<()>) {
    links.iter().for_each(|link| link.outbox.close());
    all_end(dialling).await;
}

async fn all_end(tasks: &mut JoinSet<()>) {
    let ended = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, ended).await.is_err() {
        tasks.shutdown().await;
    }
}

/// Binds a listener.
///
/// # Errors
/// [`Error::AddressInUse`] and [`Error::CannotListen`] name the address and what to do.
pub fn listen(address: &str) -> Result<TcpListener, Error> {
    TcpListener::bind(address).map_err(|source| {
        let address = address.to_owned();
        if source.kind() == std::io::ErrorKind::AddrInUse {
            Error::AddressInUse { address }
        } else {
            Error::CannotListen { address, source }
        }
    })
}

fn adopt(listener: TcpListener) -> Result<tokio::net::TcpListener, Error> {
    let address = listener.local_addr().map_or_else(|_| "an unknown address".to_owned(), |address| address.to_string());
    listener
        .set_nonblocking(true)
        .and_then(|()| tokio::net::TcpListener::from_std(listener))
        .map_err(|source| Error::CannotListen { address, source })
}

/// How long a shutdown waits for peers to take what is queued for them.
const FAREWELL: Duration = Duration::from_secs(1);
/// The smallest budget that holds more announcements than a host could leave lying about.
const EVENTS_ONLY: usize = 1 << 16;
