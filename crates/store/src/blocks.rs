//! The block store: every committed block, kept for audit and for peers that are behind.
//!
//! Blocks are opaque bytes under their sequence number. They are appended in order, in runs without a gap; a gap is
//! left only on purpose, by [`BlockStore::begin_at`], when a replica has jumped ahead by state transfer.
//!
//! Blocks that were appended and not synced may be lost in a crash, as a whole or from some block on. That is no harm:
//! the write-ahead log and the peers still have them. It is the caller's part to sync the blocks before saving a state
//! that follows them, or to fill the gap from peers.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};

use bezant_types::{Digest, SequenceNumber};

use crate::disk::{Disk, SECTOR};
use crate::error::{LogError, Proof};
use crate::frame;
use crate::place::Layout;
use crate::segments::{Examined, FramePlace, Head, Kind, New, Segments, Start};

/// The committed blocks, on a [`Disk`].
#[derive(Debug)]
pub struct BlockStore<D> {
    row: Segments<D>,
    /// All files, in order. The last one is the current one.
    heads: Vec<Head>,
    /// Where the blocks of the current file lie.
    current: Vec<FramePlace>,
    /// Where the blocks of some of the older files lie. Finding out costs reading the file.
    indexes: Mutex<BTreeMap<u64, Arc<Vec<FramePlace>>>>,
    /// Where the next run begins, if the next block does not follow the last.
    begin_at: Option<u64>,
    segment_bytes: u64,
}

