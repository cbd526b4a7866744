//! A replica's home: one directory that holds all that it is and all that it has said.
//!
//! | in it | what it is | if it is lost |
//! |---|---|---|
//! | `key` | the private key, mode 0600 | restore it: a new key is a new member |
//! | `genesis.toml`, `node.toml` | the network's and the replica's configuration | copy the one, write the other |
//! | `LOCK` | held by the process that runs | nothing |
//! | `log/` | the write-ahead log: what it must not forget having said | `--recover`; never begin a new one |
//! | `blocks/` | the committed blocks | peers have them |
//! | `state.redb` | the ledger's entries at the last durable checkpoint | replayed or fetched, and verified |
//! | `evidence/` | other members' contradictions, signed by themselves | nothing that agreement needs |
//! | `lost-1/`, … | what `--recover` set aside | nothing; for the operator to look at |
//!
//! Holding a [`Home`] means holding its lock. Two processes with one key would vote twice (hazard 60).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use bezant_types::Digest;
use rustix::fs::{FlockOperation, flock};

use crate::disk::HostDisk;
use crate::disk::host::sync_directory;
use crate::evidence::Evidence;
use crate::place::{Layout, Part, Place};
use crate::state::{StateError, StateStore};

/// A replica's home, locked by this process until it is dropped.
#[derive(Debug)]
pub struct Home {
    paths: Paths,
    /// Closing it releases the lock; so does the death of the process, however it dies.
    _lock: File,
}

/// Where things are in a home. Needs no lock: for reading what no running replica changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    root: PathBuf,
}

/// Why a home could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HomeError {
    /// Another process runs on it.
    #[error(
        "{path}: in use by process {pid}. One home runs in one process: two with the same key would contradict each \
         other. Stop that process first"
    )]
    InUse {
        /// The home.
        path: String,
        /// The process, as it wrote itself into the lock file.
        pid: String,
    },
    /// There is no home.
    #[error("{path}: there is no home here. Make one with `init`, or give the right path with `--home`")]
    Missing {
        /// Where it should be.
        path: String,
    },
    /// There is something where a new home was to be made.
    #[error("{path}: this directory is not empty, and a new home is never made over another. Choose another path")]
    NotEmpty {
        /// The directory.
        path: String,
    },
    /// A name that evidence may not have.
    #[error("{name:?} cannot name evidence: 1 to 96 of a-z, 0-9 and `-`")]
    EvidenceName {
        /// The name.
        name: String,
    },
    /// Evidence that is larger than any should be.
    #[error("evidence {name} has {found} bytes, where at most {limit} are kept")]
    EvidenceSize {
        /// The name.
        name: String,
        /// How many bytes it has.
        found: usize,
        /// How many are kept.
        limit: usize,
    },
    /// The disk refused.
    #[error("{path}: {action} failed: {source}. {}", crate::error::remedy(source))]
    Disk {
        /// The file or directory.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Home {
    /// Makes a new home, which only its owner can enter, and locks it. The directory may exist if it is empty.
    ///
    /// # Errors
    /// [`HomeError::NotEmpty`], [`HomeError::Disk`].
    pub fn create(root: &Path) -> Result<Self, HomeError> {
        let failed = |source| HomeError::disk(root, "making", source);
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(failed)?;
        if fs::read_dir(root).map_err(failed)?.next().is_some() {
            return Err(HomeError::NotEmpty { path: root.display().to_string() });
        }
        fs::set_permissions(root, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        sync_directory(root.parent().unwrap_or(root)).map_err(failed)?;
        Self::lock(root)
    }

    /// Opens and locks a home that exists. What it holds is judged by whoever opens it: a missing log by
    /// [`Wal::open`](crate::Wal::open), a missing key by whoever reads it.
    ///
    /// # Errors
    /// [`HomeError::Missing`], [`HomeError::InUse`], [`HomeError::Disk`].
    pub fn open(root: &Path) -> Result<Self, HomeError> {
        if !root.is_dir() {
            return Err(HomeError::Missing { path: root.display().to_string() });
        }
        Self::lock(root)
    }

    fn lock(root: &Path) -> Result<Self, HomeError> {
        let paths = Paths::new(root);
        let path = paths.lock();
        let failed = |source| HomeError::disk(&path, "locking", source);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.take(20).read_to_string(&mut pid).map_err(failed)?;
                let pid = if pid.trim().is_empty() { "(unknown)".to_owned() } else { pid.trim().to_owned() };
                return Err(HomeError::InUse { path: root.display().to_string(), pid });
            }
            Err(error) => return Err(failed(error.into())),
        }
        file.set_len(0).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { paths, _lock: file })
    }

    /// Where things are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// The evidence that this replica keeps.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn evidence(&self) -> Result<Evidence, HomeError> {
        Evidence::open(&self.paths.evidence())
    }

    fn make_lost_directory(&self) -> Result<PathBuf, HomeError> {
        let mut number = 1u64;
        loop {
            let lost = self.paths.root.join(format!("lost-{number}"));
            match DirBuilder::new().mode(0o700).create(&lost) {
                Ok(()) => return Ok(lost),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(source) => return Err(HomeError::disk(&lost, "making", source)),
            }
        }
    }
}

