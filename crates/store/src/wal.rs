//! The write-ahead log: what a replica must not forget having said.
//!
//! Records are opaque. One [`Wal::append`] is one frame and one write; frames come back whole or not at all, in order.
//! [`Wal::sync`] makes all of them durable. The log is cut short by [`Wal::compact`], which begins it anew with records
//! that stand for all that came before.
//!
//! # Three ways to begin (rule W-8)
//!
//! [`Wal::create`] makes a log where there is none, [`Wal::open`] opens one that exists, and neither does the other's
//! work: were a lost log silently replaced by a new one, the replica would vote again where it had voted before, with
//! nothing to keep it from voting otherwise (hazard 57). The third way, after a log was lost or damaged, is to set
//! what is left of it aside ([`Place::set_aside`](crate::Place::set_aside)) and to create a log whose first records
//! say that this replica is recovering: they become durable together with the log, so there is no moment at which a
//! crash leaves an innocent-looking empty log.

use bezant_types::Digest;

use crate::disk::Disk;
use crate::error::LogError;
use crate::frame;
use crate::place::Layout;
use crate::segments::{Head, Kind, New, Segments, Start};

/// A write-ahead log on a [`Disk`].
#[derive(Debug)]
pub struct Wal<D> {
    row: Segments<D>,
    segment_bytes: u64,
    /// The files before the current one that are still needed, and how many bytes of each are used.
    older: Vec<(Head, u64)>,
}

/// Whose log it is and how it is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The replica's identity: a digest of its network and its key. A log of another identity is refused.
    pub identity: Digest,
    /// How large each new file is made, unless one frame needs more.
    pub segment_bytes: u64,
}

impl Settings {
    /// The usual layout: files of 16 MiB.
    pub const fn new(identity: Digest) -> Self {
        Layout::STANDARD.log(identity)
    }
}

impl<D: Disk> Wal<D> {
    /// Makes a log that begins with `records`, which may be none. Log and records become durable together.
    ///
    /// # Errors
    /// [`LogError::Exists`] if there is a log; it is not touched. [`LogError::Disk`].
    pub fn create(disk: D, settings: Settings, records: &[Vec<u8>]) -> Result<Self, LogError> {
        let (row, heads) = Segments::open(disk, Kind::Log, settings.identity)?;
        if let Some(head) = heads.first() {
            return Err(LogError::Exists { path: row.path(head.number) });
        }
        let mut log = Self { row, segment_bytes: settings.segment_bytes, older: Vec::new() };
        log.begin(Start::Fresh, (!records.is_empty()).then_some(records))?;
        Ok(log)
    }

    /// Opens the log and returns its records in the order in which they were appended. A torn tail is cut. All that is
    /// returned is durable, also what a process that died had not synced.
    ///
    /// # Errors
    /// [`LogError::Missing`] if there is none; [`LogError::Hole`] and its kin if something that had been synced is
    /// damaged; then nothing was changed. [`LogError::Disk`].
    pub fn open(disk: D, settings: Settings) -> Result<(Self, Vec<Vec<u8>>), LogError> {
        let (mut row, heads) = Segments::open(disk, Kind::Log, settings.identity)?;
        let Some(latest) = heads.last() else { return Err(LogError::Missing { path: row.path(1) }) };
        let missing = |number| LogError::MissingSegment { path: row.path(number), remedy: Kind::Log.remedy() };
        let fresh = heads.iter().rposition(|head| head.start == Start::Fresh);
        let Some(fresh) = fresh else { return Err(missing(heads[0].number.saturating_sub(1))) };
        let (superseded, live) = heads.split_at(fresh);
        for pair in live.windows(2) {
            if pair[1].number != pair[0].number + 1 {
                return Err(missing(pair[1].number - 1));
            }
        }

        let mut records = Vec::new();
        let mut older = Vec::new();
        let mut last = None;
        for (place, head) in live.iter().enumerate() {
            let examined = row.examine(*head, live.get(place + 1))?;
            for (offset, frame) in &examined.walk.frames {
                let found = frame::records(*frame, &examined.bytes[*offset..]);
                records.extend(found.ok_or_else(|| LogError::DamagedHead {
                    path: row.path(head.number),
                    remedy: Kind::Log.remedy(),
                })?);
            }
            if head.number == latest.number {
                last = Some(examined);
            } else {
                older.push((*head, examined.end()));
            }
        }
        row.resume(&last.expect("the latest file is among the live ones"))?;
        for head in superseded {
            row.retire(head, settings.segment_bytes)?;
        }
        Ok((Self { row, segment_bytes: settings.segment_bytes, older }, records))
    }

