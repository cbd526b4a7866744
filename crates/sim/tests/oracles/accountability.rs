//! Accountability: who must be accused, and who must not be.

use bezant_pbft::evidence::{Evidence, Pair};
use bezant_pbft::message::{Commit, PrePrepare, Prepare, ViewChange};
use bezant_pbft::packet::Message;
use bezant_pbft::record::Record;
use bezant_sim::sight::Sight;
use bezant_types::{Digest, ReplicaId, Signable, Signed};

use crate::network::{
    Trial, WINDOW, at, booted, change, checkpoint, commit, digest, entered, heard, id, is_stable, new_view, opening,
    pre_prepare, prepare, proof, sign, stable, view, view_change,
};

const PATIENCE_MS: u64 = 10_000;

fn trial() -> Trial {
    let mut trial = Trial::of("accountability");
    (0..3).for_each(|replica| {
        trial.boots(replica, 0);
    });
    trial
}

/// Replica 0 hears both, and is given time to do something about it.
fn hears_both(trial: &mut Trial, [first, second]: &[Message; 2]) {
    trial.accepts(heard(0, first)).accepts(heard(0, second)).pass(PATIENCE_MS + 1);
}

fn pair<M: Signable<Signer = ReplicaId>>(first: Signed<M>, second: Signed<M>) -> Pair<M> {
    Pair { first, second }
}

fn commits(by: u16, digests: [Digest; 2]) -> Evidence {
    let [first, second] = digests.map(|digest| sign(by, Commit { view: view(0), sequence: at(1), digest }));
    Evidence::Commits(pair(first, second))
}

fn accused(member: u16, evidence: &Evidence) -> Sight<'_> {
    Sight::Accused { replica: id(0), member: id(member), evidence }
}

fn changes() -> [ViewChange; 2] {
    [change(1, None, vec![]), change(1, None, vec![proof(0, 1, digest(1), &[1, 2])])]
}

#[test]
fn who_contradicts_itself_must_be_accused() {
    let prepares = [1, 2].map(|seed| prepare(3, 0, 1, digest(seed)));
    let commits = [1, 2].map(|seed| commit(3, 0, 1, digest(seed)));
    let checkpoints = [1, 2].map(|seed| checkpoint(3, 4, digest(seed)));
    let view_changes = changes().map(|change| view_change(3, change));
    for both in [prepares, commits, checkpoints, view_changes] {
        let mut trial = trial();
        hears_both(&mut trial, &both);
        trial.refuses_the_end("replica 0 heard replica 3 contradict itself");
    }
}

#[test]
fn an_accusation_in_time_is_what_is_owed() {
    let mut trial = trial();
    let both = [1, 2].map(|seed| commit(3, 0, 1, digest(seed)));
    trial.accepts(heard(0, &both[0])).accepts(heard(0, &both[1]));
    trial.accepts(accused(3, &commits(3, [digest(1), digest(2)]))).pass(PATIENCE_MS + 1).accepts_the_end();
    // How often a liar lies is for the liar to decide.
    hears_both(&mut trial, &[3, 4].map(|seed| commit(3, 0, 2, digest(seed))));
    trial.accepts_the_end();
    // Of another kind is another duty.
    hears_both(&mut trial, &[3, 4].map(|seed| prepare(3, 0, 2, digest(seed))));
    trial.refuses_the_end("a prepare for slot 2");
}

#[test]
fn a_primary_that_proposes_twice_must_be_accused_by_who_prepared() {
    let proposals = [1, 2].map(|seed| pre_prepare(3, 3, 1, digest(seed)));
    let mut prepared = trial();
    prepared.accepts(entered(0, 3)).accepts(heard(0, &proposals[0])).says(0, &prepare(0, 3, 1, digest(1)));
    prepared.accepts(heard(0, &proposals[1])).pass(PATIENCE_MS + 1).refuses_the_end("a pre-prepare for slot 1");
    let mut unprepared = trial();
    unprepared.accepts(entered(0, 3));
    hears_both(&mut unprepared, &proposals);
    unprepared.accepts_the_end();
}

#[test]
fn a_primary_that_opens_its_view_twice_must_be_accused_by_who_entered() {
    let both = [vec![], vec![digest(1)]].map(|proposals| new_view(opening(3, &[], &proposals)));
    let mut inside = trial();
    inside.accepts(entered(0, 3));
    hears_both(&mut inside, &both);
    inside.refuses_the_end("a new view 3");
    let mut outside = trial();
    hears_both(&mut outside, &both);
    outside.accepts_the_end();
}

