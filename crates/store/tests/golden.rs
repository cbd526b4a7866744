//! The formats on disk. A change of a hash here is a change of format: it needs a new version number in the head of the
//! file, and a sentence on what becomes of the files that exist.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use bezant_store::wal::Settings;
use bezant_store::{BlockStore, Disk, MemoryDisk, StateStore, Wal};
use bezant_types::{Digest, SequenceNumber};
use redb::ReadableDatabase as _;
use support::identity;

fn digest(disk: &MemoryDisk, name: &str) -> String {
    let length = usize::try_from(disk.len(name).unwrap()).unwrap();
    Digest::of_bytes(&disk.read_at(name, 0, length).unwrap()).to_string()
}

#[test]
fn the_log() {
    let disk = MemoryDisk::new();
    let settings = Settings { segment_bytes: 8192, ..Settings::new(identity()) };
    let mut log = Wal::create(disk.clone(), settings, &[b"first".to_vec()]).unwrap();
    log.append(&[b"a".to_vec(), vec![], vec![7; 1000]]).unwrap();
    log.append_and_sync(&[b"b".to_vec()]).unwrap();
    log.append_and_sync(&[b"c".to_vec()]).unwrap();
    assert_eq!(disk.list().unwrap(), ["0000000001.log"]);
    let head = disk.read_at("0000000001.log", 0, 83).unwrap();
    assert_eq!(head[..6], *b"BZWL\x01\x00");
    assert_eq!(head[6..38], [7; 32], "identity");
    assert_eq!(head[38..46], 1u64.to_le_bytes(), "number");
    assert_eq!(head[46], 0, "stands for itself");
    assert_eq!(head[47..55], 0u64.to_le_bytes(), "first frame");
    assert_eq!(head[55..63], 0u64.to_le_bytes(), "end of the file before");
    assert_eq!(head[63..71], 1u64.to_le_bytes(), "born with frame 0");
    assert_eq!(head[71..79], 8192u64.to_le_bytes(), "size");
    assert_eq!(head[79..83], crc32c::crc32c(&head[..79]).to_le_bytes());
    assert_eq!(digest(&disk, "0000000001.log"), "e8c6354913327797b5a8028a31f8ce3762851e6a49a28413369986b371367833");
}

#[test]
fn the_block_store() {
    let disk = MemoryDisk::new();
    let mut store = BlockStore::open(disk.clone(), identity()).unwrap();
    store.append(SequenceNumber::new(1), b"one").unwrap();
    store.append(SequenceNumber::new(2), &[2; 700]).unwrap();
    store.sync().unwrap();
    store.begin_at(SequenceNumber::new(9)).unwrap();
    store.append(SequenceNumber::new(9), b"nine").unwrap();
    assert_eq!(disk.list().unwrap(), ["0000000001.blocks", "0000000002.blocks"]);
    assert_eq!(disk.read_at("0000000001.blocks", 0, 6).unwrap(), *b"BZBL\x01\x00");
    assert_eq!(digest(&disk, "0000000001.blocks"), "8a1069658b7141e48d53fd3a09c8b5a0ee17107f2edde2a5d5e479094e5d8bc2");
    assert_eq!(digest(&disk, "0000000002.blocks"), "4f9a8ddf0c368e93abedfee99402f70e5a5020bdbfe696fe06a5f84efbc26a2e");
}

#[test]
fn the_tables_of_the_state_store() {
    // redb's own file format is redb's; ours is the tables and what is in them.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("state.redb");
    let store = StateStore::open(&path, identity()).unwrap();
    store.save([([1; 32], Some(b"entry".to_vec()))].into_iter(), b"meta").unwrap();
    drop(store);
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_read().unwrap();
    let about = transaction.open_table(redb::TableDefinition::<&str, &[u8]>::new("about")).unwrap();
    let head = [b"BZST\x01\x00".as_slice(), &[7; 32]].concat();
    assert_eq!(about.get_owned("head").unwrap().unwrap().value(), head);
    assert_eq!(about.get_owned("meta").unwrap().unwrap().value(), b"meta");
    let entries = transaction.open_table(redb::TableDefinition::<&[u8; 32], &[u8]>::new("entries")).unwrap();
    assert_eq!(entries.get_owned(&[1; 32]).unwrap().unwrap().value(), b"entry");
}
