//! A disk in memory that can go wrong in all the ways that a real one can.
//!
//! It keeps what was *written* apart from what is *durable*, sector by sector. A handle is cheap to clone; all clones
//! are one disk, so that a test or a simulator keeps hold of the disk while a log that is about to crash owns another
//! handle. Nothing here draws randomness: where a choice is open it is made from a seed that the caller gives.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, SECTOR};

/// A disk in memory. Clones are handles to the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

/// What a crash does with the bytes that were written but not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// They can still be read, and are still not synced: the process died, the machine did not.
    KeepsUnsynced,
    /// They are gone.
    LosesUnsynced,
    /// Each sector survives or not, by a coin that the seed tosses: torn writes, and writes that overtook others.
    TearsUnsynced {
        /// The seed of the coin.
        seed: u64,
    },
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, MemoryFile>,
    /// How many steps were completed since the disk was made.
    operations: u64,
    /// How often the machine has crashed.
    crashes: u64,
    /// The machine stops when `operations` reaches this.
    stop_at: Option<u64>,
    /// How many syncs were asked for.
    syncs: u64,
    fail_sync_at: Option<u64>,
    /// How many bytes all files may have together.
    capacity: Option<u64>,
}

#[derive(Debug, Default)]
struct MemoryFile {
    written: Image,
    durable: Image,
    /// Sectors that the next sync will make durable.
    dirty: BTreeSet<u64>,
    /// Sectors that differ from their durable form, or did once. A failed sync cleans them without saving them, as
    /// Linux does: they stay readable, and no later sync saves them.
    unsaved: BTreeSet<u64>,
    /// Whether the name would survive a crash.
    name: Name,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Name {
    #[default]
    Unsynced,
    Durable,
}

/// A sparse file: sectors that are absent are zero.
#[derive(Clone, Debug, Default)]
struct Image {
    len: u64,
    sectors: BTreeMap<u64, Sector>,
}

type Sector = [u8; SECTOR as usize];

impl MemoryDisk {
    /// An empty disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many steps it has completed. A write, a sync, a rename and a removal are one each; making a file is two,
    /// with an unfinished file in between.
    pub fn operations(&self) -> u64 {
        self.state().operations
    }

    /// How often [`Self::restart`] was called.
    pub fn crashes(&self) -> u64 {
        self.state().crashes
    }

    /// The machine stops once `operations` more steps are completed: everything after that fails, until
    /// [`Self::restart`].
    pub fn stop_after(&self, operations: u64) {
        let mut state = self.state();
        state.stop_at = Some(state.operations + operations);
    }

    /// The machine crashes, now or when it stopped, and comes up again with all faults mended.
    pub fn restart(&self, crash: Crash) {
        let mut state = self.state();
        state.crashes += 1;
        state.stop_at = None;
        state.fail_sync_at = None;
        state.capacity = None;
        let mut coin = Coin(match crash {
            Crash::TearsUnsynced { seed } => seed,
            Crash::LosesUnsynced => 0,
            Crash::KeepsUnsynced => return,
        });
        let mut keeps = || matches!(crash, Crash::TearsUnsynced { .. }) && coin.toss();
        state.files.retain(|_, file| file.name == Name::Durable || keeps());
        for file in state.files.values_mut() {
            let resized = file.written.len != file.durable.len && keeps();
            if resized {
                file.durable.len = file.written.len;
            }
            let end = file.durable.len.min(file.written.len);
            for sector in std::mem::take(&mut file.unsaved) {
                if sector * SECTOR < end && keeps() {
                    let bytes = file.written.sector(sector);
                    file.durable.sectors.insert(sector, bytes);
                }
            }
            file.dirty.clear();
            file.durable.clear_beyond_end();
            file.written = file.durable.clone();
            file.name = Name::Durable;
        }
    }

    /// How many bytes all files have together.
    pub fn bytes(&self) -> u64 {
        self.state().files.values().map(|file| file.written.len).sum()
    }

    /// No limit and no failure is planned any more. What has failed already stays failed.
    pub fn mend(&self) {
        let mut state = self.state();
        (state.stop_at, state.fail_sync_at, state.capacity) = (None, None, None);
    }

    /// All files together may have this many bytes; what would make them more fails as on a full disk, half done.
    pub fn set_capacity(&self, bytes: u64) {
        self.state().capacity = Some(bytes);
    }

    /// The `nth` sync from now on (1 is the next) fails, and what it should have saved never will be.
    pub fn fail_sync(&self, nth: u64) {
        let mut state = self.state();
        state.fail_sync_at = Some(state.syncs + nth);
    }

    /// Makes a file longer, by zeros, or shorter. As with a write, a crash before the next sync may undo it.
    ///
    /// # Errors
    /// If there is no such file, or the disk is full or failing; nothing has changed then.
    pub fn set_len(&self, name: &str, len: u64) -> io::Result<()> {
        let mut state = self.state();
        state.admit()?;
        let room = state.room();
        let file = state.file(name)?;
        if len.saturating_sub(file.written.len) > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let cut: Vec<u64> = file.written.sectors.range(len / SECTOR..).map(|(sector, _)| *sector).collect();
        file.dirty.extend(&cut);
        file.unsaved.extend(&cut);
        file.written.len = len;
        file.written.clear_beyond_end();
        state.operations += 1;
        Ok(())
    }

