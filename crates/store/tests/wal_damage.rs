//! Damage that is no crash: it is found, named, left as it is, and comes with an instruction (rules W-5, W-7, W-8).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bezant_store::disk::memory::Crash;
use bezant_store::wal::Settings;
use bezant_store::{Disk, LogError, MemoryDisk, Proof, Wal};
use bezant_types::Digest;
use bezant_types::codec::DecodeError;
use support::{Dice, identity, small_files};

const FILE: &str = "0000000001.log";

/// A log of `count` synced appends of one sector each, in one file.
fn log_of(count: u8) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let settings = Settings { segment_bytes: 64 << 10, ..small_files() };
    let mut log = Wal::create(disk.clone(), settings, &[]).unwrap();
    for record in 0..count {
        log.append_and_sync(&[vec![record; 20]]).unwrap();
    }
    disk
}

fn open(disk: &MemoryDisk) -> Result<Vec<Vec<u8>>, LogError> {
    Wal::open(disk.clone(), small_files()).map(|(_, records)| records)
}

#[test]
fn a_hole_is_refused_and_the_refusal_names_file_offset_frame_and_remedy() {
    let disk = log_of(6);
    disk.flip_bit(FILE, 512 * 3 + 40, 2);
    let before = disk.read_at(FILE, 0, 64 << 10).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LogError::Hole { offset: 1536, frame: 2, proof: Proof::Frame(_), .. }), "{error}");
    let text = error.to_string();
    for part in ["memory/0000000001.log", "frame 2", "byte 1536", "Restore this file", "`--recover`"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
    assert_eq!(disk.read_at(FILE, 0, 64 << 10).unwrap(), before, "what is refused is not touched");
}

#[test]
fn a_hole_is_found_wherever_a_bit_rots_before_the_last_append() {
    let mut dice = Dice(1);
    for _ in 0..2000 {
        let disk = log_of(6);
        // Frames 0 to 4: their heads and their records, 28 + 4 + 20 bytes behind a marker.
        let (frame, byte, bit) = (dice.below(5), dice.below(53), dice.below(8));
        disk.flip_bit(FILE, 512 * (1 + frame) + byte, u32::try_from(bit).unwrap());
        let error = open(&disk).unwrap_err();
        assert!(
            matches!(error, LogError::Hole { frame: found, .. } if found == frame),
            "{frame} {byte} {bit}: {error}"
        );
    }
}

#[test]
fn rot_in_the_last_append_looks_like_a_torn_tail() {
    // The documented limit: nothing behind it vouches for it.
    let disk = log_of(3);
    disk.flip_bit(FILE, 512 * 3 + 40, 0);
    assert_eq!(open(&disk).unwrap(), [[0; 20], [1; 20]]);
}

#[test]
fn rot_in_an_earlier_file_is_a_hole_even_in_its_last_frame() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    for record in 0..10 {
        log.append_and_sync(&[vec![record; 20]]).unwrap();
    }
    assert_eq!(disk.list().unwrap(), [FILE, "0000000002.log"]);
    disk.flip_bit(FILE, 512 * 7 + 30, 1);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LogError::Hole { frame: 6, proof: Proof::Segment(2), .. }), "{error}");
}

#[test]
fn what_a_log_was_born_with_or_compacted_to_is_vouched_for_although_nothing_follows_it() {
    // Taken for a torn tail, it would leave an innocent-looking empty log.
    let disk = MemoryDisk::new();
    drop(Wal::create(disk.clone(), small_files(), &[b"recovering".to_vec()]).unwrap());
    disk.flip_bit(FILE, 512 + 40, 0);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LogError::Hole { frame: 0, proof: Proof::Head, .. }), "{error}");

    let disk = log_of(3);
    let (mut log, _) = Wal::open(disk.clone(), small_files()).unwrap();
    log.compact(&[b"state".to_vec()]).unwrap();
    disk.flip_bit("0000000002.log", 512 + 33, 0);
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LogError::Hole { frame: 3, proof: Proof::Head, .. }), "{error}");
}

#[test]
fn a_missing_file_in_the_middle_is_named() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    for record in 0..20 {
        log.append_and_sync(&[vec![record; 20]]).unwrap();
    }
    disk.clone().remove("0000000002.log").unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(&error, LogError::MissingSegment { path, .. } if path == "memory/0000000002.log"), "{error}");
    disk.clone().remove(FILE).unwrap();
    assert!(matches!(open(&disk), Err(LogError::MissingSegment { .. })), "nothing that stands for itself is left");
}

#[test]
fn a_file_that_was_cut_off_is_named() {
    let disk = log_of(3);
    let bytes = disk.read_at(FILE, 0, 2048).unwrap();
    let mut short = disk.clone();
    short.remove(FILE).unwrap();
    short.create(FILE, 0).unwrap();
    short.write_at(FILE, 0, &bytes).unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LogError::CutOff { found: 2048, expected: 65536, .. }), "{error}");
}

#[test]
fn a_file_of_absurd_length_is_refused_before_it_is_read() {
    let disk = log_of(3);
    disk.clone().write_at(FILE, 3 << 40, b"x").unwrap();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LogError::WrongFormat { source: DecodeError::TooLarge { .. }, .. }), "{error}");
}

