//! The formats of this crate, held by hashes: a change of one is a decision. And what decodes is canonical.
//!
//! A hash that differs means that bytes on the wire or on disk have changed. If that is meant, raise the version of
//! [`packet::FORMAT`] or [`record::FORMAT`] and write the new hash here.

use bezant_pbft::StoredBlock;
use bezant_pbft::certificate::{Endorsed, PreparedProof};
use bezant_pbft::evidence::{Clash, Evidence, Pair};
use bezant_pbft::message::{
    Batch, Checkpoint, Commit, Fetch, NewView, PrePrepare, Prepare, Reply, Standing, Status, ViewChange,
};
use bezant_pbft::packet::{self, Decided, Packet};
use bezant_pbft::record::{self, Bodies, Record};
use bezant_types::codec::{decode, encode};
use bezant_types::{
    Bundle, Digest, Operation, Outcome, ReplicaId, RequestNumber, SecretKey, SequenceNumber, Signable, Signed,
    Timestamp, Transaction, Verified, View,
};
use borsh::{BorshDeserialize, BorshSerialize};
use proptest::prelude::*;

const LIMIT: usize = 1 << 20;
const VIEW: View = View::new(3);
const SEQUENCE: SequenceNumber = SequenceNumber::new(7);

fn digest(seed: u8) -> Digest {
    Digest::new([seed; 32])
}

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn sign<M: Signable<Signer = ReplicaId>>(message: M, by: u16) -> Signed<M> {
    Verified::sign(message, ReplicaId::new(by), &key(by as u8), digest(0)).into_signed()
}

fn bundle() -> Signed<Bundle> {
    let bundle = Bundle { number: RequestNumber::new(5), transactions: vec![Transaction::single(Operation::Size)] };
    Verified::sign(bundle, key(9).account(), &key(9), digest(0)).into_signed()
}

fn requests() -> Batch {
    Batch::Requests { timestamp: Timestamp::new(1_000), requests: vec![digest(1), digest(2)] }
}

fn pre_prepare() -> PrePrepare {
    PrePrepare { view: VIEW, sequence: SEQUENCE, digest: digest(4) }
}

fn prepare() -> Prepare {
    Prepare { view: VIEW, sequence: SEQUENCE, digest: digest(4) }
}

fn commit() -> Commit {
    Commit { view: VIEW, sequence: SEQUENCE, digest: digest(4) }
}

fn checkpoint() -> Checkpoint {
    Checkpoint { sequence: SEQUENCE, root: digest(5) }
}

fn endorsed<M: Signable<Signer = ReplicaId> + Copy>(vote: M) -> Endorsed<M> {
    let signature = |by| (ReplicaId::new(by), sign(vote, by).signature);
    Endorsed { vote, signatures: [0, 1, 2].map(signature).to_vec() }
}

fn proof() -> PreparedProof {
    PreparedProof {
        view: VIEW,
        sequence: SEQUENCE,
        digest: digest(4),
        pre_prepare: sign(pre_prepare(), 3).signature,
        prepares: [0, 1].map(|by| (ReplicaId::new(by), sign(prepare(), by).signature)).to_vec(),
    }
}

fn view_change() -> ViewChange {
    ViewChange { view: VIEW.next(), checkpoint: Some(endorsed(checkpoint())), prepared: vec![proof()] }
}

fn new_view() -> NewView {
    let empty = ViewChange { view: VIEW.next(), checkpoint: None, prepared: vec![] };
    let view_changes = vec![sign(view_change(), 0), sign(empty, 1)];
    NewView { view: VIEW.next(), view_changes, proposals: vec![Batch::Null.digest(), digest(4)] }
}

fn status(standing: Standing) -> Status {
    Status { view: VIEW, standing, stable: SEQUENCE, executed: SEQUENCE.next() }
}

fn fetch() -> Fetch {
    Fetch { requests: vec![digest(1)], batches: vec![(SEQUENCE, digest(2))] }
}

fn reply() -> Reply {
    let outcome = Outcome::Executed(vec![Ok(vec![])]);
    Reply { client: key(9).account(), number: RequestNumber::new(5), view: VIEW, outcome }
}

fn decided() -> Decided {
    Decided { commits: endorsed(commit()), batch: requests() }
}

fn packets() -> Vec<Packet> {
    vec![
        Packet::PrePrepare(sign(pre_prepare(), 3), Some(requests())),
        Packet::PrePrepare(sign(pre_prepare(), 3), None),
        Packet::Prepare(sign(prepare(), 1)),
        Packet::Commit(sign(commit(), 1)),
        Packet::Checkpoint(sign(checkpoint(), 1)),
        Packet::ViewChange(sign(view_change(), 1)),
        Packet::NewView(sign(new_view(), 0)),
        Packet::Status(sign(status(Standing::Normal), 1)),
        Packet::Status(sign(status(Standing::ViewChanging), 1)),
        Packet::Status(sign(status(Standing::Recovering), 1)),
        Packet::Fetch(sign(fetch(), 1)),
        Packet::Requests(vec![bundle()]),
        Packet::Batch(SEQUENCE, Batch::Null),
        Packet::Batch(SEQUENCE, Batch::Seal { timestamp: Timestamp::new(9) }),
        Packet::Decided(decided()),
        Packet::Stable(endorsed(checkpoint())),
    ]
}

