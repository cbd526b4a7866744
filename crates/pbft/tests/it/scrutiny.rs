//! Members that tell each side one story are caught all the same. Hazards 1 and 25.

use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::Batch;
use bezant_pbft::packet::Packet;

use crate::network::{Members, small};
use crate::world::World;

/// Replica 2 among puppets; two batches that it holds the bodies of.
fn lone() -> (World, Members, Batch, Batch) {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let bundles = [m.bundle(0, 1, "a"), m.bundle(0, 2, "b")];
    bundles.iter().for_each(|bundle| w.give(2, bundle));
    let [a, b] = [&bundles[..1], &bundles[1..]].map(|some| m.batch(w.now, some));
    (w, m, a, b)
}

/// Whom replica 2 has shown a proposal that is not its own.
fn confronted(w: &mut World) -> Vec<(u16, Packet)> {
    let sent = w.sent.replace(vec![]).expect("kept");
    let shown = |packet: &Packet| matches!(packet, Packet::PrePrepare(vote, _) if vote.signer.get() != 2);
    sent.into_iter()
        .filter(|(from, _, packet)| *from == 2 && shown(packet))
        .map(|(_, to, packet)| (to, packet))
        .collect()
}

#[test]
fn whoever_prepares_something_else_is_shown_what_was_proposed() {
    for proposal_first in [true, false] {
        let (mut w, m, a, b) = lone();
        let (proposal, other) = (m.pre_prepare(0, 1, &a), m.prepare(1, 0, 1, b.digest()));
        let (first, second) = if proposal_first { (&proposal, &other) } else { (&other, &proposal) };
        w.tell(2, first);
        assert_eq!(confronted(&mut w), []);
        w.tell(2, second);
        assert_eq!(confronted(&mut w), [(1, m.pre_prepare_by(0, 0, 1, a.digest(), None))]);
        w.tell(2, &other);
        w.tell(2, &proposal);
        assert_eq!(confronted(&mut w), [], "once");
        w.tell(2, &m.prepare(3, 0, 1, a.digest()));
        w.tell(2, &m.prepare(3, 1, 1, b.digest()));
        assert_eq!(confronted(&mut w), [], "who agrees, or speaks of another matter, is shown nothing");
    }
}

/// Hazard 1: two replicas were told one story, the third another, and all votes arrive. No replica was told two.
#[test]
fn a_primary_that_tells_each_one_story_is_caught_and_left() {
    let mut w = World::puppets(4, &[1, 2, 3], small());
    let m = w.members.clone();
    let (a, b) = (w.ask(0), w.ask(0));
    w.run(5);
    let of = |w: &World, n: u64| m.batch(w.now, &[m.bundle(0, n, &format!("0/{n}"))]);
    let (first, second) = (of(&w, a.get()), of(&w, b.get()));
    w.transmit(0, 1, &m.pre_prepare(0, 1, &first));
    w.transmit(0, 2, &m.pre_prepare(0, 1, &first));
    w.transmit(0, 3, &m.pre_prepare(0, 1, &second));
    w.run_until(100, "it is left", |w| w.honest().into_iter().all(|node| w.view(node) == 1));
    let accusers: std::collections::BTreeSet<_> = w.accused.iter().map(|(by, _)| *by).collect();
    assert!(accusers.len() >= 2, "both sides have the proof: {accusers:?}");
    assert!(w.accused.iter().all(|(_, whom)| *whom == 0));
    w.finish();
}

/// The same among seven, where those who were told two stories are too few to take the others along: all others are
/// shown both, though they were told nothing.
#[test]
fn a_primary_that_tells_two_of_seven_is_left_by_all() {
    let honest = [1, 2, 3, 4, 5];
    let mut w = World::puppets(7, &honest, small());
    let m = w.members.clone();
    let (a, b) = (w.ask(0), w.ask(0));
    w.run(5);
    let of = |w: &World, n: u64| m.batch(w.now, &[m.bundle(0, n, &format!("0/{n}"))]);
    let (first, second) = (of(&w, a.get()), of(&w, b.get()));
    w.transmit(0, 1, &m.pre_prepare(0, 1, &first));
    w.transmit(0, 2, &m.pre_prepare(0, 1, &second));
    w.run_until(100, "it is left", |w| honest.iter().all(|node| w.view(*node) == 1));
    assert!(honest.iter().all(|node| w.accused.contains(&(*node, 0))), "{:?}", w.accused);
}

