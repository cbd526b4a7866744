//! What honest replicas vote for: without contradiction, within the water marks, and on quorums.

use bezant_sim::sight::Sight;

use crate::network::{
    Trial, WINDOW, block, block_by, booted, change, checkpoint, commit, delivered, digest, entered, id, installed,
    is_stable, new_view, opening, pre_prepare, prepare, proof, said, stable, view_change,
};

#[test]
fn one_thing_about_each_matter_is_no_contradiction() {
    let mut trial = Trial::of("no-contradiction");
    for liars_digest in [digest(8), digest(9)] {
        trial.boots(1, 0);
        trial.says(1, &prepare(1, 0, 1, digest(1))).says(1, &commit(1, 0, 1, digest(1)));
        trial.says(1, &prepare(1, 0, 2, digest(2))).says(1, &checkpoint(1, 4, digest(4)));
        trial.says(1, &view_change(1, change(1, None, vec![proof(0, 1, digest(1), &[1, 2])])));
        trial.says(1, &new_view(opening(1, &[], &[])));
        trial.says(1, &pre_prepare(1, 1, 1, digest(7))).says(1, &commit(1, 1, 1, digest(7)));
        // What it passes on of a liar binds the liar.
        trial.accepts(said(1, 0, &prepare(3, 0, 1, liars_digest)));
    }
}

#[test]
fn a_second_opinion_is_a_crime_in_whatever_life() {
    let changes = [change(1, None, vec![]), change(1, None, vec![proof(0, 1, digest(1), &[1, 2])])];
    let pairs = [
        [prepare(1, 0, 1, digest(1)), prepare(1, 0, 1, digest(2))],
        [commit(1, 0, 1, digest(1)), commit(1, 0, 1, digest(2))],
        [checkpoint(1, 4, digest(1)), checkpoint(1, 4, digest(2))],
        [pre_prepare(1, 1, 1, digest(1)), pre_prepare(1, 1, 1, digest(2))],
        changes.map(|change| view_change(1, change)),
        [new_view(opening(1, &[], &[])), new_view(opening(1, &[], &[digest(1)]))],
        [prepare(1, 0, 1, digest(1)), commit(1, 0, 1, digest(2))],
        [pre_prepare(1, 1, 1, digest(1)), commit(1, 1, 1, digest(2))],
    ];
    for [first, second] in &pairs {
        Trial::of("no-contradiction").says(1, first).refuses_to_hear(1, second, "replica 1 says");
        Trial::of("no-contradiction").says(1, first).boots(1, 0).refuses_to_hear(1, second, "replica 1 says");
    }
}

#[test]
fn a_view_change_that_forgets_a_commit_is_a_crime() {
    let committed = || {
        let mut trial = Trial::of("no-contradiction");
        trial.says(1, &commit(1, 0, 5, digest(1)));
        trial
    };
    let asks = |checkpoint, prepared| view_change(1, change(2, checkpoint, prepared));
    let stable_at = |sequence| Some(stable(sequence, digest(4), &[0, 1, 2]));
    committed().says(1, &asks(None, vec![proof(0, 5, digest(1), &[1, 2])]));
    committed().says(1, &asks(None, vec![proof(1, 5, digest(1), &[2, 3])]));
    committed().says(1, &asks(stable_at(5), vec![]));
    committed().refuses_to_hear(1, &asks(stable_at(4), vec![]), "forgets that it committed to slot 5");
    committed().boots(1, 0).refuses_to_hear(1, &asks(None, vec![]), "forgets that it committed to slot 5");
    let mut later = committed();
    let old_proof = asks(None, vec![proof(0, 5, digest(1), &[1, 2])]);
    later.says(1, &commit(1, 1, 5, digest(1))).refuses_to_hear(1, &old_proof, "in view 1");
}

#[test]
fn who_lost_its_log_speaks_of_nothing_that_it_may_have_spoken_of() {
    let forgetful = || {
        let mut trial = Trial::of("no-contradiction");
        trial.says(1, &prepare(1, 0, 9, digest(1))).says(1, &view_change(1, change(1, None, vec![])));
        trial.loses_its_log(1);
        trial
    };
    forgetful().refuses_to_hear(1, &prepare(1, 0, 9, digest(1)), "before it lost its log");
    forgetful().refuses_to_hear(1, &commit(1, 0, 3, digest(3)), "before it lost its log");
    forgetful().refuses_to_hear(1, &checkpoint(1, 8, digest(8)), "before it lost its log");
    forgetful().refuses_to_hear(1, &view_change(1, change(7, None, vec![])), "has lost its log");
    forgetful().accepts(is_stable(1, 8, digest(8))).refuses_to_hear(1, &new_view(opening(5, &[], &[])), "lost its log");
    // What it had sent, others may have brought back to it.
    forgetful().says(1, &view_change(1, change(1, None, vec![])));
    let mut recovered = forgetful();
    recovered.accepts(is_stable(1, 28, digest(8))).says(1, &prepare(1, 0, 29, digest(3)));
    // A view that nobody had reached: what rule A-1 cannot exclude.
    let otherwise = view_change(1, change(1, Some(stable(28, digest(8), &[0, 1, 2])), vec![]));
    recovered.says(1, &otherwise);
    let mut passed = forgetful();
    passed.accepts(is_stable(1, 28, digest(8))).accepts(entered(0, 1)).refuses_to_hear(1, &otherwise, "before it said");
}

