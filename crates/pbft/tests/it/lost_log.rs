//! A replica that has lost its log has a past that it does not know (rule A-1).

use bezant_pbft::message::Standing;
use bezant_pbft::packet::Packet;

use crate::network::small;
use crate::oracle::Kind;
use crate::world::World;

/// Rule A-1: without its log a replica executes and helps, and votes for nothing until the group has moved past all
/// that it may have voted on.
#[test]
fn a_replica_without_its_log_is_silent_until_the_group_has_moved_on() {
    let mut w = World::new(4, small(), 35);
    w.work(3);
    w.converge();
    w.crash(3);
    w.node_mut(3).words.said.clear();
    w.restart_without_log(3);
    w.run(300);
    let until =
        w.node(3).replica.as_ref().and_then(|replica| replica.report().silent_until).expect("it knows how long");
    assert!(until.get() >= w.stable(0) + 24, "two windows above what is proven");
    while w.stable(3) < until.get() {
        assert!(w.node(3).words.said.is_empty(), "it says nothing that binds");
        assert_eq!(w.standing(3), Standing::Recovering);
        w.work(1);
        w.converge();
    }
    assert_eq!(w.standing(3), Standing::Normal);
    w.work(3);
    assert!(!w.node(3).words.said.is_empty(), "it has its vote back");
    w.crash(1);
    w.work(1);
}

/// Rule A-1: a crash while it is silent, or while it still asks, does not give it its vote back.
#[test]
fn a_silent_replica_stays_silent_through_a_restart() {
    let mut w = World::new(4, small(), 36);
    w.work(3);
    w.crash(3);
    w.isolate(3);
    w.restart_without_log(3);
    w.run(100);
    for _ in 0..2 {
        w.crash(3);
        w.restart(3);
        w.run(100);
        assert_eq!(w.standing(3), Standing::Recovering, "it still asks");
    }
    w.reconnect(3);
    w.run(300);
    assert!(w.node(3).replica.as_ref().is_some_and(|replica| replica.report().silent_until.is_some()));
    w.crash(3);
    w.restart(3);
    assert_eq!(w.standing(3), Standing::Recovering, "it waits");
}

/// Rule A-1: claims without proof count for nothing, so one liar cannot silence a replica for ever; and fewer than a
/// quorum of answers do not tell how far it may have voted.
#[test]
fn a_lost_log_is_answered_by_a_quorum_and_by_proofs() {
    let mut w = World::puppets(4, &[], small());
    let m = w.members.clone();
    w.node_mut(3).puppet = false;
    w.restart_without_log(3);
    let until = |w: &World| w.node(3).replica.as_ref().and_then(|one| one.report().silent_until).map(|at| at.get());
    let answer = |w: &mut World, by: u16, stable: u64| {
        w.transmit(by, 3, &m.status(by, 0, Standing::Normal, stable, stable));
        w.run(60);
    };
    answer(&mut w, 0, 1 << 40);
    answer(&mut w, 1, 0);
    answer(&mut w, 2, 0);
    assert_eq!(until(&w), None, "the third answer is not proven");
    answer(&mut w, 1, 0);
    answer(&mut w, 2, 0);
    assert_eq!(until(&w), None, "and the others do not count twice");
    let root = bezant_types::Digest::of("test", "root");
    w.transmit(0, 3, &Packet::Stable(m.stable(8, root, &[0, 1, 2])));
    w.run(5);
    answer(&mut w, 0, 8);
    assert_eq!(until(&w), Some(8 + 24));
}

/// Rule A-1: it asks for no view either, whoever does.
#[test]
fn a_replica_without_its_log_joins_no_view_change() {
    for silent in [true, false] {
        let mut w = World::among_puppets(2);
        let m = w.members.clone();
        if silent {
            w.crash(2);
            w.restart_without_log(2);
            for peer in [0, 1, 3] {
                w.transmit(peer, 2, &m.status(peer, 0, Standing::Normal, 0, 0));
            }
            w.run(5);
        }
        for peer in [0, 3] {
            w.tell(2, &Packet::ViewChange(m.view_change(peer, 1, None, vec![])));
        }
        w.run(1_000);
        assert_eq!(w.word(2, Kind::ViewChange, 1, 0).is_none(), silent);
    }
}

/// Replica 3 alone asks for view 1, and comes back without its log.
fn asked_alone_and_lost_its_log() -> World {
    let mut w = World::new(4, small(), 77);
    w.work(2);
    w.lose(|_, to, _| to == 3);
    w.ask(0);
    w.run(1_000);
    assert_eq!(w.view(3), 1, "it waits in vain for what the others have executed");
    w.heal();
    w.finish();
    w.crash(3);
    w.restart_without_log(3);
    w
}

/// Rule A-1: alone it had asked for view 1, and the others stay in view 0. They tell it so when it comes back without
/// its log, and it neither works in view 0 again nor asks for view 1 with another story.
#[test]
fn a_replica_without_its_log_is_told_which_view_it_had_asked_for() {
    for primary_fails in [false, true] {
        let mut w = asked_alone_and_lost_its_log();
        let asked = w.word(3, Kind::ViewChange, 1, 0);
        assert!(asked.is_some());
        w.work(30);
        assert!(w.replicas()[..3].iter().all(|node| w.view(*node) == 0));
        assert_eq!(w.view(3), 1, "it is where it was");
        w.converge();
        if primary_fails {
            w.crash(0);
            w.ask(0);
            w.finish();
            assert!(w.replicas()[1..].iter().all(|node| w.view(*node) == 1));
            assert_eq!(w.word(3, Kind::ViewChange, 1, 0), asked, "in the same words");
        }
        assert!(w.accused.is_empty());
    }
}

/// Rule A-1: while it was silent it waited in vain for the primary of the view that it had asked for, and could not ask
/// for another. Once it has its vote back it waits again, and then asks for the next one (rule V-5).
#[test]
fn the_end_of_a_silence_in_a_view_change_starts_its_timer_again() {
    let mut w = asked_alone_and_lost_its_log();
    w.run(300);
    // The others follow into view 1, and replica 3 never hears how it begins.
    w.lose(|_, to, packet| to == 3 && matches!(packet, Packet::NewView(_)));
    w.lose(|from, _, packet| from == 0 && matches!(packet, Packet::PrePrepare(..)));
    w.ask(0);
    w.run(3_000);
    assert!(w.replicas()[..3].iter().all(|node| w.view(*node) == 1));
    assert_eq!((w.view(3), w.standing(3)), (1, Standing::Recovering));
    let until = w.node(3).replica.as_ref().and_then(|one| one.report().silent_until).expect("it knows how long");
    while w.stable(3) < until.get() {
        assert_eq!(w.word(3, Kind::ViewChange, 2, 0), None, "it has no vote");
        w.work(1);
        w.converge();
    }
    w.run(3_000);
    assert!(w.word(3, Kind::ViewChange, 2, 0).is_some(), "it asks for the view after the one that does not begin");
}
