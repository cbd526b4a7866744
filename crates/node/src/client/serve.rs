//! The other side of the gateway's seam.
//!
//! The gateway knows two channels and no replica; here they are answered by a [`Client`]. Submissions and questions are
//! answered side by side, each by its own deadline: a proof that waits for a checkpoint holds up nobody.

use std::time::Duration;

use bezant_ledger::{Item, Key};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_types::Amount;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::error::{QueryError, SubmitError};
use super::{Client, Group, Proven};
use crate::gateway::seam;
use crate::verify::ProofFile;

/// Answers the gateway until `shutdown` completes or the gateway has gone. The client goes on.
///
/// What is not answered by then is answered by the closing of its channel, which the gateway takes for a shutdown.
pub async fn serve(client: Client, mut requests: seam::GroupRequests, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    let mut answers = JoinSet::new();
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let has_room = answers.len() < MOST_AT_ONCE;
        tokio::select! {
            () = &mut shutdown => break,
            submission = requests.submissions.recv(), if has_room => match submission {
                Some(submission) => {
                    answers.spawn(submit(client.clone(), submission));
                }
                None => break,
            },
            Some(query) = requests.queries.recv(), if has_room => {
                answers.spawn(answer(client.clone(), query));
            }
            Some(_) = answers.join_next() => {}
            // `INFO` is answered from what is known; reports keep that fresh when nobody sends requests.
            _ = poll.tick(), if has_room => {
                answers.spawn(watch(client.clone()));
            }
        }
    }
    answers.shutdown().await;
}

async fn submit(client: Client, submission: seam::Submission) {
    let seam::Submission { transactions, deadline, reply } = submission;
    let outcome = client.submit(transactions, deadline).await;
    // If the gateway has given up, nobody is to be told.
    let _ = reply.send(outcome.map_err(to_seam));
}

async fn answer(client: Client, query: seam::Query) {
    match query {
        seam::Query::Prove { subject, at_least, deadline, reply } => {
            let key = match subject {
                seam::Subject::Entry(key) => Key::Entry(key),
                seam::Subject::Balance(account) => Key::Account(account),
            };
            let proof = client.prove(key, at_least, deadline).await;
            let _ = reply.send(proof.map(to_proof).map_err(to_query_error));
        }
        seam::Query::Root { at_least, deadline, reply } => {
            let root = client.root(at_least, deadline).await.map_err(to_query_error);
            let none = || seam::QueryError::Refused("there is no checkpoint yet".to_owned());
            let _ = reply.send(root.and_then(|root| root.as_ref().map(to_root).ok_or_else(none)));
        }
        seam::Query::Status { reply } => {
            let Group { view, executed, stable, connected } = client.group().await;
            let stable = stable.as_ref().map(to_root);
            let _ = reply.send(seam::GroupStatus { view, executed, stable, connected });
        }
    }
}

async fn watch(client: Client) {
    client.status(Instant::now() + POLL / 2).await;
}

fn to_seam(error: SubmitError) -> seam::SubmitError {
    match error {
        SubmitError::NoQuorum(why) => {
            seam::SubmitError::NoQuorum { waited: why.waited, replies: why.alike, needed: why.needed }
        }
        SubmitError::Expired => seam::SubmitError::Expired,
        SubmitError::NumberReused => seam::SubmitError::NumberReused,
        SubmitError::NotKept { .. } => seam::SubmitError::NotKept,
        SubmitError::Refused(_) | SubmitError::NotSent(_) => seam::SubmitError::Refused(error.to_string()),
        SubmitError::ShuttingDown => seam::SubmitError::ShuttingDown,
    }
}

fn to_query_error(error: QueryError) -> seam::QueryError {
    match error {
        QueryError::NoAnswer { waited, .. } => seam::QueryError::NoAnswer { waited },
        QueryError::Refused(why) | QueryError::NotAsked(why) => seam::QueryError::Refused(why),
        QueryError::ShuttingDown => seam::QueryError::ShuttingDown,
    }
}

fn to_root(certificate: &CheckpointCertificate) -> seam::CertifiedRoot {
    let vote = certificate.vote();
    seam::CertifiedRoot { sequence: vote.sequence, root: vote.root, signers: certificate.signers().collect() }
}

fn to_proof(proven: Proven) -> seam::Proof {
    let Proven { finding, proof } = proven;
    let checkpoint = to_root(&finding.certificate);
    let finding = match (finding.item, finding.key) {
        (Some(Item::Entry { owner, value, .. }), _) => seam::Finding::Entry { value, owner },
        (Some(Item::Balance(amount)), _) => seam::Finding::Balance(amount),
        // An account that holds nothing has no leaf.
        (None, Key::Account(_)) => seam::Finding::Balance(Amount::ZERO),
        (None, Key::Entry(_) | Key::Window { .. }) | (Some(Item::Window { .. }), _) => seam::Finding::NoEntry,
    };
    seam::Proof { finding, checkpoint, bytes: ProofFile::encode(&proof) }
}

/// More than the gateway has under way.
const MOST_AT_ONCE: usize = 1024;
/// How often replicas are asked how they are doing.
const POLL: Duration = Duration::from_secs(2);
