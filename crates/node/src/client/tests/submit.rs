//! Requests: what is believed, what is not, and that there is always an answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bezant_types::transaction::Answer;
use bezant_types::{Outcome, RequestNumber};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::{Client, Fate, NoQuorum, Options, SubmitError};
use super::world::*;
use crate::wire::{Refusal, Tell};

fn done() -> Vec<bezant_types::transaction::Receipt> {
    vec![Ok(vec![Answer::Done])]
}

fn no_quorum(result: Result<Vec<bezant_types::transaction::Receipt>, SubmitError>) -> NoQuorum {
    match result {
        Err(SubmitError::NoQuorum(why)) => *why,
        other => panic!("a quorum was found: {other:?}"),
    }
}

#[tokio::test]
async fn what_all_replicas_say_is_believed() {
    let world = World::new();
    let _replicas = world.start_all(|_| honest()).await;
    let client = world.client().await;
    assert_eq!(client.submit(one_set(), soon()).await, Ok(done()));
    assert_eq!(client.execute(set("other", "value"), soon()).await, Ok(Ok(vec![Answer::Done])));
    assert_eq!(client.height(soon()).await, Ok(at(7)));
}

#[tokio::test]
async fn two_of_four_are_enough_though_the_others_are_gone() {
    let world = World::new();
    let _some = [world.start(1, honest()).await, world.start(3, honest()).await];
    assert_eq!(world.client().await.submit(one_set(), soon()).await, Ok(done()));
}

#[tokio::test]
async fn a_liar_that_answers_first_and_often_convinces_nobody() {
    let world = World::new();
    let lied = Arc::new(AtomicBool::new(false));
    let script = |id: u16| {
        let lied = Arc::clone(&lied);
        replies(move |voice, bundle, _| match id {
            2 => {
                lied.store(true, Ordering::SeqCst);
                vec![voice.reply(bundle.number, 0, lie(bundle)); 20]
            }
            // The honest ones wait for the lie, and are asked again.
            _ if lied.load(Ordering::SeqCst) => vec![voice.reply(bundle.number, 0, truth(bundle))],
            _ => Vec::new(),
        })
    };
    let _replicas = world.start_all(script).await;
    assert_eq!(world.client().await.submit(one_set(), soon()).await, Ok(done()));
}

#[tokio::test]
async fn a_member_cannot_speak_for_the_others() {
    let world = World::new();
    let voices: Vec<_> = (0..4).map(|id| world.voice(id)).collect();
    // Replica 3 sends replies of all members: with its own signature under their names, and with their own signatures,
    // which it might have from an earlier exchange.
    let script = replies(move |voice, bundle, _| {
        let own = voice.signed_reply(bundle.number, 0, lie(bundle));
        let forged = voices.iter().map(|other| {
            let mut forged = own.clone();
            forged.signer = other.id;
            Tell::Reply(forged)
        });
        let handed_in = voices.iter().map(|other| other.reply(bundle.number, 0, lie(bundle)));
        forged.chain(handed_in).collect()
    });
    let _liar = world.start(3, script).await;
    let why = no_quorum(world.client_of(1).await.submit(one_set(), within(800)).await);
    assert_eq!((why.answered, why.versions), (1, 1), "only its own word counts");
}

#[tokio::test]
async fn a_forged_signature_is_no_reply() {
    let world = World::new();
    let forge = |id: u16| {
        replies(move |voice, bundle, _| {
            let mut reply = voice.signed_reply(bundle.number, 0, lie(bundle));
            if id < 2 {
                reply.message.outcome = truth(bundle);
            }
            vec![Tell::Reply(reply)]
        })
    };
    let _two = [world.start(0, forge(0)).await, world.start(1, forge(1)).await];
    let why = no_quorum(world.client_of(2).await.submit(one_set(), within(800)).await);
    assert_eq!(why.answered, 0);
}

#[tokio::test]
async fn one_replica_on_several_connections_counts_once() {
    let world = World::new();
    let client = world.client_with(world.options()).await;
    let first = world.start(2, liar()).await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.submit(one_set(), within(1_500)).await }
    });
    first.until_asked(1).await;
    first.kill().await;
    for _ in 0..3 {
        // Each life of the liar says the same on a new connection.
        let again = world.start(2, liar()).await;
        again.until_asked(1).await;
        again.kill().await;
    }
    let why = no_quorum(asked.await.unwrap());
    assert_eq!((why.answered, why.alike, why.versions), (1, 1, 1));
}

#[tokio::test]
async fn replies_are_compared_by_number_and_outcome_only() {
    let world = World::new();
    let in_view = |id: u16| replies(move |voice, bundle, _| vec![voice.reply(bundle.number, id.into(), truth(bundle))]);
    let _two = [world.start(0, in_view(0)).await, world.start(3, in_view(3)).await];
    assert_eq!(world.client().await.submit(one_set(), soon()).await, Ok(done()), "in different views");
}

