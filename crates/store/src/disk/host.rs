//! A directory of the real file system.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::Disk;

/// A directory of the real file system, private to its owner.
#[derive(Debug)]
pub struct HostDisk {
    path: PathBuf,
    directory: File,
    /// Files that were written to. A file with unsynced bytes keeps its handle, since the kernel reports a failed
    /// write-back to the handles that were open when it happened.
    open: BTreeMap<String, Handle>,
}

#[derive(Debug)]
struct Handle {
    file: File,
    state: HandleState,
}

#[derive(Debug, PartialEq, Eq)]
enum HandleState {
    Clean,
    Unsynced,
}

impl HostDisk {
    /// Opens the directory, or makes it (mode 0700) if there is none.
    ///
    /// # Errors
    /// If that fails.
    pub fn open(path: &Path) -> io::Result<Self> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => sync_directory(path.parent().unwrap_or(Path::new("/")))?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Ok(Self { path: path.to_owned(), directory: File::open(path)?, open: BTreeMap::new() })
    }

    fn handle(&mut self, name: &str) -> io::Result<&mut Handle> {
        if !self.open.contains_key(name) {
            let file = OpenOptions::new().read(true).write(true).open(self.path.join(name))?;
            self.keep(name, Handle { file, state: HandleState::Clean });
        }
        Ok(self.open.get_mut(name).expect("inserted above if it was missing"))
    }

    fn keep(&mut self, name: &str, handle: Handle) {
        if self.open.len() >= OPEN_FILES {
            self.open.retain(|_, kept| kept.state == HandleState::Unsynced);
        }
        self.open.insert(name.to_owned(), handle);
    }
}

impl Disk for HostDisk {
    fn path(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file()
                && let Ok(name) = entry.file_name().into_string()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create(&mut self, name: &str, size: u64) -> io::Result<()> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path.join(name))?;
        if size > 0 {
            // Asks for one contiguous stretch, and learns of a full disk before writing anything. The bytes it
            // reserves are still unwritten extents, whose first write costs a journal commit: hence the zeros.
            match fallocate(&file, FallocateFlags::empty(), 0, size) {
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {}
                Err(error) => return Err(error.into()),
            }
            let zeros = vec![0; usize::try_from(size.min(ZEROS)).expect("at most 1 MiB")];
            let mut offset = 0;
            while offset < size {
                let now = (size - offset).min(ZEROS);
                file.write_all_at(&zeros[..usize::try_from(now).expect("at most 1 MiB")], offset)?;
                offset += now;
            }
        }
        file.sync_all()?;
        self.directory.sync_all()?;
        self.keep(name, Handle { file, state: HandleState::Clean });
        Ok(())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path.join(name))?.len())
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let opened;
        let file = match self.open.get(name) {
            Some(handle) => &handle.file,
            None => {
                opened = File::open(self.path.join(name))?;
                &opened
            }
        };
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let handle = self.handle(name)?;
        handle.state = HandleState::Unsynced;
        handle.file.write_all_at(bytes, offset)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let handle = self.handle(name)?;
        handle.file.sync_data()?;
        handle.state = HandleState::Clean;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        if self.path.join(to).exists() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(self.path.join(from), self.path.join(to))?;
        if let Some(handle) = self.open.remove(from) {
            self.open.insert(to.to_owned(), handle);
        }
        self.directory.sync_all()
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.open.remove(name);
        fs::remove_file(self.path.join(name))?;
        self.directory.sync_all()
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    // A relative path of one component has the empty path as its parent.
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

/// How many files are kept open for writing before those without unsynced bytes are closed.
const OPEN_FILES: usize = 8;
/// How many zeros are written at a time.
const ZEROS: u64 = 1 << 20;
