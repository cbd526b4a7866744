//! Leaving a view and living through it, rules V-1 to V-7: scripts of whole groups.

use bezant_pbft::ignored::Ignored;
use bezant_pbft::message::{Batch, Standing};
use bezant_pbft::packet::Packet;
use bezant_pbft::{Input, StoredBlock, Timer};
use bezant_types::{View, codec};

use crate::network::small;
use crate::node::CrashPoint;
use crate::oracle::Kind;
use crate::script::PATIENCE;
use crate::world::World;

/// The time that a primary has, and a little for the network.
const TIMEOUT: u64 = 400 + 20;

/// Hazard 47 and rule P-8: clients tell everybody, so a primary that is down is missed at once.
#[test]
fn a_silent_primary_is_replaced_within_two_timeouts() {
    let mut w = World::new(4, small(), 11);
    w.work(2);
    w.crash(0);
    w.ask(0);
    w.finish_within(2 * TIMEOUT);
    assert!(w.honest().into_iter().all(|node| w.view(node) == 1));
    w.restart(0);
    w.work(1);
    w.converge();
    assert_eq!(w.view(0), 1);
}

/// Rule V-1 and hazard 41: after its view change a replica says nothing in the old view, whatever it hears.
#[test]
fn nothing_is_said_in_a_view_that_was_left() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    w.tell(2, &m.pre_prepare(0, 1, &batch));
    w.tell(2, &m.prepare(1, 0, 1, batch.digest()));
    assert!(w.committed(2, 0, 1).is_some());
    w.run(2 * TIMEOUT);
    assert_eq!(w.standing(2), Standing::ViewChanging);
    let second = m.batch(w.now, &[m.bundle(0, 2, "x")]);
    assert_eq!(w.told(2, &m.pre_prepare(0, 2, &second)), Some(Ignored::OldView));
    assert_eq!(w.told(2, &m.prepare(3, 0, 1, batch.digest())), Some(Ignored::OldView));
    assert_eq!(w.told(2, &m.pre_prepare(1, 2, &second)), Some(Ignored::NotInView), "the new view has not begun");
    w.run(1_000);
    assert_eq!(w.prepared(2, 0, 2), None);
}

/// Rule V-1: the view change carries the proof of everything that prepared. Kills the mutant that carries none.
#[test]
fn a_view_change_carries_what_prepared() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    w.tell(2, &m.pre_prepare(0, 1, &batch));
    w.tell(2, &m.prepare(1, 0, 1, batch.digest()));
    w.run(2 * TIMEOUT);
    let said = w.sent.iter().flatten().find_map(|(from, _, packet)| {
        if let Packet::ViewChange(signed) = packet { (*from == 2).then(|| signed.message.clone()) } else { None }
    });
    let carried: Vec<_> = said.expect("a view change").prepared.iter().map(|p| (p.sequence.get(), p.digest)).collect();
    assert_eq!(carried, [(1, batch.digest())]);
}

/// Hazard 29: a batch commits at one replica only, which is then cut off. The new view has the same batch at the same
/// place. Kills the mutants that re-propose null, drop the proofs, or carry none.
#[test]
fn what_committed_at_one_replica_alone_survives_the_view_change() {
    for lucky in [0, 1, 2, 3] {
        let mut w = World::new(4, small(), 12);
        let of_view_0 = |packet: &Packet| matches!(packet, Packet::Commit(signed) if signed.message.view == View::ZERO);
        w.lose(move |_, to, packet| of_view_0(packet) && to != lucky);
        w.lose(|_, _, packet| matches!(packet, Packet::Decided(_)));
        w.ask(0);
        w.run_until(1_000, "one replica commits", |w| w.height(lucky) == 1);
        let digest = w.history.batch_at(1);
        w.isolate(lucky);
        w.ask(1);
        w.finish();
        let others: Vec<_> = w.honest().into_iter().filter(|node| *node != lucky).collect();
        assert!(others.iter().all(|node| w.view(*node) > 0 && w.height(*node) > 0));
        assert_eq!(w.history.batch_at(1), digest);
        w.heal();
        w.reconnect(lucky);
        w.work(1);
        w.converge();
    }
}

