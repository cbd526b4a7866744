//! States as values, proofs, what is written to disk, and that all of it depends on the log alone (rules L-8, L-9,
//! L-12).

#![allow(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "a test that meets something else shall fail")]

mod world;

use bezant_ledger::{
    BadProof, BadRecords, BadState, Flaw, Header, Item, Kept, Key, Ledger, Proof, State, parse_record, record,
};
use bezant_types::codec::encode;
use bezant_types::transaction::{Condition, SetAnswer};
use bezant_types::{
    AccountId, Amount, Digest, Operation, Outcome, Request, RequestNumber, SequenceNumber, Transaction,
};
use proptest::prelude::*;
use world::*;

/// Few keys, accounts and numbers, so that requests meet.
fn operation() -> impl Strategy<Value = Operation> {
    let key = || prop_oneof![8 => (0u8..6).prop_map(|i| vec![i]), 1 => proptest::collection::vec(any::<u8>(), 0..80)];
    let account = || {
        prop_oneof![
            Just(ALICE.account()),
            Just(BOB.account()),
            Just(AccountId::FEES),
            (0u8..3).prop_map(|i| AccountId::new([i; 32]))
        ]
    };
    let bytes = prop_oneof![
        4 => "[0-9]{0,20}".prop_map(String::into_bytes), 2 => proptest::collection::vec(any::<u8>(), 0..40),
        1 => (0usize..6000).prop_map(|length| vec![b'x'; length])
    ];
    let condition = prop_oneof![Just(Condition::Always), Just(Condition::IfAbsent), Just(Condition::IfPresent)];
    let answer = prop_oneof![Just(SetAnswer::Written), Just(SetAnswer::Previous)];
    let amount = || prop_oneof![4 => 0u64..700, 1 => any::<u64>()].prop_map(Amount::new);
    prop_oneof![
        key().prop_map(|key| Operation::Get { key }),
        (key(), bytes.clone(), condition, answer).prop_map(|(key, value, condition, answer)| Operation::Set {
            key,
            value,
            condition,
            answer
        }),
        key().prop_map(|key| Operation::Delete { key }),
        key().prop_map(|key| Operation::Take { key }),
        key().prop_map(|key| Operation::Exists { key }),
        key().prop_map(|key| Operation::Length { key }),
        (key(), bytes).prop_map(|(key, suffix)| Operation::Append { key, suffix }),
        (key(), any::<i64>()).prop_map(|(key, delta)| Operation::Add { key, delta }),
        (account(), amount()).prop_map(|(to, amount)| Operation::Transfer { to, amount }),
        account().prop_map(|account| Operation::Balance { account }),
        key().prop_map(|key| Operation::Owner { key }),
        (key(), account()).prop_map(|(key, to)| Operation::Grant { key, to }),
        (key(), account()).prop_map(|(key, from)| Operation::Revoke { key, from }),
        Just(Operation::Size),
        Just(Operation::Height),
    ]
}

#[derive(Clone, Debug)]
struct Ask {
    client: Client,
    number: u64,
    transactions: Vec<Transaction>,
}

fn ask() -> impl Strategy<Value = Ask> {
    let client = prop_oneof![4 => Just(ALICE), 4 => Just(BOB), 1 => Just(RITA), 1 => Just(MALLORY)];
    let number = prop_oneof![9 => 0u64..40, 1 => any::<u64>()];
    let fee = prop_oneof![6 => Just(0), 1 => 0u64..30, 1 => any::<u64>()].prop_map(Amount::new);
    let operations = proptest::collection::vec(operation(), 1..6);
    let transaction = (fee, operations).prop_map(|(fee, operations)| Transaction { fee, operations });
    (client, number, proptest::collection::vec(transaction, 1..4)).prop_map(|(client, number, transactions)| Ask {
        client,
        number,
        transactions,
    })
}

fn log() -> impl Strategy<Value = Vec<Vec<Ask>>> {
    proptest::collection::vec(proptest::collection::vec(ask(), 0..4), 1..12)
}

fn requests(w: &World, block: &[Ask]) -> Vec<Request> {
    block.iter().map(|ask| w.request(ask.client, ask.number, ask.transactions.clone())).collect()
}

