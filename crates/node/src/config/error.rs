//! What can be wrong with a configuration, for a person who wants to mend it.

use std::io;
use std::path::{Path, PathBuf};

use bezant_types::genesis::BadGenesis;
use bezant_types::{AccountId, Digest};

/// What is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Something in a configuration file.
    #[error("{}:{line}: {what}. {remedy}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong there.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// A file that should be there is not.
    #[error("{}: there is no such file. {remedy}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// What to do.
        remedy: &'static str,
    },
    /// The operating system failed us.
    #[error("{}: {action} failed: {source}. Check the path, its owner and the free space", path.display())]
    Disk {
        /// The file or directory.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read a private key.
    #[error(
        "{path}: this private key is open to others (mode {mode:04o}, wider than 0600). Run `chmod 600 {path}`, and if \
         somebody may have read it, replace the key"
    )]
    KeyExposed {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// The key file is damaged or none at all.
    #[error("{}: {what}. Restore the key from a copy; a new key would be a new member", path.display())]
    KeyDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is a key already.
    #[error(
        "{}: there is a key already, and no key is ever overwritten. Move it away, or choose another file",
        path.display()
    )]
    KeyExists {
        /// The file.
        path: PathBuf,
    },
    /// No randomness to make a key of.
    #[error("the system gives no randomness for a key: {0}. Nothing was written")]
    NoRandomness(String),
    /// The key is not in the genesis, or not in the right list.
    #[error(transparent)]
    KeyNotInGenesis(#[from] Box<ForeignKey>),
    /// Too few replicas to be asked for.
    #[error(
        "{0} replicas are too few: to stay right although one of them lies, n >= 3f + 1 are needed, so at least 4 for \
         f = 1. Ask for 4 or more"
    )]
    TooFewReplicas(usize),
    /// Not so many ports from there on.
    #[error("{replicas} replicas do not fit on the ports from {base_port}: the last port is 65535. Choose a lower one")]
    Ports {
        /// How many replicas.
        replicas: usize,
        /// The first port.
        base_port: u16,
    },
    /// There is something already where a network is to be made.
    #[error(
        "{}: there is something here already, and a network is never made over another. Choose another directory, or \
         move this one away",
        directory.display()
    )]
    NotEmpty {
        /// The directory.
        directory: PathBuf,
    },
    /// What was asked for is not a network.
    #[error("such a network cannot be: {0}")]
    Impossible(#[from] BadGenesis),
}

/// A key that the genesis does not name, or names in another list.
#[derive(Debug, thiserror::Error)]
#[error(
    "the public key {key} (of {}) is {found} in {} (network {}…). Use the genesis.toml that all members of the network \
     have, or the key that it names",
    key_path.display(),
    genesis_path.display(),
    &network.to_string()[..8]
)]
pub struct ForeignKey {
    /// The public key.
    pub key: AccountId,
    /// The file of the private key.
    pub key_path: PathBuf,
    /// As what it was found.
    pub found: String,
    /// The genesis file.
    pub genesis_path: PathBuf,
    /// Its digest.
    pub network: Digest,
}

impl Error {
    pub(super) fn disk(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Disk { path: path.to_owned(), action, source }
    }
}