/// Hazards 31 and 15: a primary that jumps to the end of the window leaves gaps. They become null, and what it proposed
/// is executed once.
#[test]
fn gaps_that_a_primary_leaves_are_filled_with_null() {
    let mut w = World::puppets(4, &[1, 2, 3], small());
    let m = w.members.clone();
    let number = w.ask(0);
    w.run(5);
    let batch = m.batch(w.now, &[m.bundle(0, number.get(), "0/1")]);
    [1, 2, 3].iter().for_each(|node| w.tell(*node, &m.pre_prepare(0, 12, &batch)));
    w.finish();
    assert_eq!(w.history.batch_at(12), Some(batch.digest()));
    assert_eq!(w.history.batch_at(5), Some(Batch::Null.digest()));
    assert!(w.honest().into_iter().all(|node| w.executed(node) == 1 && w.view(node) == 1));
    w.work(2);
}

/// Hazard 1: the primary tells one replica one thing and two another. Nobody commits differently, and it is replaced.
#[test]
fn an_equivocating_primary_splits_nobody_and_is_replaced() {
    let mut w = World::puppets(4, &[1, 2, 3], small());
    let m = w.members.clone();
    let (a, b) = (w.ask(0), w.ask(0));
    w.run(5);
    let of = |w: &World, n: u64| m.batch(w.now, &[m.bundle(0, n, &format!("0/{n}"))]);
    let (first, second) = (of(&w, a.get()), of(&w, b.get()));
    w.tell(1, &m.pre_prepare(0, 1, &first));
    w.tell(2, &m.pre_prepare(0, 1, &second));
    w.tell(3, &m.pre_prepare(0, 1, &second));
    w.finish_within(3 * TIMEOUT);
    assert!(w.honest().into_iter().all(|node| w.view(node) == 1 && w.executed(node) == 2));
    w.tell(1, &m.pre_prepare(0, 2, &first));
    assert_eq!(w.ignored.last().map(|(.., reason)| *reason), Some(Ignored::OldView));
}

/// Rule V-6 and hazard 42: one member alone moves nobody, however far it says it is; f + 1 move everybody to the
/// nearest of their views.
#[test]
fn f_plus_one_view_changes_move_a_replica_to_the_nearest_of_their_views() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    for view in [7, 1_000_000_000, u64::MAX] {
        assert_eq!(w.told(2, &Packet::ViewChange(m.view_change(3, view, None, vec![]))), None);
        assert_eq!(w.view(2), 0);
    }
    w.tell(2, &Packet::ViewChange(m.view_change(0, 5, None, vec![])));
    assert_eq!(w.view(2), 5);
    assert!(w.word(2, Kind::ViewChange, 5, 0).is_some());
    assert!(w.node(2).timers.contains_key(&Timer::NewView(View::new(5))));
    w.input(2, Input::Timeout(Timer::NewView(View::new(2))));
    assert_eq!(w.view(2), 5, "a late timer of an earlier view");
}

/// What a view change carries over is not proposed a second time.
#[test]
fn no_request_is_ordered_twice_by_a_view_change() {
    let mut w = World::unstarted(4, small(), 22);
    w.replicas().into_iter().for_each(|node| w.node_mut(node).save_ms = None);
    w.start_all();
    w.lose(|_, _, packet| matches!(packet, Packet::Commit(signed) if signed.message.view == View::ZERO));
    for client in 0..3 {
        w.ask(client);
    }
    w.finish();
    w.run(500);
    assert!(w.view(1) > 0);
    let blocks = w.node(1).disk.blocks.values();
    let stored = blocks.map(|bytes| codec::decode::<StoredBlock>(bytes, usize::MAX).expect("a block that was written"));
    assert_eq!(stored.map(|block| block.requests.len()).sum::<usize>(), 3);
}

/// Rule V-6 at the end of all views: nothing overflows.
#[test]
fn the_last_view_is_the_last() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let last = u64::MAX;
    for peer in [0, 1, 3] {
        w.tell(2, &Packet::ViewChange(m.view_change(peer, last, None, vec![])));
    }
    assert_eq!(w.view(2), last);
    w.run(PATIENCE);
    assert_eq!(w.view(2), last);
}

/// Hazard 23: view changes for ever later views are one entry.
#[test]
fn a_flood_of_view_changes_from_one_member_is_bounded() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    w.tell(2, &Packet::ViewChange(m.view_change(3, 1, None, vec![])));
    let before = w.memory(2);
    for view in 2..300 {
        w.transmit(3, 2, &Packet::ViewChange(m.view_change(3, view, None, vec![])));
    }
    w.run(10);
    assert!(w.memory(2) < before + 500);
    assert_eq!(w.view(2), 0);
}

