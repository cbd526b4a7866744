//! The client's end: a connection to every replica, with one client key.

use std::sync::Arc;

use bezant_types::{Genesis, ReplicaId, SecretKey};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::dial::{Link, keep_dialled};
use super::door::Party;
use super::error::Error;
use super::event::PeerStatus;
use super::inbox::{Budget, EventReceiver, Inbox};
use super::limits::Limits;
use super::mesh::finish;
use super::node::Node;
use super::outbox::{Dirty, Outbox};

/// What a client's transport needs to know.
pub struct ClientMeshConfig {
    /// The network. Replicas are dialled at the addresses that it names.
    pub genesis: Genesis,
    /// The key of one of its clients.
    pub key: SecretKey,
    /// What replicas may cost.
    pub limits: Limits,
}

/// A client's connections: it dials every replica, sends requests and hears replies. Events are
/// [`super::From::Replica`] only. Dropping it ends all connections at once.
pub struct ClientMesh {
    links: Vec<Arc<Link>>,
    dirty: Dirty,
    inbox: Arc<Inbox>,
    dialling: JoinSet<()>,
}

impl ClientMesh {
    /// Starts dialling. Must be called on a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// [`Error`] if the key is no client's or the limits cannot be.
    pub async fn start(config: ClientMeshConfig) -> Result<(Self, EventReceiver), Error> {
        let ClientMeshConfig { genesis, key, limits } = config;
        if genesis.keyring().role(key.account()).is_none() {
            return Err(Error::NotAClient { key: key.account(), genesis: genesis.digest() });
        }
        let node = Node::new(&genesis, &key, Party::Client, limits)?;
        let links: Vec<_> = genesis
            .committee()
            .members()
            .zip(genesis.replicas())
            .map(|(id, entry)| {
                let Limits { client_frame, reply_frame, outgoing_per_client, incoming_per_replica, .. } = node.limits;
                let outgoing = outgoing_per_client.max(2 * client_frame);
                let outbox = Outbox::new(client_frame, outgoing, outgoing);
                Link::new(id, entry.address.clone(), outbox, Budget::new(incoming_per_replica, None), reply_frame)
            })
            .collect();
        let mut dialling = JoinSet::new();
        for link in &links {
            dialling.spawn(keep_dialled(link.clone(), node.clone()));
        }
        let inbox = node.inbox.clone();
        let receiver = EventReceiver::new(inbox.clone());
        Ok((Self { links, dirty: Dirty::default(), inbox, dialling }, receiver))
    }

    /// Queues a frame for a replica. It leaves with the next [`Self::flush`], or when the replica is connected. Never
    /// waits: if the queue is full its oldest frames are dropped and counted.
    pub fn send(&self, to: ReplicaId, frame: Bytes) {
        match self.links.get(to.index()) {
            Some(link) => self.dirty.push(&link.outbox, frame),
            None => tracing::error!("a frame for replica {to} was not sent: there is no such replica"),
        }
    }

    /// Queues a frame for every replica.
    pub fn send_all(&self, frame: &Bytes) {
        for link in &self.links {
            self.dirty.push(&link.outbox, frame.clone());
        }
    }

    /// Sends what was queued since the last flush, with one write per replica.
    pub fn flush(&self) {
        self.dirty.flush();
    }

    /// How the connections are doing, in order of the replicas' ids.
    pub fn peers(&self) -> Vec<PeerStatus> {
        self.links.iter().map(|link| link.status()).collect()
    }

    /// Sends what is queued, for a bounded time, and ends all connections.
    pub async fn shutdown(mut self) {
        self.flush();
        finish(&self.links, &mut self.dialling).await;
    }
}

impl Drop for ClientMesh {
    fn drop(&mut self) {
        self.inbox.close();
    }
}
