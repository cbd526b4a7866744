//! A frame: what one append writes, and the proof that it is whole.
//!
//! A frame is some records and a head, and it lies in whole sectors:
//!
//! ```text
//! sector      marker 0xf5, 511 bytes     the first sector of a frame
//! sector      marker 0x5f, 511 bytes     each further sector
//!
//! the bytes behind the markers, joined (all numbers little endian):
//!   u32   length of what follows the checksum
//!   u32   CRC-32C of the seed and of what follows
//!   u64   index of this frame
//!   u64   index of the first frame that was not known to be synced when this one was written
//!   u32   number of records
//!   then, for each record: u32 length, bytes
//! ```
//!
//! **Sectors.** A new frame shares no sector with an older one, so a torn write of the new never hurts the old.
//!
//! **Markers.** Recovery looks for frames behind a damaged one. Records carry bytes that a client chose. Were a frame
//! recognised by its content alone, a client could have a forged frame logged inside its request, and after the next
//! power cut the replica would take it for evidence of lost frames and refuse to start. The first byte of each sector
//! is ours, so no record can contain what looks like the start of a frame.
//!
//! **The seed** is a checksum of the log's identity and the segment's number. A frame of another log, or one that a
//! recycled file still holds from its earlier use, does not check: CRC-32C of the same bytes under two seeds always
//! differs, and so do the seeds of two segments.

use crate::disk::SECTOR;
use crate::error::LogError;

/// The largest frame, head and markers included.
pub(crate) const MAX_FRAME: u64 = 512 << 20;

/// The checksum that all checksums of a segment continue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn new(identity: &[u8; 32], segment: u64) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(identity), &segment.to_le_bytes()))
    }
}

/// What a whole frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The frame's index.
    pub(crate) index: u64,
    /// Frames below this index were known to be synced when this one was written.
    pub(crate) synced: u64,
    records: u32,
    length: u32,
}

impl Head {
    /// How many bytes the frame takes on disk.
    pub(crate) fn size(self) -> u64 {
        sectors(u64::from(self.length) + PREFIX as u64) * SECTOR
    }
}

/// How many bytes on disk a frame of these records takes.
pub(crate) fn size_of(records: &[impl AsRef<[u8]>]) -> u64 {
    let payload: u64 = records.iter().map(|record| 4 + record.as_ref().len() as u64).sum();
    sectors(HEAD as u64 + payload) * SECTOR
}

/// Refuses records that do not fit in one frame.
pub(crate) fn admit_size(records: &[impl AsRef<[u8]>]) -> Result<(), LogError> {
    let found = size_of(records);
    if found <= MAX_FRAME { Ok(()) } else { Err(LogError::TooLarge { found, limit: MAX_FRAME }) }
}

/// The bytes of a frame. The caller has seen to it that [`size_of`] is at most [`MAX_FRAME`].
pub(crate) fn encode(seed: Seed, index: u64, synced: u64, records: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).expect("within MAX_FRAME, which is below 4 GiB");
    let size = usize::try_from(size_of(records)).expect("within MAX_FRAME");
    let mut joined = Vec::with_capacity(size);
    joined.extend_from_slice(&[0; PREFIX]);
    joined.extend_from_slice(&index.to_le_bytes());
    joined.extend_from_slice(&synced.to_le_bytes());
    joined.extend_from_slice(&number(records.len()).to_le_bytes());
    for record in records {
        joined.extend_from_slice(&number(record.as_ref().len()).to_le_bytes());
        joined.extend_from_slice(record.as_ref());
    }
    let body = &joined[PREFIX..];
    let length = number(body.len()).to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seed.0, &length), body).to_le_bytes();
    joined[..4].copy_from_slice(&length);
    joined[4..PREFIX].copy_from_slice(&crc);

    let mut bytes = Vec::with_capacity(size);
    for (place, chunk) in joined.chunks(CHUNK).enumerate() {
        bytes.push(if place == 0 { START } else { MORE });
        bytes.extend_from_slice(chunk);
    }
    bytes.resize(size, 0);
    bytes
}

