//! Golden hashes of everything that this crate puts on disks, on wires, or under signatures.
//!
//! Each is the SHA-256 of the canonical bytes of fixed values. If one differs, then bytes that others have written or
//! signed mean something else now: that is a decision about the format, to be made in a commit of its own, with the new
//! hash here and a new version wherever the format carries one.

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets something else shall fail")]

mod world;

use bezant_ledger::transfer::{Content, Detail, Outline, Piece, PieceId, PieceRequest, Token, Wanted, serve};
use bezant_ledger::{Change, Header, Item, Kept, Key, Prefix, Side, record};
use bezant_types::codec::encode;
use bezant_types::{AccountId, Amount, Digest, Outcome, RequestNumber, SequenceNumber, Timestamp, Transaction};
use world::*;

#[track_caller]
fn golden<T: borsh::BorshSerialize>(what: &str, values: &[T], expected: &str) {
    let bytes: Vec<u8> = values.iter().flat_map(encode).collect();
    let found = Digest::of_bytes(&bytes).to_string();
    assert_eq!(found, expected, "the encoding of {what} has changed: that is a decision about the format, see above");
}

fn digest(i: u8) -> Digest {
    Digest::new([i; 32])
}

fn keys() -> Vec<Key> {
    let client = AccountId::new([3; 32]);
    vec![
        Key::Entry(vec![]),
        Key::Entry(b"greeting".into()),
        Key::Account(client),
        Key::Window { client, slot: 0x0102_0304 },
    ]
}

fn items() -> Vec<Item> {
    let owner = AccountId::new([3; 32]);
    let grants = vec![AccountId::new([4; 32]), AccountId::new([5; 32])];
    let window = |kept| Item::Window { number: RequestNumber::new(0x0102_0304_0506), request: digest(6), kept };
    vec![
        Item::Entry { owner, grants: vec![], value: vec![] },
        Item::Entry { owner, grants, value: b"hello".into() },
        Item::Balance(Amount::new(0x0102_0304_0506_0708)),
        window(Kept::of(&Outcome::Executed(vec![]))),
        window(Kept::Digest(digest(7))),
    ]
}

fn header() -> Header {
    Header {
        height: SequenceNumber::new(1),
        timestamp: Timestamp::new(2),
        supply: Amount::new(3),
        entries: 4,
        bytes: 5,
    }
}

fn requests() -> Vec<PieceRequest> {
    let prefix = Prefix::ROOT.child(Side::Right).and_then(|prefix| prefix.child(Side::Left)).unwrap();
    let wanted = [
        Wanted::Header { root: digest(1) },
        Wanted::Subtree { prefix: Prefix::ROOT, hash: digest(2), detail: Detail::Leaves },
        Wanted::Subtree { prefix, hash: digest(3), detail: Detail::Hashes },
    ];
    (7..).map(PieceId::new).zip(wanted).map(|(id, wanted)| PieceRequest { id, wanted }).collect()
}

fn pieces() -> Vec<Piece> {
    let outline = vec![Token::Open, Token::Closed(digest(1)), Token::Closed(digest(0))];
    let contents = [
        Content::Unknown,
        Content::Header { header: header(), trie_root: digest(9) },
        Content::Leaves(b"records".into()),
        Content::Outline(Outline::new(outline)),
    ];
    let answers = requests()[2];
    contents.into_iter().map(|content| Piece { answers, content }).collect()
}

/// A small state with every kind of leaf.
fn world() -> World {
    let mut w = World::new();
    w.all(ALICE, vec![set("greeting", "hello"), grant("greeting", BOB), transfer(BOB.account(), 100)]).unwrap();
    w.run(
        BOB,
        vec![with_fee(3, vec![append("greeting", " world")]), Transaction::single(transfer(ALICE.account(), 999))],
    );
    w.one(ALICE, add("count", 41)).unwrap();
    w
}

#[test]
fn leaves_are_encoded_as_ever() {
    golden("Key", &keys(), "b363f4cfa2f1ff92fad4a23f43f7ab39278b10bd0aaa8fa0e6a6602049fc3075");
    golden("Item", &items(), "7f4f64c444fff0de358aa652cc36929ca5d7e9590ff4278b075690b9ae631aff");
    let records: Vec<_> = items().iter().map(|item| record(&keys()[1], item)).collect();
    golden("record", &records, "19cf546c8b514e85c989d08ece227d032dd07a2e613a23743a3db30c98251ad3");
    let hashes: Vec<_> = keys().iter().map(Key::digest).chain(items().iter().map(Item::digest)).collect();
    golden(
        "the digests of keys and items",
        &hashes,
        "c801eded11d29d139d063de52c46be8eb01efd0128254cb43a8e3a1d7be9de4e",
    );
}

#[test]
fn headers_and_changes_are_encoded_as_ever() {
    golden("Header", &[header()], "ea0d7246ca8346f6137619c0aaf7410ae4ffe69d1f0f702d6760e661de6df857");
    golden(
        "the state root of a header",
        &[header().root(digest(9))],
        "363da57878502f7183bdae5eb8b054fb2e17efc3682f9df78904ebd20b65d866",
    );
    let change = |record| Change { key_hash: digest(1), record };
    golden(
        "Change",
        &[change(None), change(Some(vec![1, 2]))],
        "86ded9357f47a01bb7fe57f4a6e1fc6559e900dbb44a28d2021056ac01a84d30",
    );
}

#[test]
fn transfers_are_encoded_as_ever() {
    golden("PieceRequest", &requests(), "4bc75b4124857395e5b506528907c1c6f237b260e1f4a0d2755b097fc517c825");
    golden("Piece", &pieces(), "62bc4d1cdd4f7514def68a79d490e1a33ea618fb5b4c7074a07e0bf3cad2ab12");
}

#[test]
fn the_same_blocks_give_the_same_root_as_ever() {
    let mut w = world();
    let state = w.checkpoint();
    golden(
        "the records of a state",
        &state.records().collect::<Vec<_>>(),
        "883c20c5bade716d992cfae6ca2ed79394d72c62339e463f2d3985fc5aba813b",
    );
    golden("the root of a state", &[state.root()], "47093267ed8d13ef96b1d98b25c434385f99166346d54476896182a5961d9644");
    let present = state.prove(&Key::Entry(b"greeting".into()));
    let absent = (0u8..20).map(|i| state.prove(&Key::Entry(vec![i])));
    golden(
        "Proof",
        &[present].into_iter().chain(absent).collect::<Vec<_>>(),
        "eacfea7cefa1383d970037dd90516b48cb35a18d7e8ed3528234ac371ca19be4",
    );
    let wanted = Wanted::Subtree { prefix: Prefix::ROOT, hash: state.trie_root(), detail: Detail::Leaves };
    let request = PieceRequest { id: PieceId::new(1), wanted };
    golden(
        "a piece of a state",
        &[serve(&state, &request, 1 << 20), serve(&state, &request, 100)],
        "2cfe78e07134879a705b8477c2682ffaf5918edbd3406b8844571a025cd38a64",
    );
}
