//! What an append and its sync cost on this machine, against a file that simply grows.
//!
//!     cargo run --release -p bezant-store --example measure [DIRECTORY]
//!
//! Measures in DIRECTORY (the current one if none is given; not a file system in memory, or the figures mean nothing)
//! and removes what it made. The cases take turns, so that a busy neighbour disturbs all of them alike.
//!
//! One run on two cores of an AMD EPYC (Zen 5), ext4 on a virtual disk, other work at a load of 2 beside it:
//!
//! ```text
//! append + sync   log p50   p99       growing file p50   p99
//! 300 B            121 us   233 us         165 us   291 us
//! 16 x 300 B       119 us   203 us         223 us   331 us
//! 64 KiB           152 us   275 us         295 us   456 us
//! compaction       688 us    48 ms   (11 of them)
//! recovery of 30000 appends: 51 ms
//! 10,000 blocks of 10 kB appended, one sync: 170 ms
//! 10,000 blocks of 10 kB read in order: 118 ms
//! state: 100,000 entries saved: 171 ms
//! state: 1,000 of them changed: 15 ms
//! state: opened, checked and loaded: 42 ms
//! state in memory: made: 252 us
//! state in memory: 10 of 1,000 entries changed: 70 us
//! state in memory: opened after a crash, and checked: 183 us
//! ```
//!
//! Five runs in a row gave 92 to 134 us for 300 B in the log and 123 to 182 us in a growing file; whenever a
//! neighbour wrote much, the 99th percentiles of both rose to 4 or 8 ms. A group of 16 records costs as much as one
//! record. The slow compaction is the first: it makes a new file, and the later ones write over an old one.

use std::error::Error;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bezant_store::disk::memory::Crash;
use bezant_store::wal::Settings;
use bezant_store::{BlockStore, HostDisk, Layout, MemoryHome, Place, StateError, StateStore, Wal};
use bezant_types::{Digest, SequenceNumber};

const ROUNDS: usize = 8;
const TURNS: usize = 250;

fn main() -> Result<(), Box<dyn Error>> {
    let base = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let root = base.join(format!("bezant-measure-{}", std::process::id()));
    fs::create_dir(&root)?;
    let outcome = measure(&root);
    fs::remove_dir_all(&root)?;
    outcome
}