#[test]
fn another_magic_version_head_or_owner_is_refused_by_name() {
    let disk = log_of(1);
    disk.flip_bit(FILE, 0, 0);
    assert!(open(&disk).unwrap_err().to_string().contains("some other kind of data"));

    let disk = log_of(1);
    disk.flip_bit(FILE, 4, 1);
    let text = open(&disk).unwrap_err().to_string();
    assert!(text.contains("format version 3") && text.contains("the version of the program"), "{text}");

    for byte in 6..100 {
        let disk = log_of(1);
        disk.flip_bit(FILE, byte, 3);
        if let Err(error) = open(&disk) {
            assert!(matches!(error, LogError::DamagedHead { .. }), "byte {byte}: {error}");
        } else {
            assert!(byte >= 83, "byte {byte} is part of the head");
        }
    }

    let disk = log_of(1);
    let other = Settings { identity: Digest::new([8; 32]), ..small_files() };
    let error = Wal::open(disk.clone(), other).unwrap_err();
    assert!(matches!(error, LogError::WrongIdentity { found, .. } if found == identity()), "{error}");
}

#[test]
fn a_lost_log_is_never_mistaken_for_a_new_one() {
    let disk = MemoryDisk::new();
    let error = open(&disk).unwrap_err();
    assert!(matches!(error, LogError::Missing { .. }));
    assert!(error.to_string().contains("may have voted before"), "{error}");
    assert_eq!(disk.operations(), 0, "looking for it makes none");

    let disk = log_of(2);
    let error = Wal::create(disk.clone(), small_files(), &[]).unwrap_err();
    assert!(matches!(error, LogError::Exists { .. }), "{error}");
    assert_eq!(open(&disk).unwrap().len(), 2, "and what exists is left alone");
}

#[test]
fn after_a_failed_sync_nothing_is_tried_again() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    log.append_and_sync(&[b"kept".to_vec()]).unwrap();
    disk.fail_sync(1);
    let error = log.append_and_sync(&[b"lost".to_vec()]).unwrap_err();
    assert!(error.to_string().contains("syncing failed: input/output error. Check the device"), "{error}");
    let operations = disk.operations();
    assert!(matches!(log.sync(), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.append(&[]), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.append(&[b"more".to_vec()]), Err(LogError::Poisoned { .. })));
    assert!(matches!(log.compact(&[]), Err(LogError::Poisoned { .. })));
    assert_eq!(disk.operations(), operations, "not even touched");
    disk.restart(Crash::LosesUnsynced);
    assert_eq!(open(&disk).unwrap(), [b"kept"]);
}

#[test]
fn a_full_disk_says_so_and_loses_nothing_that_was_synced() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    disk.set_capacity(4096 + 1000);
    let mut synced = 0;
    let error = loop {
        match log.append_and_sync(&[vec![synced; 20]]) {
            Ok(()) => synced += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(synced, 7, "what was preallocated can be used to its end");
    assert!(error.to_string().contains("The disk is full: free some space"), "{error}");
    assert!(log.append(&[vec![9]]).unwrap_err().to_string().contains("start it again"), "poisoned");
    disk.restart(Crash::LosesUnsynced);
    assert_eq!(open(&disk).unwrap().len(), 7);
}

#[test]
fn a_full_disk_during_compaction_leaves_the_old_log() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[b"old".to_vec()]).unwrap();
    disk.set_capacity(5000);
    assert!(log.compact(&[b"new".to_vec()]).is_err());
    disk.restart(Crash::LosesUnsynced);
    assert_eq!(open(&disk).unwrap(), [b"old"]);
}

#[test]
fn a_compacted_log_holds_what_it_was_given_and_has_shrunk() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    for record in 0..50 {
        log.append_and_sync(&[vec![record; 900]]).unwrap();
    }
    let before = log.size();
    log.compact(&[b"state".to_vec()]).unwrap();
    assert!(log.size() < before / 10, "{} of {before}", log.size());
    log.append_and_sync(&[b"after".to_vec()]).unwrap();
    // A file that was used before is written over; its old frames must not show.
    for record in 0..30 {
        log.append_and_sync(&[vec![record; 900]]).unwrap();
    }
    log.compact(&[b"again".to_vec()]).unwrap();
    assert_eq!(open(&disk).unwrap(), [b"again"]);
}

#[test]
fn a_record_larger_than_a_file_gets_a_larger_file_and_one_beyond_all_bounds_is_refused() {
    let disk = MemoryDisk::new();
    let mut log = Wal::create(disk.clone(), small_files(), &[]).unwrap();
    let large = vec![5; 100_000];
    log.append_and_sync(std::slice::from_ref(&large)).unwrap();
    log.compact(&[large.clone(), b"and more".to_vec()]).unwrap();
    log.append_and_sync(&[b"small".to_vec()]).unwrap();
    let beyond: Vec<Vec<u8>> = vec![vec![0; 64 << 20]; 9];
    assert!(matches!(log.append(&beyond), Err(LogError::TooLarge { .. })));
    log.append_and_sync(&[b"still alive".to_vec()]).unwrap();
    assert_eq!(open(&disk).unwrap(), [large, b"and more".to_vec(), b"small".to_vec(), b"still alive".to_vec()]);
}
