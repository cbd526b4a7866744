//! Why a transport does not start.

use bezant_types::{AccountId, Digest};

use super::event::prefix;
use super::limits::BadLimit;

/// Why a transport does not start, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody listens there already.
    #[error("another process listens on {address}; stop it or choose another port")]
    AddressInUse {
        /// Where.
        address: String,
    },
    /// This machine has no such address, or may not use it.
    #[error("cannot listen on {address}: {source}; choose an address of this machine and a port above 1023")]
    CannotListen {
        /// Where.
        address: String,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The key is no replica's.
    #[error(
        "the key {key} is not a replica's in the genesis {}; use the key of a replica, or add this one to \
         genesis.toml on all nodes before the network starts",
        prefix(genesis.as_bytes())
    )]
    NotAReplica {
        /// The public key.
        key: AccountId,
        /// The network.
        genesis: Digest,
    },
    /// The key is no client's.
    #[error(
        "the key {key} is not a client's in the genesis {}; use the key of a client, or add this one to \
         genesis.toml on all nodes before the network starts",
        prefix(genesis.as_bytes())
    )]
    NotAClient {
        /// The public key.
        key: AccountId,
        /// The network.
        genesis: Digest,
    },
    /// The limits contradict each other.
    #[error("the transport limit {0}")]
    Limit(#[from] BadLimit),
    /// The TLS library does not take the key.
    #[error("the key cannot be used for TLS: {0}")]
    Tls(#[from] rustls::Error),
}