/// All of it as bytes.
fn snapshot(state: &State) -> Vec<u8> {
    encode(&(state.header(), state.records().collect::<Vec<_>>()))
}

fn keys() -> impl Iterator<Item = Key> {
    let entries = (0u8..8).map(|i| Key::Entry(vec![i]));
    let accounts = [ALICE, BOB, RITA, MALLORY].map(|client| Key::Account(client.account()));
    let windows = (0..16).map(|slot| Key::Window { client: ALICE.account(), slot });
    entries.chain(accounts).chain([Key::Account(AccountId::FEES)]).chain(windows)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_same_log_gives_byte_identical_snapshots_whenever_checkpoints_were_made(
        log in log(), cadence in proptest::collection::vec(any::<bool>(), 12)
    ) {
        let (mut often, mut seldom, mut restored) = (World::new(), World::new(), World::new());
        for (block, checkpointed) in log.iter().zip(cadence) {
            let requests = requests(&often, block);
            let executions = often.block(&requests);
            prop_assert_eq!(&executions, &seldom.block(&requests));
            prop_assert_eq!(&executions, &restored.block(&requests));
            often.checkpoint();
            if checkpointed {
                let state = restored.checkpoint();
                let records: Vec<_> = state.records().filter_map(|change| change.record).collect();
                let loaded = State::load(state.header(), records.iter().rev()).unwrap();
                prop_assert_eq!(loaded.root(), state.root());
                restored.ledger = Ledger::from_state(&restored.genesis, loaded).unwrap();
            }
        }
        let (one, two, three) = (often.checkpoint(), seldom.checkpoint(), restored.checkpoint());
        prop_assert_eq!(one.root(), two.root());
        prop_assert_eq!(snapshot(&one), snapshot(&two));
        prop_assert_eq!(snapshot(&one), snapshot(&three));
        prop_assert_eq!(&often.ledger, &seldom.ledger);
    }

    #[test]
    fn no_request_breaks_an_invariant(log in log()) {
        let mut w = World::new();
        for block in &log {
            let requests = requests(&w, block);
            w.block(&requests);
            prop_assert!(w.ledger.supply_holds());
            let state = w.checkpoint();
            // Counts everything anew: supply, balances, entries, bytes, and the form of each leaf.
            let audited = Ledger::from_state(&w.genesis, state);
            prop_assert!(audited.is_ok(), "{audited:?}");
        }
    }

    #[test]
    fn what_is_kept_is_what_executing_again_would_answer(log in log()) {
        let mut w = World::new();
        for block in &log {
            for request in requests(&w, block) {
                let kept = w.ledger.kept(&request);
                let execution = w.block(std::slice::from_ref(&request)).remove(0);
                if w.genesis.clients().iter().any(|client| client.key == request.client()) {
                    prop_assert_eq!(kept.is_none(), execution.fresh);
                    if let Some(kept) = kept {
                        prop_assert_eq!(kept, execution.outcome);
                    }
                }
            }
        }
    }

    #[test]
    fn the_changes_between_two_states_turn_a_stores_records_into_the_others(log in log(), split in 0usize..12) {
        let mut w = World::new();
        let mut states = vec![w.checkpoint()];
        for block in &log {
            let requests = requests(&w, block);
            w.block(&requests);
            states.push(w.checkpoint());
        }
        let (early, late) = (&states[split % states.len()], &states[states.len() - 1]);
        let mut store: std::collections::BTreeMap<_, _> =
            early.records().map(|change| (change.key_hash, change.record.unwrap())).collect();
        for change in late.changes_since(early) {
            match change.record {
                Some(record) => drop(store.insert(change.key_hash, record)),
                None => assert!(store.remove(&change.key_hash).is_some(), "only what is there is removed"),
            }
        }
        let loaded = State::load(late.header(), store.values()).unwrap();
        prop_assert_eq!(loaded.root(), late.root());
        prop_assert_eq!(snapshot(&loaded), snapshot(late));
    }

    #[test]
    fn every_key_has_a_proof_of_what_it_holds_or_of_nothing(log in log()) {
        let mut w = World::new();
        for block in &log {
            let requests = requests(&w, block);
            w.block(&requests);
        }
        let state = w.checkpoint();
        for key in keys() {
            let proof = Proof::decode(&encode(&state.prove(&key))).unwrap();
            prop_assert_eq!(proof.verify(state.root(), &key), Ok(state.get(&key).cloned()));
            prop_assert_eq!(proof.header(), state.header());
            for other in keys().filter(|other| *other != key) {
                // A proof may by chance show another key's absence; it never shows anything false of it.
                if let Ok(shown) = proof.verify(state.root(), &other) {
                    prop_assert_eq!(shown.as_ref(), state.get(&other));
                }
            }
        }
    }

    #[test]
    fn a_changed_proof_proves_nothing_false(log in log(), place in any::<usize>(), flip in 1u8..) {
        let mut w = World::new();
        for block in &log {
            let requests = requests(&w, block);
            w.block(&requests);
        }
        let state = w.checkpoint();
        for key in keys() {
            let mut bytes = encode(&state.prove(&key));
            let place = place % bytes.len();
            bytes[place] ^= flip;
            if let Ok(proof) = Proof::decode(&bytes) {
                let shown = proof.verify(state.root(), &key);
                prop_assert!(shown.is_err() || shown == Ok(state.get(&key).cloned()), "{shown:?}");
            }
        }
    }

    #[test]
    fn bytes_that_decode_are_the_one_encoding_of_what_they_decode_to(
        bytes in proptest::collection::vec(any::<u8>(), 0..300)
    ) {
        if let Ok(proof) = Proof::decode(&bytes) {
            prop_assert_eq!(encode(&proof), &bytes[..]);
        }
        if let Ok((key, item)) = parse_record(&bytes) {
            prop_assert_eq!(record(&key, &item), &bytes[..]);
        }
        if let Ok(piece) = bezant_ledger::transfer::Piece::decode(&bytes) {
            prop_assert_eq!(encode(&piece), &bytes[..]);
        }
        let _ = State::load(header(), [&bytes]);
    }
}

