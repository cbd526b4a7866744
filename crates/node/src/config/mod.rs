//! Configuration: the genesis file, a node's own files, its key, and how a network is made.
//!
//! **The adversary** here is a tired person: a typing mistake, a copied key, a file from another network, a key that
//! everybody can read. Nothing is guessed. Whatever is wrong is named with its file and line, and with what to do; a
//! field that does not exist is an error, never ignored, because an ignored limit is a limit that is not there.
//!
//! | file | what it is | must be the same everywhere |
//! |---|---|---|
//! | `genesis.toml` | members, clients, balances, protocol parameters: [`genesis_file`] | yes, it is the network |
//! | `node.toml` | a replica's own: where it listens, what peers may cost it | no |
//! | `client.toml` | a client's own | no |
//! | `key` | a private key, mode 0600: [`key_file`] | never |
//!
//! The files of a replica lie in its home, under the names that [`bezant_store::home::Paths`] gives them. A home is
//! whole by itself: it can be moved to the machine where its replica is to run.

mod document;
mod error;
mod fields;
pub mod genesis_file;
mod homes;
mod init;
pub mod key_file;
mod units;

pub use error::{Error, ForeignKey};
pub use genesis_file::{parse_parameters, read_genesis, write_genesis};
pub use homes::{CLIENT_CONFIG, ClientConfig, ReplicaConfig};
pub use init::{InitClient, InitOptions, Network, Placement, client_home, init, replica_home};
pub use key_file::{generate_key, read_key, write_key};
