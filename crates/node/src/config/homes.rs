//! What a node finds in its own directory: who it is, in which network, and what it allows itself.
//!
//! Its key says who it is; the genesis must know the key. A key that no list names is refused here, before anything is
//! dialled, because the other nodes would only refuse it one by one.

use std::path::{Path, PathBuf};

use bezant_store::home::Paths;
use bezant_types::keys::Role;
use bezant_types::{Genesis, ReplicaId, SecretKey};
use serde::Deserialize;
use toml::Spanned;

use super::document::Document;
use super::error::{Error, ForeignKey};
use super::fields::LimitsSection;
use super::genesis_file::read_genesis;
use super::key_file::read_key;
use crate::transport::Limits;

/// The name of a client's own configuration file.
pub const CLIENT_CONFIG: &str = "client.toml";

/// A replica, as its home describes it.
#[derive(Clone, Debug)]
pub struct ReplicaConfig {
    /// Its home.
    pub home: PathBuf,
    /// Which replica it is: the one whose key it has.
    pub id: ReplicaId,
    /// Its key.
    pub key: SecretKey,
    /// Its network.
    pub genesis: Genesis,
    /// Where it listens: the address in the genesis, unless its configuration says otherwise.
    pub listen: String,
    /// What peers may cost it.
    pub limits: Limits,
}

/// A client, as its directory describes it.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Its directory.
    pub home: PathBuf,
    /// Its name in the genesis.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Its key.
    pub key: SecretKey,
    /// Its network.
    pub genesis: Genesis,
    /// What replicas may cost it.
    pub limits: Limits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ReplicaFile {
    genesis: Option<PathBuf>,
    key: Option<PathBuf>,
    listen: Option<Spanned<String>>,
    limits: LimitsSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ClientFile {
    genesis: Option<PathBuf>,
    key: Option<PathBuf>,
    limits: LimitsSection,
}

impl ReplicaConfig {
    /// Reads a replica's home: its configuration, genesis and key.
    ///
    /// # Errors
    /// [`Error`] names what is wrong, where, and what to do.
    pub fn load(home: &Path) -> Result<Self, Error> {
        let paths = Paths::new(home);
        let document = Document::read(&paths.config(), NO_HOME)?;
        let file: ReplicaFile = document.parse()?;
        let key_path = within(home, file.key, paths.key());
        let genesis_path = within(home, file.genesis, paths.genesis());
        let (genesis, key) = (read_genesis(&genesis_path)?, read_key(&key_path)?);
        let account = key.account();
        let Some(id) = genesis.keyring().replica_of(account) else {
            let client = genesis.clients().iter().find(|client| client.key == account);
            let found = match client {
                Some(client) => format!("the key of the client {:?}, not of a replica,", client.name),
                None => "not the key of any replica".to_owned(),
            };
            let network = genesis.digest();
            return Err(Box::new(ForeignKey { key: account, key_path, found, genesis_path, network }).into());
        };
        let limits = limits_of(&file.limits, &genesis, &document)?;
        let listen = match file.listen {
            Some(listen) => check_address(listen, &document)?,
            None => genesis.replicas().get(id.index()).map(|entry| entry.address.clone()).unwrap_or_default(),
        };
        Ok(Self { home: home.to_owned(), id, key, genesis, listen, limits })
    }
}

impl ClientConfig {
    /// Reads a client's directory: its configuration, genesis and key.
    ///
    /// # Errors
    /// [`Error`] names what is wrong, where, and what to do.
    pub fn load(home: &Path) -> Result<Self, Error> {
        let paths = Paths::new(home);
        let document = Document::read(&home.join(CLIENT_CONFIG), NO_HOME)?;
        let file: ClientFile = document.parse()?;
        let key_path = within(home, file.key, paths.key());
        let genesis_path = within(home, file.genesis, paths.genesis());
        let (genesis, key) = (read_genesis(&genesis_path)?, read_key(&key_path)?);
        let account = key.account();
        let Some(client) = genesis.clients().iter().find(|client| client.key == account) else {
            let found = match genesis.keyring().replica_of(account) {
                Some(id) => format!("the key of replica {id}, not of a client,"),
                None => "not the key of any client".to_owned(),
            };
            let network = genesis.digest();
            return Err(Box::new(ForeignKey { key: account, key_path, found, genesis_path, network }).into());
        };
        let (name, role) = (client.name.clone(), client.role);
        let limits = limits_of(&file.limits, &genesis, &document)?;
        Ok(Self { home: home.to_owned(), name, role, key, genesis, limits })
    }
}

/// The text of a replica's own configuration, with every limit explained and none set.
pub(super) fn replica_text(id: ReplicaId, genesis: &Genesis) -> String {
    let listen = genesis.replicas().get(id.index()).map(|entry| entry.address.as_str()).unwrap_or_default();
    format!(
        "# Replica {id} of the network \"{}\": its own configuration. Its key is in `key`, the network's genesis in\n\
         # `genesis.toml`. Lines that begin with # show the standard values.\n\n\
         # Where it listens, if that is not the address that the genesis names.\n#listen = \"{listen}\"\n\n\
         {}",
        genesis.name(),
        limits_text(genesis)
    )
}

/// The text of a client's own configuration.
pub(super) fn client_text(name: &str, genesis: &Genesis) -> String {
    format!(
        "# The client \"{name}\" of the network \"{}\": its own configuration. Its key is in `key`, the network's\n\
         # genesis in `genesis.toml`. Lines that begin with # show the standard values.\n\n\
         {}",
        genesis.name(),
        limits_text(genesis)
    )
}

fn limits_text(genesis: &Genesis) -> String {
    let standard = Limits::for_network(genesis.parameters());
    format!("# What peers may cost this node.\n[limits]\n{}", LimitsSection::write(&standard, "#"))
}

fn limits_of(section: &LimitsSection, genesis: &Genesis, document: &Document) -> Result<Limits, Error> {
    let limits = section.over(Limits::for_network(genesis.parameters()), document)?;
    limits.validate().map_err(|bad| {
        // The limit itself, or if it has its standard value, the one that its rule speaks of.
        let spoken_of = || bad.rule.split(|char: char| char != '_' && !char.is_ascii_alphanumeric());
        let span = section.span_of(bad.name).or_else(|| spoken_of().find_map(|word| section.span_of(word)));
        document.complain(span.unwrap_or(0..0), bad.to_string(), "Change it in [limits], or leave it out")
    })?;
    Ok(limits)
}

fn check_address(listen: Spanned<String>, document: &Document) -> Result<String, Error> {
    let good = listen
        .get_ref()
        .rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port != 0));
    if good {
        return Ok(listen.into_inner());
    }
    let what = format!("listen = {:?} is not of the form host:port", listen.get_ref());
    Err(document.complain(listen.span(), what, "Write it like 0.0.0.0:7401, or leave it out"))
}

/// A path in a configuration file is relative to the file's directory, wherever the program was started.
fn within(home: &Path, given: Option<PathBuf>, standard: PathBuf) -> PathBuf {
    given.map_or(standard, |path| home.join(path))
}

const NO_HOME: &str = "Give the right directory with `--home`, or make a new network with `init`";