/// What is shown to a replica that was told nothing is accepted from nobody, and the primary is held to it.
#[test]
fn a_proposal_without_its_batch_binds_the_primary_and_nobody_else() {
    let (mut w, m, a, b) = lone();
    let shown = |batch: &Batch| m.pre_prepare_by(0, 0, 1, batch.digest(), None);
    assert_eq!(w.told(2, &shown(&a)), Some(Ignored::BatchMissing));
    assert_eq!(w.prepared(2, 0, 1), None);
    assert_eq!(w.told(2, &m.pre_prepare(0, 1, &a)), None, "with its batch it is accepted");
    assert_eq!(w.prepared(2, 0, 1), Some(a.digest()));
    assert_eq!(w.told(2, &shown(&a)), Some(Ignored::Duplicate));
    assert_eq!(w.accused, []);
    let (mut w, ..) = lone();
    w.tell(2, &shown(&a));
    assert_eq!(w.told(2, &m.pre_prepare(0, 1, &b)), Some(Ignored::Contradiction));
    assert_eq!((w.prepared(2, 0, 1), w.accusations_of(0)), (None, 1));
}

/// A certificate for something else than was proposed here: whoever was told that holds the other half of the proof.
#[test]
fn whoever_learns_that_something_else_was_decided_shows_what_was_proposed() {
    let (mut w, m, a, b) = lone();
    w.tell(2, &m.pre_prepare(0, 1, &a));
    assert_eq!(confronted(&mut w), []);
    w.tell(2, &m.decided(0, 1, &b, &[0, 1, 3]));
    let shown = confronted(&mut w);
    assert_eq!(shown.len(), 3, "everybody: {shown:?}");
    assert!(shown.iter().all(|(_, packet)| *packet == m.pre_prepare_by(0, 0, 1, a.digest(), None)));
    let (mut w, ..) = lone();
    w.tell(2, &m.pre_prepare(0, 1, &a));
    w.tell(2, &m.decided(7, 1, &b, &[0, 1, 3]));
    assert_eq!(confronted(&mut w), [], "a later view may decide otherwise");
}

#[test]
fn a_commit_to_something_else_than_was_accepted_convicts() {
    for commit_first in [true, false] {
        let (mut w, m, a, b) = lone();
        let say = |w: &mut World, accepted: Packet, committed: Packet| {
            let order = if commit_first { [committed, accepted] } else { [accepted, committed] };
            order.iter().for_each(|packet| w.tell(2, packet));
        };
        say(&mut w, m.pre_prepare(0, 1, &a), m.commit(0, 0, 1, a.digest()));
        say(&mut w, m.prepare(1, 0, 1, a.digest()), m.commit(1, 0, 1, a.digest()));
        assert_eq!(w.accused, []);
        say(&mut w, m.pre_prepare(0, 2, &a), m.commit(0, 0, 2, b.digest()));
        assert_eq!(w.accused, [(2, 0)], "a primary");
        say(&mut w, m.prepare(3, 0, 2, a.digest()), m.commit(3, 0, 2, b.digest()));
        assert_eq!(w.accused, [(2, 0), (2, 3)], "a backup");
        say(&mut w, m.prepare(1, 0, 2, a.digest()), m.commit(1, 1, 2, b.digest()));
        assert_eq!(w.accused.len(), 2, "in another view it may commit to something else");
    }
}

