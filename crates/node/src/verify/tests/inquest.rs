//! Two homes: alike, different, and tampered with.

use bezant_host::saved::{BLOCK, identity};
use bezant_pbft::StoredBlock;
use bezant_store::{BlockStore, Home, Place};
use bezant_types::Genesis;

use super::super::fixture::*;
use super::super::*;

/// The homes of replicas 0 and 1 with these blocks.
fn inquire(genesis: &Genesis, blocks: [&[StoredBlock]; 2]) -> Inquest {
    let folder = tempfile::tempdir().unwrap();
    let paths = [0u8, 1].map(|owner| folder.path().join(format!("replica-{owner}")));
    for ((path, blocks), owner) in paths.iter().zip(blocks).zip(0u8..) {
        let home = Home::create(path).unwrap();
        let identity = identity(genesis.digest(), account(owner));
        let mut store = BlockStore::open(home.blocks_disk().unwrap(), identity).unwrap();
        store.begin_at(at(1)).unwrap();
        for (block, sequence) in blocks.iter().zip(1..) {
            store.append(at(sequence), &BLOCK.seal(block)).unwrap();
        }
        store.sync().unwrap();
    }
    inquest(genesis, [&paths[0], &paths[1]]).unwrap()
}

/// A block that replicas 1, 2 and 3 committed to, where 0, 2 and 3 had committed to another.
fn otherwise(genesis: &Genesis, sequence: u64) -> StoredBlock {
    let block = block(genesis, sequence, "key", "another value");
    let commits = endorse(genesis, block.commits.vote, &[1, 2, 3]);
    StoredBlock { commits, ..block }
}

fn culprits(inquest: &Inquest) -> Vec<u16> {
    inquest.facts.culprits.iter().map(|culprit| culprit.replica).collect()
}

#[test]
fn two_homes_of_one_history_agree_and_accuse_nobody() {
    let genesis = genesis();
    let (blocks, _) = history(&genesis, 9);
    let inquest = inquire(&genesis, [&blocks, &blocks[..6]]);
    assert_eq!((inquest.facts.verdict, culprits(&inquest)), (InquestVerdict::Agree, vec![]));
    assert_eq!(inquest.facts.homes.each_ref().map(|home| home.replica), [Some(0), Some(1)]);
    assert_eq!(inquest.facts.homes[1].blocks, [Span { first: 1, last: 6 }]);
}

#[test]
fn two_histories_convict_whoever_signed_both_and_nobody_else() {
    let genesis = genesis();
    let (blocks, _) = history(&genesis, 9);
    let mut others = blocks.clone();
    others[4] = otherwise(&genesis, 5);
    let inquest = inquire(&genesis, [&blocks, &others]);
    assert_eq!((inquest.facts.verdict, culprits(&inquest)), (InquestVerdict::Convicted, vec![2, 3]));
    assert_eq!((inquest.facts.first_difference, inquest.facts.at_least), (Some(5), 2));
    assert_eq!(inquest.facts.disagreements.len(), 1);
    for (culprit, file) in &inquest.evidence {
        let read = EvidenceFile::decode(&file.encode()).unwrap();
        assert_eq!(read.convict(&genesis).as_ref(), Ok(culprit), "it convinces who was not there");
    }
}

#[test]
fn a_block_that_somebody_wrote_into_a_home_convicts_nobody() {
    let genesis = genesis();
    let (blocks, _) = history(&genesis, 9);
    let mut forged = blocks.clone();
    forged[4] = otherwise(&genesis, 5);
    for (_, signature) in &mut forged[4].commits.signatures {
        *signature = bezant_types::Signature::new([7; 64]);
    }
    let inquest = inquire(&genesis, [&blocks, &forged]);
    assert_eq!((inquest.facts.verdict, culprits(&inquest)), (InquestVerdict::Altered, vec![]));
}

#[test]
fn homes_of_another_network_are_refused() {
    let genesis = genesis();
    let (blocks, _) = history(&genesis, 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("home");
    let home = Home::create(&path).unwrap();
    let mut store =
        BlockStore::open(home.blocks_disk().unwrap(), identity(other_genesis().digest(), account(0))).unwrap();
    store.append(at(1), &BLOCK.seal(&blocks[0])).unwrap();
    store.sync().unwrap();
    drop((store, home));
    assert!(matches!(inquest(&genesis, [&path, &path]), Err(VerifyError::OtherNetwork { .. })));
    assert!(matches!(inquest(&genesis, [&folder.path().join("none"), &path]), Err(VerifyError::Home(_))));
}
