//! The write-ahead log as the core wants it: what a turn must not forget, durable with one sync.
//!
//! **Frames.** A turn may join many steps, and their records together may exceed what the log takes as one frame. They
//! go in as several, and are synced once. A crash in between keeps the first few of them: any beginning of a turn's
//! records is a past that the replica may have had, because nothing of the turn was said before the sync.
//!
//! **Compaction.** The log is begun anew once it has doubled since it last was. Measured against a fixed size, a
//! replica whose live records alone exceed that size would rewrite all of them at every checkpoint. If they exceed even
//! a frame, the old log stays as it is: it is longer than it need be, and says the same.

use bezant_engine::Log;
use bezant_pbft::record::{self, Record};
use bezant_store::{Disk, LogError, Wal};

/// The log of a replica.
#[derive(Debug)]
pub(crate) struct Journal<D> {
    wal: Wal<D>,
    /// Above this many bytes it is time to compact.
    compact_above: u64,
}

impl<D: Disk> Journal<D> {
    pub(crate) fn new(wal: Wal<D>) -> Self {
        let compact_above = least(&wal);
        Self { wal, compact_above }
    }

    /// How many bytes a recovery would read.
    pub(crate) fn size(&self) -> u64 {
        self.wal.size()
    }

    /// Whether it has grown enough to be worth compacting.
    pub(crate) fn is_long(&self) -> bool {
        self.wal.size() > self.compact_above
    }

    /// Begins the log anew with the records of a replica's whole state, if they fit.
    pub(crate) fn compact(&mut self, records: &[Record]) -> Result<(), LogError> {
        let sealed: Vec<_> = records.iter().map(seal).collect();
        match self.wal.compact(&sealed) {
            Err(LogError::TooLarge { found, limit }) => {
                tracing::warn!(
                    "the log stays as it is: compacted it would take {found} bytes at once, and {limit} fit"
                );
            }
            compacted => compacted?,
        }
        self.compact_above = least(&self.wal).max(2 * self.wal.size());
        Ok(())
    }

    fn append_in_frames(&mut self, records: &[Record], limit: usize) -> Result<(), LogError> {
        for frame in frames(records.iter().map(seal), limit) {
            self.wal.append(&frame)?;
        }
        self.wal.sync()
    }
}

impl<D: Disk> Log<Record> for Journal<D> {
    type Error = LogError;

    fn append(&mut self, records: &[Record]) -> Result<(), LogError> {
        self.append_in_frames(records, FRAME_BYTES)
    }
}

/// The log is never compacted below this size, in bytes: three quarters of one of its files, so that in normal
/// operation no turn waits for a new file to be zeroed.
fn least<D: Disk>(wal: &Wal<D>) -> u64 {
    wal.segment_bytes() / 4 * 3
}

fn seal(record: &Record) -> Vec<u8> {
    record::FORMAT.seal(record)
}

/// Groups records, in order, so that no group of several has more than `limit` bytes.
fn frames(records: impl Iterator<Item = Vec<u8>>, limit: usize) -> impl Iterator<Item = Vec<Vec<u8>>> {
    let mut records = records.peekable();
    std::iter::from_fn(move || {
        let first = records.next()?;
        let mut bytes = first.len();
        let mut frame = vec![first];
        while let Some(next) = records.next_if(|next| bytes.saturating_add(next.len()) <= limit) {
            bytes += next.len();
            frame.push(next);
        }
        Some(frame)
    })
}

/// How many bytes of records go into one frame of the log. A record alone may be larger: it is at most a message or the
/// bodies of a batch, which the genesis bounds far below what the log takes.
const FRAME_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use bezant_pbft::message::Checkpoint;
    use bezant_store::MemoryDisk;
    use bezant_store::wal::Settings;
    use bezant_types::{Digest, SequenceNumber};

    use super::*;

    fn settings() -> Settings {
        Settings::new(Digest::new([1; 32]))
    }

    fn checkpoint(sequence: u64) -> Record {
        Record::Checkpoint(Checkpoint { sequence: SequenceNumber::new(sequence), root: Digest::new([7; 32]) })
    }

    fn journal(disk: &MemoryDisk) -> Journal<MemoryDisk> {
        Journal::new(Wal::create(disk.clone(), settings(), &[]).unwrap())
    }

    #[test]
    fn records_are_grouped_in_order_up_to_the_limit() {
        let sizes = [3, 3, 5, 20, 1, 9, 1];
        let grouped: Vec<Vec<usize>> = frames(sizes.iter().map(|size| vec![0; *size]), 10)
            .map(|frame| frame.iter().map(Vec::len).collect())
            .collect();
        assert_eq!(grouped, [vec![3, 3], vec![5], vec![20], vec![1, 9], vec![1]]);
        assert_eq!(frames(std::iter::empty(), 10).count(), 0);
    }

    #[test]
    fn what_went_in_as_many_frames_comes_back_in_order() {
        let disk = MemoryDisk::new();
        let records: Vec<_> = (1..100).map(checkpoint).collect();
        let mut journal = journal(&disk);
        let before = journal.size();
        journal.append_in_frames(&records, 200).unwrap();
        assert!(journal.size() - before >= 20 * 512, "several frames were written");
        drop(journal);
        let (_, found) = Wal::open(disk, settings()).unwrap();
        assert_eq!(found, records.iter().map(seal).collect::<Vec<_>>());
    }

    #[test]
    fn a_log_whose_live_records_are_many_is_compacted_when_it_has_doubled() {
        let disk = MemoryDisk::new();
        let mut journal = journal(&disk);
        assert!(!journal.is_long());
        let live: Vec<_> = (0..300_000).map(checkpoint).collect();
        journal.append(&live).unwrap();
        assert!(journal.is_long());
        journal.compact(&live).unwrap();
        assert!(journal.size() > least(&journal.wal), "the live records alone exceed the least threshold");
        assert!(!journal.is_long(), "which is no reason to write them again and again");
        journal.append(&live).unwrap();
        assert!(!journal.is_long());
        journal.append(&live[..1000]).unwrap();
        assert!(journal.is_long());
    }
}
