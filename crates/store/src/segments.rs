//! A row of numbered files that hold frames: what the write-ahead log and the block store have in common.
//!
//! A file appears under its name by a rename, after its head (and, for a compacted log, its first frame) is synced.
//! Under its name it is therefore never half made, and a bad head is damage and not a crash. Files that were not
//! finished are called `*.new` and are removed when the row is opened.
//!
//! Before a file is begun the one before it is synced, so the head of a file vouches for every frame of the file before
//! it. Within a file each frame vouches for those that were synced when it was written. What nobody vouches for is, if
//! it is damaged, a torn write of something that was never relied on.

use bezant_types::Digest;
use bezant_types::codec::{DecodeError, Format, encode};
use borsh::{BorshDeserialize, BorshSerialize};

use crate::disk::{Disk, SECTOR};
use crate::error::{LogError, Proof, Remedy};
use crate::frame::{self, MAX_FRAME, Seed, Walk};

/// Which row it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Log,
    Blocks,
}

impl Kind {
    const fn format(self) -> Format {
        match self {
            Self::Log => Format { magic: *b"BZWL", version: 1 },
            Self::Blocks => Format { magic: *b"BZBL", version: 1 },
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::Blocks => ".blocks",
        }
    }

    pub(crate) const fn remedy(self) -> Remedy {
        match self {
            Self::Log => Remedy::RecoverReplica,
            Self::Blocks => Remedy::RefetchBlocks,
        }
    }

    /// The name of the file with this number.
    pub(crate) fn name(self, number: u64) -> String {
        format!("{number:010}{}", self.suffix())
    }

    fn number(self, name: &str) -> Option<u64> {
        let number = name.strip_suffix(self.suffix())?.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }
}

/// How a file relates to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) enum Start {
    /// It stands for itself. In the log: all before it is superseded. In the block store: there is a gap before it.
    Fresh,
    /// It goes on where the file before it ends.
    Continues,
}

/// The first sector of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub(crate) struct Head {
    pub(crate) identity: Digest,
    /// The file's number, which its name repeats.
    pub(crate) number: u64,
    pub(crate) start: Start,
    /// The index of its first frame.
    pub(crate) first: u64,
    /// The index that followed the last frame of the file before it.
    pub(crate) previous_end: u64,
    /// All frames below this index were synced when it became visible; also those that it was born with.
    pub(crate) synced: u64,
    /// The bytes it was made with.
    pub(crate) size: u64,
}

/// A file and the frames that were found in it.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) head: Head,
    /// The bytes behind the first sector.
    pub(crate) bytes: Vec<u8>,
    pub(crate) walk: Walk,
}

impl Examined {
    /// Where the next frame would go.
    pub(crate) fn end(&self) -> u64 {
        SECTOR + self.walk.end as u64
    }
}

/// The file that is being written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Current {
    pub(crate) head: Head,
    /// Where the next frame goes.
    pub(crate) end: u64,
}

/// The row, open for writing.
#[derive(Debug)]
pub(crate) struct Segments<D> {
    disk: D,
    kind: Kind,
    identity: Digest,
    poison: Option<String>,
    pub(crate) current: Option<Current>,
    /// The index of the next frame.
    pub(crate) next: u64,
    /// All frames below this index are synced.
    pub(crate) synced: u64,
    /// Files of which nothing is needed any more, whose blocks are allocated and written.
    spares: Vec<(String, u64)>,
}

