//! Where the parts of a replica's home lie.
//!
//! What comes up from a home, and works on it, does not care whether that is a directory ([`Home`](crate::Home)) or
//! memory ([`MemoryHome`](crate::MemoryHome)). So a simulated replica recovers by the code by which a real one does.

use std::path::PathBuf;

use bezant_types::Digest;

use crate::disk::Disk;
use crate::home::HomeError;
use crate::state::{StateError, StateStore};
use crate::wal::Settings;

/// The parts of a home.
pub trait Place {
    /// What log and blocks lie on.
    type Disk: Disk;

    /// How large their files are made.
    fn layout(&self) -> Layout;

    /// The disk of the write-ahead log.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    fn log_disk(&self) -> Result<Self::Disk, HomeError>;

    /// The disk of the block store.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    fn blocks_disk(&self) -> Result<Self::Disk, HomeError>;

    /// Opens the state store, or makes an empty one.
    ///
    /// # Errors
    /// As [`StateStore::open`].
    fn open_state(&self, identity: Digest) -> Result<StateStore, StateError>;

    /// Moves parts of the home to `lost-<n>/`, where nothing reads them any more, and says where that is; `None` if
    /// there was nothing to move. Whoever does this to the log must begin the next one with a record that says that
    /// the replica is recovering: see [`wal`](crate::wal).
    ///
    /// # Errors
    /// [`HomeError::Disk`]; some of the parts may have been moved, and doing it again moves the rest.
    fn set_aside(&self, parts: &[Part]) -> Result<Option<PathBuf>, HomeError>;
}

/// A part of a home that can be set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `log/`.
    Log,
    /// `blocks/`.
    Blocks,
    /// `state.redb`.
    State,
}

/// How large the files of a home are made. Files that exist stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The files of the write-ahead log.
    pub log_segment_bytes: u64,
    /// The files of the block store.
    pub block_segment_bytes: u64,
}

impl Layout {
    /// The usual one: files of 16 MiB.
    pub const STANDARD: Self = Self { log_segment_bytes: 16 << 20, block_segment_bytes: 16 << 20 };

    /// How the log of the replica with this identity is made and opened.
    pub const fn log(self, identity: Digest) -> Settings {
        Settings { identity, segment_bytes: self.log_segment_bytes }
    }
}
