//! Agreement.

use bezant_pbft::Fault;
use bezant_sim::sight::Sight;

use crate::network::{Trial, at, block, delivered, digest, executed, get, id, installed, is_stable, request};

fn trial() -> Trial {
    let mut trial = Trial::of("agreement");
    (0..3).for_each(|replica| {
        trial.boots(replica, 0);
    });
    trial
}

#[test]
fn one_history_is_agreement_through_restarts_and_state_transfer() {
    let mut trial = trial();
    let blocks: Vec<_> = (1..=5).map(|n| block(n, &[request(0, n, get("k"))])).collect();
    for replica in 0..2 {
        for (index, block) in blocks.iter().enumerate() {
            let sequence = index as u64 + 1;
            let root = (sequence == 4).then(|| digest(4));
            trial.accepts(delivered(replica, block)).accepts(executed(replica, sequence, &[], root));
        }
        trial.accepts(is_stable(replica, 4, digest(4)));
    }
    trial.accepts(installed(2, 4, digest(4))).accepts(delivered(2, &blocks[4])).accepts(executed(2, 5, &[], None));
    trial.boots(0, 4).accepts(executed(0, 5, &[], None));
    trial.accepts(delivered(0, &block(6, &[]))).accepts(executed(0, 6, &[], None)).accepts_the_end();
}

#[test]
fn two_batches_at_one_sequence_number_are_a_crime() {
    let mut trial = trial();
    trial.accepts(delivered(0, &block(1, &[request(0, 1, get("k"))])));
    trial.refuses(delivered(1, &block(1, &[request(1, 1, get("k"))])), "delivers");
}

#[test]
fn a_block_whose_certificate_names_another_batch_is_a_crime() {
    let mut wrong = block(1, &[request(0, 1, get("k"))]);
    wrong.batch = block(1, &[]).batch;
    trial().refuses(delivered(0, &wrong), "with a certificate for");
}

#[test]
fn a_gap_or_a_repetition_is_a_crime() {
    let (one, two, three) = (block(1, &[]), block(2, &[]), block(3, &[]));
    trial().accepts(delivered(0, &one)).refuses(delivered(0, &three), "after block 1");
    trial().accepts(delivered(0, &one)).accepts(delivered(0, &two)).refuses(delivered(0, &two), "after block 2");
    trial().accepts(delivered(0, &one)).refuses(executed(0, 2, &[], None), "executes block 2 after block 0");
    trial().boots(0, 4).refuses(executed(0, 6, &[], None), "executes block 6 after block 4");
    trial().boots(0, 4).refuses(delivered(0, &three), "delivers block 3 after block 4");
    let mut early = trial();
    early.accepts(delivered(0, &one)).accepts(executed(0, 1, &[], None));
    early.refuses(executed(0, 2, &[], None), "before it is delivered");
}

#[test]
fn another_root_at_one_height_is_a_crime_however_it_comes_about() {
    let with_root = || {
        let mut trial = trial();
        trial.accepts(delivered(0, &block(1, &[]))).accepts(executed(0, 1, &[], Some(digest(1))));
        trial
    };
    with_root().refuses(executed(1, 1, &[], Some(digest(2))), "has root");
    with_root().refuses(installed(1, 1, digest(2)), "has root");
    with_root().refuses(is_stable(1, 1, digest(2)), "has root");
    with_root().boots(0, 0).refuses(executed(0, 1, &[], Some(digest(2))), "has root");
    with_root().refuses(installed(0, 1, digest(1)), "although it has executed block 1");
}

#[test]
fn a_replica_that_finds_the_impossible_is_a_crime() {
    let fault = Fault::Broken { sequence: at(7) };
    trial().refuses(Sight::Halted { replica: id(1), fault }, "replica 1 halts");
}