#[test]
fn votes_in_the_window_are_where_they_belong() {
    let mut trial = Trial::of("water-marks");
    trial.boots(1, 4).says(1, &prepare(1, 0, 5, digest(1))).says(1, &commit(1, 0, 4 + WINDOW, digest(1)));
    // The step that moves the window also uses it.
    trial.says(1, &pre_prepare(1, 1, 8 + WINDOW, digest(2))).accepts(is_stable(1, 8, digest(8)));
    trial.pass(1).says(1, &checkpoint(1, 9 + WINDOW, digest(3)));
    // Back from an older state it says again what it had said, or was about to say.
    let record = bezant_pbft::record::Record::Stable(stable(12, digest(12), &[0, 1, 2]));
    trial.accepts(booted(1, &[record], 4)).says(1, &pre_prepare(1, 1, 12 + WINDOW, digest(2))).pass(1);
    trial.says(1, &pre_prepare(1, 1, 8 + WINDOW, digest(2))).pass(1).accepts(is_stable(1, 8, digest(8)));
    let proofs = vec![proof(0, 9, digest(1), &[1, 2]), proof(0, 8 + WINDOW, digest(1), &[1, 2])];
    trial.says(1, &view_change(1, change(1, Some(stable(8, digest(8), &[0, 1, 2])), proofs))).accepts_the_end();
}

#[test]
fn a_vote_outside_the_window_is_a_crime() {
    let trial = || {
        let mut trial = Trial::of("water-marks");
        trial.boots(1, 4);
        trial
    };
    trial().refuses_to_hear(1, &prepare(1, 0, 4, digest(1)), "at 4 is stable");
    trial().refuses_to_hear(1, &checkpoint(1, 4, digest(1)), "at 4 is stable");
    let high = prepare(1, 0, 5 + WINDOW, digest(1));
    trial().says(1, &high).pass(1).refuses(booted(2, &[], 0), "its window ends at 16");
    trial().says(1, &high).refuses_the_end("its window ends at 16");
    trial().says(1, &high).accepts(Sight::Crashed { replica: id(1) }).accepts_the_end();
    trial().accepts(is_stable(1, 8, digest(8))).refuses_to_hear(1, &commit(1, 0, 8, digest(1)), "at 8 is stable");
}

#[test]
fn a_view_change_that_nobody_accepts_is_a_crime() {
    let checkpoint = || Some(stable(4, digest(4), &[0, 1, 2]));
    let at = |sequence| proof(0, sequence, digest(1), &[1, 2]);
    let refuse = |proofs, words| {
        Trial::of("water-marks").refuses_to_hear(1, &view_change(1, change(1, checkpoint(), proofs)), words);
    };
    refuse(vec![at(4)], "slot 4");
    refuse(vec![at(5), at(5 + WINDOW)], "slot 17");
    refuse(vec![at(6), at(5)], "nobody accepts");
    refuse(vec![proof(1, 5, digest(1), &[0, 2])], "nobody accepts");
}

#[test]
fn a_quorum_of_distinct_members_is_enough() {
    let mut trial = Trial::of("quorums");
    let block = block(1, &[]);
    let batch = block.certificate.vote().digest;
    trial.says(0, &pre_prepare(0, 0, 1, batch)).all_say(&[1, 2], |by| prepare(by, 0, 1, batch));
    trial.all_say(&[0, 1, 2], |by| commit(by, 0, 1, batch)).accepts(delivered(0, &block));
    trial.all_say(&[0, 1], |by| checkpoint(by, 4, digest(4))).accepts(is_stable(0, 4, digest(4)));
    trial.accepts(installed(2, 4, digest(4))).accepts(is_stable(2, 4, digest(4))).accepts(is_stable(1, 4, digest(4)));
    trial.all_say(&[0, 1], |by| view_change(by, change(1, None, vec![]))).accepts(entered(2, 1));
    // Behind what is stable everywhere the books are closed.
    trial.loses_its_log(0).accepts(delivered(0, &block));
}

#[test]
fn fewer_than_a_quorum_are_not_enough() {
    let block = block(1, &[]);
    let batch = block.certificate.vote().digest;
    let mut prepared = Trial::of("quorums");
    prepared.says(0, &pre_prepare(0, 0, 1, batch));
    prepared.refuses_to_hear(0, &commit(0, 0, 1, batch), "1 honest and at most 1 corrupted");
    let mut elsewhere = Trial::of("quorums");
    elsewhere.says(0, &pre_prepare(0, 0, 1, batch)).says(1, &prepare(1, 0, 1, digest(9)));
    elsewhere.says(2, &prepare(2, 1, 1, batch)).refuses_to_hear(0, &commit(0, 0, 1, batch), "a quorum is 3");
    let mut vouched = Trial::of("quorums");
    vouched.says(0, &checkpoint(0, 4, digest(4))).says(1, &checkpoint(1, 4, digest(5)));
    vouched.refuses(is_stable(0, 4, digest(4)), "1 honest");
    let mut fetched = Trial::of("quorums");
    fetched.says(0, &checkpoint(0, 4, digest(4))).refuses(installed(0, 4, digest(4)), "1 honest");
    let mut wanted = Trial::of("quorums");
    wanted.says(0, &view_change(0, change(1, None, vec![]))).says(1, &view_change(1, change(2, None, vec![])));
    wanted.refuses(entered(2, 1), "enters view 1");
}

#[test]
fn a_commit_that_nobody_made_is_a_crime() {
    let batch = block(1, &[]).certificate.vote().digest;
    let with_commits = |by: &[u16]| {
        let mut trial = Trial::of("quorums");
        trial.says(0, &pre_prepare(0, 0, 1, batch)).all_say(&[1, 2], |one| prepare(one, 0, 1, batch));
        trial.all_say(by, |one| commit(one, 0, 1, batch));
        trial
    };
    with_commits(&[0, 1]).accepts(delivered(0, &block_by(1, &[], &[0, 1, 3])));
    with_commits(&[0, 1]).refuses(delivered(0, &block(1, &[])), "a commit of replica 2");
}
