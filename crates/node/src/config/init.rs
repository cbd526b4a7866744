//! Making a network: keys, genesis, and a directory for each replica and client.
//!
//! ```text
//! <directory>/
//!     genesis.toml
//!     replica-0/           0700: key (0600), genesis.toml, node.toml
//!     replica-1/ …
//!     clients/<name>/      0700: key (0600), genesis.toml, client.toml
//! ```
//!
//! All of it appears at once or not at all: it is made beside the directory and then renamed, so that a crash or a full
//! disk leaves no half network whose keys somebody might go on with. Nothing is ever made over something that exists.
//! The write-ahead logs are not made here: a log is made when a replica first runs on its home.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use bezant_store::home::Paths;
use bezant_store::{Access, write_atomically};
use bezant_types::genesis::{ClientEntry, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::{Amount, Committee, Genesis, ReplicaId, SecretKey};

use super::error::Error;
use super::genesis_file::write_genesis;
use super::homes::{CLIENT_CONFIG, client_text, replica_text};
use super::key_file::{generate_key, write_key};

/// What network to make.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// What people call it.
    pub name: String,
    /// Where its replicas are, and so how many: at least 4.
    pub placement: Placement,
    /// The clients.
    pub clients: Vec<InitClient>,
    /// What replicas must agree on.
    pub parameters: Parameters,
}

/// Where the replicas of a network are.
#[derive(Clone, Debug)]
pub enum Placement {
    /// All on one machine, on consecutive ports.
    Consecutive {
        /// How many.
        replicas: usize,
        /// The machine, by name or address.
        host: String,
        /// Replica i listens on this port plus i.
        base_port: u16,
    },
    /// Each at its own address, `host:port`, in the order of their ids.
    Addresses(Vec<String>),
}

/// A client to be made.
#[derive(Clone, Debug)]
pub struct InitClient {
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// What its account holds at the start.
    pub balance: Amount,
}

/// A network that was made, and where its parts are.
#[derive(Clone, Debug)]
pub struct Network {
    /// What the members agreed on.
    pub genesis: Genesis,
    /// Where that stands.
    pub genesis_path: PathBuf,
    /// The replicas' homes, in the order of their ids.
    pub replicas: Vec<PathBuf>,
    /// The clients' names and directories.
    pub clients: Vec<(String, PathBuf)>,
}

/// Makes a network in `directory`, which must be empty or not exist.
///
/// # Errors
/// [`Error`] says what is wrong and what to do. Nothing is left behind.
pub fn init(directory: &Path, options: &InitOptions) -> Result<Network, Error> {
    require_empty(directory)?;
    let (genesis, replica_keys, client_keys) = draw_up(options)?;
    let existed = directory.exists();

    let staging = staging_of(directory)?;
    let made =
        fill(&staging, &genesis, &replica_keys, &client_keys).and_then(|()| move_into_place(&staging, directory));
    if let Err(error) = made {
        let _ = fs::remove_dir_all(&staging);
        if !existed {
            let _ = fs::remove_dir(directory);
        }
        return Err(error);
    }
    let clients = genesis.clients().iter().map(|client| (client.name.clone(), client_home(directory, &client.name)));
    Ok(Network {
        genesis_path: Paths::new(directory).genesis(),
        replicas: genesis.committee().members().map(|id| replica_home(directory, id)).collect(),
        clients: clients.collect(),
        genesis,
    })
}

/// The genesis and the keys behind it.
fn draw_up(options: &InitOptions) -> Result<(Genesis, Vec<SecretKey>, Vec<SecretKey>), Error> {
    let InitOptions { name, placement, clients, parameters } = options;
    let addresses = placement.addresses()?;
    let replica_keys = addresses.iter().map(|_| generate_key()).collect::<Result<Vec<_>, _>>()?;
    let client_keys = clients.iter().map(|_| generate_key()).collect::<Result<Vec<_>, _>>()?;
    let replica_entries =
        replica_keys.iter().zip(addresses).map(|(key, address)| ReplicaEntry { key: key.account(), address });
    let client_entries = clients.iter().zip(&client_keys).map(|(client, key)| ClientEntry {
        name: client.name.clone(),
        key: key.account(),
        role: client.role,
    });
    let balances = clients
        .iter()
        .zip(&client_keys)
        .filter(|(client, _)| client.balance != Amount::ZERO)
        .map(|(client, key)| Grant { account: key.account(), amount: client.balance });
    let genesis = Genesis::new(
        name.clone(),
        replica_entries.collect(),
        client_entries.collect(),
        balances.collect(),
        parameters.clone(),
    )?;
    Ok((genesis, replica_keys, client_keys))
}

