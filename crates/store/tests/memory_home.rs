//! A home in memory: the state store beneath which every operation can be the last, and what is set aside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bezant_store::disk::memory::Crash;
use bezant_store::place::Part;
use bezant_store::{BlockStore, Layout, LogError, MemoryHome, Place, StateError, StateStore, Wal};
use bezant_types::{Digest, SequenceNumber};
use support::identity;

const SMALL: Layout = Layout { log_segment_bytes: 4096, block_segment_bytes: 4096 };

/// Saves round after round: in each one every entry holds the round's number, and the meta says it, too.
fn save_rounds(store: &StateStore, rounds: std::ops::Range<u64>) -> Result<(), StateError> {
    for round in rounds {
        let entry = |number: u64| (*Digest::of("test", &number).as_bytes(), Some(round.to_le_bytes().repeat(40)));
        let gone = (*Digest::of("test", &(round - 1, "temporary")).as_bytes(), None);
        let new = (*Digest::of("test", &(round, "temporary")).as_bytes(), Some(vec![7; 5000]));
        store.save((0..30).map(entry).chain([gone, new]), &round.to_le_bytes())?;
    }
    Ok(())
}

/// The round that is saved. Panics if it is not whole.
fn saved_round(home: &MemoryHome) -> u64 {
    let store = home.open_state(identity()).unwrap();
    let Some(saved) = store.load().unwrap() else { return 0 };
    assert_eq!(saved.entries.len(), 31);
    let rounds = saved.entries.iter().filter(|(_, bytes)| bytes.len() == 320);
    assert!(rounds.clone().all(|(_, bytes)| bytes.chunks(8).all(|round| round == saved.meta)), "a mixture");
    assert_eq!(rounds.count(), 30);
    u64::from_le_bytes(saved.meta.try_into().unwrap())
}

/// What was saved stays saved, whenever the machine stops and whatever becomes of what was not synced.
#[test]
fn a_save_is_whole_or_absent_whichever_operation_was_the_last() {
    let crashes = [Crash::LosesUnsynced, Crash::KeepsUnsynced]
        .into_iter()
        .chain((0..3).map(|seed| Crash::TearsUnsynced { seed }));
    for crash in crashes {
        for last in 0.. {
            let home = MemoryHome::new(SMALL);
            let store = home.open_state(identity()).unwrap();
            save_rounds(&store, 1..3).unwrap();
            home.disk(Part::State).stop_after(last);
            let whole = save_rounds(&store, 3..4).is_ok();
            home.stop();
            drop(store);
            home.restart(crash);
            let found = saved_round(&home);
            assert!(found == 3 || (!whole && found == 2), "{crash:?}, {last} operations: {found}");
            save_rounds(&home.open_state(identity()).unwrap(), found + 1..found + 3).unwrap();
            assert_eq!(saved_round(&home), found + 2, "{crash:?}, {last} operations: it goes on");
            if whole {
                assert!(last > 4, "the store wrote and synced");
                break;
            }
        }
    }
}

/// The database would refuse a file that it was making when the machine stopped.
#[test]
fn a_store_that_was_being_made_is_made_again() {
    for last in 0..40 {
        for crash in [Crash::LosesUnsynced, Crash::TearsUnsynced { seed: last }] {
            let home = MemoryHome::new(SMALL);
            home.disk(Part::State).stop_after(last);
            let opened = home.open_state(identity());
            home.stop();
            drop(opened);
            home.restart(crash);
            assert_eq!(saved_round(&home), 0, "{crash:?}, {last} operations");
        }
    }
}

#[test]
fn a_save_whose_sync_fails_fails_and_changes_nothing() {
    let home = MemoryHome::new(SMALL);
    let store = home.open_state(identity()).unwrap();
    save_rounds(&store, 1..3).unwrap();
    home.disk(Part::State).fail_sync(1);
    assert!(matches!(save_rounds(&store, 3..4), Err(StateError::Disk { .. })));
    home.stop();
    drop(store);
    home.restart(Crash::LosesUnsynced);
    assert_eq!(saved_round(&home), 2);
}

/// Dropping a state store shuts it down cleanly. A simulator that drops one late must not mend what the crash broke.
#[test]
fn what_was_opened_before_a_crash_does_nothing_after_it() {
    let home = MemoryHome::new(SMALL);
    let store = home.open_state(identity()).unwrap();
    save_rounds(&store, 1..3).unwrap();
    home.restart(Crash::LosesUnsynced);
    let operations = home.disk(Part::State).operations();
    assert!(matches!(save_rounds(&store, 3..4), Err(StateError::Disk { .. })));
    drop(store);
    assert_eq!(home.disk(Part::State).operations(), operations);
    assert_eq!(saved_round(&home), 2);
}

#[test]
fn what_belongs_to_another_replica_is_refused() {
    let home = MemoryHome::new(SMALL);
    drop(home.open_state(identity()).unwrap());
    let error = home.open_state(Digest::new([9; 32])).unwrap_err();
    assert!(matches!(error, StateError::WrongIdentity { .. }), "{error}");
}

#[test]
fn parts_that_were_set_aside_are_read_by_nobody_and_lost_to_nobody() {
    let home = MemoryHome::new(SMALL);
    let settings = home.layout().log(identity());
    assert_eq!(home.set_aside(&[Part::Log]).unwrap(), None, "there is nothing yet");
    let mut log = Wal::create(home.log_disk().unwrap(), settings, &[]).unwrap();
    log.append_and_sync(&[b"said".to_vec()]).unwrap();
    drop(log);
    let mut blocks = BlockStore::open(home.blocks_disk().unwrap(), identity()).unwrap();
    blocks.append(SequenceNumber::new(1), b"block").unwrap();
    blocks.sync().unwrap();
    save_rounds(&home.open_state(identity()).unwrap(), 1..2).unwrap();

    let lost = home.set_aside(&[Part::Log, Part::State]).unwrap().unwrap();
    assert_eq!(lost, std::path::Path::new("memory/lost-1"));
    assert!(matches!(Wal::open(home.log_disk().unwrap(), settings), Err(LogError::Missing { .. })));
    assert_eq!(saved_round(&home), 0);
    drop(Wal::create(home.log_disk().unwrap(), settings, &[b"lost".to_vec()]).unwrap());
    assert_eq!(Wal::open(home.log_disk().unwrap(), settings).unwrap().1, [b"lost"]);
    let blocks = BlockStore::open(home.blocks_disk().unwrap(), identity()).unwrap();
    assert_eq!(blocks.read(SequenceNumber::new(1)).unwrap().unwrap(), b"block", "what was not named stays");
    assert_eq!(home.set_aside(&[Part::Log]).unwrap().unwrap(), std::path::Path::new("memory/lost-2"));
}