fn header() -> Header {
    World::new().checkpoint().header()
}

#[test]
fn a_state_does_not_change_while_the_ledger_goes_on() {
    let mut w = World::new();
    w.one(ALICE, set("k", "1")).unwrap();
    let state = w.checkpoint();
    let (root, bytes) = (state.root(), snapshot(&state));
    w.one(ALICE, append("k", "2")).unwrap();
    w.checkpoint();
    assert_eq!((state.root(), snapshot(&state)), (root, bytes));
    let Some(Item::Entry { value, .. }) = state.get(&Key::Entry(b"k".into())) else { panic!("an entry") };
    assert_eq!(value, b"1");
}

#[test]
fn what_a_grant_weighs_is_gone_with_it() {
    let mut w = World::new();
    w.one(ALICE, set("k", "1")).unwrap();
    let before = w.checkpoint();
    w.one(ALICE, grant("k", BOB)).unwrap();
    let between = w.checkpoint();
    w.one(ALICE, revoke("k", BOB)).unwrap();
    let after = w.checkpoint();
    // The outcomes of both requests are kept and weigh the same.
    let (with, without) = (between.bytes() - before.bytes(), after.bytes() - between.bytes());
    assert_eq!(with - without, 2 * 32, "an account");
    let records: Vec<Vec<u8>> = after.items().map(|(key, item)| record(key, item)).collect();
    assert_eq!(State::load(after.header(), &records).unwrap(), after, "and the sum is that of the records");
}

#[test]
fn states_that_differ_hash_differently_and_say_so() {
    let mut w = World::new();
    let (one, _) = (w.checkpoint(), w.one(ALICE, set("k", "1")).unwrap());
    let other = w.checkpoint();
    let hash = |state: &State| {
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(state, &mut hasher);
        std::hash::Hasher::finish(&hasher)
    };
    assert_eq!(hash(&one), hash(&one.clone()));
    assert_ne!(hash(&one), hash(&other));
    assert_ne!(format!("{one:?}"), format!("{other:?}"));
}

#[test]
fn the_header_is_part_of_the_root() {
    let mut w = World::new();
    let before = w.checkpoint();
    w.block(&[]);
    let after = w.checkpoint();
    assert_eq!(before.trie_root(), after.trie_root());
    assert_ne!(before.root(), after.root(), "height and time differ");
    assert_eq!(after.changes_since(&before), []);
}

