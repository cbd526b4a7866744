//! Durability: of what replicas say, and of what clients are told.

use bezant_pbft::message::{Batch, Checkpoint, PrePrepare};
use bezant_pbft::record::{Bodies, Record};
use bezant_sim::sight::Sight;
use bezant_types::transaction::{Answer, Outcome};

use crate::network::{
    LIVENESS_MS, Trial, add, answered, at, booted, change, checkpoint, commit, digest, executed, execution, installed,
    is_stable, new_view, opening, outcome, pre_prepare, prepare, proof, request, sign, stable, view, view_change,
};

fn vote(sequence: u64) -> PrePrepare {
    PrePrepare { view: view(0), sequence: at(sequence), digest: digest(1) }
}

/// What replica 1, a backup, has on record after one slot and a checkpoint.
fn records() -> Vec<Record> {
    vec![
        Record::Accepted(sign(0, vote(1)), Some(Bodies { batch: Batch::Null, requests: vec![] })),
        Record::Prepared(proof(0, 1, digest(1), &[1, 2])),
        Record::Checkpoint(Checkpoint { sequence: at(4), root: digest(4) }),
    ]
}

/// Replica 1 has said what these records let it say.
fn talkative() -> Trial {
    let mut trial = Trial::of("durability");
    trial.boots(1, 0).says(1, &prepare(1, 0, 1, digest(1))).says(1, &commit(1, 0, 1, digest(1)));
    trial.says(1, &checkpoint(1, 4, digest(4)));
    trial
}

#[test]
fn what_is_on_record_may_have_been_said() {
    talkative().accepts(booted(1, &records(), 0)).says(1, &commit(1, 0, 1, digest(1))).accepts(booted(
        1,
        &records(),
        0,
    ));
    let mut primary = Trial::of("durability");
    primary.says(0, &pre_prepare(0, 0, 1, digest(1))).accepts(booted(0, &[Record::Proposed(vote(1), None)], 0));
}

#[test]
fn what_is_not_on_record_must_not_have_been_said() {
    for missing in 0..3 {
        let mut fewer = records();
        fewer.remove(missing);
        talkative().refuses(booted(1, &fewer, 0), "a log that shows nothing of it");
    }
    let other = Record::Prepared(proof(0, 1, digest(2), &[1, 2]));
    let with_other = [records().remove(0), other, records().remove(2)];
    talkative().refuses(booted(1, &with_other, 0), "shows nothing of it");
    talkative().refuses(booted(1, &[], 0), "shows nothing of it");
}

#[test]
fn a_checkpoint_or_a_later_view_covers_what_was_said_before() {
    let cover = Record::Stable(stable(4, digest(4), &[0, 1, 2]));
    talkative().accepts(booted(1, std::slice::from_ref(&cover), 0));
    talkative().accepts(booted(1, &[], 4));
    talkative().refuses(booted(1, &[], 3), "a checkpoint at 4");
    let left = Record::ViewChange(change(1, None, vec![]));
    talkative().accepts(booted(1, &[left.clone(), records().remove(2)], 0));
    talkative().refuses(booted(1, &[left], 0), "a checkpoint at 4");
    let same_view = Record::Entered(sign(0, opening(0, &[], &[])));
    talkative().refuses(booted(1, &[same_view, records().remove(2)], 0), "in view 0");
}

#[test]
fn a_stable_checkpoint_is_not_forgotten() {
    talkative().accepts(is_stable(1, 4, digest(4))).accepts(booted(1, &[], 4));
    talkative().accepts(is_stable(1, 4, digest(4))).refuses(booted(1, &records(), 0), "knows no checkpoint beyond 0");
}

#[test]
fn view_changes_and_new_views_are_on_record_or_over() {
    let asked = change(1, None, vec![proof(0, 1, digest(1), &[1, 2])]);
    let opened = opening(1, &[(0, change(1, None, vec![])), (1, asked.clone())], &[digest(1)]);
    let trial = || {
        let mut trial = Trial::of("durability");
        trial.says(1, &view_change(1, asked.clone())).says(1, &new_view(opened.clone()));
        trial
    };
    let (asks, opens) = (Record::ViewChange(asked.clone()), Record::NewView(opened.clone()));
    trial().accepts(booted(1, &[asks.clone(), opens.clone()], 0));
    trial().accepts(booted(1, &[Record::Entered(sign(1, opened.clone()))], 0));
    trial().accepts(booted(1, &[Record::ViewChange(change(2, None, vec![]))], 0));
    trial().refuses(booted(1, std::slice::from_ref(&asks), 0), "a new view 1");
    trial().refuses(booted(1, std::slice::from_ref(&opens), 0), "a view change for view 1");
    let otherwise = Record::NewView(opening(1, &[], &[]));
    trial().refuses(booted(1, &[asks, otherwise], 0), "a new view 1");
}

#[test]
fn a_replica_without_its_log_is_not_asked_for_it() {
    let mut trial = talkative();
    trial.loses_its_log(1).accepts(booted(1, &[Record::LogLost], 0));
    trial.says(1, &commit(1, 0, 9, digest(9))).refuses(booted(1, &[Record::LogLost], 0), "shows nothing of it");
}

#[test]
fn what_a_client_believes_is_what_honest_replicas_found() {
    let (one, told) = (request(0, 1, add("k", 1)), outcome(Answer::Integer(1)));
    let executions = [execution(&one, told.clone(), true)];
    let found = || {
        let mut trial = Trial::of("durability");
        trial.boots(0, 0).boots(1, 0).accepts(executed(0, 1, &executions, None));
        trial
    };
    found().accepts(answered(0, 1, &told)).accepts(answered(0, 1, &Outcome::NotKept { outcome: told.digest() }));
    found().refuses(answered(0, 1, &outcome(Answer::Integer(2))), "found another outcome");
    found().refuses(answered(0, 1, &Outcome::NotKept { outcome: digest(9) }), "found another outcome");
    found().refuses(answered(0, 2, &told), "no honest replica has executed it");
    found().refuses(answered(1, 1, &told), "no honest replica has executed it");
    found().refuses(answered(0, 1, &Outcome::Expired), "not that old");
    found().refuses(answered(0, 1, &Outcome::NumberReused), "it is honest");
    let late = [execution(&request(0, 17, add("k", 1)), outcome(Answer::Integer(2)), true)];
    found().accepts(executed(0, 2, &late, None)).accepts(answered(0, 1, &Outcome::Expired));
}

#[test]
fn what_was_acknowledged_is_in_every_ledger_when_all_is_calm() {
    let told = outcome(Answer::Integer(1));
    let executions = [execution(&request(0, 1, add("k", 1)), told.clone(), true)];
    let acknowledged = || {
        let mut trial = Trial::of("durability");
        trial.boots(0, 0).boots(1, 0).accepts(executed(0, 1, &executions, None)).accepts(answered(0, 1, &told));
        trial.accepts(Sight::Stabilised);
        trial
    };
    acknowledged().accepts_the_end();
    acknowledged().pass(LIVENESS_MS).refuses_the_end("the ledger of replica 1 stands at 0");
    acknowledged().pass(LIVENESS_MS).accepts(installed(1, 1, digest(1))).accepts_the_end();
    acknowledged()
        .boots(0, 0)
        .accepts(executed(1, 1, &executions, None))
        .pass(LIVENESS_MS)
        .refuses_the_end("replica 0");
}
