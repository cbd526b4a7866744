//! Golden hashes of everything that this crate puts on disks, on wires, or under signatures; and that nothing else
//! decodes.
//!
//! Each is the SHA-256 of the canonical bytes of fixed values. If one differs, then bytes that others have written or
//! signed mean something else now: that is a decision about the format, to be made in a commit of its own, with the new
//! hash here and a new version wherever the format carries one.

#![allow(clippy::unwrap_used, reason = "a test that meets something else shall fail")]

use bezant_types::codec::{Format, decode, encode, encoded_len};
use bezant_types::genesis::{ClientEntry, Genesis, Grant, Parameters, ReplicaEntry};
use bezant_types::keys::Role;
use bezant_types::signed::signing_digest;
use bezant_types::transaction::{Answer, Condition, Refusal, Refused, SetAnswer};
use bezant_types::{
    AccountId, Amount, Bundle, Committee, Digest, Operation, Outcome, ReplicaId, RequestNumber, SecretKey,
    SequenceNumber, Signature, Signed, Timestamp, Transaction, Verified, View,
};
use borsh::{BorshDeserialize, BorshSerialize};
use proptest::prelude::*;

#[track_caller]
fn golden<T: BorshSerialize>(what: &str, values: &[T], expected: &str) {
    let bytes: Vec<u8> = values.iter().flat_map(encode).collect();
    let found = Digest::of_bytes(&bytes).to_string();
    assert_eq!(found, expected, "the encoding of {what} has changed: that is a decision about the format, see above");
}

fn account(i: u8) -> AccountId {
    AccountId::new([i; 32])
}

fn key() -> SecretKey {
    SecretKey::from_seed([7; 32])
}

fn operations() -> Vec<Operation> {
    let key = || b"key".to_vec();
    let set = |condition, answer| Operation::Set { key: key(), value: b"value".to_vec(), condition, answer };
    vec![
        Operation::Get { key: key() },
        set(Condition::Always, SetAnswer::Written),
        set(Condition::IfAbsent, SetAnswer::Previous),
        set(Condition::IfPresent, SetAnswer::Written),
        Operation::Delete { key: key() },
        Operation::Take { key: key() },
        Operation::Exists { key: key() },
        Operation::Length { key: key() },
        Operation::Append { key: key(), suffix: vec![1, 2] },
        Operation::Add { key: key(), delta: -2 },
        Operation::Transfer { to: account(1), amount: Amount::new(3) },
        Operation::Balance { account: account(2) },
        Operation::Owner { key: key() },
        Operation::Grant { key: key(), to: account(3) },
        Operation::Revoke { key: key(), from: account(4) },
        Operation::Size,
        Operation::Height,
    ]
}

fn bundle() -> Bundle {
    let transactions =
        vec![Transaction { fee: Amount::new(5), operations: operations() }, Transaction::single(Operation::Size)];
    Bundle { number: RequestNumber::new(0x0102_0304), transactions }
}

fn answers() -> Vec<Answer> {
    vec![
        Answer::Done,
        Answer::NotDone,
        Answer::Value(None),
        Answer::Value(Some(b"value".into())),
        Answer::Integer(-3),
        Answer::Flag(true),
        Answer::Balance(Amount::new(4)),
        Answer::Owner(Some(account(5))),
        Answer::Height(SequenceNumber::new(6)),
    ]
}

fn refusals() -> Vec<Refusal> {
    vec![
        Refusal::ReadOnly,
        Refusal::KeyTooLong { found: 1, limit: 2 },
        Refusal::ValueTooLong { found: 3, limit: 4 },
        Refusal::StateFull { limit: 5 },
        Refusal::AnswerTooLarge { limit: 6 },
        Refusal::NotYours { owner: account(7) },
        Refusal::NotOwner { owner: account(8) },
        Refusal::NoSuchEntry,
        Refusal::TooManyGrants { limit: 9 },
        Refusal::NotAnInteger,
        Refusal::IntegerOverflow,
        Refusal::Overdraft { balance: Amount::new(10), needed: Amount::new(11) },
        Refusal::AmountOverflow,
        Refusal::ReservedAccount,
    ]
}

