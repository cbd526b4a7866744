//! Whole homes: true ones, and each way in which one can be false.

use std::path::Path;

use bezant_host::saved::{BLOCK, SavedState, identity};
use bezant_ledger::State;
use bezant_pbft::message::{Batch, Checkpoint};
use bezant_pbft::{StoredBlock, certificate::CheckpointCertificate};
use bezant_store::{BlockStore, Home, Place, StateStore};
use bezant_types::{Genesis, Timestamp};

use super::super::fixture::*;
use super::super::*;

/// A home that is being made.
struct Made {
    directory: tempfile::TempDir,
    genesis: Genesis,
    owner: u8,
}

impl Made {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), genesis: genesis(), owner: 2 }
    }

    fn path(&self) -> std::path::PathBuf {
        self.directory.path().join("home")
    }

    fn home(&self) -> Home {
        if self.path().exists() { Home::open(&self.path()).unwrap() } else { Home::create(&self.path()).unwrap() }
    }

    fn identity(&self) -> bezant_types::Digest {
        identity(self.genesis.digest(), account(self.owner))
    }

    /// Keeps blocks, from the number of the first on.
    fn keep(&self, first: u64, blocks: &[StoredBlock]) -> &Self {
        let mut store = BlockStore::open(self.home().blocks_disk().unwrap(), self.identity()).unwrap();
        store.begin_at(at(first)).unwrap();
        for (block, sequence) in blocks.iter().zip(first..) {
            store.append(at(sequence), &BLOCK.seal(block)).unwrap();
        }
        store.sync().unwrap();
        self
    }

    /// Saves a state under a certificate.
    fn save(&self, state: &State) -> &Self {
        self.save_as(state, &SavedState { header: state.header(), certificate: certify(&self.genesis, state) })
    }

    fn save_as(&self, state: &State, saved: &SavedState) -> &Self {
        let store = StateStore::open(&self.home().paths().state(), self.identity()).unwrap();
        let entries = state.records().map(|change| (*change.key_hash.as_bytes(), change.record.unwrap()));
        store.replace(entries, &saved.encode()).unwrap();
        self
    }

    fn verify(&self) -> Report {
        verify_home_of(&self.genesis, &self.path()).unwrap()
    }
}

fn spans(spans: &[Span]) -> Vec<(u64, u64)> {
    spans.iter().map(|span| (span.first, span.last)).collect()
}

fn kinds(report: &Report) -> Vec<(ProblemKind, Option<u64>)> {
    report.problems.iter().map(|problem| (problem.kind, problem.block)).collect()
}

#[test]
fn a_whole_history_is_executed_again_and_agrees_with_the_saved_state() {
    let made = Made::new();
    let (blocks, states) = history(&made.genesis, 9);
    made.keep(1, &blocks).save(&states[6]);
    let report = made.verify();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(report.replica, Some(2));
    assert_eq!((report.blocks.kept, report.blocks.sound), (9, 9));
    assert_eq!((spans(&report.blocks.runs), report.blocks.gaps.len()), (vec![(1, 9)], 0));
    assert_eq!((report.blocks.requests, report.blocks.transactions), (9, 9));
    assert_eq!(spans(&report.execution.executed), [(1, 9)]);
    assert_eq!(report.execution.end, Some(Root { sequence: 9, root: states[9].root().to_string() }));
    assert_eq!(report.execution.confirmed, [Root { sequence: 6, root: states[6].root().to_string() }]);
    let state = report.state.unwrap();
    assert_eq!((state.reached_from_genesis, state.root.sequence, state.entries), (Some(true), 6, 3));
}

#[test]
fn a_home_after_a_state_transfer_is_executed_from_the_saved_state_on() {
    let made = Made::new();
    let (blocks, states) = history(&made.genesis, 12);
    made.keep(1, &blocks[..3]).keep(8, &blocks[7..]).save(&states[7]);
    let report = made.verify();
    assert!(report.is_sound(), "{:?}", report.problems);
    assert_eq!(spans(&report.blocks.runs), [(1, 3), (8, 12)]);
    assert_eq!(spans(&report.blocks.gaps), [(4, 7)]);
    assert_eq!(spans(&report.execution.executed), [(1, 3), (8, 12)]);
    assert_eq!(report.execution.end, Some(Root { sequence: 12, root: states[12].root().to_string() }));
    assert_eq!(report.state.unwrap().reached_from_genesis, None, "the way there is not kept");
}

#[test]
fn a_home_without_blocks_or_state_is_sound_and_at_the_genesis() {
    let made = Made::new();
    drop(made.home());
    let report = made.verify();
    assert!(report.is_sound());
    assert_eq!((report.replica, report.blocks.kept), (None, 0));
    let (_, states) = history(&made.genesis, 0);
    assert_eq!(report.execution.end, Some(Root { sequence: 0, root: states[0].root().to_string() }));
    assert!(!made.path().join("blocks").exists(), "looking makes nothing");
    assert!(!made.path().join("state.redb").exists(), "looking makes nothing");
}