/// Of those who decided without this replica, whoever told it something else is caught by the certificate.
#[test]
fn the_signers_of_a_certificate_are_held_to_what_they_said_here() {
    let (mut w, m, a, b) = lone();
    w.tell(2, &m.pre_prepare(0, 1, &a));
    w.tell(2, &m.prepare(1, 0, 1, a.digest()));
    w.tell(2, &m.commit(3, 0, 1, a.digest()));
    assert_eq!(w.accused, []);
    w.tell(2, &m.decided(0, 1, &b, &[0, 1, 3]));
    let mut caught: Vec<_> = w.accused.iter().map(|(_, whom)| *whom).collect();
    caught.sort_unstable();
    assert_eq!(caught, [0, 1, 3], "it proposed, prepared, committed to something else");
}

/// And it goes on once the certificate is here: later votes are held against it.
#[test]
fn votes_after_a_certificate_are_held_against_it() {
    let (mut w, m, a, b) = lone();
    // In the second slot, so that it is kept and not delivered.
    w.tell(2, &m.decided(0, 2, &b, &[0, 1, 3]));
    w.tell(2, &m.commit(1, 0, 2, b.digest()));
    w.tell(2, &m.prepare(1, 0, 2, b.digest()));
    assert_eq!(w.accused, []);
    w.tell(2, &m.commit(3, 0, 2, a.digest()));
    assert_eq!(w.accused, [(2, 3)], "two commits");
    w.tell(2, &m.prepare(3, 0, 2, a.digest()));
    assert_eq!(w.accusations_of(3), 2, "a prepare and a commit");
    w.tell(2, &m.pre_prepare(0, 2, &a));
    assert_eq!(w.accusations_of(0), 1, "a proposal and a commit, though the proposal is refused");
}

/// The same when the block has been delivered, and its slot holds the certificate no more than the recent blocks do.
#[test]
fn a_proposal_against_a_delivered_block_convicts_its_primary() {
    let (mut w, m, a, b) = lone();
    w.tell(2, &m.decided(0, 1, &b, &[0, 1, 3]));
    w.run(5);
    w.crash(2);
    w.restart(2);
    assert_eq!(w.told(2, &m.pre_prepare(0, 1, &a)), Some(Ignored::DecidedOtherwise));
    assert_eq!(w.accusations_of(0), 1);
}

/// Views part what belongs to them: an honest member may commit to one batch, and to another in a later view.
#[test]
fn what_was_decided_in_another_view_convicts_nobody() {
    let (mut w, m, a, b) = lone();
    w.tell(2, &m.decided(7, 2, &b, &[0, 1, 3]));
    w.tell(2, &m.commit(3, 0, 2, a.digest()));
    w.tell(2, &m.prepare(1, 0, 2, a.digest()));
    assert_eq!(w.told(2, &m.pre_prepare(0, 2, &a)), Some(Ignored::DecidedOtherwise));
    assert_eq!(w.accused, []);
}

/// Twins: somebody else speaks with the primary's key. It keeps the proof, but cannot leave its own view, so whoever
/// contradicts it again and again would have it say so to everybody each time.
#[test]
fn a_primary_that_is_contradicted_with_its_own_key_repeats_nothing() {
    let mut w = World::among_puppets(0);
    let m = w.members.clone();
    let bundles = [m.bundle(0, 1, "a"), m.bundle(0, 2, "b")];
    w.give(0, &bundles[0]);
    w.run(5);
    w.node_mut(0).puppet = true; // No longer honest: somebody else has its key.
    let other = m.batch(w.now, &bundles[1..]);
    w.sent = Some(vec![]);
    assert_eq!(w.told(0, &m.pre_prepare(0, 1, &other)), Some(Ignored::Contradiction));
    assert_eq!(w.told(0, &m.pre_prepare(0, 1, &other)), Some(Ignored::Contradiction));
    w.run(5);
    let said = w.sent.as_ref().expect("kept").iter();
    assert_eq!(said.filter(|(from, _, packet)| *from == 0 && matches!(packet, Packet::PrePrepare(..))).count(), 0);
    assert_eq!((w.accusations_of(0), w.view(0)), (2, 0));
}
