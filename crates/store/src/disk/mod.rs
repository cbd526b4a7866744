//! The narrow floor that the log's logic stands on.
//!
//! A [`Disk`] is one directory of named files, and a handful of operations that each say what they make durable. It is
//! this narrow so that a second implementation can be evil: [`MemoryDisk`] forgets what was not
//! synced, tears writes, runs full, fails a sync, flips bits, and stops dead after any operation. The recovery that is
//! tested against it is the recovery that runs on [`HostDisk`].

pub mod host;
pub mod memory;
pub(crate) mod storage;

use std::io;

pub use host::HostDisk;
pub use memory::MemoryDisk;

/// The unit that a disk writes whole or not at all. Devices have sectors of 512 or 4096 bytes; this is the smaller.
pub const SECTOR: u64 = 512;

/// Named files in one directory.
///
/// Every mutating operation may fail half done, and a crash may interrupt any of them. What an operation promises holds
/// once it has returned `Ok`, and not before.
pub trait Disk {
    /// How a person finds the file `name`: its path.
    fn path(&self, name: &str) -> String;

    /// The names of all files, in order.
    ///
    /// # Errors
    /// If the directory cannot be read.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a file of `size` zero bytes that are really written, not merely reserved, so that writing over them later
    /// changes no metadata and a sync is one trip to the device. File and name are durable on return. Interrupted, it
    /// leaves nothing, or a file of fewer bytes.
    ///
    /// # Errors
    /// If the file exists, or the disk is full or failing.
    fn create(&mut self, name: &str, size: u64) -> io::Result<()>;

    /// The length of a file in bytes.
    ///
    /// # Errors
    /// If there is no such file.
    fn len(&self, name: &str) -> io::Result<u64>;

    /// Up to `length` bytes from `offset` on; fewer only where the file ends. Sees what was written, synced or not.
    ///
    /// # Errors
    /// If there is no such file, or the device fails.
    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>>;

    /// Writes all of `bytes` at `offset`, growing the file where they reach beyond its end. Promises nothing about a
    /// crash: until the next [`Self::sync`] any part of the sectors may be old and any part new.
    ///
    /// # Errors
    /// If there is no such file, or the disk is full or failing; a part may have been written.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Makes durable all that was written to the file. Never to be retried: after a failed sync the kernel may have
    /// dropped the very pages and will report success the next time (hazard 61).
    ///
    /// # Errors
    /// If the device fails. What was written since the last sync is then in an unknown state for good.
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, durably. There must be no file of that name.
    ///
    /// # Errors
    /// If there is no such file, or the device fails.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, durably.
    ///
    /// # Errors
    /// If there is no such file, or the device fails.
    fn remove(&mut self, name: &str) -> io::Result<()>;
}