/// The head of the whole and undamaged frame at the beginning of `bytes`, or `None` if there is none. Allocates
/// nothing (rule W-9).
pub(crate) fn check(seed: Seed, bytes: &[u8]) -> Option<Head> {
    let mut first = bytes.get(..SECTOR as usize)?.iter().copied();
    if first.next() != Some(START) {
        return None;
    }
    let length = u32::from_le_bytes(take(&mut first)?);
    let crc = u32::from_le_bytes(take(&mut first)?);
    let index = u64::from_le_bytes(take(&mut first)?);
    let synced = u64::from_le_bytes(take(&mut first)?);
    let records = u32::from_le_bytes(take(&mut first)?);
    let head = Head { index, synced, records, length };
    if length < (HEAD - PREFIX) as u32 || head.size() > MAX_FRAME {
        return None;
    }
    let frame = bytes.get(..usize::try_from(head.size()).ok()?)?;
    let mut left = length as usize;
    let mut found = crc32c::crc32c_append(seed.0, &length.to_le_bytes());
    for (place, sector) in frame.chunks(SECTOR as usize).enumerate() {
        let (marker, chunk) = sector.split_first()?;
        if *marker != if place == 0 { START } else { MORE } {
            return None;
        }
        let chunk = if place == 0 { &chunk[PREFIX..] } else { chunk };
        let now = left.min(chunk.len());
        found = crc32c::crc32c_append(found, &chunk[..now]);
        left -= now;
    }
    (found == crc).then_some(head)
}

/// The records of a frame that [`check`] has found whole; `None` if the checksum is right and the records do not add
/// up, which only a writer with another idea of the format can cause.
pub(crate) fn records(head: Head, bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let frame = bytes.get(..usize::try_from(head.size()).ok()?)?;
    let mut joined = Vec::with_capacity(frame.len());
    for sector in frame.chunks(SECTOR as usize) {
        joined.extend_from_slice(sector.get(1..)?);
    }
    let mut rest = joined.get(HEAD..PREFIX + head.length as usize)?;
    let mut records = Vec::new();
    for _ in 0..head.records {
        let (length, behind) = rest.split_first_chunk::<4>()?;
        let (record, behind) = behind.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        records.push(record.to_vec());
        rest = behind;
    }
    rest.is_empty().then_some(records)
}

/// What lies in a stretch of sectors.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The whole frames from the beginning on, without a gap in their indices, and where each begins.
    pub(crate) frames: Vec<(usize, Head)>,
    /// Where the last of them ends.
    pub(crate) end: usize,
    /// The index that a frame at `end` would have.
    pub(crate) next: u64,
    /// A whole frame behind `end` that knows the frame at `end` to have been synced: what is there is no torn write.
    pub(crate) proof: Option<Head>,
    /// Where the last byte behind `end` that is not zero lies, rounded up to a sector; `end` if there is none.
    pub(crate) residue: usize,
}

/// Walks along the frames in `bytes`, which begins with the frame of index `first`.
pub(crate) fn walk(seed: Seed, bytes: &[u8], first: u64) -> Walk {
    let mut frames = Vec::new();
    let (mut end, mut next) = (0, first);
    while let Some(head) = check(seed, &bytes[end..]).filter(|head| head.index == next) {
        frames.push((end, head));
        end += usize::try_from(head.size()).expect("lies within `bytes`");
        next = next.saturating_add(1);
    }
    let behind = bytes[end..].chunks(SECTOR as usize).enumerate().skip(1);
    let proof = behind
        .filter(|(_, sector)| sector[0] == START)
        .filter_map(|(place, _)| check(seed, &bytes[end + place * SECTOR as usize..]))
        .find(|head| head.synced > next);
    let dirty = bytes[end..].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    Walk { frames, end, next, proof, residue: end + dirty.next_multiple_of(SECTOR as usize) }
}

