//! The state store: the entries of the ledger as of the last durable checkpoint.
//!
//! An entry is opaque bytes under a digest. Beside the entries lies one opaque `meta`, which says what they are (the
//! checkpoint and its certificate). Entries and meta change together, in one transaction, so that what is loaded is
//! always the whole of one checkpoint.
//!
//! What this store does *not* promise is that the bytes are the right ones. Who loads them computes the state root and
//! compares it with the certificate in the meta.
//!
//! # Why redb is set up as it is
//!
//! The state fits in memory and is read in full at each start, once, and written at checkpoints, off the commit path.
//!
//! * **Durability** is immediate: a checkpoint that is reported as saved lets the log be compacted.
//! * **Commit in two phases.** With one phase a commit is believed on the strength of a checksum that is not
//!   cryptographic, over data that clients choose. The second sync costs nothing that anybody waits for.
//! * **Integrity is checked on opening.** A plain opening trusts pages that were altered and may panic on them.
//!   Checking reads the file once more than loading does anyhow.
//! * **No quick repair**: it makes each commit dearer in order to spare the reading of the file after a crash, and the
//!   file is read at each start as it is.
//! * **A small cache**, since each page is read once.
//! * **A new file appears by a rename.** redb refuses a file that it had not finished making when the machine stopped.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use bezant_types::Digest;
use bezant_types::codec::{DecodeError, Format};
use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::disk::host::sync_directory;
use crate::disk::storage::MemoryStorage;
use crate::disk::{Disk as _, MemoryDisk};

/// The entries of the last durable checkpoint, in one file.
#[derive(Debug)]
pub struct StateStore {
    path: PathBuf,
    database: Database,
}

/// What was saved last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// What the caller said that the entries are.
    pub meta: Vec<u8>,
    /// The entries, in the order of their digests.
    pub entries: Vec<([u8; 32], Vec<u8>)>,
}

/// Why the state store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// The file is not what was written.
    #[error(
        "{path}: the file is damaged ({cause}). Restore it from a copy, or start with `--recover`: it sets the state \
         aside and fetches it again from the other replicas, verified against the checkpoint that they signed"
    )]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        cause: String,
    },
    /// The file is of another kind or version.
    #[error("{path}: {source}. Start this replica with the version of the program that wrote the file")]
    WrongFormat {
        /// The file.
        path: String,
        /// What differs.
        source: DecodeError,
    },
    /// The file belongs to another replica or another network.
    #[error(
        "{path}: this state belongs to {found}, and this replica is {expected}. Put back the files that belong together"
    )]
    WrongIdentity {
        /// The file.
        path: String,
        /// Whose it is.
        found: Digest,
        /// Whose it should be.
        expected: Digest,
    },
    /// Another process has it open.
    #[error("{path}: another process has this file open. Stop it first; two replicas must never share a home")]
    InUse {
        /// The file.
        path: String,
    },
    /// The disk refused.
    #[error("{path}: {action} failed: {cause}. {}", crate::error::remedy(cause))]
    Disk {
        /// The file.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
}

impl StateStore {
    /// Opens the file, or makes an empty one.
    ///
    /// # Errors
    /// [`StateError`] says what is wrong and what to do.
    pub fn open(path: &Path, identity: Digest) -> Result<Self, StateError> {
        if !path.exists() {
            let mut unfinished = path.to_owned().into_os_string();
            unfinished.push(UNFINISHED);
            let unfinished = PathBuf::from(unfinished);
            let failed = |cause| StateError::disk(path, "making", cause);
            match fs::remove_file(&unfinished) {
                Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => return Err(failed(cause)),
                Ok(()) | Err(_) => {}
            }
            drop(Self::open_file(&unfinished, identity)?);
            fs::rename(&unfinished, path).map_err(failed)?;
            sync_directory(path.parent().unwrap_or(path)).map_err(failed)?;
        }
        Self::open_file(path, identity)
    }

    fn open_file(path: &Path, identity: Digest) -> Result<Self, StateError> {
        Self::open_with(path, identity, || Ok(builder(CACHE_BYTES).create(path)?))
    }