#[test]
fn a_proof_against_another_root_or_of_another_kind_is_refused() {
    let mut w = World::new();
    w.one(ALICE, set("k", "1")).unwrap();
    let (old, key) = (w.checkpoint(), Key::Entry(b"k".into()));
    w.one(ALICE, set("k", "2")).unwrap();
    let new = w.checkpoint();
    assert_eq!(old.prove(&key).verify(new.root(), &key), Err(BadProof::WrongRoot { found: old.root() }));
    let account = Key::Account(ALICE.account());
    assert_eq!(new.prove(&key).verify(new.root(), &account), Err(BadProof::WrongKind));
    let missing = Key::Entry(b"missing".into());
    assert_eq!(new.prove(&missing).verify(new.root(), &missing), Ok(None));
    assert!(new.prove(&missing).verify(new.root(), &key).is_err(), "absence of one key is not that of another");
}

#[test]
fn a_state_of_nothing_proves_absence() {
    let state = State::load(header(), Vec::<Vec<u8>>::new()).unwrap();
    let key = Key::Entry(b"k".into());
    assert_eq!(state.prove(&key).verify(state.root(), &key), Ok(None));
}

#[test]
fn records_that_make_no_state_are_refused_by_name() {
    let key = Key::Account(ALICE.account());
    let one = record(&key, &Item::Balance(Amount::new(1)));
    let two = record(&key, &Item::Balance(Amount::new(2)));
    assert_eq!(State::load(header(), [&one, &two]), Err(BadRecords::KeyTwice { key_hash: key.digest() }));
    let torn = one[..one.len() - 1].to_vec();
    assert!(matches!(State::load(header(), [&one, &torn]), Err(BadRecords::Damaged { index: 1, .. })));
}

/// The state of a fresh ledger with one leaf and the header changed.
fn tampered(change: impl FnOnce(&mut Header, &mut Vec<(Key, Item)>)) -> Result<Ledger, BadState> {
    let mut w = World::new();
    w.one(ALICE, set("k", "1")).unwrap();
    let state = w.checkpoint();
    let mut header = state.header();
    let mut items: Vec<_> = state.items().map(|(key, item)| (key.clone(), item.clone())).collect();
    change(&mut header, &mut items);
    let records: Vec<_> = items.iter().map(|(key, item)| record(key, item)).collect();
    Ledger::from_state(&w.genesis, State::load(header, records).unwrap())
}

fn flaw(key: Key, item: Item) -> Flaw {
    let place = key.clone();
    match tampered(|_, items| {
        items.retain(|(key, _)| *key != place);
        items.push((place, item));
    }) {
        Err(BadState::Leaf { flaw, key: named }) if named == key => flaw,
        other => panic!("{key:?} gives {other:?}"),
    }
}

#[test]
fn a_state_that_cannot_be_is_refused_by_name() {
    assert!(tampered(|_, _| ()).is_ok());
    let supply = tampered(|header, _| header.supply = Amount::new(7));
    assert!(matches!(supply, Err(BadState::Supply { .. })), "{supply:?}");
    let balances = tampered(|_, items| items.push((Key::Account(BOB.account()), Item::Balance(Amount::new(u64::MAX)))));
    assert!(matches!(balances, Err(BadState::Balances { .. })), "{balances:?}");
    assert_eq!(tampered(|header, _| header.entries = 5).unwrap_err(), BadState::Entries { header: 5, found: 1 });
    assert!(matches!(tampered(|header, _| header.bytes += 1), Err(BadState::Bytes { .. })));
}

