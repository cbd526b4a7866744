//! The accepting side of a replica: from a socket to an admitted peer.
//!
//! A connection passes the [`Gate`], TLS and the greeting under one deadline, then takes its place in the [`Registry`]
//! and runs until it ends. A member's accepted connection is only read; a client's goes both ways.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bezant_types::{AccountId, ReplicaId};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::door::{Identity, greet};
use super::event::{Event, From, Reason, Refusal};
use super::gate::Gate;
use super::inbox::EVENT_OVERHEAD;
use super::node::Node;
use super::notices::Notices;
use super::registry::{ClientPlace, Place, Registry, ReplicaPlace};
use super::tls::Channel;
use super::wire::{Intake, read_frames, write_frames};

/// Accepts until told to stop; then frees the port, and lets the accepted connections send what they have. If it is
/// aborted instead, they end with it.
pub(super) async fn accept_all(listener: TcpListener, node: Arc<Node>, registry: Arc<Registry>, stop: Arc<Notify>) {
    let mut gate = Gate::new(node.limits.handshakes_per_second, node.limits.pending_handshakes);
    let mut notices = Notices::default();
    let mut handshakes = JoinSet::new();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, address)) if gate.admits(address.ip(), Instant::now()) => {
                    gate.enter(handshakes.spawn(handshake(socket, address, node.clone(), registry.clone())));
                }
                Ok((_, address)) => tracing::debug!(%address, "connects too often; closed without a handshake"),
                Err(error) => {
                    // Out of file descriptors, usually. Trying again at once would burn the processor.
                    tracing::warn!(%error, "cannot accept connections just now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(finished) = handshakes.join_next() => match finished {
                Ok(Ok(admitted)) => drop(connections.spawn(run(admitted, node.clone(), registry.clone()))),
                Ok(Err((address, reason))) => notices.refused(&address, &reason, Instant::now()),
                Err(_) => tracing::debug!("a handshake gave its place to a newer one"),
            },
            Some(_) = connections.join_next() => (),
            () = stop.notified() => break,
        }
    }
    drop(listener);
    handshakes.shutdown().await;
    registry.close();
    while connections.join_next().await.is_some() {}
}

/// A peer that may exchange frames.
struct Admitted {
    address: SocketAddr,
    channel: Channel,
    seat: Seat,
}

enum Seat {
    Replica(ReplicaId, ReplicaPlace),
    Client(AccountId, ClientPlace),
}

/// A peer that may exchange frames, or why not.
async fn handshake(
    socket: TcpStream,
    address: SocketAddr,
    node: Arc<Node>,
    registry: Arc<Registry>,
) -> Result<Admitted, (SocketAddr, Reason)> {
    let patience = node.limits.handshake_timeout;
    match timeout(patience, admit(socket, &node, &registry)).await {
        Ok(Ok((channel, seat))) => Ok(Admitted { address, channel, seat }),
        Ok(Err(reason)) => Err((address, reason)),
        Err(_) => Err((address, Reason::SlowHandshake(patience.as_millis()))),
    }
}

async fn admit(socket: TcpStream, node: &Node, registry: &Arc<Registry>) -> Result<(Channel, Seat), Reason> {
    socket.set_nodelay(true).map_err(|error| Reason::io(&error))?;
    let mut channel = node.tls.accept(socket).await?;
    let key = channel.key;
    let seat = greet(&mut channel.stream, &node.door.hello(), |hello| match node.door.judge_any(key, hello)? {
        Identity::Replica(id) => Ok(Seat::Replica(id, registry.admit_replica(id).ok_or(Refusal::Stranger(key))?)),
        Identity::Client(account) => Ok(Seat::Client(account, registry.admit_client(account)?)),
    })
    .await?;
    Ok((channel, seat))
}

async fn run(admitted: Admitted, node: Arc<Node>, registry: Arc<Registry>) {
    let Admitted { address, channel, seat } = admitted;
    match seat {
        Seat::Replica(id, seat) => {
            let from = From::Replica(id);
            tracing::info!(%address, "{from} is connected to us");
            let reason = converse(channel, from, &seat.place, node.limits.replica_frame, &node).await;
            if reason == Reason::ShutDown && registry.is_replaced(&seat) {
                tracing::warn!(%address, "a connection of {from} was {}", Reason::Replaced);
            } else {
                tracing::info!(%address, "{from} is not connected to us any more: {reason}");
            }
        }
        Seat::Client(account, seat) => {
            let from = From::Client(account, seat.place.id);
            tracing::info!(%address, "{from} is connected");
            let (arrival, departure) =
                (seat.place.budget.take(EVENT_OVERHEAD).await, seat.place.budget.take(EVENT_OVERHEAD).await);
            node.inbox.announce(from, Event::Connected(from), arrival);
            seat.place.outbox.up();
            let reason = converse(channel, from, &seat.place, node.limits.client_frame, &node).await;
            tracing::info!(%address, "{from} is not connected any more: {reason}");
            node.inbox.announce(from, Event::Disconnected(from, reason), departure);
        }
    }
}

async fn converse(channel: Channel, from: From, place: &Place, limit: usize, node: &Node) -> Reason {
    let (read, write) = tokio::io::split(channel.stream);
    let intake = Intake { limit, budget: &place.budget, idle_timeout: node.limits.idle_timeout };
    tokio::select! {
        reason = read_frames(read, intake, |frames| node.inbox.deliver(from, frames)) => reason,
        reason = write_frames(write, &place.outbox, node.limits.keepalive) => reason,
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