fn records() -> Vec<Record> {
    let bodies = Bodies { batch: requests(), requests: vec![bundle()] };
    vec![
        Record::Proposed(pre_prepare(), Some(bodies.clone())),
        Record::Accepted(sign(pre_prepare(), 3), None),
        Record::Bodies(SEQUENCE, bodies),
        Record::Prepared(proof()),
        Record::Checkpoint(checkpoint()),
        Record::ViewChange(view_change()),
        Record::NewView(new_view()),
        Record::Entered(sign(new_view(), 0)),
        Record::Stable(endorsed(checkpoint())),
        Record::LogLost,
        Record::SilentUntil(SEQUENCE),
    ]
}

fn evidence() -> Vec<Evidence> {
    fn pair<M: Signable<Signer = ReplicaId>>(a: M, b: M) -> Pair<M> {
        Pair { first: sign(a, 1), second: sign(b, 1) }
    }
    fn clash<M: Signable<Signer = ReplicaId>, N: Signable<Signer = ReplicaId>>(a: M, b: N) -> Clash<M, N> {
        Clash { first: sign(a, 1), second: sign(b, 1) }
    }
    vec![
        Evidence::PrePrepares(pair(pre_prepare(), PrePrepare { digest: digest(8), ..pre_prepare() })),
        Evidence::Prepares(pair(prepare(), Prepare { digest: digest(8), ..prepare() })),
        Evidence::Commits(pair(commit(), Commit { digest: digest(8), ..commit() })),
        Evidence::Checkpoints(pair(checkpoint(), Checkpoint { root: digest(8), ..checkpoint() })),
        Evidence::ViewChanges(pair(view_change(), ViewChange { prepared: vec![], ..view_change() })),
        Evidence::NewViews(pair(new_view(), NewView { proposals: vec![], ..new_view() })),
        Evidence::PrePrepareAndCommit(clash(pre_prepare(), Commit { digest: digest(8), ..commit() })),
        Evidence::PrepareAndCommit(clash(prepare(), Commit { digest: digest(8), ..commit() })),
        Evidence::Amnesia(clash(commit(), ViewChange { checkpoint: None, prepared: vec![], ..view_change() })),
    ]
}

fn stored_block() -> StoredBlock {
    StoredBlock { commits: endorsed(commit()), batch: requests(), requests: vec![bundle()] }
}

/// Everything that is encoded, each with a name.
fn everything() -> Vec<(String, Vec<u8>)> {
    let named = |kind: &str, all: Vec<Vec<u8>>| {
        all.into_iter().enumerate().map(|(index, bytes)| (format!("{kind} {index}"), bytes)).collect::<Vec<_>>()
    };
    [
        named("packet", packets().iter().map(Packet::encode).collect()),
        named("record", records().iter().map(|record| record::FORMAT.seal(record)).collect()),
        named("evidence", evidence().iter().map(encode).collect()),
        named("block", vec![encode(&stored_block())]),
        named("reply", vec![encode(&sign(reply(), 1))]),
    ]
    .concat()
}

#[test]
fn the_formats_are_what_they_were() {
    let found: Vec<String> = everything()
        .iter()
        .map(|(name, bytes)| format!("{name}: {}", &Digest::of_bytes(bytes).to_string()[..16]))
        .collect();
    assert_eq!(found, GOLDEN, "see the head of this file\n{found:#?}");
}

fn canonical<T: BorshSerialize + BorshDeserialize + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = encode(value);
    assert_eq!(decode::<T>(&bytes, LIMIT).as_ref(), Ok(value), "decode after encode changes nothing");
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(decode::<T>(&longer, LIMIT).is_err(), "a byte too many");
    assert!(decode::<T>(&bytes[..bytes.len() - 1], LIMIT).is_err(), "a byte too few");
}

/// Hazard 9: one value, one encoding.
#[test]
fn what_is_encoded_decodes_to_itself_and_nothing_else_does() {
    packets().iter().for_each(canonical);
    records().iter().for_each(canonical);
    evidence().iter().for_each(canonical);
    canonical(&stored_block());
    canonical(&sign(reply(), 1));
}

