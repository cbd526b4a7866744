//! Proofs, checkpoints, and the files that hold them.

use bezant_ledger::{Item, Key};
use bezant_pbft::certificate::{Endorsed, NotACertificate};
use bezant_pbft::message::{Checkpoint, Commit};
use bezant_types::codec::{DecodeError, decode, encode};
use bezant_types::signed::Unverified;
use bezant_types::{Amount, View};

use super::super::fixture::*;
use super::super::*;
use crate::wire::{CertifiedProof, PROOF_FILE};

fn proven(key: Key) -> CertifiedProof {
    let genesis = genesis();
    let (_, states) = history(&genesis, 3);
    prove(&genesis, &states[3], key)
}

fn good() -> CertifiedProof {
    proven(entry("key-1"))
}

#[test]
fn a_proof_of_what_is_there_shows_value_and_owner() {
    let finding = verify_proof(&genesis(), &good()).unwrap();
    assert_eq!(finding.certificate.vote().sequence, at(3));
    let Some(Item::Entry { owner, value, .. }) = &finding.item else { panic!("{finding:?}") };
    assert_eq!((*owner, value.as_slice()), (account(ALICE), b"value-1".as_slice()));
}

#[test]
fn a_proof_of_absence_shows_that_nothing_is_there() {
    assert_eq!(verify_proof(&genesis(), &proven(entry("nothing"))).unwrap().item, None);
    assert_eq!(verify_proof(&genesis(), &proven(Key::Account(account(9)))).unwrap().item, None);
}

#[test]
fn a_proof_of_a_balance_shows_the_balance() {
    let finding = verify_proof(&genesis(), &proven(Key::Account(account(BOB)))).unwrap();
    assert_eq!(finding.item, Some(Item::Balance(Amount::new(1_000))));
}

#[test]
fn no_bit_of_a_proof_can_be_changed() {
    let genesis = genesis();
    let bytes = encode(&good());
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[place] ^= 1 << bit;
            let Ok(proof) = decode::<CertifiedProof>(&changed, changed.len()) else { continue };
            if let Ok(finding) = verify_proof(&genesis, &proof) {
                panic!("byte {place}, bit {bit}: {finding:?}");
            }
        }
    }
}

#[test]
fn a_proof_of_one_key_is_none_of_another() {
    let proof = CertifiedProof { key: entry("key-2"), ..good() };
    assert!(matches!(verify_proof(&genesis(), &proof), Err(NotProven::Proof(_))));
    let account = CertifiedProof { key: Key::Account(account(ALICE)), ..good() };
    assert!(matches!(verify_proof(&genesis(), &account), Err(NotProven::Proof(_))));
}

#[test]
fn a_proof_under_another_heights_certificate_is_refused() {
    let genesis = genesis();
    let (_, states) = history(&genesis, 3);
    let earlier = CertifiedProof { checkpoint: certify(&genesis, &states[2]), ..good() };
    assert!(matches!(verify_proof(&genesis, &earlier), Err(NotProven::Proof(_))));
    // A quorum that signs the right root for the wrong height is not to be believed about either.
    let vote = Checkpoint { sequence: at(7), root: states[3].root() };
    let mislabelled = CertifiedProof { checkpoint: endorse(&genesis, vote, &[0, 1, 2]), ..good() };
    let refusal = verify_proof(&genesis, &mislabelled).unwrap_err();
    assert_eq!(refusal, NotProven::Height { header: at(3), checkpoint: at(7) });
}

#[test]
fn a_proof_of_another_network_is_refused() {
    let refusal = verify_proof(&other_genesis(), &good()).unwrap_err();
    assert_eq!(refusal, NotProven::Checkpoint(NotACertificate::Signature(Unverified::BadSignature)));
}

