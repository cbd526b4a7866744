//! Golden hashes of the frames that replicas and clients send, and of the files that hold proofs.
//!
//! Each is the SHA-256 of the bytes of fixed values, heads included. If one differs, then bytes that others send or
//! keep mean something else now: that is a decision about the format, to be made in a commit of its own, with the new
//! hash here and a new version in the head.

#![allow(clippy::unwrap_used, reason = "a test that meets something else shall fail")]

use bezant_ledger::transfer::{PieceId, PieceRequest, Wanted};
use bezant_ledger::{Key, Ledger};
use bezant_node::verify::EvidenceFile;
use bezant_node::wire::{
    ASK, Ask, CertifiedProof, EVIDENCE_FILE, PEER, PROOF_FILE, PeerFrame, PeerReport, StatusReport, TELL, Tell,
};
use bezant_node::wire::{Refusal, Unanswerable};
use bezant_pbft::certificate::Endorsed;
use bezant_pbft::evidence::{Evidence, Pair};
use bezant_pbft::message::{Checkpoint, Commit, Reply, Standing, Status};
use bezant_pbft::packet::Packet;
use bezant_types::codec::Format;
use bezant_types::genesis::{Parameters, ReplicaEntry};
use bezant_types::{
    AccountId, Bundle, Digest, Genesis, Operation, Outcome, ReplicaId, RequestNumber, SecretKey, SequenceNumber,
    Signable, Signed, Transaction, Verified, View,
};

fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32])
}

fn by_replica<M: Signable<Signer = ReplicaId>>(message: M) -> Signed<M> {
    Verified::sign(message, ReplicaId::new(1), &key(1), Digest::new([9; 32])).into_signed()
}

fn checkpoint() -> Endorsed<Checkpoint> {
    let vote = Checkpoint { sequence: SequenceNumber::new(64), root: Digest::new([7; 32]) };
    Endorsed { vote, signatures: vec![(ReplicaId::new(1), by_replica(vote).signature)] }
}

#[track_caller]
fn golden<T: borsh::BorshSerialize>(format: Format, values: &[T], expected: &str) {
    let bytes: Vec<u8> = values.iter().flat_map(|value| format.seal(value)).collect();
    let found = Digest::of_bytes(&bytes).to_string();
    assert_eq!(found, expected, "the format {format:?} has changed: that is a decision, see above");
}

#[test]
fn frames_between_replicas() {
    let status = Status {
        view: View::new(2),
        standing: Standing::Normal,
        stable: SequenceNumber::new(64),
        executed: SequenceNumber::new(70),
    };
    let frames = [
        PeerFrame::Packet(Packet::Status(by_replica(status))),
        PeerFrame::AskPiece(PieceRequest {
            id: PieceId::default(),
            wanted: Wanted::Header { root: Digest::new([7; 32]) },
        }),
    ];
    golden(PEER, &frames, "bd1ff8fcf4e69f8e3de4880be72037367c3edd3ad073169c84e1672b1dcf985b");
}

#[test]
fn questions_of_clients() {
    let bundle = Bundle { number: RequestNumber::new(5), transactions: vec![Transaction::single(Operation::Size)] };
    let account = key(3).account();
    let questions = [
        Ask::Submit(Verified::sign(bundle, account, &key(3), Digest::new([9; 32])).into_signed()),
        Ask::Prove { id: 1, key: Key::Entry(b"greeting".into()), at_least: SequenceNumber::new(2) },
        Ask::Root { id: 3, at_least: SequenceNumber::new(4) },
        Ask::Status { id: 5 },
    ];
    golden(ASK, &questions, "3acbe411110911238d45768fa9e833cd78a51d373648e32fe8df57da2eedc1e9");
}

#[test]
fn answers_to_clients() {
    let client = AccountId::new([3; 32]);
    let number = RequestNumber::new(5);
    let reply = Reply { client, number, view: View::new(1), outcome: Outcome::Executed(vec![]) };
    let peer = PeerReport {
        id: ReplicaId::new(2),
        address: "127.0.0.1:7403".into(),
        connected: true,
        queued_bytes: 1,
        dropped_frames: 2,
        last_error: Some("closed".into()),
        claim: Some((SequenceNumber::new(64), Digest::new([7; 32]))),
        diverged: false,
    };
    let report = StatusReport {
        view: View::new(1),
        standing: Standing::Recovering,
        primary: ReplicaId::new(1),
        executed: SequenceNumber::new(70),
        stable: Some(checkpoint()),
        waiting: 3,
        silent_until: Some(SequenceNumber::new(512)),
        fetching_state: true,
        entries: 4,
        state_bytes: 5,
        log_bytes: 6,
        accused: vec![ReplicaId::new(3)],
        uptime_s: 7,
        peers: vec![peer],
    };
    let answers = [
        Tell::Reply(by_replica(reply)),
        Tell::Refused { number, refusal: Refusal::Busy },
        Tell::Refused { number, refusal: Refusal::Bad("why".into()) },
        Tell::Root { id: 1, checkpoint: Some(checkpoint()) },
        Tell::Status { id: 2, report: Box::new(by_replica(report)) },
        Tell::Unanswerable { id: 3, reason: Unanswerable::KeyTooLong { limit: 1024 } },
    ];
    golden(TELL, &answers, "e023ec3ba1128d6736069b9b0c27cafb5ff6af687617a2ca21b0bf16a8e221a2");
}

#[test]
fn files_of_proofs() {
    let replicas = (0..4u8)
        .map(|i| ReplicaEntry { key: key(i).account(), address: format!("127.0.0.1:{}", 7401 + u16::from(i)) })
        .collect();
    let genesis = Genesis::new("golden".into(), replicas, vec![], vec![], Parameters::standard()).unwrap();
    let key = Key::Entry(b"greeting".into());
    let proof = Ledger::new(&genesis).checkpoint().prove(&key);
    golden(
        PROOF_FILE,
        &[CertifiedProof { checkpoint: checkpoint(), key, proof }],
        "dd2d022e98402c143ae8dd2a1d97e90dc9221393ca42cf005f38d2e5b33be01c",
    );
}

#[test]
fn files_of_evidence() {
    let commit = |batch| {
        let (view, sequence) = (View::new(1), SequenceNumber::new(5));
        by_replica(Commit { view, sequence, digest: Digest::new([batch; 32]) })
    };
    let evidence = Evidence::Commits(Pair { first: commit(1), second: commit(2) });
    let file = EvidenceFile { genesis: Digest::new([9; 32]), evidence };
    golden(EVIDENCE_FILE, &[file], "9711f7b2c90e8f4fb4b7f0c3d197167d64fb015010ca981a67aac75fe9efc74f");
}