impl Place for Home {
    type Disk = HostDisk;

    fn layout(&self) -> Layout {
        Layout::STANDARD
    }

    fn log_disk(&self) -> Result<HostDisk, HomeError> {
        open_disk(&self.paths.log())
    }

    fn blocks_disk(&self) -> Result<HostDisk, HomeError> {
        open_disk(&self.paths.blocks())
    }

    fn open_state(&self, identity: Digest) -> Result<StateStore, StateError> {
        StateStore::open(&self.paths.state(), identity)
    }

    fn set_aside(&self, parts: &[Part]) -> Result<Option<PathBuf>, HomeError> {
        let there: Vec<PathBuf> =
            parts.iter().map(|part| self.paths.part(*part)).filter(|path| path.exists()).collect();
        if there.is_empty() {
            return Ok(None);
        }
        let lost = self.make_lost_directory()?;
        for path in there {
            let name = path.file_name().expect("parts have names");
            fs::rename(&path, lost.join(name)).map_err(|source| HomeError::disk(&path, "setting aside", source))?;
        }
        for directory in [&lost, &self.paths.root] {
            sync_directory(directory).map_err(|source| HomeError::disk(directory, "syncing", source))?;
        }
        Ok(Some(lost))
    }
}

impl Paths {
    /// The paths of the home at `root`, which need not exist.
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// The home itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The private key.
    pub fn key(&self) -> PathBuf {
        self.root.join("key")
    }

    /// The genesis.
    pub fn genesis(&self) -> PathBuf {
        self.root.join("genesis.toml")
    }

    /// The replica's own configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("node.toml")
    }

    /// The directory of the write-ahead log.
    pub fn log(&self) -> PathBuf {
        self.part(Part::Log)
    }

    /// The directory of the block store.
    pub fn blocks(&self) -> PathBuf {
        self.part(Part::Blocks)
    }

    /// The state store's file.
    pub fn state(&self) -> PathBuf {
        self.part(Part::State)
    }

    /// The directory of the evidence.
    pub fn evidence(&self) -> PathBuf {
        self.root.join("evidence")
    }

    /// The lock file, in which the process that holds the lock has written its id.
    pub fn lock(&self) -> PathBuf {
        self.root.join("LOCK")
    }

    fn part(&self, part: Part) -> PathBuf {
        self.root.join(match part {
            Part::Log => "log",
            Part::Blocks => "blocks",
            Part::State => STATE_FILE,
        })
    }
}

impl HomeError {
    pub(crate) fn disk(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Disk { path: path.display().to_string(), action, source }
    }
}

fn open_disk(path: &Path) -> Result<HostDisk, HomeError> {
    HostDisk::open(path).map_err(|source| HomeError::disk(path, "opening", source))
}

/// What the state store's file is called.
pub(crate) const STATE_FILE: &str = "state.redb";
