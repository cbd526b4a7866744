//! The block store: order, gaps, crashes and damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bezant_store::disk::memory::Crash;
use bezant_store::{BlockError, BlockStore, Disk, LogError, MemoryDisk, Proof};
use bezant_types::{Digest, SequenceNumber};
use support::{Dice, identity};

const FILE: &str = "0000000001.blocks";

fn number(sequence: u64) -> SequenceNumber {
    SequenceNumber::new(sequence)
}

/// A block that says which one it is.
fn block(sequence: u64) -> Vec<u8> {
    let mut bytes = sequence.to_le_bytes().to_vec();
    bytes.resize(8 + usize::try_from(sequence * 131 % 1500).unwrap(), 0xf5);
    bytes
}

fn open(disk: &MemoryDisk) -> Result<BlockStore<MemoryDisk>, BlockError> {
    Ok(BlockStore::open(disk.clone(), identity())?.with_segment_bytes(4096))
}

/// A store of the blocks 1 to `last`, synced every third.
fn store_of(disk: &MemoryDisk, last: u64) -> BlockStore<MemoryDisk> {
    let mut store = open(disk).unwrap();
    for sequence in 1..=last {
        store.append(number(sequence), &block(sequence)).unwrap();
        if sequence % 3 == 0 {
            store.sync().unwrap();
        }
    }
    store.sync().unwrap();
    store
}

fn expect_blocks(store: &BlockStore<MemoryDisk>, runs: &[(u64, u64)]) {
    let found: Vec<_> = store.runs().iter().map(|run| (run.start().get(), run.end().get())).collect();
    assert_eq!(found, runs);
    for (first, last) in runs {
        for sequence in *first..=*last {
            assert_eq!(store.read(number(sequence)).unwrap(), Some(block(sequence)), "block {sequence}");
        }
        assert_eq!(store.read(number(first - 1)).unwrap(), None);
        assert_eq!(store.read(number(last + 1)).unwrap(), None);
    }
}

#[test]
fn blocks_come_back_by_number_and_in_order_also_after_reopening() {
    let disk = MemoryDisk::new();
    expect_blocks(&store_of(&disk, 60), &[(1, 60)]);
    let store = open(&disk).unwrap();
    expect_blocks(&store, &[(1, 60)]);
    store.verify().unwrap();
    assert_eq!((store.first(), store.last(), store.next()), (Some(number(1)), Some(number(60)), number(61)));
    let tail: Vec<_> = store.iter_from(number(50)).map(|block| block.unwrap().0.get()).collect();
    assert_eq!(tail, (50..=60).collect::<Vec<_>>());
    assert!(disk.list().unwrap().len() > 5, "the blocks fill several files");
}

#[test]
fn an_empty_store_has_nothing_and_begins_with_block_one() {
    let store = open(&MemoryDisk::new()).unwrap();
    assert_eq!((store.first(), store.last(), store.next()), (None, None, number(1)));
    assert_eq!(store.read(number(1)).unwrap(), None);
    assert_eq!(store.read(SequenceNumber::MAX).unwrap(), None);
    assert_eq!(store.iter_from(number(0)).count(), 0);
}

