//! Questions: the first answer that holds, and no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bezant_ledger::{Item, State};
use bezant_pbft::message::Checkpoint;
use bezant_types::{Genesis, SequenceNumber};
use tokio::time::Instant;

use super::super::{QueryError, Unreachable};
use super::world::*;
use crate::verify::verify_proof;
use crate::wire::{Ask, CertifiedProof, Tell, Unanswerable};

/// States 0 to 4 of a history.
fn states(genesis: &Genesis) -> Vec<State> {
    history(genesis, 4).1
}

/// A script that answers for a proof.
fn proves(mut proof: impl FnMut(&Ask) -> Option<CertifiedProof> + Send + 'static) -> Script {
    Box::new(move |_, ask, _| match ask {
        Ask::Prove { id, .. } => proof(ask).map(|proof| Tell::Proof { id: *id, proof }).into_iter().collect(),
        Ask::Submit(_) | Ask::Root { .. } | Ask::Status { .. } => Vec::new(),
    })
}

fn roots(mut root: impl FnMut() -> Tell + Send + 'static) -> Script {
    Box::new(move |_, ask, _| match (ask, root()) {
        (Ask::Root { id, .. }, Tell::Root { checkpoint, .. }) => vec![Tell::Root { id: *id, checkpoint }],
        _ => Vec::new(),
    })
}

/// Each way to answer wrongly.
fn lies(genesis: &Genesis) -> Vec<(&'static str, CertifiedProof)> {
    let states = states(genesis);
    let good = prove(genesis, &states[4], entry("key-1"));
    let vote = good.checkpoint.vote;
    let with = |checkpoint| CertifiedProof { checkpoint, ..good.clone() };
    let mut forged = good.checkpoint.clone();
    forged.signatures[0].1 = forged.signatures[1].1;
    vec![
        ("a proof of another key", prove(genesis, &states[4], entry("key-2"))),
        ("the past", prove(genesis, &states[2], entry("key-1"))),
        ("too few signatures", with(endorse(genesis, vote, &[0, 1]))),
        ("a forged signature", with(forged)),
        ("one signer thrice", with(endorse(genesis, vote, &[2, 2, 2]))),
        ("another root", with(endorse(genesis, Checkpoint { root: digest(9), ..vote }, &[0, 1, 2]))),
        (
            "a later height for the same root",
            with(endorse(genesis, Checkpoint { sequence: at(9), ..vote }, &[0, 1, 2])),
        ),
        ("a false claim about the key", CertifiedProof { proof: states[4].prove(&entry("key-2")), ..good.clone() }),
    ]
}

#[tokio::test]
async fn the_first_proof_that_holds_is_taken_though_three_lie_before() {
    let world = World::new();
    for lies in lies(&world.genesis).chunks(3) {
        let lied = Arc::new(AtomicUsize::new(0));
        let liars = lies.len();
        let mut running = Vec::new();
        for ((_, lie), id) in lies.iter().cloned().zip(1..) {
            let lied = Arc::clone(&lied);
            running.push(
                world
                    .start(
                        id,
                        proves(move |_| {
                            lied.fetch_add(1, Ordering::SeqCst);
                            Some(lie.clone())
                        }),
                    )
                    .await,
            );
        }
        let good = prove(&world.genesis, &states(&world.genesis)[4], entry("key-1"));
        let truth = good.clone();
        let honest = proves(move |_| (lied.load(Ordering::SeqCst) >= liars).then(|| truth.clone()));
        running.push(world.start(0, honest).await);
        let client = world.client().await;
        let proven = client.prove(entry("key-1"), at(3), soon()).await.unwrap();
        assert_eq!(proven.proof, good);
        assert!(matches!(&proven.finding.item, Some(Item::Entry { value, .. }) if value == b"value-4"));
        verify_proof(&world.genesis, &proven.proof).unwrap();
        client.shutdown().await;
        for replica in running {
            replica.kill().await;
        }
    }
}

#[tokio::test]
async fn if_every_answer_is_a_lie_the_error_says_who_lied_and_how() {
    let world = World::new();
    for lies in lies(&world.genesis).chunks(4) {
        let names: Vec<_> = lies.iter().map(|(name, _)| *name).collect();
        let lies = lies.to_vec();
        let running = world
            .start_all(|id| {
                let lie = lies[usize::from(id) % lies.len()].1.clone();
                proves(move |_| Some(lie.clone()))
            })
            .await;
        let start = Instant::now();
        let client = world.client().await;
        let error = client.prove(entry("key-1"), at(3), soon()).await.unwrap_err();
        let QueryError::NoAnswer { rejected, .. } = &error else { panic!("{error}") };
        assert_eq!(rejected.len(), 4, "{names:?}: {error}");
        assert!(start.elapsed() < PATIENCE / 2, "nobody is left to wait for");
        client.shutdown().await;
        for replica in running {
            replica.kill().await;
        }
    }
}