#[test]
fn a_state_ahead_of_all_blocks_is_where_the_history_ends() {
    let made = Made::new();
    let (blocks, states) = history(&made.genesis, 9);
    made.keep(1, &blocks[..4]).save(&states[9]);
    let report = made.verify();
    assert!(report.is_sound());
    assert_eq!(report.execution.end, Some(Root { sequence: 9, root: states[9].root().to_string() }));
    assert_eq!(report.state.unwrap().reached_from_genesis, None);
}

#[test]
fn each_false_part_of_a_block_is_found_and_the_block_named() {
    let genesis = genesis();
    let (blocks, _) = history(&genesis, 5);
    let (third, fourth) = (blocks[2].clone(), blocks[3].clone());
    let mut unsigned = third.clone();
    unsigned.commits.signatures.pop();
    let mut forged = third.clone();
    forged.commits.signatures[1].1 = forged.commits.signatures[0].1;
    let mut repeated = third.clone();
    repeated.commits.signatures[1] = repeated.commits.signatures[0];
    let mut other_view = third.clone();
    other_view.commits.vote.view = other_view.commits.vote.view.next();
    let mut other_batch = third.clone();
    other_batch.batch = Batch::Seal { timestamp: Timestamp::new(1) };
    let mut other_time = third.clone();
    let requests = third.batch.requests().to_vec();
    other_time.batch = Batch::Requests { timestamp: Timestamp::new(1), requests };
    let other_requests = StoredBlock { requests: fourth.requests.clone(), ..third.clone() };
    let no_requests = StoredBlock { requests: Vec::new(), ..third.clone() };
    let mut other_value = third.clone();
    other_value.requests[0].message.transactions = vec![set("key-0", "forged")];
    let out_of_place = fourth;
    let false_ones = [
        ("too few signatures", unsigned),
        ("a signature of another", forged),
        ("one signer twice", repeated),
        ("another view", other_view),
        ("another batch", other_batch),
        ("another time", other_time),
        ("another block's requests", other_requests),
        ("no requests", no_requests),
        ("a request that its client did not sign", other_value),
        ("a block in another's place", out_of_place),
    ];
    for (what, block) in false_ones {
        let made = Made::new();
        let mut altered = blocks.clone();
        altered[2] = block;
        made.keep(1, &altered);
        let report = made.verify();
        assert_eq!(kinds(&report), [(ProblemKind::NotCommitted, Some(3))], "{what}: {:?}", report.problems);
        assert!(report.problems[0].to_string().starts_with("block 3: "), "{what}");
        assert_eq!((report.blocks.kept, report.blocks.sound), (5, 4), "{what}");
        assert_eq!(spans(&report.execution.executed), [(1, 2)], "{what}: what follows it is not executed");
    }
}

#[test]
fn a_block_that_is_no_block_is_named() {
    let made = Made::new();
    let (blocks, _) = history(&made.genesis, 2);
    made.keep(1, &blocks);
    let mut store = BlockStore::open(made.home().blocks_disk().unwrap(), made.identity()).unwrap();
    store.append(at(3), b"something else").unwrap();
    store.sync().unwrap();
    drop(store);
    assert_eq!(kinds(&made.verify()), [(ProblemKind::Damaged, Some(3))]);
}

#[test]
fn a_true_certificate_over_another_history_is_a_divergence() {
    let made = Made::new();
    let (blocks, states) = history(&made.genesis, 6);
    // The fourth block was exchanged for one that a quorum committed as well: more than f members are malicious.
    let mut other = blocks.clone();
    other[3] = block(&made.genesis, 4, "key-1", "another");
    made.keep(1, &other).save(&states[6]);
    let report = made.verify();
    assert_eq!(kinds(&report), [(ProblemKind::Diverged, Some(6))]);
    assert!(report.problems[0].what.contains(&states[6].root().to_string()), "{}", report.problems[0]);
    assert_eq!(report.state.unwrap().reached_from_genesis, Some(false));
    assert!(report.execution.confirmed.is_empty());
}