fn outcomes() -> Vec<Outcome> {
    let refused = refusals().into_iter().map(|reason| Err(Refused { operation: 12, reason }));
    vec![
        Outcome::Executed([Ok(answers())].into_iter().chain(refused).collect()),
        Outcome::Expired,
        Outcome::NumberReused,
        Outcome::NotKept { outcome: Digest::new([13; 32]) },
    ]
}

fn genesis() -> Genesis {
    let of = |i| SecretKey::from_seed([i; 32]).account();
    let replica = |i: u8| ReplicaEntry { key: of(i), address: format!("10.0.0.{i}:7401") };
    let client = |name: &str, i, role| ClientEntry { name: name.into(), key: of(i), role };
    // Every parameter is spelt out: a new default is no new format.
    let parameters = Parameters {
        checkpoint_interval: 128,
        window: 512,
        pipeline: 8,
        max_batch_requests: 1024,
        max_batch_bytes: 4 << 20,
        max_bundle_bytes: 4 << 20,
        max_bundle_operations: 8192,
        max_key_bytes: 1 << 10,
        max_value_bytes: 1 << 20,
        max_reply_bytes: 4 << 20,
        max_state_bytes: 4 << 30,
        client_window: 256,
        max_clock_skew_ms: 60_000,
        request_timeout_ms: 2_000,
        max_view_change_timeout_ms: 60_000,
        seal_after_ms: 250,
        status_interval_ms: 500,
    };
    let clients = vec![client("a", 11, Role::Read), client("b", 12, Role::Write), client("c", 13, Role::Admin)];
    let balances = vec![Grant { account: of(12), amount: Amount::new(100) }];
    Genesis::new("golden".into(), (1..=4).map(replica).collect(), clients, balances, parameters).unwrap()
}

#[test]
fn quantities_are_encoded_as_ever() {
    golden(
        "View",
        &[View::new(0x0102_0304_0506_0708)],
        "380b980886b7a3e726b5c2776160d7842b8f139eaea1e6acf7442cdf890e6287",
    );
    golden(
        "SequenceNumber",
        &[SequenceNumber::new(0x0102_0304_0506_0708)],
        "380b980886b7a3e726b5c2776160d7842b8f139eaea1e6acf7442cdf890e6287",
    );
    golden(
        "RequestNumber",
        &[RequestNumber::new(0x0102_0304_0506_0708)],
        "380b980886b7a3e726b5c2776160d7842b8f139eaea1e6acf7442cdf890e6287",
    );
    golden(
        "Timestamp",
        &[Timestamp::new(0x0102_0304_0506_0708)],
        "380b980886b7a3e726b5c2776160d7842b8f139eaea1e6acf7442cdf890e6287",
    );
    golden(
        "Amount",
        &[Amount::new(0x0102_0304_0506_0708)],
        "380b980886b7a3e726b5c2776160d7842b8f139eaea1e6acf7442cdf890e6287",
    );
    golden("ReplicaId", &[ReplicaId::new(0x0102)], "25dfd29c09617dcc9852281c030e5b3037a338a4712a42a21c907f259c6412a0");
    golden(
        "AccountId",
        &[account(9), AccountId::FEES],
        "17cb7b8e2b14d985d39e2db5a7e635b9d0c8e79c21b0a669a39a483469fb1b2e",
    );
    golden("Digest", &[Digest::new([9; 32])], "8c0cc17a04942cc4f8e0fe0b302606d3108860c126428ba2ceeb5f9ed41c2b05");
    golden("Signature", &[Signature::new([9; 64])], "aa725e51a9d8e9a8abe3cefa68561d19a4b06c6f1526e46e3a55a23aef753c73");
    golden(
        "Committee",
        &[Committee::new(4).unwrap(), Committee::new(100).unwrap()],
        "7a9879c22b20369db735ec5aee61cf19086480a815a95b5ed4b79b508c4da344",
    );
    golden(
        "Role",
        &[Role::Read, Role::Write, Role::Admin],
        "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc",
    );
}