#[test]
fn nothing_is_owed_for_what_is_no_contradiction_or_was_rightly_forgotten() {
    let pairs = [
        [commit(3, 0, 1, digest(1)), commit(3, 0, 1, digest(1))],
        [commit(3, 0, 1, digest(1)), commit(3, 0, 2, digest(2))],
        [commit(3, 0, 1, digest(1)), commit(3, 1, 1, digest(2))],
        [commit(3, 0, 1, digest(1)), prepare(3, 0, 1, digest(2))],
        [commit(3, 0, WINDOW + 1, digest(1)), commit(3, 0, WINDOW + 1, digest(2))],
        [prepare(3, 3, 1, digest(1)), prepare(3, 3, 1, digest(2))],
        [checkpoint(3, WINDOW + 1, digest(1)), checkpoint(3, WINDOW + 1, digest(2))],
        // An honest member's words, whoever brings them.
        [commit(1, 0, 1, digest(1)), commit(1, 0, 1, digest(2))],
    ];
    for both in &pairs {
        let mut trial = trial();
        hears_both(&mut trial, both);
        trial.accepts_the_end();
    }
    let both = [1, 2].map(|seed| prepare(3, 0, 4, digest(seed)));
    trial().accepts(heard(0, &both[0])).boots(0, 0).accepts(heard(0, &both[1])).pass(PATIENCE_MS + 1).accepts_the_end();
    trial().accepts(heard(0, &both[0])).accepts(heard(1, &both[1])).pass(PATIENCE_MS + 1).accepts_the_end();
    let mut moved = trial();
    moved.accepts(heard(0, &both[0])).accepts(is_stable(0, 4, digest(4)));
    moved.accepts(heard(0, &both[1])).pass(PATIENCE_MS + 1).accepts_the_end();
    let mut left = trial();
    left.accepts(heard(0, &both[0])).says(0, &view_change(0, change(1, None, vec![])));
    left.accepts(heard(0, &both[1])).pass(PATIENCE_MS + 1).accepts_the_end();
}

#[test]
fn what_happens_in_the_same_turn_excuses_and_what_happens_later_does_not() {
    let both = [1, 2].map(|seed| prepare(3, 0, 4, digest(seed)));
    // After it has shown something else at so many moments.
    let after = |moments: u64, sight: &dyn Fn(&mut Trial)| {
        let mut trial = trial();
        trial.accepts(heard(0, &both[0])).accepts(heard(0, &both[1]));
        for moment in 0..moments {
            trial.pass(1).says(0, &checkpoint(0, 40 + moment, digest(4)));
        }
        sight(trial.pass(1));
        trial.pass(PATIENCE_MS + 1);
        trial
    };
    let moves = |trial: &mut Trial| {
        trial.accepts(is_stable(0, 4, digest(4)));
    };
    let leaves = |trial: &mut Trial| {
        trial.says(0, &view_change(0, change(1, None, vec![])));
    };
    let crashes = |trial: &mut Trial| {
        trial.accepts(Sight::Crashed { replica: id(0) });
    };
    after(0, &moves).accepts_the_end();
    after(2, &leaves).accepts_the_end();
    after(50, &crashes).accepts_the_end();
    after(3, &moves).refuses_the_end("has not accused");
    after(3, &leaves).refuses_the_end("has not accused");
}

#[test]
fn a_view_change_that_does_not_hold_is_not_held_against_its_signer() {
    let bad = change(1, None, vec![proof(0, 1, digest(1), &[1])]);
    let mut trial = trial();
    hears_both(&mut trial, &[view_change(3, bad), view_change(3, changes()[0].clone())]);
    trial.accepts_the_end();
    let old = changes().map(|change| view_change(3, change));
    let mut later = self::trial();
    let record = Record::ViewChange(change(2, None, vec![]));
    later.accepts(booted(0, &[record], 0));
    hears_both(&mut later, &old);
    later.accepts_the_end();
    let with_checkpoint = change(1, Some(stable(4, digest(4), &[0, 1, 2])), vec![]);
    let mut sound = self::trial();
    hears_both(&mut sound, &[with_checkpoint, changes()[0].clone()].map(|change| view_change(3, change)));
    sound.refuses_the_end("a view change for view 1");
}

#[test]
fn an_honest_member_is_never_accused() {
    trial().refuses(accused(1, &commits(1, [digest(1), digest(2)])), "which is honest");
    let views = |by| {
        Evidence::ViewChanges({
            let [first, second] = changes().map(|change| sign(by, change));
            pair(first, second)
        })
    };
    trial().refuses(accused(1, &views(1)), "which is honest");
    // One that lost its log may tell another story of a view that nobody had reached.
    trial().loses_its_log(1).accepts(accused(1, &views(1)));
    trial().loses_its_log(1).refuses(accused(1, &commits(1, [digest(1), digest(2)])), "which is honest");
}

#[test]
fn evidence_that_does_not_convict_is_a_crime() {
    trial().accepts(accused(3, &commits(3, [digest(1), digest(2)])));
    trial().refuses(accused(3, &commits(3, [digest(1), digest(1)])), "are one");
    trial().refuses(accused(3, &commits(2, [digest(1), digest(2)])), "of replica 2");
    let vote = |sequence, digest| PrePrepare { view: view(3), sequence: at(sequence), digest };
    let two_slots = pair(sign(3, vote(1, digest(1))), sign(3, vote(2, digest(2))));
    trial().refuses(accused(3, &Evidence::PrePrepares(two_slots)), "two matters");
    let good = sign(3, Prepare { view: view(0), sequence: at(1), digest: digest(1) });
    let forged = Signed { message: Prepare { digest: digest(2), ..good.message }, ..good };
    trial().refuses(accused(3, &Evidence::Prepares(pair(good, forged))), "not valid");
}
