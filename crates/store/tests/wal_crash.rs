//! The machine stops after every single disk operation of scripted runs, and what is recovered is held against what was
//! promised (rules W-1 to W-4 and W-6).
//!
//! Each run is several lives of one log. In the first life the stop is enumerated; in the later ones, recovery
//! included, it is drawn from the seed, so that what an earlier crash left behind meets new writes and another crash.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bezant_store::disk::memory::Crash;
use bezant_store::{LogError, MemoryDisk, Wal};
use support::{Dice, small_files};

type Record = Vec<u8>;

/// What a recovery may answer.
#[derive(Clone, Debug, Default)]
struct Promise {
    /// Must be there.
    synced: Vec<Record>,
    /// Appended after that: any number of whole appends may follow, in order.
    appended: Vec<Vec<Record>>,
    /// A compaction under way: this alone may be there instead.
    replacement: Option<Vec<Record>>,
}

impl Promise {
    fn admits(&self, found: &[Record]) -> bool {
        if self.replacement.as_deref() == Some(found) {
            return true;
        }
        let mut expected = self.synced.clone();
        for append in &self.appended {
            if expected == found {
                return true;
            }
            expected.extend(append.iter().cloned());
        }
        expected == found
    }

    fn all(&self) -> Vec<Record> {
        self.synced.iter().chain(self.appended.iter().flatten()).cloned().collect()
    }
}

struct Author {
    dice: Dice,
    written: u64,
}

impl Author {
    /// Records that differ from all others, and that hold what a forger would put into them: bytes of frames.
    fn records(&mut self) -> Vec<Record> {
        let count = 1 + self.dice.below(3);
        (0..count)
            .map(|_| {
                self.written += 1;
                let length = match self.dice.below(8) {
                    0 => 2600,
                    1 => 0,
                    n => n * 97,
                };
                let mut record = self.written.to_le_bytes().to_vec();
                record.resize(8 + usize::try_from(length).unwrap(), if length % 2 == 0 { 0xf5 } else { 0x5f });
                record
            })
            .collect()
    }

    /// One step of a life; what it may leave behind is in `promise` before the disk is touched.
    fn step(&mut self, log: &mut Wal<MemoryDisk>, promise: &mut Promise) -> Result<(), LogError> {
        match self.dice.below(8) {
            0 => {
                let mut state = self.records();
                state.extend(promise.all().into_iter().rev().take(2));
                promise.replacement = Some(state.clone());
                log.compact(&state)?;
                *promise = Promise { synced: state, ..Promise::default() };
            }
            1 | 2 => {
                let records = self.records();
                promise.appended.push(records.clone());
                log.append(&records)?;
            }
            _ => {
                let records = self.records();
                promise.appended.push(records.clone());
                log.append(&records)?;
                log.sync()?;
                *promise = Promise { synced: promise.all(), ..Promise::default() };
            }
        }
        Ok(())
    }

    fn life(&mut self, log: &mut Wal<MemoryDisk>, promise: &mut Promise) -> Result<(), LogError> {
        (0..STEPS).try_for_each(|_| self.step(log, promise))
    }
}

/// Plays one run. Returns how many operations its first life took.
fn play(seed: u64, stop: Option<u64>, crash: Crash) -> u64 {
    let disk = MemoryDisk::new();
    let mut author = Author { dice: Dice(seed), written: 0 };
    let mut log = Wal::create(disk.clone(), small_files(), &[b"first".to_vec()]).unwrap();
    let mut promise = Promise { synced: vec![b"first".to_vec()], ..Promise::default() };
    let begun = disk.operations();
    if let Some(stop) = stop {
        disk.stop_after(stop);
    }
    let outcome = author.life(&mut log, &mut promise);
    let took = disk.operations() - begun;
    assert!(outcome.is_ok() || stop.is_some(), "{outcome:?}");
    let mut fate = Dice(seed ^ stop.unwrap_or(0).rotate_left(32));
    for life in 1..LIVES {
        disk.restart(vary(crash, &mut fate));
        if life + 1 < LIVES {
            disk.stop_after(fate.below(30));
        }
        if fate.below(3) == 0 {
            disk.fail_sync(1 + fate.below(8));
        }
        let (mut log, found) = match Wal::open(disk.clone(), small_files()) {
            Ok(opened) => opened,
            Err(LogError::Disk { .. }) => continue,
            Err(error) => panic!("seed {seed}, stop {stop:?}, {crash:?}, life {life}: {error}"),
        };
        assert!(
            promise.admits(&found),
            "seed {seed}, stop {stop:?}, {crash:?}, life {life}: found {:?}, promised {:?}",
            names(&found),
            promise,
        );
        promise = Promise { synced: found, ..Promise::default() };
        let _ = author.life(&mut log, &mut promise);
        if fate.below(2) == 0 {
            // The machine goes on, the process comes back first, and only then the power fails.
            disk.restart(Crash::KeepsUnsynced);
            let (_, found) = Wal::open(disk.clone(), small_files()).unwrap();
            assert!(promise.admits(&found), "seed {seed}, stop {stop:?}, {crash:?}, life {life}: {:?}", names(&found));
            promise = Promise { synced: found, ..Promise::default() };
        }
    }
    disk.restart(Crash::LosesUnsynced);
    let (_, found) = Wal::open(disk.clone(), small_files()).unwrap();
    assert!(promise.admits(&found), "seed {seed}, stop {stop:?}, {crash:?}, at the end: {:?}", names(&found));
    took
}

