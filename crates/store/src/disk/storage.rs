//! One file of a [`MemoryDisk`], as the database beneath the state store wants it.
//!
//! So the state store meets the same faults as the log: what it did not sync is lost or torn, a machine that has
//! stopped does nothing more, a sync fails. And since the database ends with a clean shutdown when it is dropped, which
//! a process that is killed does not, what was opened before a crash does nothing after it.

use std::io;

use redb::StorageBackend;

use super::{Disk as _, MemoryDisk};

/// A file of a disk.
#[derive(Debug)]
pub(crate) struct MemoryStorage {
    disk: MemoryDisk,
    name: String,
    /// The life of the machine in which it was opened.
    life: u64,
}

impl MemoryStorage {
    /// The file `name`, which must be there.
    pub(crate) fn new(disk: MemoryDisk, name: &str) -> Self {
        let life = disk.crashes();
        Self { disk, name: name.to_owned(), life }
    }

    fn disk(&self) -> io::Result<&MemoryDisk> {
        if self.disk.crashes() == self.life { Ok(&self.disk) } else { Err(io::Error::other("the process has died")) }
    }
}

impl StorageBackend for MemoryStorage {
    fn len(&self) -> io::Result<u64> {
        self.disk()?.len(&self.name)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let found = self.disk()?.read_at(&self.name, offset, out.len())?;
        if found.len() < out.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        out.copy_from_slice(&found);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk()?.set_len(&self.name, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk()?.clone().sync(&self.name)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.disk()?.clone().write_at(&self.name, offset, data)
    }
}