#[tokio::test]
async fn a_reply_to_another_number_or_client_counts_for_nothing() {
    let world = World::new();
    let other_number = replies(|voice, bundle, _| vec![voice.reply(bundle.number.next(), 0, truth(bundle))]);
    let other_client = replies(|voice, bundle, _| {
        let mut reply = voice.signed_reply(bundle.number, 0, truth(bundle)).message;
        reply.client = account(BOB);
        vec![voice.sign_reply(reply)]
    });
    let _three =
        [world.start(0, other_number).await, world.start(1, other_client).await, world.start(2, honest()).await];
    let why = no_quorum(world.client_of(3).await.submit(one_set(), within(800)).await);
    assert_eq!(why.answered, 1);
}

#[tokio::test]
async fn an_outcome_that_does_not_fit_the_request_counts_for_nothing() {
    let world = World::new();
    let misfit = |id: u16| {
        replies(move |voice, bundle, _| {
            let receipts = match id {
                0 | 1 => vec![],
                _ => vec![Ok(vec![])],
            };
            vec![voice.reply(bundle.number, 0, Outcome::Executed(receipts))]
        })
    };
    let _replicas = world.start_all(misfit).await;
    assert_eq!(no_quorum(world.client_of(4).await.submit(one_set(), within(800)).await).answered, 0);
}

#[tokio::test]
async fn without_a_quorum_there_is_an_error_at_the_deadline_that_says_how_it_stands() {
    let world = World::new();
    let _two = [world.start(0, honest()).await, world.start(1, liar()).await];
    let client = world.client_of(2).await;
    let start = Instant::now();
    let why = no_quorum(client.submit(one_set(), within(800)).await);
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
    assert_eq!((why.needed, why.alike, why.answered, why.versions), (2, 1, 2, 2));
    assert_eq!(why.unreachable, [replica(2), replica(3)]);
    let text = why.to_string();
    assert!(text.contains("2 answered, with 2 different answers"), "{text}");
    assert!(text.contains("no connection to replicas 2, 3"), "{text}");
    assert!(text.ends_with("may or may not have been executed"), "{text}");
}

#[tokio::test]
async fn a_request_that_reached_nobody_is_known_not_to_be_executed() {
    let world = World::new();
    let why = no_quorum(world.client().await.submit(one_set(), within(300)).await);
    assert_eq!((why.fate, why.unreachable.len()), (Fate::NotSent, 4));
    assert!(why.to_string().ends_with("so the request was not executed"), "{why}");
    let _one = world.start(0, silent()).await;
    let why = no_quorum(world.client_of(1).await.submit(one_set(), within(800)).await);
    assert_eq!(why.fate, Fate::Unknown, "one that is silent may have passed it on");
}

#[tokio::test]
async fn a_lost_frame_is_sent_again() {
    let world = World::new();
    let forgetful = |_| {
        replies(|voice, bundle, before| match before {
            0 => Vec::new(),
            _ => vec![voice.reply(bundle.number, 0, truth(bundle))],
        })
    };
    let replicas = world.start_all(forgetful).await;
    assert_eq!(world.client().await.submit(one_set(), soon()).await, Ok(done()));
    let numbers = replicas[0].numbers();
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 1, "the same number each time: {numbers:?}");
}

#[tokio::test]
async fn whatever_was_under_way_is_sent_again_when_a_connection_comes_back() {
    let world = World::new();
    let client = world.client_with(world.patient()).await;
    let before = [world.start(0, silent()).await, world.start(1, silent()).await];
    let asked = tokio::spawn(async move { client.submit(one_set(), soon()).await });
    let mut lost = Vec::new();
    for replica in before {
        replica.until_asked(1).await;
        lost.extend(replica.numbers());
        replica.kill().await;
    }
    let after = [world.start(0, honest()).await, world.start(1, honest()).await];
    assert_eq!(asked.await.unwrap(), Ok(done()));
    assert_eq!(after[0].numbers(), lost[..1], "the same request, once");
}

#[tokio::test]
async fn a_refusal_counts_once_f_plus_one_say_it_alike() {
    let world = World::new();
    let bad = || refusing(Refusal::Bad("too many operations".into()));
    let _three = [world.start(0, bad()).await, world.start(1, silent()).await, world.start(2, bad()).await];
    let start = Instant::now();
    let refused = world.client().await.submit(one_set(), soon()).await;
    assert_eq!(refused, Err(SubmitError::Refused("too many operations".into())));
    assert!(start.elapsed() < PATIENCE / 2, "at once, not at the deadline");
}

