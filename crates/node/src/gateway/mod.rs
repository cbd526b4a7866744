//! The gateway: any Redis client on this machine can use the ledger.
//!
//! It listens on loopback, speaks RESP2 and RESP3, holds one client key, and turns the commands of all its connections
//! into bundles that the native client has ordered and executed by the group. A reply is what `f + 1` replicas said, or
//! an error that says why there is none.
//!
//! ```text
//! connection ── group ──┐                      ┌── submission ──> native client ──> replicas
//! connection ── group ──┼──> bundler ── queue ─┤        at most `bundles_in_flight`
//! connection ── group ──┘                      └── submission ──> native client ──> replicas
//! ```
//!
//! * [`seam`] is what the gateway knows of the group: two channels. It knows no replica, no key, no signature.
//! * `commands` says what each command means, `queue` keeps them in order, `bundler` sends them, `connection` takes
//!   turns with one client, `budget` bounds what all of them hold.
//!
//! **Promised.** Reads and writes are linearizable, and commands of one connection take effect in the order in which
//! they were sent. One command is one atomic transaction. Every command is answered within twice [`Options::patience`],
//! if need be with `NOQUORUM`, which says whether the command may have been executed.
//!
//! **Not promised.** Authentication: whoever reaches the address acts with the gateway's key. That is why it listens on
//! loopback unless it is forced.

mod budget;
mod bundler;
mod commands;
mod connection;
mod facts;
mod queue;
mod registry;
pub mod seam;
mod server;

use std::net::SocketAddr;
use std::time::Duration;

pub use facts::{Facts, NotAClient};
pub use registry::Counters;
pub use server::{BindError, Gateway};

/// How a gateway behaves. Nothing here has to agree with anybody else's.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen.
    pub address: SocketAddr,
    /// Who may reach it.
    pub exposure: Exposure,
    /// The most connections at a time.
    pub most_clients: usize,
    /// The most bundles under way at a time. Far below the genesis' `client_window`, or numbers would expire.
    pub bundles_in_flight: usize,
    /// How long the group has for a bundle before the clients are told that there is no quorum.
    pub patience: Duration,
    /// How long a client has to complete a large command, or to take its replies.
    pub stall: Duration,
    /// How long a connection may be silent between commands; for ever if none, as with Redis.
    pub idle_timeout: Option<Duration>,
    /// The most bytes that all connections together hold, beyond a small allowance for each.
    pub bytes_in_all: usize,
}

/// Who may reach the gateway's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposure {
    /// Programs on this machine.
    Loopback,
    /// Whoever can reach the address, each with all rights of the gateway's key: RESP here has no authentication.
    UnauthenticatedToEveryone,
}

impl Options {
    /// What suits a gateway in the network of `facts`, listening on `address`.
    pub fn standard(address: SocketAddr, facts: &Facts) -> Self {
        Self {
            address,
            exposure: Exposure::Loopback,
            most_clients: 10_000,
            bundles_in_flight: 4,
            patience: facts.default_patience(),
            stall: Duration::from_secs(30),
            idle_timeout: None,
            bytes_in_all: 256 << 20,
        }
    }
}
