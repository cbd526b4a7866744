//! The directory of a network, with all of its homes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bezant_host::{BootError, create_log};
use bezant_store::Home;
use bezant_store::home::Paths;
use bezant_types::{Genesis, ReplicaId};

use crate::config::{self, InitOptions, Network, ReplicaConfig, client_home, replica_home};

/// Where the parts of a network are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directory {
    root: PathBuf,
}

/// Why a network could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MakeError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The log of a replica.
    #[error(transparent)]
    Log(#[from] BootError),
    /// The home of a replica.
    #[error(transparent)]
    Home(#[from] bezant_store::HomeError),
    /// The disk refused.
    #[error("{}: {action} failed: {source}. Check the path, its owner and the free space", path.display())]
    Disk {
        /// Where.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Directory {
    /// The directory at `root`, which need not exist.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The genesis.
    pub fn genesis(&self) -> PathBuf {
        Paths::new(&self.root).genesis()
    }

    /// The home of a replica.
    pub fn replica(&self, id: ReplicaId) -> PathBuf {
        replica_home(&self.root, id)
    }

    /// The directory of a client.
    pub fn client(&self, name: &str) -> PathBuf {
        client_home(&self.root, name)
    }

    /// What a process that was started here had to say.
    pub fn log(&self, name: &str) -> PathBuf {
        self.root.join("logs").join(format!("{name}.log"))
    }

    /// What runs here.
    pub(super) fn run_file(&self) -> PathBuf {
        self.root.join("up.json")
    }

    /// Held by the process that supervises.
    pub(super) fn lock(&self) -> PathBuf {
        self.root.join("up.lock")
    }

    /// Whether there is a network here.
    pub fn holds_a_network(&self) -> bool {
        self.genesis().exists()
    }

    /// The genesis of the network that is here.
    ///
    /// # Errors
    /// [`config::Error`] says what is wrong with it.
    pub fn read_genesis(&self) -> Result<Genesis, config::Error> {
        config::read_genesis(&self.genesis())
    }

    /// Makes a network with everything that its processes need to start, the empty logs of its replicas included. It
    /// appears as a whole: a home without its log would look like one that had lost it.
    ///
    /// # Errors
    /// [`MakeError`]. Nothing is left behind.
    pub fn make(&self, options: &InitOptions) -> Result<Network, MakeError> {
        let failed = |action| {
            let path = self.root.clone();
            move |source| MakeError::Disk { path, action, source }
        };
        let occupied = match fs::read_dir(&self.root) {
            Ok(mut entries) => entries.next().is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => true,
            Err(error) => return Err(failed("reading the directory")(error)),
        };
        if occupied {
            return Err(config::Error::NotEmpty { directory: self.root.clone() }.into());
        }
        let absolute = std::path::absolute(&self.root).map_err(failed("resolving the path"))?;
        let parent = absolute.parent().unwrap_or(&absolute).to_owned();
        fs::create_dir_all(&parent).map_err(failed("making the directory above"))?;
        let name = absolute.file_name().unwrap_or_default().to_string_lossy();
        let staging = Self::new(&parent.join(format!(".{name}.making-{}", std::process::id())));
        let made = staging.fill(options).and_then(|network| {
            // Replaces an empty directory and refuses any other, so nothing that appeared meanwhile is lost.
            fs::rename(&staging.root, &absolute).map_err(failed("moving the network into place"))?;
            let sync = fs::File::open(&parent).and_then(|parent| parent.sync_all());
            sync.map_err(failed("syncing the directory above"))?;
            Ok(network)
        });
        match made {
            Ok(network) => Ok(self.rebase(network)),
            Err(error) => {
                let _ = fs::remove_dir_all(&staging.root);
                Err(error)
            }
        }
    }

    fn fill(&self, options: &InitOptions) -> Result<Network, MakeError> {
        let network = config::init(&self.root, options)?;
        for home in &network.replicas {
            let ReplicaConfig { key, genesis, .. } = ReplicaConfig::load(home)?;
            create_log(&Home::open(home)?, &genesis, &key)?;
        }
        Ok(network)
    }

    /// The same network, here.
    fn rebase(&self, network: Network) -> Network {
        let names = network.genesis.clients().iter().map(|client| client.name.clone());
        Network {
            genesis_path: self.genesis(),
            replicas: network.genesis.committee().members().map(|id| self.replica(id)).collect(),
            clients: names.map(|name| (name.clone(), self.client(&name))).collect(),
            genesis: network.genesis,
        }
    }
}

#[cfg(test)]
mod tests {
    use bezant_types::genesis::Parameters;

    use super::*;
    use crate::config::Placement;

    fn options(replicas: usize) -> InitOptions {
        InitOptions {
            name: "demo".into(),
            placement: Placement::Consecutive { replicas, host: "127.0.0.1".into(), base_port: 7401 },
            clients: Vec::new(),
            parameters: Parameters::standard(),
        }
    }

    #[test]
    fn a_network_appears_with_the_logs_of_its_replicas_and_nothing_beside_it() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(&parent.path().join("network"));
        let network = directory.make(&options(4)).unwrap();
        for home in &network.replicas {
            assert!(home.starts_with(directory.root()) && home.join("log").is_dir(), "{}", home.display());
        }
        assert!(directory.holds_a_network());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_made_leaves_nothing_behind() {
        let parent = tempfile::tempdir().unwrap();
        let directory = Directory::new(&parent.path().join("network"));
        let words = directory.make(&options(3)).unwrap_err().to_string();
        assert!(words.contains("at least 4"), "{words}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_network_is_not_made_over_anything() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("something"), "").unwrap();
        let words = Directory::new(parent.path()).make(&options(4)).unwrap_err().to_string();
        assert!(words.contains("something here already"), "{words}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