#[tokio::test]
async fn one_refusal_or_two_different_ones_stop_nothing() {
    let world = World::new();
    let script = |id: u16| match id {
        0 => refusing(Refusal::Bad("I do not like it".into())),
        1 => refusing(Refusal::Bad("nor do I".into())),
        _ => replies(|voice, bundle, before| match before {
            0 => Vec::new(),
            _ => vec![voice.reply(bundle.number, 0, truth(bundle))],
        }),
    };
    let _replicas = world.start_all(script).await;
    assert_eq!(world.client().await.submit(one_set(), soon()).await, Ok(done()));
}

#[tokio::test]
async fn a_refusal_repeated_by_one_replica_is_one_refusal() {
    let world = World::new();
    let shouting = replies(|_, bundle, _| {
        let refusal = Refusal::Bad("no".into());
        vec![Tell::Refused { number: bundle.number, refusal }; 5]
    });
    let _one = world.start(0, shouting).await;
    let why = no_quorum(world.client_of(1).await.submit(one_set(), within(800)).await);
    assert_eq!(why.refused, [(replica(0), "no".to_owned())]);
    assert!(why.to_string().contains("replica 0 did not take the request: no"), "{why}");
}

#[tokio::test]
async fn a_busy_group_is_asked_again_until_it_is_not() {
    let world = World::new();
    let busy_twice = |_| {
        replies(|voice, bundle, before| match before {
            0 | 1 => vec![Tell::Refused { number: bundle.number, refusal: Refusal::Busy }],
            _ => vec![voice.reply(bundle.number, 0, truth(bundle))],
        })
    };
    let _replicas = world.start_all(busy_twice).await;
    assert_eq!(world.client().await.submit(one_set(), soon()).await, Ok(done()));
}

#[tokio::test]
async fn what_the_group_says_of_a_number_is_told() {
    for (outcome, expected) in [
        (Outcome::Expired, SubmitError::Expired),
        (Outcome::NumberReused, SubmitError::NumberReused),
        (Outcome::NotKept { outcome: digest(1) }, SubmitError::NotKept { outcome: digest(1) }),
    ] {
        let world = World::new();
        let say = |_| {
            let outcome = outcome.clone();
            replies(move |voice, bundle, _| vec![voice.reply(bundle.number, 0, outcome.clone())])
        };
        let _replicas = world.start_all(say).await;
        assert_eq!(world.client().await.submit(one_set(), soon()).await, Err(expected));
    }
}

#[tokio::test]
async fn no_number_is_used_again_after_a_restart() {
    let world = World::new();
    let replicas = world.start_all(|_| honest()).await;
    let directory = tempfile::tempdir().unwrap();
    let mut last = RequestNumber::ZERO;
    for _ in 0..3 {
        let client = world.client_with(world.numbered(directory.path().join("numbers"))).await;
        for _ in 0..3 {
            client.submit(one_set(), soon()).await.unwrap();
        }
        client.shutdown().await;
        // Two of four have answered each; whichever they were, each number was asked of all.
        replicas[0].until_asked(1).await;
        let numbers: Vec<_> = replicas[0].numbers();
        let fresh: Vec<_> = numbers.iter().filter(|number| **number > last).collect();
        assert!(!fresh.is_empty());
        assert!(numbers.is_sorted(), "never back: {numbers:?}");
        last = *numbers.last().unwrap();
    }
}

#[tokio::test]
async fn what_is_under_way_shares_no_slot_and_the_rest_waits_its_turn() {
    let world = World::new(); // With a window of 16 numbers.
    let replicas = world.start_all(|_| silent()).await;
    let client = world.client_with(Options { most_under_way: 1_000, ..world.patient() }).await;
    until_connected(&client, 4).await;
    let mut asking = JoinSet::new();
    for _ in 0..40 {
        let client = client.clone();
        asking.spawn(async move { client.submit(one_set(), within(1_500)).await });
    }
    replicas[0].until_asked(15).await;
    let results = asking.join_all().await;
    let under_way = results.iter().filter(|result| matches!(result, Err(SubmitError::NoQuorum(_)))).count();
    let waited = results.iter().filter(|result| matches!(result, Err(SubmitError::NotSent(_)))).count();
    assert_eq!((under_way, waited), (15, 25), "one fewer than the window");
    let numbers = replicas[0].numbers();
    let slots: BTreeSet<_> = numbers.iter().map(|number| number.get() % 16).collect();
    assert_eq!((numbers.len(), slots.len()), (15, 15), "{numbers:?}");
}