fn measure(root: &Path) -> Result<(), Box<dyn Error>> {
    let settings = Settings::new(Digest::new([1; 32]));
    let cases: [(&str, Vec<Vec<u8>>); 3] =
        [("300 B", vec![vec![7; 300]]), ("16 x 300 B", vec![vec![7; 300]; 16]), ("64 KiB", vec![vec![7; 64 << 10]])];
    let mut log = Wal::create(HostDisk::open(&root.join("log"))?, settings, &[])?;
    let mut growing = File::create(root.join("growing"))?;
    let mut in_log = vec![Vec::new(); cases.len()];
    let mut in_growing = vec![Vec::new(); cases.len()];
    let mut compactions = Vec::new();
    for _ in 0..ROUNDS {
        for (case, (_, records)) in cases.iter().enumerate() {
            for _ in 0..TURNS {
                in_log[case].push(timed(|| log.append_and_sync(records))?);
                if log.size() > 12 << 20 {
                    compactions.push(timed(|| log.compact(records))?);
                }
            }
            for _ in 0..TURNS / 4 {
                in_growing[case]
                    .push(timed(|| growing.write_all(&records.concat()).and_then(|()| growing.sync_data()))?);
            }
        }
    }
    println!("append + sync   log p50   p99       growing file p50   p99");
    for (case, (name, _)) in cases.iter().enumerate() {
        let (log, growing) = (&mut in_log[case], &mut in_growing[case]);
        println!("{name:<14}{:>9}{:>9}{:>15}{:>9}", at(log, 50), at(log, 99), at(growing, 50), at(growing, 99));
    }
    println!(
        "compaction    {:>9}{:>9}   ({} of them)",
        at(&mut compactions, 50),
        at(&mut compactions, 99),
        compactions.len()
    );

    drop(log);
    let mut log = Wal::create(HostDisk::open(&root.join("log-2"))?, settings, &[])?;
    for _ in 0..30_000 {
        log.append(&cases[0].1)?;
    }
    log.sync()?;
    drop(log);
    let start = Instant::now();
    let (_, records) = Wal::open(HostDisk::open(&root.join("log-2"))?, settings)?;
    println!("recovery of {} appends: {}", records.len(), shown(start.elapsed()));

    let mut blocks = BlockStore::open(HostDisk::open(&root.join("blocks"))?, settings.identity)?;
    let block = vec![7; 10_000];
    let start = Instant::now();
    for sequence in 1..=10_000 {
        blocks.append(SequenceNumber::new(sequence), &block)?;
    }
    blocks.sync()?;
    println!("10,000 blocks of 10 kB appended, one sync: {}", shown(start.elapsed()));
    let blocks = BlockStore::open(HostDisk::open(&root.join("blocks"))?, settings.identity)?;
    let start = Instant::now();
    assert_eq!(blocks.iter_from(SequenceNumber::ZERO).count(), 10_000, "all blocks are there");
    println!("10,000 blocks of 10 kB read in order: {}", shown(start.elapsed()));

    let path = root.join("state.redb");
    let store = StateStore::open(&path, settings.identity)?;
    let entry = |number: u64| (*Digest::of("measure", &number).as_bytes(), Some(vec![7; 100]));
    println!("state: 100,000 entries saved: {}", shown(timed(|| store.save((0..100_000).map(entry), b"meta"))?));
    println!("state: 1,000 of them changed: {}", shown(timed(|| store.save((0..1_000).map(entry), b"meta"))?));
    drop(store);
    let start = Instant::now();
    let loaded = StateStore::open(&path, settings.identity)?.load()?;
    assert!(loaded.is_some_and(|saved| saved.entries.len() == 100_000), "all entries are there");
    println!("state: opened, checked and loaded: {}", shown(start.elapsed()));
    Ok(measure_memory(settings.identity)?)
}

/// What a simulated replica costs, whose disks are in memory.
fn measure_memory(identity: Digest) -> Result<(), StateError> {
    let layout = Layout { log_segment_bytes: 64 << 10, block_segment_bytes: 64 << 10 };
    let entry = |round: u32| {
        move |number: u64| (*Digest::of("measure", &number).as_bytes(), Some(round.to_le_bytes().repeat(25)))
    };
    let (mut made, mut opened, mut saved) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..100 {
        let home = MemoryHome::new(layout);
        made.push(timed(|| home.open_state(identity).map(drop))?);
        let store = home.open_state(identity)?;
        store.save((0..1_000).map(entry(0)), b"meta")?;
        for round in 1..=10 {
            saved.push(timed(|| store.save((0..10).map(entry(round)), b"meta"))?);
        }
        home.stop();
        drop(store);
        home.restart(Crash::LosesUnsynced);
        opened.push(timed(|| home.open_state(identity).map(drop))?);
    }
    println!("state in memory: made: {}", at(&mut made, 50));
    println!("state in memory: 10 of 1,000 entries changed: {}", at(&mut saved, 50));
    println!("state in memory: opened after a crash, and checked: {}", at(&mut opened, 50));
    Ok(())
}

fn timed<E>(act: impl FnOnce() -> Result<(), E>) -> Result<Duration, E> {
    let start = Instant::now();
    act()?;
    Ok(start.elapsed())
}

fn at(times: &mut [Duration], percentile: usize) -> String {
    times.sort_unstable();
    times.get(times.len() * percentile / 100).map_or_else(|| "-".to_owned(), |time| shown(*time))
}

fn shown(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..10_000 => format!("{micros} us"),
        micros => format!("{} ms", micros / 1000),
    }
}