#[test]
fn a_saved_state_that_no_quorum_signed_is_refused() {
    let genesis = genesis();
    let (_, states) = history(&genesis, 4);
    let good = SavedState { header: states[4].header(), certificate: certify(&genesis, &states[4]) };
    let vote = good.certificate.vote;
    let mut unsigned = good.clone();
    unsigned.certificate = endorse(&genesis, vote, &[0, 1]);
    let mut other_root = good.clone();
    other_root.certificate = certify(&genesis, &states[3]);
    let mut other_content = good.clone();
    other_content.certificate = endorse(&genesis, Checkpoint { root: digest(1), ..vote }, &[0, 1, 2]);
    let mut other_height = good.clone();
    other_height.certificate = endorse(&genesis, Checkpoint { sequence: at(5), ..vote }, &[0, 1, 2]);
    let mut other_header = good.clone();
    other_header.header.entries += 1;
    let mut foreign = good.clone();
    foreign.certificate = endorse(&other_genesis(), vote, &[0, 1, 2]);
    for (what, saved) in [
        ("too few signatures", unsigned),
        ("another state's certificate", other_root),
        ("another root of that height", other_content),
        ("another height", other_height),
        ("another header", other_header),
        ("another network's signatures", foreign),
    ] {
        let made = Made::new();
        made.save_as(&states[4], &saved);
        let report = made.verify();
        assert_eq!(kinds(&report), [(ProblemKind::State, None)], "{what}");
        assert_eq!(report.state, None, "{what}: nothing is said of it");
    }
    // And entries that are not those of the root.
    let made = Made::new();
    made.save_as(&states[3], &good);
    assert_eq!(kinds(&made.verify()), [(ProblemKind::State, None)]);
}

#[test]
fn a_state_file_that_is_none_is_a_problem_and_not_the_end() {
    let made = Made::new();
    let (blocks, _) = history(&made.genesis, 2);
    made.keep(1, &blocks);
    std::fs::write(made.path().join("state.redb"), b"nothing of the kind").unwrap();
    let report = made.verify();
    assert_eq!(kinds(&report), [(ProblemKind::State, None)]);
    assert_eq!(report.blocks.sound, 2);
}

#[test]
fn a_home_that_is_in_use_missing_or_anothers_is_not_judged() {
    let made = Made::new();
    let (blocks, _) = history(&made.genesis, 2);
    let missing = verify_home_of(&made.genesis, &made.path()).unwrap_err();
    assert!(missing.to_string().contains("there is no home here"), "{missing}");
    made.keep(1, &blocks);
    let running = made.home();
    let in_use = verify_home_of(&made.genesis, &made.path()).unwrap_err();
    assert!(in_use.to_string().contains("in use by process"), "{in_use}");
    drop(running);
    let other = verify_home_of(&other_genesis(), &made.path()).unwrap_err();
    assert!(matches!(other, VerifyError::OtherNetwork { .. }), "{other}");
}

#[test]
fn parts_of_two_replicas_are_not_judged_as_one_home() {
    let made = Made::new();
    let (blocks, states) = history(&made.genesis, 2);
    made.keep(1, &blocks);
    let made = Made { owner: 1, ..made };
    made.save(&states[2]);
    let mixed = verify_home_of(&made.genesis, &made.path()).unwrap_err();
    assert!(matches!(mixed, VerifyError::Mixed { .. }), "{mixed}");
}

#[test]
fn a_home_is_judged_by_the_genesis_that_lies_in_it() {
    let made = Made::new();
    let (blocks, states) = history(&made.genesis, 3);
    made.keep(1, &blocks).save(&states[3]);
    assert!(matches!(verify_home(&made.path()).unwrap_err(), VerifyError::Genesis(_)));
    crate::config::write_genesis(&made.path().join("genesis.toml"), &made.genesis).unwrap();
    let report = verify_home(&made.path()).unwrap();
    assert!(report.is_sound());
    assert_eq!(report.genesis, made.genesis.digest().to_string());
}

#[test]
fn a_saved_state_is_what_its_writer_says_it_is() {
    let genesis = genesis();
    let (_, states) = history(&genesis, 1);
    let certificate =
        CheckpointCertificate::check(certify(&genesis, &states[1]), genesis.committee(), &genesis.keyring());
    let saved = SavedState::of(&states[1], &certificate.unwrap());
    assert_eq!(saved, SavedState { header: states[1].header(), certificate: certify(&genesis, &states[1]) });
}

#[test]
fn problems_without_end_are_counted_and_not_listed() {
    let made = Made::new();
    let (blocks, _) = history(&made.genesis, 1);
    made.keep(1, &vec![blocks[0].clone(); 130]);
    let report = made.verify();
    assert_eq!((report.problems.len(), report.unlisted_problems), (100, 29));
    assert!(!report.is_sound());
}

#[test]
fn a_report_is_told_as_json() {
    let made = Made::new();
    let (blocks, states) = history(&made.genesis, 3);
    made.keep(1, &blocks).save(&states[3]);
    let json = serde_json::to_value(made.verify()).unwrap();
    assert_eq!(json["blocks"]["runs"][0]["last"], 3);
    assert_eq!(json["state"]["reached_from_genesis"], true);
    assert_eq!(json["execution"]["end"]["root"], states[3].root().to_string());
    assert!(Path::new(&made.path()).exists());
}