/// Rule V-5: the timer of a new view runs when a quorum wants it, and not before.
#[test]
fn the_new_view_timer_waits_for_a_quorum() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    let (bundle, _) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    w.run(20 * TIMEOUT);
    assert_eq!((w.view(2), w.standing(2)), (1, Standing::ViewChanging), "alone it waits in the next view");
    w.tell(2, &Packet::ViewChange(m.view_change(0, 1, None, vec![])));
    assert!(!w.node(2).timers.contains_key(&Timer::NewView(View::new(1))));
    w.tell(2, &Packet::ViewChange(m.view_change(3, 1, None, vec![])));
    assert!(w.node(2).timers.contains_key(&Timer::NewView(View::new(1))));
    w.run(3 * TIMEOUT);
    assert_eq!(w.view(2), 2, "the primary of view 1 did not open it");
}

/// Rule V-5: of each member only its last view change is kept. Two wait for view 2, one has gone on to view 3, one is
/// silent: nobody sees a quorum for view 2, and yet none of them may wait for ever.
#[test]
fn a_member_that_went_further_counts_for_the_timer() {
    let mut w = World::among_puppets(0);
    let m = w.members.clone();
    w.tell(0, &Packet::ViewChange(m.view_change(2, 3, None, vec![])));
    w.tell(0, &Packet::ViewChange(m.view_change(1, 2, None, vec![])));
    assert_eq!(w.view(0), 2, "the nearest view");
    w.run(PATIENCE);
    assert!(w.view(0) >= 3, "it goes on to where the others can be met");
}

/// The same as a whole group: replica 3's view change reaches replica 2 alone, and then it is gone.
#[test]
fn a_member_that_dies_in_the_middle_of_a_view_change_strands_nobody() {
    let mut w = World::new(4, small(), 13);
    w.lose(|from, to, packet| from == 3 && to != 2 && matches!(packet, Packet::ViewChange(_)));
    w.lose(|_, _, packet| matches!(packet, Packet::NewView(_)));
    w.crash(0);
    w.ask(0);
    w.run_until(PATIENCE, "replica 2 gives up on view 1", |w| w.view(2) == 2);
    w.crash(3);
    w.heal();
    w.restart(0);
    w.finish();
}

/// Rule V-5 and hazard 43: the time doubles with each view in vain, up to a bound, and is the usual one after progress.
#[test]
fn timeouts_double_up_to_a_bound_and_fall_back_with_progress() {
    let mut w = World::new(4, small(), 14);
    w.lose(|_, _, packet| matches!(packet, Packet::NewView(_)));
    w.crash(0);
    w.ask(0);
    let mut reached = vec![];
    for view in 1..=7 {
        w.run_until(PATIENCE, "the next view", |w| w.view(1) >= view);
        reached.push(w.now);
    }
    let waits: Vec<_> = reached.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let expected = [800, 1_600, 3_200, 3_200, 3_200, 3_200];
    for (wait, expected) in waits.iter().zip(expected) {
        assert!((expected..expected + 60).contains(wait), "{waits:?}");
    }
    w.heal();
    w.restart(0);
    w.finish();
    w.converge();
    let before = w.view(1);
    let primary = w.members.primary(before);
    w.crash(primary);
    w.ask(1);
    w.finish_within(3 * TIMEOUT);
}

/// Hazard 43: from a fast network to a slow one, the group recovers within a bound that the delay explains.
#[test]
fn a_view_change_succeeds_at_every_latency() {
    for delay in [1, 10, 60, 150, 400] {
        let mut w = World::new(4, small(), 15);
        w.work(1);
        w.links.delay = (delay, delay + delay / 4);
        w.crash(0);
        w.ask(0);
        w.finish_within(4 * TIMEOUT + 60 * delay);
    }
}

/// Hazard 39: every request once over many view changes, under load.
#[test]
fn requests_are_executed_once_over_many_view_changes() {
    let mut w = World::new(4, small(), 16);
    for round in 0..1_000 {
        let view = w.honest().into_iter().map(|node| w.view(node)).max().unwrap_or(0);
        let primary = w.members.primary(view);
        w.ask(0);
        let pause = w.dice.below(8);
        w.run(pause);
        w.crash(primary);
        w.ask(1);
        w.finish();
        w.restart(primary);
        w.run(150);
        assert!(w.honest().into_iter().any(|node| w.view(node) > view), "round {round}");
    }
    w.converge();
    assert!(w.honest().into_iter().all(|node| w.executed(node) == 2_000));
}