    /// Rots one bit of what is stored, beneath all caches.
    ///
    /// # Panics
    /// If there is no such byte: a test that flips nothing proves nothing.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u32) {
        let mut state = self.state();
        let file = state.files.get_mut(name).expect("the file whose bit is flipped exists");
        assert!(offset < file.written.len, "the byte whose bit is flipped exists");
        for image in [&mut file.written, &mut file.durable] {
            let mut sector = image.sector(offset / SECTOR);
            sector[usize::try_from(offset % SECTOR).expect("below 512")] ^= 1 << (bit % 8);
            image.sectors.insert(offset / SECTOR, sector);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no operation panics while it holds the disk")
    }
}

impl Disk for MemoryDisk {
    fn path(&self, name: &str) -> String {
        format!("memory/{name}")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state();
        state.admit_read()?;
        Ok(state.files.keys().cloned().collect())
    }

    fn create(&mut self, name: &str, size: u64) -> io::Result<()> {
        let mut state = self.state();
        state.admit()?;
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let room = state.room();
        let half = Image { len: (size / 2).min(room), ..Image::default() };
        state.files.insert(name.to_owned(), MemoryFile { written: half, ..MemoryFile::default() });
        state.operations += 1;
        state.admit()?;
        if size > room {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let file = state.file(name)?;
        file.written.len = size;
        file.durable.len = size;
        file.name = Name::Durable;
        state.operations += 1;
        Ok(())
    }

    fn len(&self, name: &str) -> io::Result<u64> {
        let mut state = self.state();
        state.admit_read()?;
        Ok(state.file(name)?.written.len)
    }

    fn read_at(&self, name: &str, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut state = self.state();
        state.admit_read()?;
        Ok(state.file(name)?.written.read(offset, length))
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.admit()?;
        let room = state.room();
        let file = state.file(name)?;
        let fits = usize::try_from((file.written.len + room).saturating_sub(offset)).unwrap_or(usize::MAX);
        let now = &bytes[..bytes.len().min(fits)];
        for sector in file.written.write(offset, now) {
            file.dirty.insert(sector);
            file.unsaved.insert(sector);
        }
        if now.len() < bytes.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.operations += 1;
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.admit()?;
        state.syncs += 1;
        let fails = state.fail_sync_at == Some(state.syncs);
        let file = state.file(name)?;
        let dirty = std::mem::take(&mut file.dirty);
        if fails {
            return Err(io::Error::other("input/output error"));
        }
        for sector in dirty {
            let bytes = file.written.sector(sector);
            file.durable.sectors.insert(sector, bytes);
            file.unsaved.remove(&sector);
        }
        file.durable.len = file.written.len;
        file.durable.clear_beyond_end();
        state.operations += 1;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.admit()?;
        if state.files.contains_key(to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.files.insert(to.to_owned(), file);
        state.operations += 1;
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.admit()?;
        state.files.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.operations += 1;
        Ok(())
    }
}

impl State {
    fn admit(&self) -> io::Result<()> {
        match self.stop_at {
            Some(stop) if stop <= self.operations => Err(io::Error::other("the machine has stopped")),
            Some(_) | None => Ok(()),
        }
    }

    /// Reading completes no step, but a stopped machine does not read either.
    fn admit_read(&self) -> io::Result<()> {
        self.admit()
    }

    fn file(&mut self, name: &str) -> io::Result<&mut MemoryFile> {
        self.files.get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn room(&self) -> u64 {
        let used: u64 = self.files.values().map(|file| file.written.len).sum();
        self.capacity.map_or(u64::MAX / 2, |capacity| capacity.saturating_sub(used))
    }
}

impl Image {
    fn sector(&self, index: u64) -> Sector {
        self.sectors.get(&index).copied().unwrap_or([0; SECTOR as usize])
    }

    /// What lies behind the end of a file reads as zero if the file grows again.
    fn clear_beyond_end(&mut self) {
        self.sectors.retain(|index, _| index * SECTOR < self.len);
        if let Some(sector) = self.sectors.get_mut(&(self.len / SECTOR)) {
            sector[usize::try_from(self.len % SECTOR).expect("below 512")..].fill(0);
        }
    }

    fn read(&self, offset: u64, length: usize) -> Vec<u8> {
        let end = offset.saturating_add(length as u64).min(self.len);
        let mut bytes = vec![0; usize::try_from(end.saturating_sub(offset)).expect("at most `length`")];
        for (index, sector) in self.sectors.range(offset / SECTOR..end.div_ceil(SECTOR)) {
            let start = index * SECTOR;
            let (from, to) = (start.max(offset), (start + SECTOR).min(end));
            if from < to {
                let at = |position: u64, base: u64| usize::try_from(position - base).expect("within the buffer");
                bytes[at(from, offset)..at(to, offset)].copy_from_slice(&sector[at(from, start)..at(to, start)]);
            }
        }
        bytes
    }

    /// Returns the sectors that it touched.
    fn write(&mut self, offset: u64, bytes: &[u8]) -> std::ops::Range<u64> {
        let end = offset + bytes.len() as u64;
        let touched = offset / SECTOR..end.div_ceil(SECTOR);
        for index in touched.clone() {
            let start = index * SECTOR;
            let (from, to) = (start.max(offset), (start + SECTOR).min(end));
            let at = |position: u64, base: u64| usize::try_from(position - base).expect("within the buffer");
            let mut sector = self.sector(index);
            sector[at(from, start)..at(to, start)].copy_from_slice(&bytes[at(from, offset)..at(to, offset)]);
            self.sectors.insert(index, sector);
        }
        self.len = self.len.max(end);
        touched
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014), one bit at a time.
struct Coin(u64);

impl Coin {
    fn toss(&mut self) -> bool {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk_with(bytes: &[u8]) -> MemoryDisk {
        let mut disk = MemoryDisk::new();
        disk.create("a", 4096).unwrap();
        disk.write_at("a", 0, bytes).unwrap();
        disk
    }

    #[test]
    fn what_was_not_synced_is_lost_and_what_was_is_not() {
        let mut disk = disk_with(b"first");
        disk.sync("a").unwrap();
        disk.write_at("a", 600, b"second").unwrap();
        assert_eq!(disk.read_at("a", 600, 6).unwrap(), b"second");
        disk.restart(Crash::LosesUnsynced);
        assert_eq!(disk.read_at("a", 0, 5).unwrap(), b"first");
        assert_eq!(disk.read_at("a", 600, 6).unwrap(), [0; 6]);
    }

    #[test]
    fn a_tear_keeps_some_sectors_of_one_write() {
        let outcomes: BTreeSet<Vec<bool>> = (0..64)
            .map(|seed| {
                let disk = disk_with(&[1; 4 * 512]);
                disk.restart(Crash::TearsUnsynced { seed });
                (0..4).map(|sector| disk.read_at("a", sector * 512, 1).unwrap() == [1]).collect()
            })
            .collect();
        assert_eq!(outcomes.len(), 16, "64 seeds produce every subset of four sectors");
    }

    #[test]
    fn a_file_that_was_cut_short_and_not_synced_may_be_as_long_as_before() {
        let mut disk = disk_with(&[1; 2048]);
        disk.sync("a").unwrap();
        disk.set_len("a", 700).unwrap();
        assert_eq!((disk.len("a").unwrap(), disk.read_at("a", 699, 10).unwrap()), (700, vec![1]));
        disk.restart(Crash::LosesUnsynced);
        assert_eq!((disk.len("a").unwrap(), disk.read_at("a", 2047, 1).unwrap()), (4096, vec![1]));
        disk.set_len("a", 700).unwrap();
        disk.sync("a").unwrap();
        disk.set_len("a", 1400).unwrap();
        disk.sync("a").unwrap();
        disk.restart(Crash::LosesUnsynced);
        assert_eq!(disk.len("a").unwrap(), 1400);
        assert_eq!(disk.read_at("a", 690, 20).unwrap(), [[1; 10], [0; 10]].concat(), "what grew again is zero");
        let outcomes: BTreeSet<u64> = (0..16)
            .map(|seed| {
                let disk = disk_with(&[1; 2048]);
                disk.set_len("a", 700).unwrap();
                disk.restart(Crash::TearsUnsynced { seed });
                disk.len("a").unwrap()
            })
            .collect();
        assert_eq!(outcomes, BTreeSet::from([700, 4096]));
    }

    #[test]
    fn a_sync_after_a_failed_sync_saves_nothing() {
        let mut disk = disk_with(b"doomed");
        disk.fail_sync(1);
        assert!(disk.sync("a").is_err());
        disk.sync("a").unwrap();
        disk.restart(Crash::LosesUnsynced);
        assert_eq!(disk.read_at("a", 0, 6).unwrap(), [0; 6], "as on Linux");
    }

    #[test]
    fn a_stopped_machine_does_nothing_until_it_restarts() {
        let mut disk = disk_with(b"x");
        disk.stop_after(1);
        disk.sync("a").unwrap();
        assert!(disk.write_at("a", 0, b"y").is_err());
        assert!(disk.read_at("a", 0, 1).is_err());
        disk.restart(Crash::LosesUnsynced);
        assert_eq!(disk.read_at("a", 0, 1).unwrap(), b"x");
    }

    #[test]
    fn a_full_disk_refuses_to_grow_and_still_lets_itself_be_overwritten() {
        let mut disk = disk_with(b"x");
        disk.set_capacity(4096);
        assert_eq!(disk.create("b", 1).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.write_at("a", 4095, b"yz").unwrap_err().kind(), io::ErrorKind::StorageFull);
        disk.write_at("a", 4095, b"y").unwrap();
    }
}