/// Another seed for each crash of a run.
fn vary(crash: Crash, fate: &mut Dice) -> Crash {
    match crash {
        Crash::TearsUnsynced { seed } => Crash::TearsUnsynced { seed: seed ^ fate.next() },
        Crash::KeepsUnsynced | Crash::LosesUnsynced => crash,
    }
}

fn names(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| format!("{:02x?}", &record[..record.len().min(8)])).collect()
}

#[test]
fn whatever_the_operation_after_which_the_machine_stops_nothing_synced_is_lost_and_nothing_is_invented() {
    let mut runs = 0;
    for seed in 0..SEEDS {
        let took = play(seed, None, Crash::LosesUnsynced);
        assert!(took > 30, "seed {seed}: the script does something");
        for stop in 0..=took {
            play(seed, Some(stop), Crash::KeepsUnsynced);
            play(seed, Some(stop), Crash::LosesUnsynced);
            for tear in 0..TEARS {
                play(seed, Some(stop), Crash::TearsUnsynced { seed: tear });
            }
            runs += 2 + TEARS;
        }
    }
    println!("{runs} runs of {LIVES} lives, seeds 0..{SEEDS}, tears 0..{TEARS}");
}

#[test]
fn a_crash_while_the_log_is_made_leaves_no_log_or_the_whole_first_records() {
    let records = vec![b"recovering".to_vec()];
    for stop in 0..8 {
        for tear in 0..16 {
            let disk = MemoryDisk::new();
            disk.stop_after(stop);
            let created = Wal::create(disk.clone(), small_files(), &records);
            disk.restart(Crash::TearsUnsynced { seed: tear });
            match Wal::open(disk.clone(), small_files()) {
                Ok((_, found)) => assert_eq!(found, records, "stop {stop}, tear {tear}"),
                Err(LogError::Missing { .. }) => {
                    assert!(created.is_err(), "stop {stop}, tear {tear}");
                    Wal::create(disk, small_files(), &records).unwrap();
                }
                Err(error) => panic!("stop {stop}, tear {tear}: {error}"),
            }
        }
    }
}

#[test]
fn what_a_dead_process_had_written_is_durable_once_it_was_recovered() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    log.append(&[b"unsynced".to_vec()]).unwrap();
    disk.restart(Crash::KeepsUnsynced);
    assert_eq!(Wal::open(disk.clone(), small_files()).unwrap().1, [b"unsynced"]);
    disk.restart(Crash::LosesUnsynced);
    assert_eq!(Wal::open(disk, small_files()).unwrap().1, [b"unsynced"]);
}

#[test]
fn what_a_failed_sync_left_in_the_page_cache_is_durable_once_it_was_recovered() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    disk.fail_sync(1);
    assert!(log.append_and_sync(&[b"readable, but not dirty any more".to_vec()]).is_err());
    disk.restart(Crash::KeepsUnsynced);
    let found = Wal::open(disk.clone(), small_files()).unwrap().1;
    assert_eq!(found.len(), 1);
    disk.restart(Crash::LosesUnsynced);
    assert_eq!(Wal::open(disk, small_files()).unwrap().1, found);
}

const STEPS: usize = 14;
const LIVES: usize = 4;
const SEEDS: u64 = 24;
const TEARS: u64 = 6;
