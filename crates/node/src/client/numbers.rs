//! Request numbers: each at most once, in the life of a key.
//!
//! # The window
//!
//! The ledger remembers, for each client, the outcome of its last requests: W slots (`client_window` of the genesis),
//! and request number `n` lives in slot `n mod W`. A slot knows the highest number that was executed in it. The same
//! number again is answered with the kept outcome; a lower one is answered `Expired`, because nobody remembers any more
//! whether it was executed. So a client must never go back: were a number used for a second request, that request would
//! be answered with the first one's outcome or refused, and a *retransmission* of the first might be taken for
//! something else.
//!
//! # Where they come from
//!
//! They start from the wall clock, in microseconds: a client that has lost everything but its key goes on above what it
//! used before, if its clock does not lie. For when it does, the highest number that may have been used is kept in a
//! file beside the key. It is written rarely: a whole block of numbers is reserved at a time, and what is left of a
//! block when the program ends is never used. A crash therefore costs numbers, of which there are 2^64, and never uses
//! one twice.
//!
//! # One key, one program
//!
//! Two programs with one key are one client to the ledger, and whichever is ahead makes the other's numbers expire. The
//! file, and the lock under which it is read and written, gives each a block of its own, and the blocks are laid so
//! that programs which need few numbers each find slots of their own. That makes short commands safe beside each other.
//! It does not make a sustained load safe beside another: those get
//! [`SubmitError::Expired`](super::SubmitError::Expired), an honest error, and go on with higher numbers.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use bezant_store::{Access, write_atomically};
use bezant_types::codec::{DecodeError, Format};
use bezant_types::{AccountId, RequestNumber};
use rustix::fs::{FlockOperation, flock};

/// The name of the file in a client's home in which it keeps the numbers that it may have used.
pub const NUMBERS_FILE: &str = "numbers";

/// Where request numbers come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NumberSource {
    /// From the clock alone. If it was ever ahead of what it says now, requests expire until it has caught up.
    Clock,
    /// From the clock, and never below what this file says was used before. It is made if it is not there.
    File(PathBuf),
}

/// Why request numbers are not to be had.
#[derive(Debug, thiserror::Error)]
pub enum NumbersError {
    /// The system refuses.
    #[error(
        "{path}: {action} failed: {source}. Request numbers are kept in this file, and none is used before it is written"
    )]
    Disk {
        /// The file.
        path: String,
        /// What was being done.
        action: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "{path}: {source}. This file keeps the last request number of a client. If it was damaged, remove it: numbers then start \
         from the clock, which is right if the clock is"
    )]
    WrongFormat {
        /// The file.
        path: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The file belongs to another client.
    #[error("{path}: these are the request numbers of the client {found}, and the key is that of {expected}")]
    OtherClient {
        /// The file.
        path: String,
        /// Whose numbers.
        found: AccountId,
        /// Whose key.
        expected: AccountId,
    },
    /// There are none left.
    #[error("{path}: the last request number was used. Use another client key")]
    Exhausted {
        /// The file.
        path: String,
    },
}

/// The numbers of one client.
#[derive(Debug)]
pub(super) struct Numbers {
    account: AccountId,
    source: NumberSource,
    window: u64,
    next: RequestNumber,
    /// Numbers below this may be used: the file says so already.
    reserved: RequestNumber,
}

impl Numbers {
    /// Starts above everything that was used before, and reserves the first block. Blocks the thread, for the disk.
    pub(super) fn open(source: NumberSource, account: AccountId, window: u32) -> Result<Self, NumbersError> {
        Self::open_at(source, account, window, wall_clock())
    }

    fn open_at(
        source: NumberSource,
        account: AccountId,
        window: u32,
        clock: RequestNumber,
    ) -> Result<Self, NumbersError> {
        let window = u64::from(window.max(1));
        let mut numbers = Self { account, source, window, next: clock, reserved: clock };
        numbers.reserve()?;
        Ok(numbers)
    }

    /// The lowest unused number that `is_free`, which must hold of one number among any W in a row. `None` if numbers
    /// must be [reserved](Self::reserve) first.
    pub(super) fn take(&mut self, is_free: impl Fn(RequestNumber) -> bool) -> Option<RequestNumber> {
        let mut number = self.next;
        while number < self.reserved {
            self.next = number.next();
            if is_free(number) {
                return Some(number);
            }
            number = self.next;
        }
        None
    }