#[test]
fn a_block_out_of_order_is_refused_and_a_gap_is_left_only_on_purpose() {
    let disk = MemoryDisk::new();
    let mut store = store_of(&disk, 5);
    for wrong in [0, 1, 5, 7, u64::MAX] {
        let error = store.append(number(wrong), b"x").unwrap_err();
        assert!(matches!(error, BlockError::NotNext { expected, .. } if expected == number(6)), "{error}");
    }
    assert!(matches!(store.begin_at(number(5)), Err(BlockError::NotNext { .. })), "never back");
    store.begin_at(number(20)).unwrap();
    assert!(matches!(store.append(number(6), b"x"), Err(BlockError::NotNext { .. })));
    for sequence in 20..30 {
        store.append(number(sequence), &block(sequence)).unwrap();
    }
    store.sync().unwrap();
    expect_blocks(&store, &[(1, 5), (20, 29)]);
    let store = open(&disk).unwrap();
    expect_blocks(&store, &[(1, 5), (20, 29)]);
    let across: Vec<_> = store.iter_from(number(4)).map(|block| block.unwrap().0.get()).collect();
    assert_eq!(across, [4, 5, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
}

#[test]
fn beginning_where_one_is_leaves_no_gap() {
    let disk = MemoryDisk::new();
    let mut store = store_of(&disk, 5);
    store.begin_at(number(20)).unwrap();
    store.begin_at(number(6)).unwrap();
    store.append(number(6), &block(6)).unwrap();
    expect_blocks(&store, &[(1, 6)]);
}

/// Appends, syncs and jumps until the machine stops. Returns the runs that were synced, and the last block appended.
fn live(disk: &MemoryDisk, dice: &mut Dice) -> Result<(), (Vec<(u64, u64)>, BlockError)> {
    let mut synced = Vec::new();
    let mut life = || -> Result<(), BlockError> {
        let mut store = open(disk)?;
        let runs =
            |store: &BlockStore<_>| store.runs().iter().map(|run| (run.start().get(), run.end().get())).collect();
        synced = runs(&store);
        for _ in 0..20 {
            match dice.below(8) {
                0 => store.begin_at(store.next().saturating_add(dice.below(4)))?,
                1 | 2 => {
                    store.sync()?;
                    synced = runs(&store);
                }
                _ => store.append(store.next(), &block(store.next().get()))?,
            }
        }
        Ok(())
    };
    let outcome = life();
    outcome.map_err(|error| (synced, error))
}

#[test]
fn whatever_the_operation_after_which_the_machine_stops_synced_blocks_stay_and_none_is_wrong() {
    for seed in 0..20 {
        for stop in 0..40 {
            for crash in [Crash::KeepsUnsynced, Crash::LosesUnsynced, Crash::TearsUnsynced { seed: seed ^ stop }] {
                let disk = MemoryDisk::new();
                let mut dice = Dice(seed);
                for life in 0..3 {
                    disk.stop_after(stop);
                    let Err((synced, error)) = live(&disk, &mut dice) else { continue };
                    assert!(
                        matches!(error, BlockError::Log(LogError::Disk { .. })),
                        "seed {seed}, stop {stop}: {error}"
                    );
                    disk.restart(crash);
                    let store = open(&disk).unwrap();
                    store.verify().unwrap();
                    for (first, last) in synced {
                        for sequence in first..=last {
                            let found = store.read(number(sequence)).unwrap();
                            assert_eq!(
                                found,
                                Some(block(sequence)),
                                "seed {seed}, stop {stop}, {crash:?}, life {life}"
                            );
                        }
                    }
                    for found in store.iter_from(number(0)) {
                        let (sequence, bytes) = found.unwrap();
                        assert_eq!(bytes, block(sequence.get()), "seed {seed}, stop {stop}, {crash:?}, life {life}");
                    }
                }
            }
        }
    }
}

#[test]
fn damage_in_the_last_file_is_refused_on_opening() {
    let disk = MemoryDisk::new();
    let mut store = open(&disk).unwrap();
    for sequence in 1..=3 {
        store.append(number(sequence), b"small").unwrap();
        store.sync().unwrap();
    }
    disk.flip_bit(FILE, 512 * 2 + 30, 0);
    let error = open(&disk).unwrap_err();
    assert!(
        matches!(&error, BlockError::Log(LogError::Hole { frame: 2, offset: 1024, proof: Proof::Frame(3), .. })),
        "{error}"
    );
    assert!(error.to_string().contains("the other replicas have them too"), "{error}");
}

#[test]
fn damage_in_an_older_file_is_reported_by_the_block_and_by_verify_and_hurts_no_other_file() {
    let disk = MemoryDisk::new();
    store_of(&disk, 60);
    disk.flip_bit(FILE, 512 + 40, 0);
    let store = open(&disk).unwrap();
    let error = store.read(number(1)).unwrap_err();
    assert!(matches!(&error, BlockError::Log(LogError::Hole { frame: 1, .. })), "{error}");
    assert!(store.verify().is_err());
    assert!(store.iter_from(number(1)).next().unwrap().is_err(), "not skipped");
    assert_eq!(store.iter_from(number(1)).count(), 1, "and not passed over");
    assert_eq!(store.read(number(60)).unwrap(), Some(block(60)));
}

#[test]
fn a_block_that_rots_after_its_file_was_indexed_is_not_handed_out() {
    let disk = MemoryDisk::new();
    let store = store_of(&disk, 60);
    assert!(store.read(number(1)).unwrap().is_some());
    disk.flip_bit(FILE, 512 + 40, 0);
    assert!(matches!(store.read(number(1)), Err(BlockError::Log(LogError::Hole { proof: Proof::Index, .. }))));
}

#[test]
fn another_replicas_blocks_and_a_missing_file_are_refused_by_name() {
    let disk = MemoryDisk::new();
    store_of(&disk, 60);
    let error = BlockStore::open(disk.clone(), Digest::new([8; 32])).unwrap_err();
    assert!(matches!(error, BlockError::Log(LogError::WrongIdentity { .. })), "{error}");
    disk.clone().remove("0000000003.blocks").unwrap();
    let error = open(&disk).unwrap_err().to_string();
    assert!(error.starts_with("memory/0000000003.blocks: this file is missing"), "{error}");
}

#[test]
fn after_a_failed_sync_nothing_is_appended_and_the_rest_can_still_be_read() {
    let disk = MemoryDisk::new();
    let mut store = store_of(&disk, 5);
    store.append(number(6), &block(6)).unwrap();
    disk.fail_sync(1);
    assert!(store.sync().is_err());
    assert!(matches!(store.append(number(7), b"x"), Err(BlockError::Log(LogError::Poisoned { .. }))));
    assert!(matches!(store.sync(), Err(BlockError::Log(LogError::Poisoned { .. }))));
    assert_eq!(store.read(number(3)).unwrap(), Some(block(3)));
}
