//! What must hold from one view to the next.

use bezant_pbft::message::{Standing, Status};
use bezant_pbft::packet::{Message, Packet};

use crate::network::{
    Trial, at, block, change, checkpoint, commit, delivered, digest, is_stable, message, new_view, opening,
    pre_prepare, prepare, proof, said, sign, stable, view, view_change,
};

fn status(by: u16, in_view: u64) -> Message {
    let status = Status { view: view(in_view), standing: Standing::Normal, stable: at(0), executed: at(0) };
    message(Packet::Status(sign(by, status)))
}

#[test]
fn views_that_only_rise_are_as_they_should_be() {
    let mut trial = Trial::of("old-view");
    trial
        .says(1, &prepare(1, 0, 1, digest(1)))
        .says(1, &status(1, 0))
        .says(1, &view_change(1, change(1, None, vec![])));
    trial.says(1, &checkpoint(1, 4, digest(4))).says(1, &new_view(opening(1, &[], &[])));
    trial.says(1, &pre_prepare(1, 1, 1, digest(1))).says(1, &commit(1, 1, 1, digest(1))).says(1, &status(1, 1));
    // What others say in other views binds others.
    trial.accepts(said(1, 0, &prepare(2, 0, 1, digest(1)))).says(2, &prepare(2, 0, 1, digest(1)));
    trial.loses_its_log(1).says(1, &status(1, 0));
}

#[test]
fn a_word_in_a_view_that_was_left_is_a_crime() {
    let left = [
        view_change(1, change(2, None, vec![])),
        prepare(1, 2, 1, digest(1)),
        pre_prepare(1, 5, 1, digest(1)),
        new_view(opening(5, &[], &[])),
    ];
    let late = [
        prepare(1, 0, 1, digest(1)),
        commit(1, 1, 1, digest(1)),
        pre_prepare(1, 1, 1, digest(1)),
        view_change(1, change(1, None, vec![])),
        status(1, 1),
    ];
    for later in &left {
        for earlier in &late {
            Trial::of("old-view").says(1, later).refuses_to_hear(1, earlier, "after it has spoken in view");
            Trial::of("old-view").says(1, later).boots(1, 0).refuses_to_hear(1, earlier, "after it has spoken in view");
        }
    }
}

/// Replicas 0 and 1 have committed to batch 1 in slot 5 of view 0. No quorum of four can do without one of them.
fn bound() -> Trial {
    let mut trial = Trial::of("prepared-survives");
    trial.all_say(&[0, 1], |by| commit(by, 0, 5, digest(1)));
    trial
}

/// View changes of a quorum, of which one proves that batch 1 prepared in slot 5.
fn changes(checkpoint: u64) -> [(u16, bezant_pbft::message::ViewChange); 3] {
    let stable = (checkpoint > 0).then(|| stable(checkpoint, digest(4), &[0, 1, 2]));
    let proofs = vec![proof(0, 5, digest(1), &[1, 2])];
    [(0, change(1, stable, proofs)), (2, change(1, None, vec![])), (3, change(1, None, vec![]))]
}

#[test]
fn a_view_that_begins_with_what_was_bound_is_as_it_should_be() {
    let mut trial = bound();
    trial.says(1, &new_view(opening(1, &changes(4), &[digest(1), digest(0)])));
    trial.says(1, &pre_prepare(1, 1, 5, digest(1))).says(2, &prepare(2, 1, 5, digest(1)));
    trial.says(2, &prepare(2, 1, 6, digest(6)));
    // A checkpoint at or above the slot covers it.
    bound().says(1, &new_view(opening(1, &changes(5), &[])));
    bound().says(1, &new_view(opening(1, &changes(8), &[digest(9)])));
    // One commit binds nothing, and a liar's new view that nobody enters is his own affair.
    let mut alone = Trial::of("prepared-survives");
    alone.says(0, &commit(0, 0, 5, digest(1))).says(2, &prepare(2, 1, 5, digest(2)));
    // A commit that was forgotten with the log does not count.
    let mut forgotten = Trial::of("prepared-survives");
    forgotten.says(0, &commit(0, 0, 5, digest(1))).loses_its_log(0).says(1, &commit(1, 0, 5, digest(1)));
    forgotten.says(2, &prepare(2, 1, 5, digest(2)));
}

#[test]
fn a_view_that_forgets_what_was_bound_is_a_crime() {
    let wrong = [
        opening(1, &changes(0), &[0, 0, 0, 0, 2].map(digest)),
        opening(1, &changes(0), &[0, 0, 0, 0].map(digest)),
        opening(1, &changes(4), &[]),
        opening(1, &changes(4), &[digest(2)]),
    ];
    for message in wrong.map(new_view) {
        bound().refuses_to_hear(1, &message, "was bound in view 0");
        // Also as what an honest backup passes on, having entered it.
        bound().refuses(said(2, 0, &message), "was bound in view 0");
        // And whichever is shown first.
        let mut before = Trial::of("prepared-survives");
        before.says(1, &message).says(0, &commit(0, 0, 5, digest(1)));
        before.refuses_to_hear(1, &commit(1, 0, 5, digest(1)), "was bound in view 0");
    }
}

#[test]
fn a_vote_for_anything_else_in_a_later_view_is_a_crime() {
    bound().refuses_to_hear(2, &prepare(2, 1, 5, digest(2)), "was bound in view 0");
    bound().refuses_to_hear(1, &pre_prepare(1, 1, 5, digest(2)), "was bound in view 0");
    let mut before = Trial::of("prepared-survives");
    before.says(2, &prepare(2, 1, 5, digest(2))).says(0, &commit(0, 0, 5, digest(1)));
    before.refuses_to_hear(1, &commit(1, 0, 5, digest(1)), "voted for");
    let mut twice = bound();
    twice.says(0, &commit(0, 0, 5, digest(2))).refuses_to_hear(1, &commit(1, 0, 5, digest(2)), "is bound to slot 5");
    let mut delivery = Trial::of("prepared-survives");
    delivery.accepts(delivered(0, &block(1, &[]))).refuses_to_hear(2, &prepare(2, 1, 1, digest(2)), "was bound");
}

#[test]
fn what_is_stable_everywhere_is_closed() {
    let mut trial = bound();
    for replica in 0..3 {
        trial.accepts(is_stable(replica, 8, digest(8)));
    }
    trial.says(2, &prepare(2, 1, 5, digest(2))).accepts(delivered(0, &block(1, &[])));
}