/// Hazard 49: the primary of the next view dies with its new-view message on disk, unsent, half sent, or not even
/// written; and the one after it too.
#[test]
fn a_new_primary_that_crashes_while_it_opens_its_view_is_replaced() {
    for point in [CrashPoint::BeforeSync, CrashPoint::AfterSync, CrashPoint::HalfWay] {
        for later in 1..=5 {
            let mut w = World::unstarted(4, small(), 17);
            w.node_mut(1).sync_ms = 1;
            w.start_all();
            w.work(1);
            w.crash(0);
            let sync = w.node(1).disk.syncs + later;
            w.node_mut(1).doom = Some((sync, point));
            w.ask(0);
            w.run(600);
            w.restart(0);
            w.finish();
            w.node_mut(1).doom = None;
            w.restart(1);
            w.work(1);
            w.converge();
        }
    }
}

/// Hazard 52: a replica that is alone in a later view is caught up, and is back at work with the next view.
#[test]
fn a_replica_alone_in_a_later_view_still_learns_what_the_others_commit() {
    let mut w = World::new(4, small(), 18);
    w.links.client_cut.extend([(0, 0), (0, 1), (0, 2)]);
    w.lose(|from, _, packet| from == 3 && matches!(packet, Packet::Requests(_)));
    w.ask(0);
    w.run_until(PATIENCE, "replica 3 leaves alone", |w| w.view(3) == 1);
    w.heal();
    w.work(6);
    assert_eq!((w.view(0), w.view(3)), (0, 1), "the others are satisfied with their primary");
    w.agree(PATIENCE);
    w.crash(1);
    w.work(1);
    assert!(w.honest().into_iter().all(|node| w.view(node) > 0), "without it there is no quorum, so they follow");
}

/// Rule V-7 and hazard 53: in a view change a replica learns of commits, by certificate.
#[test]
fn a_replica_in_a_view_change_executes_what_others_prove() {
    let mut w = World::among_puppets(2);
    let m = w.members.clone();
    for peer in [0, 3] {
        w.tell(2, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
    }
    let (bundle, batch) = w.bundle_and_batch(1);
    w.give(2, &bundle);
    assert_eq!(w.told(2, &m.decided(0, 1, &batch, &[0, 1, 3])), None);
    assert_eq!((w.height(2), w.standing(2)), (1, Standing::ViewChanging));
}

/// Hazard 50: a checkpoint that becomes stable after the view change was asked for does not stop it.
#[test]
fn a_checkpoint_that_becomes_stable_during_a_view_change_does_no_harm() {
    let mut w = World::new(4, small(), 19);
    w.lose(|_, _, packet| matches!(packet, Packet::Checkpoint(_) | Packet::NewView(_) | Packet::Stable(_)));
    for _ in 0..5 {
        w.ask(0);
        w.run(12);
    }
    w.crash(0);
    w.ask(1);
    w.run_until(PATIENCE, "a view change is under way", |w| w.standing(1) == Standing::ViewChanging);
    w.heal();
    w.finish();
    w.restart(0);
    w.converge();
}

/// Hazards 31, 32 and 38 at work: replicas with different water marks change views, again and again.
#[test]
fn replicas_with_different_water_marks_agree_on_a_new_view() {
    let mut w = World::new(4, small(), 20);
    w.lose(|_, to, packet| to == 3 && matches!(packet, Packet::Checkpoint(_) | Packet::Stable(_)));
    w.lose(|from, to, packet| to == 2 && from != 2 && matches!(packet, Packet::Checkpoint(_)) && from == 1);
    for _ in 0..3 {
        w.work(2);
        let primary = w.members.primary(w.view(1));
        w.isolate(primary);
        w.ask(0);
        w.finish();
        w.reconnect(primary);
    }
    w.heal();
    w.work(2);
    w.converge();
}

/// Hazard 46: a primary that ignores one client alone loses its view, and the client is served; the others never wait.
#[test]
fn a_primary_that_censors_one_client_is_replaced() {
    let mut w = World::new(4, small(), 21);
    w.links.client_cut.insert((2, 0));
    w.lose(|_, to, packet| to == 0 && matches!(packet, Packet::Requests(_)));
    let censored = w.ask(2);
    let end = w.now + 2 * TIMEOUT;
    while w.now < end {
        let served = w.ask(0);
        w.run(40);
        if w.view(1) == 0 && w.standing(1) == Standing::Normal {
            assert!(w.clients[0].done.contains_key(&served), "the others are served meanwhile");
        }
    }
    assert!(w.clients[2].done.contains_key(&censored), "within two timeouts");
    assert!(w.view(1) >= 1);
}