#[tokio::test]
async fn a_replica_that_lied_is_not_looked_at_again_in_the_same_question() {
    let world = World::new();
    let states = states(&world.genesis);
    let (stale, good) =
        (prove(&world.genesis, &states[1], entry("key-1")), prove(&world.genesis, &states[4], entry("key-1")));
    let mut first = true;
    let changes_its_mind = proves(move |_| {
        let stale_first = std::mem::replace(&mut first, false);
        Some(if stale_first { stale.clone() } else { good.clone() })
    });
    let replica = world.start(0, changes_its_mind).await;
    let client = world.client_of(1).await;
    let error = client.prove(entry("key-1"), at(3), within(800)).await.unwrap_err();
    assert!(error.to_string().contains("older than was asked for"), "{error}");
    assert!(replica.asks().len() >= 2, "it was asked again, like all");
    client.prove(entry("key-1"), at(3), soon()).await.unwrap();
}

#[tokio::test]
async fn a_question_reaches_a_replica_that_comes_up_later() {
    let world = World::new();
    let client = world.client_with(world.patient()).await;
    let asked = tokio::spawn({
        let client = client.clone();
        async move { client.prove(entry("key-1"), at(3), soon()).await }
    });
    let silent = world.start(0, silent()).await;
    silent.until_asked(1).await;
    silent.kill().await;
    let good = prove(&world.genesis, &states(&world.genesis)[4], entry("key-1"));
    let _replica = world.start(0, proves(move |_| Some(good.clone()))).await;
    asked.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_question_without_an_answer_ends_at_its_deadline() {
    let world = World::new();
    let _replicas = world.start_all(|_| silent()).await;
    let client = world.client().await;
    let start = Instant::now();
    let error = client.root(at(1), within(300)).await.unwrap_err();
    assert!(matches!(error, QueryError::NoAnswer { .. }), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_checkpoint_is_taken_if_a_quorum_signed_it_and_it_covers_what_was_asked() {
    let world = World::new();
    let states = states(&world.genesis);
    let checkpoint = |at: usize| {
        let endorsed = certify(&world.genesis, &states[at]);
        roots(move || Tell::Root { id: 0, checkpoint: Some(endorsed.clone()) })
    };
    let mut unsigned = certify(&world.genesis, &states[4]);
    unsigned.signatures.pop();
    let unsigned = roots(move || Tell::Root { id: 0, checkpoint: Some(unsigned.clone()) });
    let none = roots(|| Tell::Root { id: 0, checkpoint: None });
    let mut running =
        vec![world.start(0, checkpoint(2)).await, world.start(1, unsigned).await, world.start(2, none).await];
    let client = world.client_of(3).await;
    let error = client.root(at(3), within(800)).await.unwrap_err();
    let QueryError::NoAnswer { rejected, .. } = &error else { panic!("{error}") };
    assert_eq!(rejected.iter().map(|(id, _)| id.get()).collect::<Vec<_>>(), [0, 1, 2], "{error}");
    running.push(world.start(3, checkpoint(4)).await);
    let certificate = client.root(at(3), soon()).await.unwrap().unwrap();
    assert_eq!((certificate.vote().sequence, certificate.vote().root), (at(4), states[4].root()));
}

#[tokio::test]
async fn that_there_is_no_checkpoint_is_believed_of_f_plus_one() {
    let none = || roots(|| Tell::Root { id: 0, checkpoint: None });
    let world = World::new();
    let one = world.start(0, none()).await;
    let client = world.client_of(1).await;
    assert!(client.root(SequenceNumber::ZERO, within(400)).await.is_err(), "one says so, however often");
    let _two = [one, world.start(1, none()).await];
    assert_eq!(client.root(SequenceNumber::ZERO, soon()).await, Ok(None));
}

#[tokio::test]
async fn the_status_names_each_replica_and_why_it_says_nothing() {
    let world = World::new();
    let other = world.voice(1);
    let reports: Script = Box::new(|voice, ask, _| match ask {
        Ask::Status { id } => vec![voice.report(*id, report(4))],
        Ask::Submit(_) | Ask::Prove { .. } | Ask::Root { .. } => Vec::new(),
    });
    let forges: Script = Box::new(move |voice, ask, _| match (ask, voice.report(0, report(4))) {
        (Ask::Status { id }, Tell::Status { report, .. }) => {
            let mut forged = report;
            forged.message.executed = at(1_000_000);
            let borrowed = other.report(*id, super::world::report(9));
            vec![borrowed, Tell::Status { id: *id, report: forged }]
        }
        _ => Vec::new(),
    });
    let _three = [world.start(0, reports).await, world.start(2, forges).await, world.start(3, silent()).await];
    let client = world.client_of(3).await;
    // Nothing announces that a replica cannot be reached, so this waits for the silent one until the deadline.
    let statuses = client.status(within(1_500)).await;
    assert_eq!(statuses.iter().map(|status| status.id.get()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(statuses[0].report, Ok(report(4)));
    let refused = statuses[1].report.as_ref().unwrap_err();
    assert!(matches!(refused, Unreachable::NotConnected(_)), "{refused}");
    let invalid = statuses[2].report.as_ref().unwrap_err();
    assert!(matches!(invalid, Unreachable::Invalid(why) if why.contains("signature")), "{invalid}");
    assert!(matches!(statuses[3].report, Err(Unreachable::Silent(_))), "{:?}", statuses[3].report);
    assert_eq!(statuses[3].address, world.genesis.replicas()[3].address);
}

#[tokio::test]
async fn a_status_does_not_wait_for_a_replica_that_cannot_be_reached() {
    let world = World::new();
    let reports = |_| -> Script {
        Box::new(|voice, ask, _| match ask {
            Ask::Status { id } => vec![voice.report(*id, report(4))],
            Ask::Submit(_) | Ask::Prove { .. } | Ask::Root { .. } => Vec::new(),
        })
    };
    let mut replicas = Vec::from(world.start_all(reports).await);
    let client = world.client().await;
    assert!(client.status(soon()).await.iter().all(|status| status.report.is_ok()));
    replicas.pop().unwrap().kill().await;
    let start = Instant::now();
    until_connected(&client, 3).await;
    let statuses = client.status(soon()).await;
    assert_eq!(statuses.iter().filter(|status| status.report.is_ok()).count(), 3);
    assert!(start.elapsed() < PATIENCE / 2, "{:?}", start.elapsed());
    let group = client.group().await;
    assert_eq!((group.view.map(|view| view.get()), group.executed), (Some(4), Some(at(9))));
    assert_eq!(group.connected.len(), 3);
}

#[tokio::test]
async fn a_report_with_a_checkpoint_that_no_quorum_signed_is_not_shown() {
    let world = World::new();
    let genesis = world.genesis.clone();
    let boasts: Script = Box::new(move |voice, ask, _| match ask {
        Ask::Status { id } => {
            let vote = Checkpoint { sequence: at(1 << 40), root: digest(1) };
            let stable = Some(endorse(&genesis, vote, &[0]));
            vec![voice.report(*id, crate::wire::StatusReport { stable, ..report(4) })]
        }
        Ask::Submit(_) | Ask::Prove { .. } | Ask::Root { .. } => Vec::new(),
    });
    let _one = world.start(0, boasts).await;
    let client = world.client_of(1).await;
    let statuses = client.status(within(1_000)).await;
    assert!(matches!(&statuses[0].report, Err(Unreachable::Invalid(why)) if why.contains("quorum")), "{statuses:?}");
    assert_eq!(client.group().await.stable, None);
}

fn refuses(reason: Unanswerable) -> Script {
    Box::new(move |_, ask, _| match ask {
        Ask::Prove { id, .. } => vec![Tell::Unanswerable { id: *id, reason }],
        Ask::Submit(_) | Ask::Root { .. } | Ask::Status { .. } => Vec::new(),
    })
}

#[tokio::test]
async fn a_question_is_refused_if_f_plus_one_replicas_say_so_and_for_no_fewer() {
    let world = World::new();
    let too_long = Unanswerable::KeyTooLong { limit: 1024 };
    let good = prove(&world.genesis, &states(&world.genesis)[4], entry("key-1"));
    let truth = good.clone();
    let _liar = world.start(0, refuses(too_long)).await;
    let _other = world.start(1, refuses(Unanswerable::KeyTooLong { limit: 7 })).await;
    let honest = world.start(2, proves(move |_| Some(truth.clone()))).await;
    let client = world.client().await;
    assert_eq!(client.prove(entry("key-1"), at(3), soon()).await.unwrap().proof, good);
    honest.kill().await;
    let _third = world.start(2, refuses(too_long)).await;
    let start = Instant::now();
    let error = client.prove(entry("key-1"), at(3), soon()).await.unwrap_err();
    assert_eq!(error, QueryError::Refused(too_long.to_string()));
    assert!(start.elapsed() < PATIENCE / 2, "nothing is left to wait for");
    client.shutdown().await;
}

#[tokio::test]
async fn a_replica_that_is_busy_is_asked_again() {
    let world = World::new();
    let good = prove(&world.genesis, &states(&world.genesis)[4], entry("key-1"));
    let truth = good.clone();
    let script: Script = Box::new(move |_, ask, before| match ask {
        Ask::Prove { id, .. } if before < 2 => {
            vec![Tell::Unanswerable { id: *id, reason: Unanswerable::Busy }]
        }
        Ask::Prove { id, .. } => vec![Tell::Proof { id: *id, proof: truth.clone() }],
        Ask::Submit(_) | Ask::Root { .. } | Ask::Status { .. } => Vec::new(),
    });
    let _replica = world.start(0, script).await;
    let client = world.client().await;
    assert_eq!(client.prove(entry("key-1"), at(3), soon()).await.unwrap().proof, good);
    client.shutdown().await;
}