#[test]
fn a_leaf_that_cannot_be_is_refused_by_name() {
    let entry = |grants, value: usize| Item::Entry { owner: ALICE.account(), grants, value: vec![0; value] };
    let key = || Key::Entry(b"k".into());
    let account = |i| AccountId::new([i; 32]);
    assert_eq!(flaw(key(), Item::Balance(Amount::new(1))), Flaw::WrongKind);
    assert_eq!(flaw(Key::Account(BOB.account()), entry(vec![], 0)), Flaw::WrongKind);
    assert_eq!(flaw(Key::Entry(vec![0; 65]), entry(vec![], 0)), Flaw::KeyTooLong);
    assert_eq!(flaw(key(), entry(vec![], 4097)), Flaw::ValueTooLong);
    let crowd: Vec<_> = (0..65).map(account).collect();
    let grants =
        [vec![account(2), account(1)], vec![account(1); 2], vec![ALICE.account()], vec![AccountId::FEES], crowd];
    for grants in grants {
        assert_eq!(flaw(key(), entry(grants, 0)), Flaw::Grants);
    }
    assert_eq!(flaw(Key::Account(BOB.account()), Item::Balance(Amount::ZERO)), Flaw::ZeroBalance);
    let window =
        |number, kept| Item::Window { number: RequestNumber::new(number), request: Digest::new([1; 32]), kept };
    let slot = |client: Client, slot| Key::Window { client: client.account(), slot };
    let kept = Kept::of(&Outcome::Executed(vec![]));
    assert_eq!(flaw(slot(MALLORY, 3), window(3, kept.clone())), Flaw::UnknownClient);
    assert_eq!(flaw(slot(BOB, 3), window(4, kept.clone())), Flaw::WrongSlot);
    assert_eq!(flaw(slot(BOB, 16 + 3), window(3, kept)), Flaw::WrongSlot);
    assert_eq!(flaw(slot(BOB, 3), window(3, Kept::Whole(vec![9, 9]))), Flaw::Outcome);
    assert_eq!(flaw(slot(BOB, 3), window(3, Kept::of(&Outcome::Expired))), Flaw::Outcome);
}

#[test]
fn a_state_of_another_network_is_refused() {
    let state = World::new().checkpoint();
    let richer = bezant_types::Genesis::new(
        "other".into(),
        World::new().genesis.replicas().to_vec(),
        World::new().genesis.clients().to_vec(),
        vec![],
        parameters(),
    );
    let refused = Ledger::from_state(&richer.unwrap(), state).unwrap_err();
    assert!(refused.to_string().contains("belongs to another network"), "{refused}");
}

#[test]
fn a_key_hashes_alike_with_and_without_owning_it() {
    for length in [0, 1, 54, 55, 56, 64, 1000] {
        let bytes = vec![7; length];
        assert_eq!(Key::entry_digest(&bytes), Key::Entry(bytes.clone()).digest());
        assert_eq!(Key::entry_digest(&bytes), Digest::of("bezant/key", &Key::Entry(bytes)));
    }
    let key = Key::Window { client: ALICE.account(), slot: 7 };
    assert_eq!(key.digest(), Digest::of("bezant/key", &key));
    let item = Item::Balance(Amount::new(3));
    assert_eq!(item.digest(), Digest::of("bezant/item", &item));
}

#[test]
fn the_count_of_bytes_is_that_of_the_records() {
    let mut w = World::new();
    w.all(ALICE, vec![set("k", "v"), grant("k", BOB), transfer(BOB.account(), 3)]).unwrap();
    w.one(ALICE, set("big", &"x".repeat(4000))).unwrap();
    w.run(BOB, (0..20).map(|_| Transaction::single(get("big"))).collect());
    let state = w.checkpoint();
    let records: usize = state.records().map(|change| change.record.unwrap().len()).sum();
    assert_eq!(state.bytes(), records as u64);
    assert_eq!(state.height(), SequenceNumber::new(3));
}

#[test]
fn states_and_ledgers_that_differ_are_not_equal() {
    // Every test that compares states would pass if all states were equal.
    let mut w = World::new();
    w.one(ALICE, set("k", "v")).unwrap();
    let (state, ledger) = (w.checkpoint(), w.ledger.clone());
    assert_eq!((&state, &ledger), (&w.checkpoint(), &w.ledger));
    w.block(&[]);
    assert_ne!(w.checkpoint(), state, "the height is a part of the state");
    assert_ne!(w.ledger, ledger);
    w.ledger = ledger.clone();
    let request = w.request(ALICE, 2, vec![Transaction::single(set("k", "w"))]);
    let mut other = w.clone();
    let another = other.request(ALICE, 2, vec![Transaction::single(set("k", "x"))]);
    w.block(&[request]);
    other.block(&[another]);
    assert_ne!(w.checkpoint(), other.checkpoint(), "at one height");
    assert_ne!(w.ledger, other.ledger);
}
