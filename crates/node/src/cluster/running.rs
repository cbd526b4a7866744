//! Who supervises a directory, and what runs there.
//!
//! The lock is the truth: it is held for as long as the supervisor lives, however that ends. The file beside it only
//! tells people and programs what was started; it is believed while the lock is held.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::PathBuf;

use bezant_store::{Access, write_atomically};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::directory::Directory;

/// A directory that this process supervises until this is dropped.
#[derive(Debug)]
pub struct RunLock {
    directory: Directory,
    /// Closing it releases the lock.
    _file: File,
}

/// What runs in a directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunFacts {
    /// The supervisor.
    pub pid: u32,
    /// Whether the group has answered since it was started.
    pub ready: bool,
    /// What was started.
    pub processes: Vec<ProcessFacts>,
}

/// A process that was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// What it is called here.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// Where it listens.
    pub address: String,
    /// What it does.
    pub role: String,
}

/// Why a directory cannot be supervised.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Somebody does already.
    #[error(
        "{}: this network is running already, under process {pid}. See it with `bezant status`, or stop it first with \
         `bezant down`",
        directory.display()
    )]
    Running {
        /// The directory.
        directory: PathBuf,
        /// The supervisor.
        pid: u32,
    },
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

impl RunLock {
    /// Becomes the supervisor of `directory`, which exists.
    ///
    /// # Errors
    /// [`RunError::Running`], [`RunError::Disk`].
    pub fn acquire(directory: &Directory) -> Result<Self, RunError> {
        let path = directory.lock();
        let failed = |action| {
            let path = path.clone();
            move |source: io::Error| RunError::Disk { path, action, source }
        };
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed("opening the lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = read_pid(&mut file).map_err(failed("reading the lock"))?;
                return Err(RunError::Running { directory: directory.root().to_owned(), pid });
            }
            Err(error) => return Err(failed("locking")(error.into())),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed("writing the lock"))?;
        writeln!(file, "{}", std::process::id()).map_err(failed("writing the lock"))?;
        // What an earlier supervisor left behind is not true any more.
        let _ = fs::remove_file(directory.run_file());
        Ok(Self { directory: directory.clone(), _file: file })
    }

    /// The process that supervises `directory`, if one does.
    ///
    /// # Errors
    /// [`RunError::Disk`].
    pub fn holder(directory: &Directory) -> Result<Option<u32>, RunError> {
        let path = directory.lock();
        let failed = |action| {
            let path = path.clone();
            move |source: io::Error| RunError::Disk { path, action, source }
        };
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed("opening the lock"))?,
        };
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(None),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Some(read_pid(&mut file).map_err(failed("reading the lock"))?)),
            Err(error) => Err(failed("locking")(error.into())),
        }
    }

    /// Tells others what runs.
    ///
    /// # Errors
    /// [`RunError::Disk`].
    pub fn publish(&self, facts: &RunFacts) -> Result<(), RunError> {
        let path = self.directory.run_file();
        let bytes = serde_json::to_vec_pretty(facts).expect("numbers and texts have a JSON form");
        write_atomically(&path, &bytes, Access::Public).map_err(|source| RunError::Disk {
            path,
            action: "writing what runs",
            source,
        })
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.directory.run_file());
    }
}

impl RunFacts {
    /// What the supervisor of `directory` last told; `None` if it has not yet, or nobody supervises.
    pub fn read(directory: &Directory) -> Option<Self> {
        let bytes = fs::read(directory.run_file()).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

fn read_pid(file: &mut File) -> io::Result<u32> {
    let mut text = String::new();
    file.take(20).read_to_string(&mut text)?;
    // Empty for the moment between locking and writing.
    Ok(text.trim().parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_supervises_a_directory() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::new(home.path());
        assert_eq!(RunLock::holder(&directory).unwrap(), None);
        let lock = RunLock::acquire(&directory).unwrap();
        assert_eq!(RunLock::holder(&directory).unwrap(), Some(std::process::id()));
        let words = RunLock::acquire(&directory).unwrap_err().to_string();
        assert!(words.contains("running already") && words.contains("bezant down"), "{words}");
        drop(lock);
        assert_eq!(RunLock::holder(&directory).unwrap(), None);
        RunLock::acquire(&directory).unwrap();
    }

    #[test]
    fn what_runs_is_told_and_forgotten_with_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::new(home.path());
        let lock = RunLock::acquire(&directory).unwrap();
        let facts = RunFacts { pid: 7, ready: true, processes: Vec::new() };
        lock.publish(&facts).unwrap();
        assert_eq!(RunFacts::read(&directory), Some(facts));
        drop(lock);
        assert_eq!(RunFacts::read(&directory), None);
    }
}
