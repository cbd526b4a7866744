//! Accepts connections on a loopback address.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::bundler::{Bundler, GRACE};
use super::connection::{Links, Service, serve};
use super::facts::Facts;
use super::registry::{Counters, Surroundings, count};
use super::seam::GroupLink;
use super::{Exposure, Options};
use crate::resp::{Protocol, Reply};

/// A gateway that has its address and is ready to run.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    around: Arc<Surroundings>,
}

/// Why a gateway does not listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address can be reached from other machines.
    #[error(
        "{0} can be reached from other machines, and RESP here has no authentication: whoever reaches it acts with the \
         gateway's key. Use a loopback address such as 127.0.0.1, or force it with unauthenticated_to_everyone"
    )]
    NotLoopback(SocketAddr),
    /// Another program listens there.
    #[error("{0} is taken by another program: stop it, or choose another port")]
    Taken(SocketAddr),
    /// The system refuses.
    #[error("cannot listen on {address}: {error}")]
    Io {
        /// Where.
        address: SocketAddr,
        /// What it says.
        #[source]
        error: io::Error,
    },
}

impl Gateway {
    /// Listens. Port 0 takes any that is free, see [`Self::local_addr`].
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(mut options: Options, facts: Facts) -> Result<Self, BindError> {
        let address = options.address;
        if !address.ip().is_loopback() && options.exposure == Exposure::Loopback {
            return Err(BindError::NotLoopback(address));
        }
        let failed = |error: io::Error| {
            let taken = error.kind() == io::ErrorKind::AddrInUse;
            if taken { BindError::Taken(address) } else { BindError::Io { address, error } }
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        options.address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, around: Arc::new(Surroundings::new(facts, options)) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.around.options.address
    }

    /// What it counts, now and while it runs.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.around.counters)
    }

    /// Serves until `stop` completes. Then connections get the replies that they wait for, and are closed.
    pub async fn run(self, link: GroupLink, stop: impl Future<Output = ()>) {
        let Self { listener, around } = self;
        let (announce, service) = watch::channel(Service::Running);
        let (groups, received) = mpsc::channel(around.options.most_clients.max(1));
        let bundler = tokio::spawn(Bundler::new(Arc::clone(&around), received, link.submissions).run());
        let links = Links { around: Arc::clone(&around), groups, queries: link.queries, service };
        let mut connections = JoinSet::new();
        tokio::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => break,
                Some(_) = connections.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok((stream, address)) => admit(stream, address, &links, &mut connections),
                    Err(error) => {
                        // Mostly: out of file descriptors. It passes when a client leaves; until then, do not spin.
                        tracing::warn!(%error, "a connection could not be accepted");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(listener);
        let _ = announce.send(Service::Stopping);
        drop(links);
        let last_replies = around.options.patience + around.options.patience + GRACE + GRACE;
        if timeout(last_replies, async { while connections.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections were cut off before their replies came");
        }
        connections.shutdown().await;
        if bundler.await.is_err() {
            tracing::error!("the bundler was lost");
        }
    }
}

fn admit(stream: TcpStream, address: SocketAddr, links: &Links, connections: &mut JoinSet<()>) {
    let around = &links.around;
    if connections.len() >= around.options.most_clients {
        count(&around.counters.rejected_connections, 1);
        let mut refusal = BytesMut::new();
        Reply::Error("ERR max number of clients reached".into()).encode(Protocol::Resp2, &mut refusal);
        // The buffer of a fresh connection takes these bytes, or the client does without.
        let _ = stream.try_write(&refusal);
        return;
    }
    count(&around.counters.connections, 1);
    // Replies are written whole, so waiting to fill a packet gains nothing.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection went away at once");
        return;
    }
    let id = around.clients.enter(address);
    connections.spawn(serve(stream, id, links.clone()));
}

/// How long to wait before accepting again after an error.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