/// Every kind of evidence in this file contradicts itself but is signed under keys of the right network: it convicts.
#[test]
fn each_kind_of_evidence_convicts_its_signer_and_only_by_contradiction() {
    let keyring = bezant_types::Keyring::new(digest(0), (0..4).map(|seed| key(seed).account()), []).unwrap();
    for one in evidence() {
        assert_eq!(one.verify(&keyring), Ok(ReplicaId::new(1)), "{one:?}");
    }
    let good = sign(commit(), 1);
    let pair = |second| Evidence::Commits(Pair { first: good.clone(), second });
    let other = Commit { digest: digest(8), ..commit() };
    assert!(pair(good.clone()).verify(&keyring).is_err(), "the same twice");
    assert!(pair(sign(other, 2)).verify(&keyring).is_err(), "two members");
    assert!(pair(sign(Commit { sequence: SEQUENCE.next(), ..other }, 1)).verify(&keyring).is_err(), "two slots");
    assert!(pair(sign(Commit { view: VIEW.next(), ..other }, 1)).verify(&keyring).is_err(), "two views");
    assert!(pair(Signed { signature: good.signature, ..sign(other, 1) }).verify(&keyring).is_err(), "forged");
    let elsewhere = bezant_types::Keyring::new(digest(1), (0..4).map(|seed| key(seed).account()), []).unwrap();
    assert!(pair(sign(other, 1)).verify(&elsewhere).is_err(), "another network");
}

fn survives<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) {
    if let Ok(value) = decode::<T>(bytes, LIMIT) {
        assert_eq!(encode(&value), bytes, "what decodes re-encodes to the same bytes");
    }
}

fn all_survive(bytes: &[u8]) {
    survives::<Packet>(bytes);
    survives::<Record>(bytes);
    survives::<Evidence>(bytes);
    survives::<StoredBlock>(bytes);
    survives::<Signed<Reply>>(bytes);
    let _ = packet::FORMAT.open::<Packet>(bytes, LIMIT);
    let _ = record::FORMAT.open::<Record>(bytes, LIMIT);
}

proptest! {
    /// Hazard 27: no bytes make decoding panic.
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        all_survive(&bytes);
    }

    /// Hazards 9 and 27: nor do damaged ones, and what still decodes is canonical.
    #[test]
    fn damaged_bytes_never_panic(
        which in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        new: u8,
        cut: bool,
    ) {
        let everything = everything();
        let (_, mut bytes) = everything[which.index(everything.len())].clone();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] = new }
        all_survive(&bytes);
        if bytes.len() > 6 {
            all_survive(&bytes[6..]);
        }
    }
}

/// Hazard 27: a length prefix alone allocates nothing; a packet larger than its limit is not read at all.
#[test]
fn a_length_prefix_of_four_gigabytes_is_refused() {
    for tag in 0..=12u8 {
        let mut bytes = packet::FORMAT.head().to_vec();
        bytes.push(tag);
        bytes.extend([0xff; 64]);
        assert!(packet::FORMAT.open::<Packet>(&bytes, LIMIT).is_err());
    }
    let large = Packet::Requests(vec![bundle(); 100]).encode();
    assert!(packet::FORMAT.open::<Packet>(&large, large.len() - 1).is_err());
    assert!(packet::FORMAT.open::<Packet>(&large, large.len()).is_ok());
}

const GOLDEN: [&str; 38] = [
    "packet 0: b0bcd77d265edb3c",
    "packet 1: b3b5fe61967e8d7c",
    "packet 2: 9c516fe4c42bc36b",
    "packet 3: eca758ccf8ba1add",
    "packet 4: 5572d7398b8fbf9d",
    "packet 5: c7a89fd5cdad9d12",
    "packet 6: b8fa8c500cf4b74d",
    "packet 7: 5e2f3dafd1ac1474",
    "packet 8: ad612a989bc85715",
    "packet 9: b2292b3348000808",
    "packet 10: ab417f537cc060de",
    "packet 11: 760e79d63305a279",
    "packet 12: 470773712bcc203a",
    "packet 13: cff3a78903463add",
    "packet 14: 3b2dfee98f5cb56e",
    "packet 15: 32d1e043cc64bdac",
    "record 0: ace1cbf7aef2bf29",
    "record 1: d4eb11aa094c0f26",
    "record 2: f0166efaf5de2d3d",
    "record 3: e5977ee7ddf4e113",
    "record 4: d7d83bd0dc09eb20",
    "record 5: 5772578bfc80a2a1",
    "record 6: 38a3cabcdab3d072",
    "record 7: 09fc8f032ed137e8",
    "record 8: 71d38627044e555c",
    "record 9: 8f3f46bb974bc6df",
    "record 10: 897d78ec392081e8",
    "evidence 0: 2f65d55667ef5ad3",
    "evidence 1: da42f1b104bcf372",
    "evidence 2: 760c2af0be235f38",
    "evidence 3: 9b3eb01f3cbfa288",
    "evidence 4: 75111f9e97f93cb3",
    "evidence 5: 366dc5b7793b528d",
    "evidence 6: 59d3f34845df9a04",
    "evidence 7: bd036d486f2896a2",
    "evidence 8: 2b35277b04570b04",
    "block 0: 7868efd2504a23c0",
    "reply 0: ddb3312e2990ab55",
];
