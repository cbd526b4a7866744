//! The gateway's seam, as the gateway uses it.

use bezant_ledger::Key;
use bezant_types::transaction::Answer;
use bezant_types::{Amount, Genesis};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::{Client, serve};
use super::world::*;
use crate::gateway::seam::{self, Finding, GroupLink, Query, QueryError, Subject, Submission, SubmitError};
use crate::verify::{ProofFile, verify_proof};
use crate::wire::{Ask, Tell};

/// A whole replica, as far as the seam can tell, at the fourth state of a history.
fn whole(genesis: &Genesis) -> Script {
    let state = history(genesis, 4).1.remove(4);
    let genesis = genesis.clone();
    Box::new(move |voice, ask, _| match ask {
        Ask::Submit(signed) => vec![voice.reply(signed.message.number, 3, truth(&signed.message))],
        Ask::Prove { id, key, .. } => vec![Tell::Proof { id: *id, proof: prove(&genesis, &state, key.clone()) }],
        Ask::Root { id, .. } => vec![Tell::Root { id: *id, checkpoint: Some(certify(&genesis, &state)) }],
        Ask::Status { id } => vec![voice.report(*id, report(3))],
    })
}

fn serving(client: Client) -> (GroupLink, JoinHandle<()>, oneshot::Sender<()>) {
    let (link, requests) = seam::seam();
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(client, requests, async move {
        // Dropped or sent, it is over.
        let _ = stopped.await;
    }));
    (link, task, stop)
}

async fn submit(link: &GroupLink, milliseconds: u64) -> Result<Vec<bezant_types::transaction::Receipt>, SubmitError> {
    let (reply, outcome) = oneshot::channel();
    let submission = Submission { transactions: one_set(), deadline: within(milliseconds), reply };
    link.submissions.send(submission).await.unwrap();
    outcome.await.unwrap_or(Err(SubmitError::ShuttingDown))
}

async fn ask_proof(link: &GroupLink, subject: Subject) -> Result<seam::Proof, QueryError> {
    let (reply, proof) = oneshot::channel();
    link.queries.send(Query::Prove { subject, at_least: at(4), deadline: soon(), reply }).await.unwrap();
    proof.await.unwrap()
}

#[tokio::test]
async fn the_gateway_is_answered_by_the_group() {
    let world = World::new();
    let _replicas = world.start_all(|_| whole(&world.genesis)).await;
    let (link, _task, _stop) = serving(world.client().await);
    assert_eq!(submit(&link, 20_000).await, Ok(vec![Ok(vec![Answer::Done])]));

    let proof = ask_proof(&link, Subject::Entry(b"key-1".to_vec())).await.unwrap();
    assert_eq!(proof.finding, Finding::Entry { value: b"value-4".to_vec(), owner: account(ALICE) });
    let read = ProofFile::decode(&proof.bytes).unwrap();
    assert_eq!(read.key, Key::Entry(b"key-1".to_vec()));
    verify_proof(&world.genesis, &read).unwrap();
    assert_eq!(ask_proof(&link, Subject::Entry(b"no".to_vec())).await.unwrap().finding, Finding::NoEntry);
    let balance = |seed| ask_proof(&link, Subject::Balance(account(seed)));
    assert_eq!(balance(BOB).await.unwrap().finding, Finding::Balance(Amount::new(1_000)));
    assert_eq!(balance(55).await.unwrap().finding, Finding::Balance(Amount::ZERO));

    let (reply, root) = oneshot::channel();
    link.queries.send(Query::Root { at_least: at(4), deadline: soon(), reply }).await.unwrap();
    let root = root.await.unwrap().unwrap();
    assert_eq!((root.sequence, root.signers.len()), (at(4), 3));
}

#[tokio::test]
async fn the_gateway_learns_what_is_known_without_asking() {
    let world = World::new();
    let _replicas = world.start_all(|_| whole(&world.genesis)).await;
    let (link, _task, _stop) = serving(world.client().await);
    // The first poll comes at once; until its reports are in, little is known.
    let looking = async {
        loop {
            let (reply, status) = oneshot::channel();
            link.queries.send(Query::Status { reply }).await.unwrap();
            let status = status.await.unwrap();
            if status.executed == Some(at(9)) && status.connected.len() == 4 {
                break status;
            }
        }
    };
    let status = tokio::time::timeout(PATIENCE, looking).await.unwrap();
    assert_eq!(status.view.map(|view| view.get()), Some(3));
}

#[tokio::test]
async fn the_gateway_is_told_that_there_is_no_quorum() {
    let world = World::new();
    let _one = world.start(0, honest()).await;
    let (link, _task, _stop) = serving(world.client_of(1).await);
    let error = submit(&link, 800).await.unwrap_err();
    assert!(matches!(error, SubmitError::NoQuorum { replies: 1, needed: 2, .. }), "{error}");
}

#[tokio::test]
async fn a_question_that_waits_holds_up_no_request() {
    let world = World::new();
    let _replicas = world.start_all(|_| honest()).await;
    let (link, _task, _stop) = serving(world.client().await);
    let (reply, _waiting) = oneshot::channel();
    link.queries.send(Query::Root { at_least: at(4), deadline: soon(), reply }).await.unwrap();
    submit(&link, 20_000).await.unwrap();
}

#[tokio::test]
async fn a_shutdown_leaves_nobody_waiting() {
    let world = World::new();
    let replicas = world.start_all(|_| silent()).await;
    let (link, task, stop) = serving(world.client().await);
    let asked = tokio::spawn(async move { submit(&link, 20_000).await });
    crate::client::tests::world::until("asked", || !replicas[0].numbers().is_empty()).await;
    stop.send(()).unwrap();
    task.await.unwrap();
    assert_eq!(asked.await.unwrap(), Err(SubmitError::ShuttingDown));
}

#[tokio::test]
async fn it_ends_when_the_gateway_has_gone() {
    let world = World::new();
    let (link, task, _stop) = serving(world.client().await);
    drop(link);
    task.await.unwrap();
}