#[test]
fn a_checkpoint_needs_exactly_a_quorum_of_distinct_members() {
    let genesis = genesis();
    let vote = Checkpoint { sequence: at(8), root: digest(1) };
    let by = |signers: &[u16]| endorse(&genesis, vote, signers);
    verify_checkpoint(&genesis, by(&[0, 1, 3])).unwrap();
    let count = |found| Err(NotACertificate::Count { found, expected: 3 });
    assert_eq!(verify_checkpoint(&genesis, by(&[0, 1])), count(2));
    assert_eq!(verify_checkpoint(&genesis, by(&[0, 1, 2, 3])), count(4));
    assert_eq!(verify_checkpoint(&genesis, by(&[0, 1, 1])), Err(NotACertificate::Order));
    assert_eq!(verify_checkpoint(&genesis, by(&[1, 0, 2])), Err(NotACertificate::Order));
    let stranger = verify_checkpoint(&genesis, by(&[0, 1, 4]));
    assert_eq!(stranger, Err(NotACertificate::Signature(Unverified::UnknownSigner)));
}

#[test]
fn a_checkpoint_of_other_content_or_kind_is_refused() {
    let genesis = genesis();
    let vote = Checkpoint { sequence: at(8), root: digest(1) };
    let bad = Err(NotACertificate::Signature(Unverified::BadSignature));
    let signatures = endorse(&genesis, vote, &[0, 1, 2]).signatures;
    let with = |vote| Endorsed { vote, signatures: signatures.clone() };
    assert_eq!(verify_checkpoint(&genesis, with(Checkpoint { sequence: at(9), ..vote })), bad);
    assert_eq!(verify_checkpoint(&genesis, with(Checkpoint { root: digest(2), ..vote })), bad);
    let commit = Commit { view: View::ZERO, sequence: at(8), digest: digest(1) };
    let disguised = Endorsed { vote, signatures: endorse(&genesis, commit, &[0, 1, 2]).signatures };
    assert_eq!(verify_checkpoint(&genesis, disguised), bad, "commits are no checkpoints");
}

#[test]
fn a_proof_file_is_read_as_bytes_and_as_digits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("proof");
    ProofFile::write(&path, &good()).unwrap();
    assert_eq!(ProofFile::read(&path).unwrap(), good());
    std::fs::write(&path, format!("{}\n", hex::encode(ProofFile::encode(&good())))).unwrap();
    assert_eq!(ProofFile::read(&path).unwrap(), good());
}

#[test]
fn what_is_no_proof_file_is_refused_by_name() {
    assert_eq!(ProofFile::decode(b""), Err(DecodeError::Malformed));
    assert_eq!(ProofFile::decode(b"abc"), Err(DecodeError::Malformed), "an odd number of digits");
    let refused = ProofFile::decode(b"not a proof, but text");
    assert!(matches!(refused, Err(DecodeError::WrongMagic { .. })));
    let mut newer = ProofFile::encode(&good());
    newer[4] = 9;
    assert_eq!(ProofFile::decode(&newer), Err(DecodeError::WrongVersion { found: 9, expected: PROOF_FILE.version }));
    let mut longer = ProofFile::encode(&good());
    longer.push(0);
    assert_eq!(ProofFile::decode(&longer), Err(DecodeError::Malformed));
    let huge = vec![b'0'; 2 * ProofFile::MAX_BYTES + 2];
    assert!(matches!(ProofFile::decode(&huge), Err(DecodeError::TooLarge { .. })));
    let missing = ProofFile::read(std::path::Path::new("/nowhere/proof")).unwrap_err();
    assert!(missing.to_string().starts_with("/nowhere/proof: reading failed"), "{missing}");
}

#[test]
fn the_facts_of_a_finding_are_readable() {
    let facts = verify_proof(&genesis(), &good()).unwrap().facts();
    let json = serde_json::to_value(&facts).unwrap();
    assert_eq!(json["subject"]["kind"], "entry");
    assert_eq!(json["subject"]["key"], "key-1");
    assert_eq!(json["holds"]["value"], "value-1");
    assert_eq!(json["holds"]["owner"], account(ALICE).to_string());
    assert_eq!(json["sequence"], 3);
    assert_eq!(json["signers"], serde_json::json!([0, 1, 2]));
    let absent = serde_json::to_value(verify_proof(&genesis(), &proven(entry("no"))).unwrap().facts()).unwrap();
    assert!(absent.get("holds").is_none());
}
