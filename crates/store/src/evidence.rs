//! Evidence: contradictions that other members signed, one file each.
//!
//! The files are bounded in size and in number, since it is the accused who decides how much of it there is. What comes
//! after the last is not kept: a member that contradicted itself a thousand times is convicted.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use bezant_types::genesis::MAX_FRAME;

use crate::files::{Access, write_atomically};
use crate::home::HomeError;

/// The evidence that a replica keeps.
#[derive(Debug)]
pub struct Evidence {
    directory: PathBuf,
}

/// What became of a piece of evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is durable now.
    New,
    /// There was evidence of that name, which was left as it is.
    Already,
    /// It was not kept: there are [`MAX_FILES`] pieces already.
    NoRoom,
}

impl Evidence {
    pub(crate) fn open(directory: &Path) -> Result<Self, HomeError> {
        match DirBuilder::new().mode(0o700).create(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(HomeError::disk(directory, "making", source)),
        }
        Ok(Self { directory: directory.to_owned() })
    }

    /// Keeps a piece of evidence. The name should be derived from what it proves, so that the same is kept once.
    ///
    /// # Errors
    /// [`HomeError::EvidenceName`], [`HomeError::EvidenceSize`], [`HomeError::Disk`].
    pub fn save(&self, name: &str, bytes: &[u8]) -> Result<Kept, HomeError> {
        let path = self.path(name)?;
        if bytes.len() > MAX_BYTES {
            return Err(HomeError::EvidenceSize { name: name.to_owned(), found: bytes.len(), limit: MAX_BYTES });
        }
        if path.exists() {
            return Ok(Kept::Already);
        }
        if self.names()?.len() >= MAX_FILES {
            return Ok(Kept::NoRoom);
        }
        write_atomically(&path, bytes, Access::Private).map_err(|source| HomeError::disk(&path, "writing", source))?;
        Ok(Kept::New)
    }

    /// The names of all pieces, in order.
    ///
    /// # Errors
    /// [`HomeError::Disk`].
    pub fn names(&self) -> Result<Vec<String>, HomeError> {
        let failed = |source| HomeError::disk(&self.directory, "listing", source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.directory).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            names.extend(name.to_str().and_then(|name| name.strip_suffix(SUFFIX)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }

    /// A piece of evidence, or `None` if there is none of that name.
    ///
    /// # Errors
    /// [`HomeError::EvidenceName`], [`HomeError::EvidenceSize`], [`HomeError::Disk`].
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, HomeError> {
        let path = self.path(name)?;
        let failed = |source| HomeError::disk(&path, "reading", source);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut bytes = Vec::new();
        file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() > MAX_BYTES {
            return Err(HomeError::EvidenceSize { name: name.to_owned(), found: bytes.len(), limit: MAX_BYTES });
        }
        Ok(Some(bytes))
    }

    /// Only plain names: a name is made of a peer's data, and must not lead out of the directory.
    fn path(&self, name: &str) -> Result<PathBuf, HomeError> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) {
            Ok(self.directory.join(format!("{name}{SUFFIX}")))
        } else {
            Err(HomeError::EvidenceName { name: name.chars().take(MAX_NAME).collect() })
        }
    }
}

/// How many pieces are kept.
pub const MAX_FILES: usize = 1024;
/// How large a piece may be: two statements, each of which came in a frame.
pub const MAX_BYTES: usize = 2 * MAX_FRAME;
const MAX_NAME: usize = 96;
const SUFFIX: &str = ".evidence";
