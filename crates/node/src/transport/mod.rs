//! Mutually authenticated, encrypted, bounded connections between replicas, and from clients to replicas.
//!
//! # The adversary
//!
//! It owns the network: it may delay, drop, reorder, replay, redirect and inject. It holds keys of its own, of known
//! clients, and of up to f members. The transport promises the host that
//!
//! * a frame that is said to come from a key's owner was sent by the owner on this connection, whole and in order;
//! * nobody but members and known clients of the same genesis and protocol version gets as far as a frame;
//! * no peer occupies more memory than its budget, no peer holds up the host or another peer, and nothing here waits
//!   for a peer without a deadline.
//!
//! It does not promise that a frame arrives: the protocol repeats what matters. And it does not tell a peer that is
//! slow from one that pretends to be: as long as there are signs of life the connection stays, and what does not fit
//! the peer's queue is dropped.
//!
//! # Which connections there are
//!
//! Every replica dials every other, sends on the connection that it dialled and hears on the ones that it accepted. Two
//! connections per pair instead of one cost a few kilobytes, and save what goes wrong with one: there is no
//! simultaneous connect to resolve, no rule about who may close which, and whoever wants to send knows by itself
//! whether its way is open and repairs it by itself. A client dials every replica and uses the connection both ways;
//! nobody dials a client.
//!
//! A member that connects again replaces its earlier connection, because it knows better than we do that the earlier
//! one is dead. Two processes with one key would throw each other out in turns: that is logged on all replicas.
//!
//! # The way of a frame
//!
//! [`Mesh::send`] puts it into the peer's `outbox`, [`Mesh::flush`] wakes the writer, which gathers all that the turn
//! queued into one write (`wire`). At the other end it is read under the sender's budget, and waits in the sender's
//! lane of the `inbox` for the host. Channel, identity and admission are `tls`, `door` and `gate`.

mod accept;
mod client_mesh;
mod dial;
mod door;
mod error;
mod event;
mod gate;
mod inbox;
mod limits;
mod mesh;
mod node;
mod notices;
mod outbox;
mod registry;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use client_mesh::{ClientMesh, ClientMeshConfig};
pub use error::Error;
pub use event::{ConnectionId, Event, From, PeerStatus, Reason, Refusal};
pub use inbox::EventReceiver;
pub use limits::{BadLimit, Limits};
pub use mesh::{Mesh, MeshConfig, ReplyTo, listen};