    /// Opens, or makes, a store in a file of a disk in memory.
    pub(crate) fn open_in_memory(mut disk: MemoryDisk, name: &str, identity: Digest) -> Result<Self, StateError> {
        let path = PathBuf::from(disk.path(name));
        let failed = |cause| StateError::disk(&path, "making", cause);
        let names = disk.list().map_err(failed)?;
        if !names.iter().any(|known| known == name) {
            let unfinished = format!("{name}{UNFINISHED}");
            if names.contains(&unfinished) {
                disk.remove(&unfinished).map_err(failed)?;
            }
            disk.create(&unfinished, 0).map_err(failed)?;
            drop(Self::open_storage(MemoryStorage::new(disk.clone(), &unfinished), &path, identity)?);
            disk.rename(&unfinished, name).map_err(failed)?;
        }
        Self::open_storage(MemoryStorage::new(disk, name), &path, identity)
    }

    fn open_storage(storage: MemoryStorage, path: &Path, identity: Digest) -> Result<Self, StateError> {
        Self::open_with(path, identity, || Ok(builder(MEMORY_CACHE_BYTES).create_with_backend(storage)?))
    }

    fn open_with(
        path: &Path,
        identity: Digest,
        open: impl FnOnce() -> Result<Database, redb::Error>,
    ) -> Result<Self, StateError> {
        let database = guarded(path, "opening", open)?;
        let store = Self { path: path.to_owned(), database };
        match guarded(path, "reading", || store.stored_head())? {
            None => store.transact("making", |transaction| {
                transaction.open_table(ABOUT)?.insert(HEAD, FORMAT.seal(&identity).as_slice())?;
                transaction.open_table(ENTRIES)?;
                Ok(())
            })?,
            Some(head) => store.admit(&head, identity)?,
        }
        Ok(store)
    }

    fn admit(&self, head: &[u8], expected: Digest) -> Result<(), StateError> {
        let path = self.path.display().to_string();
        let found: Digest =
            FORMAT.open(head, HEAD_BYTES).map_err(|source| StateError::WrongFormat { path: path.clone(), source })?;
        if found == expected { Ok(()) } else { Err(StateError::WrongIdentity { path, found, expected }) }
    }

    /// Saves what changed since the last call: `Some` is the entry's new bytes, `None` that there is none any more.
    /// All of it and `meta` are durable on return, or nothing has changed.
    ///
    /// # Errors
    /// [`StateError::Disk`].
    pub fn save(
        &self,
        changes: impl Iterator<Item = ([u8; 32], Option<Vec<u8>>)>,
        meta: &[u8],
    ) -> Result<(), StateError> {
        self.transact("saving", |transaction| {
            let mut entries = transaction.open_table(ENTRIES)?;
            for (digest, bytes) in changes {
                match bytes {
                    Some(bytes) => entries.insert(&digest, bytes.as_slice())?,
                    None => entries.remove(&digest)?,
                };
            }
            transaction.open_table(ABOUT)?.insert(META, meta)?;
            Ok(())
        })
    }

    /// Replaces all entries, for a state that was fetched from others. Durable on return, or nothing has changed.
    ///
    /// # Errors
    /// [`StateError::Disk`].
    pub fn replace(&self, entries: impl Iterator<Item = ([u8; 32], Vec<u8>)>, meta: &[u8]) -> Result<(), StateError> {
        self.transact("replacing", |transaction| {
            transaction.delete_table(ENTRIES)?;
            let mut table = transaction.open_table(ENTRIES)?;
            for (digest, bytes) in entries {
                table.insert(&digest, bytes.as_slice())?;
            }
            transaction.open_table(ABOUT)?.insert(META, meta)?;
            Ok(())
        })
    }