#[tokio::test]
async fn a_request_that_takes_long_is_not_pushed_out_of_the_window_by_those_that_follow() {
    let world = World::new(); // With a window of 16 numbers.
    let all_but_the_first = |_| {
        replies(|voice, bundle, before| match before {
            0 => Vec::new(),
            _ => vec![voice.reply(bundle.number, 0, truth(bundle))],
        })
    };
    let replicas = world.start_all(all_but_the_first).await;
    let client = world.client_with(world.patient()).await;
    let slow = tokio::spawn({
        let client = client.clone();
        async move { client.submit(one_set(), within(4_000)).await }
    });
    for replica in &replicas {
        replica.until_asked(1).await;
    }
    for _ in 0..40 {
        assert_eq!(client.submit(one_set(), soon()).await, Ok(done()));
    }
    until("all were heard", || replicas[0].numbers().len() == 41).await;
    let numbers = replicas[0].numbers();
    let in_its_slot = numbers.iter().filter(|number| number.get() % 16 == numbers[0].get() % 16).count();
    assert_eq!(in_its_slot, 1, "{numbers:?}");
    assert!(numbers.last().unwrap().since(numbers[0]) > 2 * 16, "and nothing waited for it");
    assert_eq!(no_quorum(slow.await.unwrap()).answered, 0);
}

#[tokio::test]
async fn many_requests_of_one_client_are_under_way_together_and_all_answered() {
    let world = World::new();
    let _replicas = world.start_all(|_| honest()).await;
    let client = world.client().await;
    let mut asking = JoinSet::new();
    for _ in 0..200 {
        let client = client.clone();
        asking.spawn(async move { client.submit(one_set(), soon()).await });
    }
    assert!(asking.join_all().await.into_iter().all(|result| result == Ok(done())));
}

#[tokio::test]
async fn what_breaks_a_limit_or_finds_no_room_is_not_sent() {
    let world = World::new();
    let replicas = world.start_all(|_| silent()).await;
    let client = world.client_with(Options { most_waiting: 1, most_under_way: 1, ..world.patient() }).await;
    until_connected(&client, 4).await;
    let empty = client.submit(vec![], soon()).await.unwrap_err();
    assert!(matches!(&empty, SubmitError::NotSent(why) if why.contains("no transaction")), "{empty}");
    let huge = client.submit(vec![set("key", &"x".repeat(5 << 20))], soon()).await.unwrap_err();
    assert!(matches!(&huge, SubmitError::NotSent(why) if why.contains("split it")), "{huge}");

    let asking = |milliseconds| {
        let client = client.clone();
        tokio::spawn(async move { client.submit(one_set(), within(milliseconds)).await })
    };
    let first = asking(1_500);
    replicas[1].until_asked(1).await;
    let second = asking(600);
    let (third, fourth) = (asking(600).await.unwrap(), asking(600).await.unwrap());
    for turned_away in [third, fourth] {
        assert!(matches!(&turned_away, Err(SubmitError::NotSent(why)) if why.contains("1 others wait already")));
    }
    assert!(matches!(second.await.unwrap(), Err(SubmitError::NotSent(why)) if why.contains("1 others were under way")));
    assert_eq!(no_quorum(first.await.unwrap()).answered, 0);
    assert_eq!(replicas[1].numbers().len(), 1);
}

#[tokio::test]
async fn a_client_whose_numbers_are_behind_goes_on_from_the_clock() {
    let world = World::new();
    let expired = |_| replies(|voice, bundle, _| vec![voice.reply(bundle.number, 0, Outcome::Expired)]);
    let replicas = world.start_all(expired).await;
    let client = world.client().await;
    let start = Instant::now();
    let first = client.submit(one_set(), soon()).await;
    let between = u64::try_from(start.elapsed().as_micros()).unwrap();
    let second = client.submit(one_set(), soon()).await;
    assert_eq!((first, second), (Err(SubmitError::Expired), Err(SubmitError::Expired)));
    until("both were heard", || replicas[0].numbers().len() >= 2).await;
    let numbers = replicas[0].numbers();
    assert!(numbers[1].since(numbers[0]) >= between / 2, "{numbers:?}, {between} µs apart");
}

#[tokio::test]
async fn a_client_that_stops_answers_whoever_waits() {
    let world = World::new();
    let replicas = world.start_all(|_| silent()).await;
    let client = world.client().await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.submit(one_set(), soon()).await }
    });
    replicas[0].until_asked(1).await;
    client.clone().shutdown().await;
    assert_eq!(asked.await.unwrap(), Err(SubmitError::ShuttingDown));
    assert!(matches!(client.submit(one_set(), soon()).await, Err(SubmitError::NotSent(_))));
}

#[tokio::test]
async fn a_key_that_is_no_clients_does_not_connect() {
    let world = World::new();
    let refused = Client::connect(world.genesis.clone(), key(77), world.options()).await;
    assert!(refused.unwrap_err().to_string().contains("is not a client's"));
}