impl<D: Disk> Segments<D> {
    /// Reads the heads of all files, in order, and removes what was not finished.
    pub(crate) fn open(mut disk: D, kind: Kind, identity: Digest) -> Result<(Self, Vec<Head>), LogError> {
        let names = disk.list().map_err(|source| LogError::Disk { path: disk.path(""), action: "listing", source })?;
        for name in names.iter().filter(|name| name.ends_with(UNFINISHED)) {
            disk.remove(name).map_err(|source| LogError::Disk { path: disk.path(name), action: "removing", source })?;
        }
        let row = Self { disk, kind, identity, poison: None, current: None, next: 0, synced: 0, spares: Vec::new() };
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| kind.number(name)).collect();
        numbers.sort_unstable();
        let heads = numbers.into_iter().map(|number| row.read_head(number)).collect::<Result<_, _>>()?;
        Ok((row, heads))
    }

    pub(crate) fn path(&self, number: u64) -> String {
        self.disk.path(&self.kind.name(number))
    }

    fn read_head(&self, number: u64) -> Result<Head, LogError> {
        let name = self.kind.name(number);
        let path = self.disk.path(&name);
        let remedy = self.kind.remedy();
        let sector = self.disk.read_at(&name, 0, SECTOR as usize);
        let sector = sector.map_err(|source| LogError::Disk { path: path.clone(), action: "reading", source })?;
        if sector.len() < SECTOR as usize {
            return Err(LogError::CutOff { path, found: sector.len() as u64, expected: SECTOR, remedy });
        }
        match self.kind.format().strip(&sector) {
            Ok(_) => {}
            Err(source) => return Err(LogError::WrongFormat { path, source, remedy }),
        }
        let head = open_head(&sector).filter(|head| head.number == number);
        let Some(head) = head else { return Err(LogError::DamagedHead { path, remedy }) };
        if head.identity != self.identity {
            return Err(LogError::WrongIdentity { path, found: head.identity, expected: self.identity });
        }
        let found = self.disk.len(&name);
        let found = found.map_err(|source| LogError::Disk { path: path.clone(), action: "reading", source })?;
        if found < head.size {
            return Err(LogError::CutOff { path, found, expected: head.size, remedy });
        }
        if found > MAX_SEGMENT {
            let source = DecodeError::TooLarge {
                found: usize::try_from(found).unwrap_or(usize::MAX),
                limit: usize::try_from(MAX_SEGMENT).unwrap_or(usize::MAX),
            };
            return Err(LogError::WrongFormat { path, source, remedy });
        }
        Ok(head)
    }

    /// Rule W-5: reads a file and finds its frames, and refuses it if one that had been synced is damaged.
    /// `followed_by` is the head of the next file, if there is one.
    pub(crate) fn examine(&self, head: Head, followed_by: Option<&Head>) -> Result<Examined, LogError> {
        let name = self.kind.name(head.number);
        let failed = |source| LogError::Disk { path: self.disk.path(&name), action: "reading", source };
        let length = self.disk.len(&name).map_err(failed)?.min(MAX_SEGMENT).saturating_sub(SECTOR);
        let length = usize::try_from(length).expect("at most MAX_SEGMENT");
        let bytes = self.disk.read_at(&name, SECTOR, length).map_err(failed)?;
        let walk = frame::walk(self.seed(head.number), &bytes, head.first);
        let proof = match followed_by {
            _ if walk.next < head.synced => Some(Proof::Head),
            Some(later) if walk.next < later.previous_end => Some(Proof::Segment(later.number)),
            // The row went on in another file: what this one holds behind its end was never a frame of it.
            Some(_) => None,
            None => walk.proof.map(|head| Proof::Frame(head.index)),
        };
        match proof {
            Some(proof) => Err(self.hole(head.number, SECTOR + walk.end as u64, walk.next, proof)),
            None => Ok(Examined { head, bytes, walk }),
        }
    }

    pub(crate) fn hole(&self, number: u64, offset: u64, frame: u64, proof: Proof) -> LogError {
        LogError::Hole { path: self.path(number), offset, frame, proof, remedy: self.kind.remedy() }
    }

    /// Reads one frame whose place is known.
    pub(crate) fn read_frame(&self, number: u64, place: FramePlace) -> Result<Vec<Vec<u8>>, LogError> {
        let name = self.kind.name(number);
        let size = usize::try_from(place.size).expect("at most MAX_FRAME");
        let bytes = self.disk.read_at(&name, place.offset, size);
        let bytes =
            bytes.map_err(|source| LogError::Disk { path: self.disk.path(&name), action: "reading", source })?;
        frame::check(self.seed(number), &bytes)
            .filter(|head| head.index == place.index)
            .and_then(|head| frame::records(head, &bytes))
            .ok_or_else(|| self.hole(number, place.offset, place.index, Proof::Index))
    }

    /// Rules W-3 and W-4: goes on writing behind the frames that were found in the last file.
    ///
    /// What lies behind them is overwritten with zeros first, so that a frame that was cut can never come back to life
    /// behind a new one. Those of them that no later frame vouches for are written once more: a process that died may
    /// not have synced them, or its sync may have failed, and then the kernel shows pages that it will never write.
    /// Writing the same bytes over durable ones changes nothing, however it is torn.
    pub(crate) fn resume(&mut self, last: &Examined) -> Result<(), LogError> {
        let name = self.kind.name(last.head.number);
        let walk = &last.walk;
        let vouched = walk.frames.last().map_or(walk.next, |(_, head)| head.synced);
        let from = walk.frames.iter().find(|(_, head)| vouched <= head.index).map_or(walk.end, |(offset, _)| *offset);
        let mut bytes = last.bytes[from..walk.end].to_vec();
        bytes.resize(walk.residue - from, 0);
        if !bytes.is_empty() {
            let offset = SECTOR + from as u64;
            self.attempt("cutting the torn tail", &name, |disk| disk.write_at(&name, offset, &bytes))?;
        }
        self.attempt("syncing", &name, |disk| disk.sync(&name))?;
        self.current = Some(Current { head: last.head, end: last.end() });
        self.next = walk.next;
        self.synced = walk.next;
        Ok(())
    }

    /// Rule W-6: begins the next file. Whatever the current one holds is synced first. If `records` are given they are
    /// the new file's first frame, and file and frame become visible together or not at all.
    pub(crate) fn begin(&mut self, new: New, records: Option<&[impl AsRef<[u8]>]>) -> Result<(), LogError> {
        self.sync()?;
        let number = self.current.map_or(1, |current| current.head.number.saturating_add(1));
        let needed = SECTOR + records.map_or(0, frame::size_of);
        let head = Head {
            identity: self.identity,
            number,
            start: new.start,
            first: new.first,
            previous_end: self.next,
            synced: new.first.saturating_add(u64::from(records.is_some())),
            size: new.size.max(needed),
        };
        let mut bytes = seal_head(self.kind, &head);
        if let Some(records) = records {
            frame::admit_size(records)?;
            bytes.extend(frame::encode(self.seed(number), new.first, new.first, records));
        }
        let final_name = self.kind.name(number);
        let name = match self.spares.iter().position(|(_, size)| *size == head.size) {
            Some(spare) => self.spares.remove(spare).0,
            None => {
                let name = format!("{final_name}{UNFINISHED}");
                self.attempt("making", &name, |disk| disk.create(&name, head.size))?;
                name
            }
        };
        self.attempt("writing", &name, |disk| disk.write_at(&name, 0, &bytes))?;
        self.attempt("syncing", &name, |disk| disk.sync(&name))?;
        self.attempt("renaming", &name, |disk| disk.rename(&name, &final_name))?;
        self.current = Some(Current { head, end: bytes.len() as u64 });
        self.next = head.synced;
        self.synced = head.synced;
        Ok(())
    }

    /// Writes one frame behind the last. The caller has begun a file.
    pub(crate) fn write(&mut self, records: &[impl AsRef<[u8]>]) -> Result<FramePlace, LogError> {
        self.admit()?;
        frame::admit_size(records)?;
        let current = self.current.expect("the caller has begun a file");
        let bytes = frame::encode(self.seed(current.head.number), self.next, self.synced, records);
        let name = self.kind.name(current.head.number);
        self.attempt("writing", &name, |disk| disk.write_at(&name, current.end, &bytes))?;
        let size = bytes.len() as u64;
        let place = FramePlace { index: self.next, offset: current.end, size };
        self.current = Some(Current { end: current.end + size, ..current });
        self.next = self.next.saturating_add(1);
        Ok(place)
    }

    /// Syncs what was written, if anything was.
    pub(crate) fn sync(&mut self) -> Result<(), LogError> {
        self.admit()?;
        if let Some(current) = self.current
            && self.synced < self.next
        {
            let name = self.kind.name(current.head.number);
            self.attempt("syncing", &name, |disk| disk.sync(&name))?;
            self.synced = self.next;
        }
        Ok(())
    }

    /// Gives up a file that nothing needs any more. Keeps it to be written over if it is of the `usual` size.
    pub(crate) fn retire(&mut self, head: &Head, usual: u64) -> Result<(), LogError> {
        let name = self.kind.name(head.number);
        if head.size == usual && self.spares.len() < SPARES {
            let spare = format!("spare-{name}{UNFINISHED}");
            self.attempt("renaming", &name, |disk| disk.rename(&name, &spare))?;
            self.spares.push((spare, head.size));
            return Ok(());
        }
        self.attempt("removing", &name, |disk| disk.remove(&name))
    }

    /// Refuses if something failed before.
    pub(crate) fn admit(&self) -> Result<(), LogError> {
        match &self.poison {
            Some(cause) => Err(LogError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn seed(&self, number: u64) -> Seed {
        Seed::new(self.identity.as_bytes(), number)
    }

    /// Rule W-7: does something to the disk. The first failure is the last attempt (hazard 61).
    fn attempt(
        &mut self,
        action: &'static str,
        name: &str,
        act: impl FnOnce(&mut D) -> std::io::Result<()>,
    ) -> Result<(), LogError> {
        self.admit()?;
        act(&mut self.disk).map_err(|source| {
            let path = self.disk.path(name);
            self.poison = Some(format!("{path}: {action}: {source}"));
            LogError::Disk { path, action, source }
        })
    }
}

/// A file to be begun.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New {
    pub(crate) start: Start,
    /// The index of its first frame.
    pub(crate) first: u64,
    /// The bytes to make it with, at least.
    pub(crate) size: u64,
}

/// Where a frame lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FramePlace {
    pub(crate) index: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
}

/// The first sector: magic, version and fields, a checksum over them, zeros.
fn seal_head(kind: Kind, head: &Head) -> Vec<u8> {
    let mut sector = kind.format().seal(head);
    let crc = crc32c::crc32c(&sector);
    sector.extend(encode(&crc));
    sector.resize(SECTOR as usize, 0);
    sector
}

fn open_head(sector: &[u8]) -> Option<Head> {
    let mut rest = sector.get(Format::HEAD..)?;
    let head = Head::deserialize(&mut rest).ok()?;
    let sealed = sector.get(..sector.len() - rest.len())?;
    let crc = u32::deserialize(&mut rest).ok()?;
    (crc == crc32c::crc32c(sealed)).then_some(head)
}

const UNFINISHED: &str = ".new";
/// The largest file: one frame of the largest size and its head fit twice.
const MAX_SEGMENT: u64 = 2 * MAX_FRAME;
/// How many superseded files are kept to be written over. Making one anew means to write it twice.
const SPARES: usize = 2;