#[test]
fn requests_are_encoded_and_signed_as_ever() {
    golden("Operation", &operations(), "ecaa7a8028debccfba4d15056c73ecdb23d945b504433c16dc826452f6807524");
    golden("Bundle", &[bundle()], "99f7aac916b9d0a2528407071b159278f6db8f60cc2ccdc78d330e191c0827c4");
    let genesis = Digest::new([1; 32]);
    golden(
        "what a client signs",
        &[signing_digest(genesis, key().account(), &bundle())],
        "ea112eb4c9cca5c456821122b337e90316433032b625635ff3f282b05467c9f2",
    );
    // Ed25519 signatures are deterministic (RFC 8032), so the signature is part of the format.
    let signed = Verified::sign(bundle(), key().account(), &key(), genesis);
    golden("Signed<Bundle>", &[signed.as_signed()], "81e7ce9d96efa719715b30eaef32ad9aa7f4007419ad995281505b7c362e56e2");
}

#[test]
fn outcomes_are_encoded_as_ever() {
    golden("Answer", &answers(), "7d90a580717b1f2a3c73eea3431d753ba01645e94818df2cbb6a2bc2f64b3dc6");
    golden("Refusal", &refusals(), "7bd028f7e56e8525657ce0aa28930ebb876ffb62bc69cd1aa83c31e8f19efd37");
    golden("Outcome", &outcomes(), "7dff9e474dfcb4e3d2365a6ae04abc6836af693758b8a1df223ffebcad711ed3");
    golden(
        "the digest of an outcome",
        &outcomes().iter().map(Outcome::digest).collect::<Vec<_>>(),
        "bd80c485621a21b32ac18a1299cbce4f8503ed3d2e97e2b1998fe0d22b11579e",
    );
}

#[test]
fn a_genesis_is_encoded_as_ever() {
    golden("Parameters", &[genesis().parameters()], "71c257d674603a54b45da8b919586c604e79f5dd2e71fe11bf9c0fc23689f9ce");
    golden("ReplicaEntry", genesis().replicas(), "77850f96521b28b6f5cefcaa7817baaa1461f3ae5dd6a8ad79e59ecfa1b5cffc");
    golden("ClientEntry", genesis().clients(), "87b3285f61039f28a2ef4b5a7b07de7dffe937ebc278d06bec3304e2d811ff91");
    golden("Grant", genesis().balances(), "1e1a1bdd32751003ac404a11ead8d2588d802c7afbc94d72dfc70b4727947d30");
    golden("Genesis", &[genesis()], "20aea77513cb1bfff4f3aad46cfdee03a61c7c4b9b83cfe798dc735e604c70ec");
    golden(
        "the identity of a network",
        &[genesis().digest()],
        "9ad13e2a95cbba7a1eaac8d4539214e410a3fcb3e2e31698764e71ad2475cbb5",
    );
}

#[test]
fn a_sealed_value_has_its_head_as_ever() {
    let format = Format { magic: *b"GOLD", version: 0x0102 };
    assert_eq!(format.seal(&7u16), [b'G', b'O', b'L', b'D', 2, 1, 7, 0]);
}

fn arbitrary_operation() -> impl Strategy<Value = Operation> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..20);
    let who = || any::<[u8; 32]>().prop_map(AccountId::new);
    let condition = prop_oneof![Just(Condition::Always), Just(Condition::IfAbsent), Just(Condition::IfPresent)];
    let answer = prop_oneof![Just(SetAnswer::Written), Just(SetAnswer::Previous)];
    prop_oneof![
        proptest::sample::select(operations()),
        bytes().prop_map(|key| Operation::Get { key }),
        (bytes(), bytes(), condition, answer).prop_map(|(key, value, condition, answer)| Operation::Set {
            key,
            value,
            condition,
            answer
        }),
        (bytes(), bytes()).prop_map(|(key, suffix)| Operation::Append { key, suffix }),
        (bytes(), any::<i64>()).prop_map(|(key, delta)| Operation::Add { key, delta }),
        (who(), any::<u64>()).prop_map(|(to, amount)| Operation::Transfer { to, amount: Amount::new(amount) }),
        (bytes(), who()).prop_map(|(key, to)| Operation::Grant { key, to }),
    ]
}