    /// What was saved last, or `None` if nothing ever was.
    ///
    /// # Errors
    /// [`StateError::Damaged`], [`StateError::Disk`].
    pub fn load(&self) -> Result<Option<Saved>, StateError> {
        guarded(&self.path, "reading", || {
            let transaction = self.database.begin_read()?;
            let Some(meta) = transaction.open_table(ABOUT)?.get(META)?.map(|meta| meta.value().to_vec()) else {
                return Ok(None);
            };
            let mut entries = Vec::new();
            for entry in transaction.open_table(ENTRIES)?.iter()? {
                let (digest, bytes) = entry?;
                entries.push((*digest.value(), bytes.value().to_vec()));
            }
            Ok(Some(Saved { meta, entries }))
        })
    }

    /// The head, or `None` in a file that nothing was ever committed to.
    fn stored_head(&self) -> Result<Option<Vec<u8>>, redb::Error> {
        let transaction = self.database.begin_read()?;
        if transaction.list_tables()?.next().is_none() {
            return Ok(None);
        }
        let head = transaction.open_table(ABOUT)?.get(HEAD)?.map(|head| head.value().to_vec());
        Ok(Some(head.unwrap_or_default()))
    }

    fn transact(
        &self,
        action: &'static str,
        act: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>,
    ) -> Result<(), StateError> {
        // Not guarded against panics: the pages were checked on opening, and a panic here is the caller's own.
        let attempt = || {
            let mut transaction = self.database.begin_write()?;
            transaction.set_durability(redb::Durability::Immediate)?;
            transaction.set_two_phase_commit(true);
            act(&transaction)?;
            Ok(transaction.commit()?)
        };
        attempt().map_err(|error| explain(&self.path, action, error))
    }
}

impl StateError {
    pub(crate) fn disk(path: &Path, action: &'static str, cause: std::io::Error) -> Self {
        Self::Disk { path: path.display().to_string(), action, cause }
    }
}

fn builder(cache_bytes: usize) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true);
    builder
}

/// Reads with redb. A file whose pages were altered can make it panic; that too is damage, and the operator is owed the
/// remedy rather than a stack trace.
fn guarded<T>(
    path: &Path,
    action: &'static str,
    act: impl FnOnce() -> Result<T, redb::Error>,
) -> Result<T, StateError> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(result) => result.map_err(|error| explain(path, action, error)),
        Err(_) => Err(StateError::Damaged {
            path: path.display().to_string(),
            cause: format!("while {action} it, the database panicked"),
        }),
    }
}

/// Says in our words what redb says.
fn explain(path: &Path, action: &'static str, error: redb::Error) -> StateError {
    let path = path.display().to_string();
    if matches!(error, redb::Error::DatabaseAlreadyOpen) {
        return StateError::InUse { path };
    }
    if matches!(error, redb::Error::PreviousIo) {
        let cause = std::io::Error::other("an earlier read or write failed; start again to recover");
        return StateError::Disk { path, action, cause };
    }
    match system_error(error) {
        Ok(cause) => StateError::Disk { path, action, cause },
        Err(damage) => StateError::Damaged { path, cause: damage.to_string() },
    }
}

/// What the system said, if it was the system that refused. For a file that is no database redb answers `InvalidData`
/// as an input/output error, which is damage.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other errors of redb are one thing to the operator")]
fn system_error(error: redb::Error) -> Result<std::io::Error, redb::Error> {
    match error {
        redb::Error::Io(cause) if cause.kind() != std::io::ErrorKind::InvalidData => Ok(cause),
        damage => Err(damage),
    }
}

const FORMAT: Format = Format { magic: *b"BZST", version: 1 };
/// Magic and version, and the identity.
const HEAD_BYTES: usize = Format::HEAD + 32;
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");
const ENTRIES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("entries");
const HEAD: &str = "head";
const META: &str = "meta";
/// What the name of a file ends with that is being made.
const UNFINISHED: &str = ".new";
const CACHE_BYTES: usize = 32 << 20;
/// A disk in memory keeps sectors, and a page is put together of eight. Measured, a store that holds a thousand entries
/// saves twice as fast with a cache of 1 MiB as with one of 64 KiB; it is taken as it is needed.
const MEMORY_CACHE_BYTES: usize = 1 << 20;
