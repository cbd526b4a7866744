//! The log and the block store on the real file system, and the real disk held against the one in memory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::io;

use bezant_store::{BlockStore, Disk, HostDisk, MemoryDisk, Wal};
use bezant_types::SequenceNumber;
use support::{Dice, identity, small_files};

#[test]
fn the_real_disk_and_the_one_in_memory_answer_alike() {
    let directory = tempfile::tempdir().unwrap();
    let mut host = HostDisk::open(&directory.path().join("log")).unwrap();
    let mut memory = MemoryDisk::new();
    let mut dice = Dice(5);
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let kind = |error: io::Error| error.kind();
    for round in 0..1500 {
        let name = names[usize::try_from(dice.below(12)).unwrap()];
        let (offset, length) = (dice.below(3000), usize::try_from(dice.below(2000)).unwrap());
        let bytes = vec![u8::try_from(round % 251).unwrap(); length];
        let (real, model) = match dice.below(8) {
            0 => {
                let size = dice.below(4000);
                (host.create(name, size), memory.create(name, size))
            }
            1 => (host.remove(name), memory.remove(name)),
            2 => {
                let to = names[usize::try_from(dice.below(12)).unwrap()];
                if to == name || host.len(name).is_err() {
                    continue;
                }
                (host.rename(name, to), memory.rename(name, to))
            }
            3 => (host.sync(name), memory.sync(name)),
            _ => (host.write_at(name, offset, &bytes), memory.write_at(name, offset, &bytes)),
        };
        assert_eq!(real.map_err(kind), model.map_err(kind), "seed 5, round {round}");
        assert_eq!(host.list().unwrap(), memory.list().unwrap(), "seed 5, round {round}");
        assert_eq!(host.len(name).map_err(kind), memory.len(name).map_err(kind), "seed 5, round {round}");
        let read = host.read_at(name, offset, length).map_err(kind);
        assert_eq!(read, memory.read_at(name, offset, length).map_err(kind), "seed 5, round {round}");
    }
}

#[test]
fn a_log_on_the_real_disk_survives_reopening_rotation_and_compaction() {
    let directory = tempfile::tempdir().unwrap();
    let disk = || HostDisk::open(directory.path()).unwrap();
    let mut log = Wal::create(disk(), small_files(), &[]).unwrap();
    let mut expected = Vec::new();
    for record in 0..60u8 {
        let record = vec![record; 300];
        log.append_and_sync(std::slice::from_ref(&record)).unwrap();
        expected.push(record);
    }
    drop(log);
    let (mut log, found) = Wal::open(disk(), small_files()).unwrap();
    assert_eq!(found, expected);
    log.compact(&expected[50..]).unwrap();
    log.append_and_sync(&[b"after".to_vec()]).unwrap();
    drop(log);
    let (_, found) = Wal::open(disk(), small_files()).unwrap();
    assert_eq!(found[..10], expected[50..]);
    assert_eq!(found[10..], [b"after"]);
}

#[test]
fn blocks_on_the_real_disk_survive_reopening() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let disk = HostDisk::open(directory.path()).unwrap();
        BlockStore::open(disk, identity()).unwrap().with_segment_bytes(8192)
    };
    let mut store = open();
    for sequence in 1..100u64 {
        store.append(SequenceNumber::new(sequence), &sequence.to_le_bytes().repeat(40)).unwrap();
    }
    store.sync().unwrap();
    let store = open();
    assert_eq!(store.last(), Some(SequenceNumber::new(99)));
    for sequence in 1..100u64 {
        let found = store.read(SequenceNumber::new(sequence)).unwrap();
        assert_eq!(found, Some(sequence.to_le_bytes().repeat(40)));
    }
}