    /// Whether the block is nearly used up.
    pub(super) fn are_low(&self) -> bool {
        self.reserved.since(self.next) < 2 * self.window
    }

    /// Whether there is none left in the block.
    pub(super) fn are_used_up(&self) -> bool {
        self.reserved <= self.next
    }

    /// Goes on with at least the clock's number: somebody else with this key is ahead.
    pub(super) fn skip_to_clock(&mut self) {
        self.skip_to(wall_clock());
    }

    fn skip_to(&mut self, clock: RequestNumber) {
        self.next = self.next.max(clock);
    }

    /// Reserves the next block. Blocks the thread, for the disk.
    pub(super) fn reserve(&mut self) -> Result<(), NumbersError> {
        let block = block_of(self.window);
        match &self.source {
            NumberSource::Clock => self.reserved = self.next.max(self.reserved).saturating_add(block),
            NumberSource::File(path) => {
                let file = NumberFile::lock(path, self.account)?;
                let used = file.read()?.unwrap_or(RequestNumber::ZERO);
                // Somebody else may have taken the block behind ours.
                if used != self.reserved {
                    self.next = self.next.max(used);
                }
                let reserved = self.next.max(used).saturating_add(block);
                if reserved == RequestNumber::MAX {
                    return Err(NumbersError::Exhausted { path: path.display().to_string() });
                }
                file.write(reserved)?;
                self.reserved = reserved;
            }
        }
        Ok(())
    }
}

/// How many numbers are reserved at a time: some 65,536, and so many more that the next block begins 5/13 of the window
/// further on. Consecutive programs then use different slots, as far apart as can be.
fn block_of(window: u64) -> u64 {
    BLOCK - BLOCK % window + window * 5 / 13
}

fn wall_clock() -> RequestNumber {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    RequestNumber::new(u64::try_from(since.as_micros()).unwrap_or(0).max(1))
}

/// The file, locked until this is dropped.
struct NumberFile<'p> {
    path: &'p Path,
    account: AccountId,
    _lock: File,
}

impl<'p> NumberFile<'p> {
    fn lock(path: &'p Path, account: AccountId) -> Result<Self, NumbersError> {
        // The file itself is replaced as a whole, so what is locked is another one beside it.
        let mut name = path.as_os_str().to_owned();
        name.push(".lock");
        let failed = |source| disk(path, "locking", source);
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(name).map_err(failed)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        Ok(Self { path, account, _lock: lock })
    }

    fn read(&self) -> Result<Option<RequestNumber>, NumbersError> {
        let failed = |source| disk(self.path, "reading", source);
        let mut bytes = Vec::new();
        match File::open(self.path) {
            Ok(file) => file.take(LENGTH as u64 + 1).read_to_end(&mut bytes).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let path = || self.path.display().to_string();
        let (found, used): (AccountId, RequestNumber) =
            FORMAT.open(&bytes, LENGTH).map_err(|source| NumbersError::WrongFormat { path: path(), source })?;
        if found != self.account {
            return Err(NumbersError::OtherClient { path: path(), found, expected: self.account });
        }
        Ok(Some(used))
    }

    fn write(&self, used: RequestNumber) -> Result<(), NumbersError> {
        let bytes = FORMAT.seal(&(self.account, used));
        write_atomically(self.path, &bytes, Access::Private).map_err(|source| disk(self.path, "writing", source))
    }
}

fn disk(path: &Path, action: &'static str, source: io::Error) -> NumbersError {
    NumbersError::Disk { path: path.display().to_string(), action, source }
}

const FORMAT: Format = Format { magic: *b"BZRN", version: 1 };
const LENGTH: usize = Format::HEAD + 32 + 8;
const BLOCK: u64 = 65_536;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const W: u32 = 256;

    fn account(seed: u8) -> AccountId {
        bezant_types::SecretKey::from_seed([seed; 32]).account()
    }

    fn at(clock: u64) -> RequestNumber {
        RequestNumber::new(clock)
    }

    struct Place(tempfile::TempDir);

    impl Place {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn source(&self) -> NumberSource {
            NumberSource::File(self.0.path().join("numbers"))
        }

        fn start(&self, clock: u64) -> Numbers {
            Numbers::open_at(self.source(), account(1), W, at(clock)).unwrap()
        }
    }

