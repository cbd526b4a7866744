//! The state store: whole checkpoints or none, and no trust in a file that was altered.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;
use std::fs;

use bezant_store::state::Saved;
use bezant_store::{StateError, StateStore};
use bezant_types::Digest;
use support::{Dice, identity};

type Entries = BTreeMap<[u8; 32], Vec<u8>>;

fn key(number: u64) -> [u8; 32] {
    *Digest::of("test", &number).as_bytes()
}

fn put(number: u64, bytes: &[u8]) -> ([u8; 32], Option<Vec<u8>>) {
    (key(number), Some(bytes.to_vec()))
}

fn saved(meta: &[u8], entries: &Entries) -> Option<Saved> {
    Some(Saved { meta: meta.to_vec(), entries: entries.clone().into_iter().collect() })
}

#[test]
fn a_new_store_is_empty_and_what_was_saved_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, identity()).unwrap();
    assert_eq!(store.load().unwrap(), None);
    store.save(std::iter::empty(), b"empty state").unwrap();
    assert_eq!(store.load().unwrap(), saved(b"empty state", &Entries::new()));

    let mut dice = Dice(3);
    let mut model = Entries::new();
    for round in 0..20u64 {
        let mut changes = Entries::new();
        let mut removed = Vec::new();
        for _ in 0..50 {
            let entry = key(dice.below(300));
            changes.insert(entry, round.to_le_bytes().repeat(usize::try_from(dice.below(9)).unwrap()));
        }
        for _ in 0..20 {
            let entry = key(dice.below(300));
            if !changes.contains_key(&entry) {
                removed.push(entry);
            }
        }
        let all = changes.iter().map(|(entry, bytes)| (*entry, Some(bytes.clone())));
        store.save(all.chain(removed.iter().map(|entry| (*entry, None))), &round.to_le_bytes()).unwrap();
        removed.iter().for_each(|entry| drop(model.remove(entry)));
        model.extend(changes);
        assert_eq!(store.load().unwrap(), saved(&round.to_le_bytes(), &model), "seed 3, round {round}");
    }
    drop(store);
    let store = StateStore::open(&path, identity()).unwrap();
    assert_eq!(store.load().unwrap(), saved(&19u64.to_le_bytes(), &model));
}

/// The database would refuse a file that it was making when the machine stopped.
#[test]
fn a_store_that_was_being_made_is_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    fs::write(directory.path().join("state.redb.new"), [0; 5000]).unwrap();
    let store = StateStore::open(&path, identity()).unwrap();
    assert_eq!(store.load().unwrap(), None);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing unfinished is left");
}

#[test]
fn a_restored_state_replaces_every_entry() {
    let directory = tempfile::tempdir().unwrap();
    let store = StateStore::open(&directory.path().join("state.redb"), identity()).unwrap();
    store.save([put(1, b"old"), put(2, b"old")].into_iter(), b"one").unwrap();
    store.replace([(key(2), b"new".to_vec()), (key(3), b"new".to_vec())].into_iter(), b"two").unwrap();
    let expected = Entries::from([(key(2), b"new".to_vec()), (key(3), b"new".to_vec())]);
    assert_eq!(store.load().unwrap(), saved(b"two", &expected));
}

#[test]
fn a_save_that_ends_in_the_middle_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, identity()).unwrap();
    store.save([put(1, b"kept")].into_iter(), b"kept").unwrap();
    let dies = (0..10).map(|number| if number < 5 { put(number, b"half") } else { panic!("in the middle of a save") });
    let death = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| store.save(dies, b"half")));
    assert!(death.is_err(), "a panic of the caller's is the caller's");
    drop(store);
    let store = StateStore::open(&path, identity()).unwrap();
    assert_eq!(store.load().unwrap(), saved(b"kept", &Entries::from([(key(1), b"kept".to_vec())])));
}

#[test]
fn the_state_of_another_replica_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    drop(StateStore::open(&path, identity()).unwrap());
    let error = StateStore::open(&path, Digest::new([8; 32])).unwrap_err();
    assert!(matches!(error, StateError::WrongIdentity { found, .. } if found == identity()), "{error}");
}

#[test]
fn a_store_that_is_open_is_not_opened_twice() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let _open = StateStore::open(&path, identity()).unwrap();
    let error = StateStore::open(&path, identity()).unwrap_err();
    assert!(matches!(error, StateError::InUse { .. }), "{error}");
}

#[test]
fn a_file_that_is_no_database_is_refused_with_a_remedy_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    fs::write(&path, vec![42; 9000]).unwrap();
    let error = StateStore::open(&path, identity()).unwrap_err();
    assert!(matches!(error, StateError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("`--recover`"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), vec![42; 9000]);
}

#[test]
fn an_altered_file_is_refused_or_loads_what_was_saved_and_never_panics() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, identity()).unwrap();
    let entries: Entries = (0..200).map(|number| (key(number), vec![1; 40])).collect();
    store.save(entries.iter().map(|(entry, bytes)| (*entry, Some(bytes.clone()))), b"meta").unwrap();
    drop(store);
    let whole = fs::read(&path).unwrap();
    let mut dice = Dice(11);
    let mut refused = 0;
    for round in 0..150 {
        let mut bytes = whole.clone();
        // Bytes that are not zero, or nearly all flips would land in free pages.
        let place = loop {
            let place = usize::try_from(dice.below(bytes.len() as u64)).unwrap();
            if bytes[place] != 0 {
                break place;
            }
        };
        bytes[place] ^= 1 << dice.below(8);
        fs::write(&path, bytes).unwrap();
        match StateStore::open(&path, identity()).and_then(|store| store.load()) {
            Ok(found) => assert_eq!(found, saved(b"meta", &entries), "seed 11, round {round}, byte {place}"),
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(refused > 20, "{refused} of 150 were refused");
}