/// Why the block store could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// A block out of order.
    #[error(
        "block {found} cannot be kept here, where block {expected} is next. Blocks are kept in order; a gap is left \
         only after a state transfer, explicitly"
    )]
    NotNext {
        /// The block that was offered.
        found: SequenceNumber,
        /// The only one that is accepted.
        expected: SequenceNumber,
    },
    /// The files or the disk beneath.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl<D: Disk> BlockStore<D> {
    /// Opens the store, or makes an empty one, whose first block is number 1. A torn tail is cut.
    ///
    /// Only the file that was written last is read in full; damage in an older one is reported when a block of it is
    /// read, or by [`Self::verify`].
    ///
    /// # Errors
    /// [`LogError::Hole`] and its kin if something that had been synced is damaged; [`LogError::Disk`].
    pub fn open(disk: D, identity: Digest) -> Result<Self, BlockError> {
        let (mut row, heads) = Segments::open(disk, Kind::Blocks, identity)?;
        row.next = SequenceNumber::ZERO.next().get();
        row.synced = row.next;
        for pair in heads.windows(2) {
            if pair[1].number != pair[0].number + 1 {
                let path = row.path(pair[1].number - 1);
                return Err(LogError::MissingSegment { path, remedy: Kind::Blocks.remedy() }.into());
            }
        }
        let mut current = Vec::new();
        if let Some(last) = heads.last() {
            let examined = row.examine(*last, None)?;
            row.resume(&examined)?;
            current = examined.places();
        }
        let indexes = Mutex::new(BTreeMap::new());
        Ok(Self { row, heads, current, indexes, begin_at: None, segment_bytes: Layout::STANDARD.block_segment_bytes })
    }

    /// How large a file grows before the next one is begun. Files that exist stay as they are.
    #[must_use]
    pub fn with_segment_bytes(self, segment_bytes: u64) -> Self {
        Self { segment_bytes, ..self }
    }

    /// The number that the next block must have.
    pub fn next(&self) -> SequenceNumber {
        SequenceNumber::new(self.begin_at.unwrap_or(self.row.next))
    }

    /// The next block will be `sequence`, although blocks before it are missing here. Forgotten in a crash until the
    /// first block of the run is appended and synced.
    ///
    /// # Errors
    /// [`BlockError::NotNext`] if that would go back.
    pub fn begin_at(&mut self, sequence: SequenceNumber) -> Result<(), BlockError> {
        if sequence.get() < self.row.next {
            return Err(BlockError::NotNext { found: sequence, expected: SequenceNumber::new(self.row.next) });
        }
        self.begin_at = (sequence.get() > self.row.next).then_some(sequence.get());
        Ok(())
    }

    /// Appends a block. Durable only after [`Self::sync`].
    ///
    /// # Errors
    /// [`BlockError::NotNext`] and [`LogError::TooLarge`], which change nothing; [`LogError::Disk`], after which every
    /// writing call answers [`LogError::Poisoned`].
    pub fn append(&mut self, sequence: SequenceNumber, block: &[u8]) -> Result<(), BlockError> {
        if sequence != self.next() {
            return Err(BlockError::NotNext { found: sequence, expected: self.next() });
        }
        self.row.admit()?;
        frame::admit_size(&[block])?;
        let full = self
            .row
            .current
            .is_some_and(|current| current.end > SECTOR && current.end + frame::size_of(&[block]) > self.segment_bytes);
        if self.row.current.is_none() || self.begin_at.is_some() {
            self.begin(Start::Fresh, sequence)?;
        } else if full {
            self.begin(Start::Continues, sequence)?;
        }
        let place = self.row.write(&[block])?;
        self.current.push(place);
        Ok(())
    }

    fn begin(&mut self, start: Start, sequence: SequenceNumber) -> Result<(), BlockError> {
        self.row.begin(New { start, first: sequence.get(), size: SECTOR }, None::<&[&[u8]]>)?;
        self.begin_at = None;
        self.heads.push(self.row.current.expect("just begun").head);
        self.current.clear();
        Ok(())
    }

    /// Makes durable all blocks that were appended.
    ///
    /// # Errors
    /// [`LogError::Disk`], after which every writing call answers [`LogError::Poisoned`].
    pub fn sync(&mut self) -> Result<(), BlockError> {
        Ok(self.row.sync()?)
    }

    /// The block with this number, or `None` if it is not kept here.
    ///
    /// # Errors
    /// [`LogError::Hole`] if it is damaged; [`LogError::Disk`].
    pub fn read(&self, sequence: SequenceNumber) -> Result<Option<Vec<u8>>, BlockError> {
        let after = self.heads.partition_point(|head| head.first <= sequence.get());
        let Some(at) = after.checked_sub(1).filter(|at| sequence.get() < self.end_of(*at)) else { return Ok(None) };
        let head = self.heads[at];
        let nth = usize::try_from(sequence.get() - head.first).expect("the file that holds it fits in memory");
        let place = if after == self.heads.len() { self.current[nth] } else { self.index(at)?[nth] };
        let mut records = self.row.read_frame(head.number, place)?;
        match (records.pop(), records.is_empty()) {
            (Some(block), true) => Ok(Some(block)),
            _ => Err(self.row.hole(head.number, place.offset, place.index, Proof::Index).into()),
        }
    }

    /// The first block that is kept.
    pub fn first(&self) -> Option<SequenceNumber> {
        self.runs().first().map(|run| *run.start())
    }

    /// The last block that is kept.
    pub fn last(&self) -> Option<SequenceNumber> {
        self.runs().last().map(|run| *run.end())
    }

    /// The stretches without a gap, in order.
    pub fn runs(&self) -> Vec<RangeInclusive<SequenceNumber>> {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (at, head) in self.heads.iter().enumerate() {
            let end = self.end_of(at);
            match runs.last_mut() {
                Some(run) if run.1 == head.first => run.1 = end,
                Some(_) | None => runs.push((head.first, end)),
            }
        }
        let kept = runs.into_iter().filter(|(first, end)| first < end);
        kept.map(|(first, end)| SequenceNumber::new(first)..=SequenceNumber::new(end - 1)).collect()
    }

    /// The blocks from `sequence` on, in order, across gaps. Ends after the first error.
    pub fn iter_from(
        &self,
        sequence: SequenceNumber,
    ) -> impl Iterator<Item = Result<(SequenceNumber, Vec<u8>), BlockError>> + '_ {
        let numbers = self.runs().into_iter().flat_map(move |run| {
            let from = run.start().get().max(sequence.get());
            from..run.end().get() + 1
        });
        let mut failed = false;
        numbers.map_while(move |number| {
            if failed {
                return None;
            }
            let number = SequenceNumber::new(number);
            let block = self.read(number).transpose()?.map(|block| (number, block));
            failed = block.is_err();
            Some(block)
        })
    }

    /// Reads every file in full.
    ///
    /// # Errors
    /// The first damage found.
    pub fn verify(&self) -> Result<(), BlockError> {
        for (at, head) in self.heads.iter().enumerate() {
            self.row.examine(*head, self.heads.get(at + 1))?;
        }
        Ok(())
    }

    /// The number after the last block of a file.
    fn end_of(&self, at: usize) -> u64 {
        self.heads.get(at + 1).map_or(self.row.next, |next| next.previous_end)
    }

    fn index(&self, at: usize) -> Result<Arc<Vec<FramePlace>>, BlockError> {
        let head = self.heads[at];
        let known = self.indexes.lock().expect("nothing panics while it is held").get(&head.number).cloned();
        if let Some(index) = known {
            return Ok(index);
        }
        let examined = self.row.examine(head, self.heads.get(at + 1))?;
        let index = Arc::new(examined.places());
        let mut indexes = self.indexes.lock().expect("nothing panics while it is held");
        if indexes.len() >= INDEXES {
            indexes.pop_first();
        }
        indexes.insert(head.number, Arc::clone(&index));
        Ok(index)
    }
}

impl Examined {
    fn places(&self) -> Vec<FramePlace> {
        let place = |(offset, head): &(usize, frame::Head)| FramePlace {
            index: head.index,
            offset: SECTOR + *offset as u64,
            size: head.size(),
        };
        self.walk.frames.iter().map(place).collect()
    }
}

/// How many files' indexes are kept in memory: 24 bytes per block, at most some 0.8 MB per file.
const INDEXES: usize = 16;