fn take<const N: usize>(bytes: &mut impl Iterator<Item = u8>) -> Option<[u8; N]> {
    let mut taken = [0; N];
    for byte in &mut taken {
        *byte = bytes.next()?;
    }
    Some(taken)
}

const fn sectors(joined: u64) -> u64 {
    joined.div_ceil(CHUNK as u64)
}

const START: u8 = 0xf5;
const MORE: u8 = 0x5f;
/// The bytes of a sector behind its marker.
const CHUNK: usize = SECTOR as usize - 1;
/// Length and checksum.
const PREFIX: usize = 4 + 4;
/// All that precedes the first record.
const HEAD: usize = PREFIX + 8 + 8 + 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seed() -> Seed {
        Seed::new(&[7; 32], 1)
    }

    proptest! {
        #[test]
        fn what_was_framed_comes_back(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..1200), 0..5),
        ) {
            let bytes = encode(seed(), 9, 4, &records);
            prop_assert_eq!(bytes.len() as u64, size_of(&records));
            let head = check(seed(), &bytes).unwrap();
            prop_assert_eq!((head.index, head.synced, head.size()), (9, 4, bytes.len() as u64));
            prop_assert_eq!(super::records(head, &bytes).unwrap(), records);
        }

        #[test]
        fn a_frame_with_one_bit_flipped_is_no_frame(
            record in prop::collection::vec(any::<u8>(), 0..1200), place: prop::sample::Index, bit in 0u8..8,
        ) {
            let mut bytes = encode(seed(), 0, 0, std::slice::from_ref(&record));
            let used = (HEAD + 4 + record.len()) + (HEAD + 4 + record.len()).div_ceil(CHUNK);
            bytes[place.index(used)] ^= 1 << bit;
            prop_assert_eq!(check(seed(), &bytes), None);
        }

        #[test]
        fn arbitrary_bytes_neither_pass_nor_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
            if let Some(first) = bytes.first_mut() {
                *first = START;
            }
            prop_assert_eq!(check(seed(), &bytes), None);
            walk(seed(), &bytes, 0);
        }
    }

    #[test]
    fn a_frame_of_another_log_or_segment_is_no_frame() {
        let bytes = encode(seed(), 0, 0, &[b"vote"]);
        assert!(check(seed(), &bytes).is_some());
        assert_eq!(check(Seed::new(&[7; 32], 2), &bytes), None);
        assert_eq!(check(Seed::new(&[8; 32], 1), &bytes), None);
    }

    #[test]
    fn a_record_cannot_forge_the_start_of_a_frame() {
        // The adversary's record holds a valid frame of this very segment, at every offset modulo a sector.
        let forged = encode(seed(), 8, 8, &[b"forged"]);
        for shift in 0..SECTOR as usize {
            let mut record = vec![0; shift];
            record.extend_from_slice(&forged);
            record.extend_from_slice(&forged);
            let mut bytes = encode(seed(), 0, 0, &[record]);
            bytes[20] ^= 1;
            let walk = walk(seed(), &bytes, 0);
            assert!(walk.frames.is_empty() && walk.proof.is_none(), "shift {shift}");
        }
    }

    #[test]
    fn a_frame_out_of_its_turn_ends_the_walk() {
        let mut bytes = encode(seed(), 0, 0, &[b"a"]);
        bytes.extend(encode(seed(), 2, 1, &[b"c"]));
        let walk = walk(seed(), &bytes, 0);
        assert_eq!((walk.next, walk.frames.len(), walk.proof, walk.residue), (1, 1, None, bytes.len()));
    }

    #[test]
    fn a_sector_without_its_marker_belongs_to_no_frame() {
        let mut bytes = encode(seed(), 0, 0, &[[0u8; 2000]]);
        assert!(check(seed(), &bytes).is_some());
        bytes[SECTOR as usize] = START;
        assert_eq!(check(seed(), &bytes), None);
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused_before_anything_is_allocated() {
        let mut bytes = encode(seed(), 0, 0, &[b"vote"]);
        bytes[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(check(seed(), &bytes), None);
    }
}
