//! Whole replicas, without a thread or a clock.

mod world;

use bezant_store::disk::memory::Crash;
use bezant_types::{Outcome, RequestNumber};

use self::world::{CrashPoint, Held, LastRound, World};
use crate::fixture::{entry, replica};

#[test]
fn a_request_is_ordered_executed_answered_sealed_and_saved() {
    let mut world = World::new();
    world.work(0..1);
    world.run_until("all answer", |world| world.answers(0) == 4);
    let outcomes: Vec<_> = world.replies.values().flatten().collect();
    assert!(matches!(outcomes[..], [Outcome::Executed(_), ..]) && outcomes.windows(2).all(|two| two[0] == two[1]));
    world.run_until("a seal makes it provable", |world| (0..4).all(|id| world.stable(id).is_some()));
    world.run(10);
    for id in 0..4 {
        let state = world.stable(id).unwrap();
        assert_eq!(Some(state), world.stable(0));
        assert!(state.get(&entry("key-0")).is_some());
        assert_eq!(world.machines[id].booted.saver.last(), Some(state), "it is on disk");
    }

    let executed = world.heights();
    world.ask(0);
    world.run_until("the kept outcome is told again", |world| {
        (0..4).all(|id| world.replies[&(replica(id), RequestNumber::new(0))].len() == 2)
    });
    assert!(world.replies.values().all(|told| told[0] == told[1]));
    world.run(1_000);
    assert_eq!(world.heights(), executed, "it is not ordered again");
}

#[test]
fn a_replica_that_missed_more_than_a_window_fetches_the_state_and_goes_on() {
    let mut world = World::new();
    world.machines[3].cut_off = true;
    world.work(0..10);
    assert_eq!(world.height(3), 0);
    world.machines[3].cut_off = false;
    world.run_until("it has caught up", |world| world.height(3) == world.height(0));
    assert!(!world.machines[3].installed.is_empty());
    world.work(10..12);
    world.run_until("it executes like the others", |world| world.answers(11) == 4);
}

/// The core asks once for the later state, and while the group is idle nothing makes it ask again.
#[test]
fn a_state_that_was_overtaken_while_it_was_installed_is_followed_by_the_later_one() {
    for held in [Held::Executor, Held::Saver] {
        let mut world = World::new();
        world.machines[3].cut_off = true;
        world.work(0..10);
        world.machines[3].cut_off = false;
        world.machines[3].held = Some(held);
        world.run(1_000);
        let first = world.stable(0).unwrap().height();
        assert!(world.machines[3].booted.member.is_fetching_state());
        world.work(10..20);
        // From here on the group is idle, and its last checkpoint has been proven to the one that is behind.
        world.run(1_000);
        let last = world.stable(0).unwrap().clone();
        assert!(first < last.height());
        assert_eq!(world.height(3), 0, "it is still installing");

        world.machines[3].held = None;
        world.run_until("it has the later state", |world| world.stable(3) == Some(&last));
        assert_eq!(world.machines[3].installed, [first, last.height()], "{held:?}");
        assert_eq!(world.heights(), [last.height().get(); 4]);
        world.work(20..21);
        world.run_until("it takes part again", |world| world.answers(20) == 4);
    }
}

/// Rules, after each round of a primary and of a backup, with the disks as bad as they may be.
#[test]
fn a_replica_that_crashed_between_two_rounds_says_the_same_again() {
    for who in [0, 1] {
        for last_round in [LastRound::Performed, LastRound::Lost] {
            for rounds in 1.. {
                let crash = if rounds % 2 == 0 { Crash::LosesUnsynced } else { Crash::TearsUnsynced { seed: rounds } };
                let mut world = World::new();
                world.crash_at = Some(CrashPoint { who, rounds, last_round, crash });
                world.work(0..5);
                world.run_until("all stand at one stable checkpoint", World::is_settled);
                if !world.crashed() {
                    assert!(rounds > 20, "the crashes were spread over the whole of the work");
                    break;
                }
            }
        }
    }
}

/// What is said to the core to be there is there after a crash.
#[test]
fn a_replica_that_crashed_while_it_caught_up_keeps_the_state_that_it_was_told_to_have() {
    for rounds in 1.. {
        let crash = if rounds % 2 == 0 { Crash::LosesUnsynced } else { Crash::TearsUnsynced { seed: rounds } };
        let mut world = World::new();
        world.machines[3].cut_off = true;
        world.work(0..10);
        world.machines[3].cut_off = false;
        let rounds = world.machines[3].rounds + rounds;
        world.crash_at = Some(CrashPoint { who: 3, rounds, last_round: LastRound::Performed, crash });
        world.work(10..13);
        world.run_until("all stand at one stable checkpoint", World::is_settled);
        assert!(!world.machines[3].installed.is_empty(), "it fetched a state");
        if !world.crashed() {
            break;
        }
    }
}