impl Placement {
    fn addresses(&self) -> Result<Vec<String>, Error> {
        let size = match self {
            Self::Consecutive { replicas, .. } => *replicas,
            Self::Addresses(addresses) => addresses.len(),
        };
        if size < Committee::MIN {
            return Err(Error::TooFewReplicas(size));
        }
        match self {
            Self::Addresses(addresses) => Ok(addresses.clone()),
            Self::Consecutive { replicas, host, base_port } => {
                let no_ports = || Error::Ports { replicas: *replicas, base_port: *base_port };
                let count = u16::try_from(*replicas).map_err(|_| no_ports())?;
                let last = base_port.checked_add(count - 1).ok_or_else(no_ports)?;
                // An IPv6 address stands in brackets before a port.
                let bracketed = host.contains(':') && !host.starts_with('[');
                let host = if bracketed { format!("[{host}]") } else { host.clone() };
                Ok((*base_port..=last).map(|port| format!("{host}:{port}")).collect())
            }
        }
    }
}

fn fill(root: &Path, genesis: &Genesis, replicas: &[SecretKey], clients: &[SecretKey]) -> Result<(), Error> {
    write_genesis(&Paths::new(root).genesis(), genesis)?;
    for (id, key) in genesis.committee().members().zip(replicas) {
        let paths = Paths::new(&replica_home(root, id));
        make_private_directory(paths.root())?;
        write_key(&paths.key(), key)?;
        write_genesis(&paths.genesis(), genesis)?;
        write_text(&paths.config(), &replica_text(id, genesis))?;
    }
    for (client, key) in genesis.clients().iter().zip(clients) {
        let paths = Paths::new(&client_home(root, &client.name));
        make_private_directory(paths.root())?;
        write_key(&paths.key(), key)?;
        write_genesis(&paths.genesis(), genesis)?;
        write_text(&paths.root().join(CLIENT_CONFIG), &client_text(&client.name, genesis))?;
    }
    Ok(())
}

/// Where the home of a replica is, in the directory of its network.
pub fn replica_home(directory: &Path, id: ReplicaId) -> PathBuf {
    directory.join(format!("replica-{id}"))
}

/// Where the directory of a client is, in the directory of its network.
///
/// A client's name has been validated: it has no separators. One made of dots alone gets a prefix that no other can
/// have.
pub fn client_home(directory: &Path, name: &str) -> PathBuf {
    let only_dots = name.chars().all(|char| char == '.');
    directory.join("clients").join(if only_dots { format!("client {name}") } else { name.to_owned() })
}

fn require_empty(directory: &Path) -> Result<(), Error> {
    match fs::read_dir(directory) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(Error::NotEmpty { directory: directory.to_owned() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => {
            Err(Error::NotEmpty { directory: directory.to_owned() })
        }
        Err(error) => Err(Error::disk(directory, "reading the directory", error)),
    }
}

/// Makes an empty directory beside the one that is to be.
fn staging_of(directory: &Path) -> Result<PathBuf, Error> {
    fs::create_dir_all(directory).map_err(|error| Error::disk(directory, "making the directory", error))?;
    let directory = fs::canonicalize(directory).map_err(|error| Error::disk(directory, "resolving the path", error))?;
    let mut name = std::ffi::OsString::from(".");
    name.push(directory.file_name().unwrap_or_default());
    name.push(format!(".init-{}", std::process::id()));
    let staging = directory.with_file_name(name);
    make_private_directory(&staging)?;
    Ok(staging)
}

/// Renaming replaces an empty directory and refuses any other, so nothing that appeared meanwhile is lost.
fn move_into_place(staging: &Path, directory: &Path) -> Result<(), Error> {
    let target = fs::canonicalize(directory).map_err(|error| Error::disk(directory, "resolving the path", error))?;
    fs::rename(staging, &target).map_err(|error| {
        if error.kind() == ErrorKind::DirectoryNotEmpty {
            Error::NotEmpty { directory: directory.to_owned() }
        } else {
            Error::disk(directory, "moving the network into place", error)
        }
    })?;
    let parent = target.parent().unwrap_or(&target);
    File::open(parent)
        .and_then(|parent| parent.sync_all())
        .map_err(|error| Error::disk(parent, "syncing the directory", error))
}

fn make_private_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| Error::disk(path, "making the directory", error))
}

fn write_text(path: &Path, text: &str) -> Result<(), Error> {
    write_atomically(path, text.as_bytes(), Access::Public)
        .map_err(|error| Error::disk(path, "writing the configuration", error))
}

#[cfg(test)]
mod tests;