    /// Writes the records as one frame: after a crash either all of them are there or none. Durable only after
    /// [`Self::sync`]. No records are no frame.
    ///
    /// # Errors
    /// [`LogError::TooLarge`], after which the log is as before; [`LogError::Disk`], after which every call answers
    /// [`LogError::Poisoned`].
    pub fn append(&mut self, records: &[Vec<u8>]) -> Result<(), LogError> {
        self.row.admit()?;
        if records.is_empty() {
            return Ok(());
        }
        frame::admit_size(records)?;
        let current = self.row.current.expect("a log always has a current file");
        if current.end + frame::size_of(records) > current.head.size {
            self.older.push((current.head, current.end));
            let needed = frame::size_of(records);
            self.begin_sized(Start::Continues, needed, None)?;
        }
        self.row.write(records)?;
        Ok(())
    }

    /// Makes durable all that was appended. Costs nothing if that is so already.
    ///
    /// # Errors
    /// [`LogError::Disk`]: what was appended since the last sync may or may not survive, and must not be acted upon.
    /// Every later call answers [`LogError::Poisoned`].
    pub fn sync(&mut self) -> Result<(), LogError> {
        self.row.sync()
    }

    /// [`Self::append`], then [`Self::sync`].
    ///
    /// # Errors
    /// As those.
    pub fn append_and_sync(&mut self, records: &[Vec<u8>]) -> Result<(), LogError> {
        self.append(records)?;
        self.sync()
    }

    /// Replaces the whole log by `records`, which are durable on return. A crash before that leaves the old log or the
    /// new one, whole.
    ///
    /// # Errors
    /// As [`Self::append_and_sync`].
    pub fn compact(&mut self, records: &[Vec<u8>]) -> Result<(), LogError> {
        self.row.admit()?;
        frame::admit_size(records)?;
        let current = self.row.current.expect("a log always has a current file");
        self.begin(Start::Fresh, (!records.is_empty()).then_some(records))?;
        for (head, _) in std::mem::take(&mut self.older) {
            self.row.retire(&head, self.segment_bytes)?;
        }
        self.row.retire(&current.head, self.segment_bytes)
    }

    /// How many bytes a recovery would read: when it has grown enough, it is time to [`Self::compact`].
    pub fn size(&self) -> u64 {
        let current = self.row.current.map_or(0, |current| current.end);
        self.older.iter().map(|(_, used)| used).sum::<u64>() + current
    }

    /// How large each new file is made, unless one frame needs more.
    pub fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    fn begin(&mut self, start: Start, records: Option<&[Vec<u8>]>) -> Result<(), LogError> {
        self.begin_sized(start, records.map_or(0, frame::size_of), records)
    }

    /// Begins a file in which `needed` bytes of frames and as much again have room.
    fn begin_sized(&mut self, start: Start, needed: u64, records: Option<&[Vec<u8>]>) -> Result<(), LogError> {
        let usual = self.segment_bytes;
        let size = if needed <= usual / 2 { usual } else { (needed + usual).next_multiple_of(crate::disk::SECTOR) };
        self.row.begin(New { start, first: self.row.next, size }, records)
    }
}