    fn take(numbers: &mut Numbers) -> RequestNumber {
        numbers.take(|_| true).unwrap()
    }

    #[test]
    fn numbers_start_from_the_clock() {
        let mut numbers = Numbers::open_at(NumberSource::Clock, account(1), W, at(1_000_000)).unwrap();
        assert_eq!(take(&mut numbers), at(1_000_000));
        assert_eq!(take(&mut numbers), at(1_000_001));
    }

    #[test]
    fn no_number_is_used_again_after_a_restart_though_the_clock_went_back() {
        let place = Place::new();
        let mut used = BTreeSet::new();
        for clock in [5_000_000, 5_000_001, 4_000_000, 1, 90_000_000, 90_000_000] {
            let mut numbers = place.start(clock);
            for _ in 0..100 {
                let number = take(&mut numbers);
                assert!(used.last().is_none_or(|last| *last < number), "clock {clock}");
                used.insert(number);
            }
        }
    }

    #[test]
    fn a_number_is_on_disk_before_it_is_used() {
        let place = Place::new();
        let mut numbers = place.start(7);
        for _ in 0..200_000 {
            let number = numbers.take(|_| true).unwrap_or_else(|| {
                numbers.reserve().unwrap();
                take(&mut numbers)
            });
            assert!(number < numbers.reserved);
        }
        let NumberSource::File(path) = place.source() else { unreachable!() };
        let on_disk = NumberFile::lock(&path, account(1)).unwrap().read().unwrap().unwrap();
        assert_eq!(on_disk, numbers.reserved);
    }

    #[test]
    fn a_slot_in_which_something_is_under_way_is_skipped() {
        let mut numbers = Numbers::open_at(NumberSource::Clock, account(1), W, at(512)).unwrap();
        let busy = |number: RequestNumber| number.get() % 256 < 3;
        assert_eq!(numbers.take(|number| !busy(number)), Some(at(515)));
        assert_eq!(numbers.take(|number| !busy(number)), Some(at(516)));
    }

    #[test]
    fn two_programs_with_one_file_get_different_numbers_in_different_slots() {
        let place = Place::new();
        let mut programs: Vec<_> = (0..4).map(|_| place.start(1_000)).collect();
        let mut slots = BTreeSet::new();
        for program in &mut programs {
            for _ in 0..20 {
                assert!(slots.insert(take(program).get() % u64::from(W)), "a slot twice");
            }
        }
        // And when the first goes on to its next block, that one is behind all others.
        let last = programs.last().unwrap().reserved;
        let first = &mut programs[0];
        while first.take(|_| true).is_some() {}
        first.reserve().unwrap();
        assert!(last <= take(first));
    }

    #[test]
    fn whoever_finds_another_ahead_goes_on_from_the_clock() {
        let mut numbers = Numbers::open_at(NumberSource::Clock, account(1), W, at(10)).unwrap();
        numbers.skip_to(at(1_000_000));
        assert_eq!(numbers.take(|_| true), None, "not reserved yet");
        numbers.reserve().unwrap();
        assert_eq!(take(&mut numbers), at(1_000_000));
        numbers.skip_to(at(5));
        assert_eq!(take(&mut numbers), at(1_000_001), "never back");
    }

    #[test]
    fn a_file_of_another_client_or_kind_is_refused_by_name() {
        let place = Place::new();
        drop(place.start(1));
        let other = Numbers::open_at(place.source(), account(2), W, at(1));
        assert!(matches!(other, Err(NumbersError::OtherClient { .. })));
        let NumberSource::File(path) = place.source() else { unreachable!() };
        std::fs::write(&path, b"17").unwrap();
        let damaged = Numbers::open_at(place.source(), account(1), W, at(1)).unwrap_err();
        assert!(damaged.to_string().contains("remove it"), "{damaged}");
    }

    #[test]
    fn the_last_number_is_never_reached() {
        let place = Place::new();
        let last = Numbers::open_at(place.source(), account(1), W, at(u64::MAX - 3));
        assert!(matches!(last, Err(NumbersError::Exhausted { .. })));
        let missing = NumberSource::File("/nowhere/numbers".into());
        assert!(matches!(Numbers::open_at(missing, account(1), W, at(1)), Err(NumbersError::Disk { .. })));
    }
}
