//! The file that holds a private key.
//!
//! It holds the seed and the public key that belongs to it, so that a damaged file is refused instead of turning its
//! owner into somebody else.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use bezant_types::codec::{DecodeError, Format};
use bezant_types::{AccountId, SecretKey};

use crate::files::{Access, write_atomically};

/// Why a key could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// There is no key.
    #[error(
        "{path}: there is no key here. Restore it from a copy. A new key would be a new member, which the genesis does \
         not know"
    )]
    Missing {
        /// The file.
        path: String,
    },
    /// There is a key where a new one was to be written.
    #[error("{path}: there is a key already, and it is never overwritten. Move it away if it is not needed any more")]
    Exists {
        /// The file.
        path: String,
    },
    /// Others can read the key.
    #[error(
        "{path}: others can read this private key (mode {mode:04o}): `chmod 600 {path}`. If somebody may have, replace the key"
    )]
    Exposed {
        /// The file.
        path: String,
        /// Its mode.
        mode: u32,
    },
    /// The file holds no key.
    #[error("{path}: {source}. Restore the key from a copy")]
    WrongFormat {
        /// The file.
        path: String,
        /// What differs.
        source: DecodeError,
    },
    /// The two halves of the file do not belong together.
    #[error("{path}: the key is damaged: its public half does not belong to its private half. Restore it from a copy")]
    Damaged {
        /// The file.
        path: String,
    },
    /// The disk refused.
    #[error("{path}: {action} failed: {source}. {}", crate::error::remedy(source))]
    Disk {
        /// The file.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes a key that only the owner can read. Never over another.
///
/// # Errors
/// [`KeyError::Exists`], [`KeyError::Disk`].
pub fn write_key(path: &Path, key: &SecretKey) -> Result<(), KeyError> {
    let shown = path.display().to_string();
    if path.exists() {
        return Err(KeyError::Exists { path: shown });
    }
    let bytes = FORMAT.seal(&(*key.seed(), key.account()));
    write_atomically(path, &bytes, Access::Private).map_err(|source| KeyError::Disk {
        path: shown,
        action: "writing",
        source,
    })
}

/// Reads a key that [`write_key`] wrote, and refuses it if others could read it too.
///
/// # Errors
/// [`KeyError`] says what is wrong and what to do.
pub fn read_key(path: &Path) -> Result<SecretKey, KeyError> {
    let shown = path.display().to_string();
    let failed = |source| KeyError::Disk { path: shown.clone(), action: "reading", source };
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyError::Missing { path: shown }),
        opened => opened.map_err(failed)?,
    };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed { path: shown, mode });
    }
    let mut bytes = Vec::new();
    file.by_ref().take(LENGTH as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    let (seed, account) = FORMAT
        .open::<([u8; 32], AccountId)>(&bytes, LENGTH)
        .map_err(|source| KeyError::WrongFormat { path: shown.clone(), source })?;
    let key = SecretKey::from_seed(seed);
    if key.account() == account { Ok(key) } else { Err(KeyError::Damaged { path: shown }) }
}

const FORMAT: Format = Format { magic: *b"BZKY", version: 1 };
const LENGTH: usize = Format::HEAD + 32 + 32;