fn arbitrary_bundle() -> impl Strategy<Value = Bundle> {
    let transaction = (any::<u64>(), proptest::collection::vec(arbitrary_operation(), 0..6))
        .prop_map(|(fee, operations)| Transaction { fee: Amount::new(fee), operations });
    (any::<u64>(), proptest::collection::vec(transaction, 0..6))
        .prop_map(|(number, transactions)| Bundle { number: RequestNumber::new(number), transactions })
}

fn arbitrary_outcome() -> impl Strategy<Value = Outcome> {
    let answers = proptest::collection::vec(proptest::sample::select(answers()), 0..8).prop_map(Ok);
    let refused = (any::<u32>(), proptest::sample::select(refusals()))
        .prop_map(|(operation, reason)| Err(Refused { operation, reason }));
    prop_oneof![
        proptest::collection::vec(prop_oneof![answers, refused], 0..8).prop_map(Outcome::Executed),
        proptest::sample::select(outcomes()),
    ]
}

/// What decodes is the one encoding of what it decodes to.
fn is_canonical<T: BorshSerialize + BorshDeserialize>(bytes: &[u8]) -> bool {
    decode::<T>(bytes, 1 << 20).map_or(true, |value| encode(&value) == bytes)
}

fn all_are_canonical(bytes: &[u8]) -> bool {
    is_canonical::<Signed<Bundle>>(bytes)
        && is_canonical::<Bundle>(bytes)
        && is_canonical::<Operation>(bytes)
        && is_canonical::<Outcome>(bytes)
        && is_canonical::<Refused>(bytes)
        && is_canonical::<Answer>(bytes)
        && is_canonical::<Parameters>(bytes)
        && is_canonical::<ReplicaEntry>(bytes)
        && is_canonical::<ClientEntry>(bytes)
}

proptest! {
    #[test]
    fn requests_and_outcomes_read_back_as_they_were_written(
        bundle in arbitrary_bundle(), outcome in arbitrary_outcome()
    ) {
        let limit = 1 << 20;
        let (bundle_bytes, outcome_bytes) = (encode(&bundle), encode(&outcome));
        prop_assert_eq!(encoded_len(&bundle), bundle_bytes.len());
        prop_assert_eq!(decode::<Bundle>(&bundle_bytes, limit), Ok(bundle.clone()));
        prop_assert_eq!(decode::<Outcome>(&outcome_bytes, limit), Ok(outcome));
        let signer = account(1);
        let signed = Signed { signer, message: bundle, signature: Signature::new([2; 64]) };
        prop_assert_eq!(decode::<Signed<Bundle>>(&encode(&signed), limit), Ok(signed));
    }

    #[test]
    fn random_bytes_never_panic_and_have_one_meaning_at_most(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(all_are_canonical(&bytes));
    }

    #[test]
    fn damaged_bytes_never_panic_and_have_one_meaning_at_most(
        bundle in arbitrary_bundle(), outcome in arbitrary_outcome(),
        place in any::<usize>(), flip in 1u8.., cut in any::<bool>()
    ) {
        for mut bytes in [encode(&bundle), encode(&outcome)] {
            let place = place % bytes.len();
            bytes[place] ^= flip;
            if cut {
                bytes.truncate(place + 1);
            }
            prop_assert!(all_are_canonical(&bytes));
        }
    }

    #[test]
    fn a_value_has_no_second_encoding(bundle in arbitrary_bundle(), extra in any::<u8>()) {
        let mut bytes = encode(&bundle);
        bytes.push(extra);
        prop_assert!(decode::<Bundle>(&bytes, 1 << 20).is_err());
        bytes.truncate(bytes.len() - 2);
        prop_assert!(decode::<Bundle>(&bytes, 1 << 20).is_err());
    }
}
