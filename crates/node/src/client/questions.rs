//! Questions: what needs no place in the order.
//!
//! A proof or a checkpoint proves itself by a quorum's signatures, so every replica is asked and the first valid answer
//! is taken. What a liar can do is answer first and wrongly: its answer is rejected, and with it everything else that
//! this replica says to the same question, so that a lie costs one look and not one for each repetition. What a liar
//! cannot do is answer with the past, because the asker says which height the checkpoint must cover: it has that from
//! an ordered [`Operation::Height`](bezant_types::Operation::Height), believed from f + 1 replicas.
//!
//! How a replica is doing is its own word, signed. It is attributed and not believed; only the checkpoint in it is
//! checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bezant_ledger::Key;
use bezant_pbft::certificate::{CheckpointCertificate, Endorsed};
use bezant_pbft::message::Checkpoint;
use bezant_types::{Digest, Moment, ReplicaId, SequenceNumber, Verified};
use bytes::Bytes;
use tokio::sync::oneshot;

use super::Options;
use super::error::{QueryError, Seconds};
use super::ignored::Ignored;
use super::network::Network;
use super::time::millis;
use crate::transport::PeerStatus;
use crate::verify::{Finding, NotProven, check_proof};
use crate::wire::{ASK, Ask, CertifiedProof, StatusReport, Tell, Unanswerable};

/// A proof that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// What it shows.
    pub finding: Finding,
    /// The proof itself, for others to check.
    pub proof: CertifiedProof,
}

/// What one replica says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Which replica.
    pub id: ReplicaId,
    /// Where it is.
    pub address: String,
    /// Its report, signed by it, with a checkpoint that a quorum signed; or why there is none.
    pub report: Result<StatusReport, Unreachable>,
}

/// Why there is no report of a replica.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// There is no connection.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// It is connected and did not answer in time.
    #[error("connected, and no answer within {}", Seconds(*.0))]
    Silent(Duration),
    /// It answered, and its answer does not hold.
    #[error("its answer does not hold: {0}")]
    Invalid(String),
}

/// What is asked, and who waits for it.
#[derive(Debug)]
pub(super) enum Query {
    Prove { key: Key, at_least: SequenceNumber, reply: oneshot::Sender<Result<Proven, QueryError>> },
    Root { at_least: SequenceNumber, reply: oneshot::Sender<Result<Option<CheckpointCertificate>, QueryError>> },
    Status { reply: oneshot::Sender<Vec<ReplicaStatus>> },
}

/// What was learnt from an answer beside the answer itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Learnt {
    Nothing,
    Checkpoint(CheckpointCertificate),
    Report(Box<StatusReport>, Option<CheckpointCertificate>),
}

/// The questions that wait for an answer.
pub(super) struct Questions {
    network: Arc<Network>,
    retry_ms: u64,
    most: usize,
    next: u64,
    open: BTreeMap<u64, Question>,
}

struct Question {
    query: Query,
    frame: Bytes,
    since: Moment,
    deadline: Moment,
    retry_at: Moment,
    attempts: u32,
    /// Whose answer did not hold, and why.
    rejected: BTreeMap<ReplicaId, String>,
    /// Who says that nobody will ever answer this.
    refused: BTreeMap<ReplicaId, Unanswerable>,
    /// Who says that there is no checkpoint yet.
    none: BTreeSet<ReplicaId>,
    reports: BTreeMap<ReplicaId, StatusReport>,
}

impl Questions {
    pub(super) fn new(network: Arc<Network>, options: &Options) -> Self {
        let retry_ms = millis(options.retry).max(1);
        Self { network, retry_ms, most: options.most_questions, next: 0, open: BTreeMap::new() }
    }

    /// Asks: says what to send to every replica.
    pub(super) fn ask(&mut self, now: Moment, deadline: Moment, query: Query) -> Option<Bytes> {
        if self.open.len() >= self.most {
            query.fail(QueryError::NotAsked(format!("{} others wait already: try again later", self.open.len())));
            return None;
        }
        let id = self.next;
        self.next += 1;
        let ask = match &query {
            Query::Prove { key, at_least, .. } => Ask::Prove { id, key: key.clone(), at_least: *at_least },
            Query::Root { at_least, .. } => Ask::Root { id, at_least: *at_least },
            Query::Status { .. } => Ask::Status { id },
        };
        let frame = Bytes::from(ASK.seal(&ask));
        let question = Question {
            query,
            frame: frame.clone(),
            since: now,
            deadline,
            retry_at: now.saturating_add(self.retry_ms),
            attempts: 0,
            rejected: BTreeMap::new(),
            refused: BTreeMap::new(),
            none: BTreeSet::new(),
            reports: BTreeMap::new(),
        };
        self.open.insert(id, question);
        Some(frame)
    }

    /// What a replica needs that has just been connected.
    pub(super) fn frames(&self) -> impl Iterator<Item = &Bytes> {
        self.open.values().map(|question| &question.frame)
    }

    /// What can be said of an answer before any signature is checked.
    pub(super) fn admit(&self, from: ReplicaId, tell: &Tell) -> Result<(), Ignored> {
        let (id, fits): (_, fn(&Query) -> bool) = match tell {
            Tell::Proof { id, .. } => (*id, |query| matches!(query, Query::Prove { .. })),
            Tell::Root { id, .. } => (*id, |query| matches!(query, Query::Root { .. })),
            Tell::Status { id, .. } => (*id, |query| matches!(query, Query::Status { .. })),
            Tell::Unanswerable { id, .. } => (*id, |_| true),
            Tell::Reply(_) | Tell::Refused { .. } => return Err(Ignored::OtherQuestion),
        };
        let question = self.open.get(&id).ok_or(Ignored::NotUnderWay)?;
        let again = question.rejected.contains_key(&from)
            || question.none.contains(&from)
            || question.reports.contains_key(&from);
        match (fits(&question.query), again) {
            (false, _) => Err(Ignored::OtherQuestion),
            (true, true) => Err(Ignored::AnsweredBefore),
            (true, false) => Ok(()),
        }
    }

    /// A replica hands over a proof.
    pub(super) fn on_proof(&mut self, from: ReplicaId, id: u64, proof: CertifiedProof) -> Result<Learnt, Ignored> {
        let question = self.open.get(&id).ok_or(Ignored::NotUnderWay)?;
        let Query::Prove { key, at_least, .. } = &question.query else { return Err(Ignored::OtherQuestion) };
        match judge_proof(&self.network, &proof, key, *at_least) {
            Err(reason) => Err(self.reject(from, id, reason)),
            Ok(finding) => {
                let certificate = finding.certificate.clone();
                if let Some(Question { query: Query::Prove { reply, .. }, .. }) = self.open.remove(&id) {
                    // If nobody waits any more, nobody is to be told.
                    let _ = reply.send(Ok(Proven { finding, proof }));
                }
                Ok(Learnt::Checkpoint(certificate))
            }
        }
    }

    /// A replica hands over a checkpoint, or says that there is none.
    pub(super) fn on_root(
        &mut self,
        from: ReplicaId,
        id: u64,
        checkpoint: Option<Endorsed<Checkpoint>>,
    ) -> Result<Learnt, Ignored> {
        let needed = self.network.committee.weak_quorum();
        let question = self.open.get_mut(&id).ok_or(Ignored::NotUnderWay)?;
        let Query::Root { at_least, .. } = &question.query else { return Err(Ignored::OtherQuestion) };
        let answer = match checkpoint {
            // There is no proof that there is none, so f + 1 must say so. If some is required it cannot be true.
            None if *at_least == SequenceNumber::ZERO => {
                question.none.insert(from);
                if question.none.len() < needed {
                    return Ok(Learnt::Nothing);
                }
                Ok(None)
            }
            None => Err(Ignored::Stale),
            Some(endorsed) if endorsed.vote.sequence < *at_least => Err(Ignored::Stale),
            Some(endorsed) => check_checkpoint(&self.network, endorsed).map(Some),
        };
        match answer {
            Err(reason) => Err(self.reject(from, id, reason)),
            Ok(found) => {
                if let Some(Question { query: Query::Root { reply, .. }, .. }) = self.open.remove(&id) {
                    let _ = reply.send(Ok(found.clone()));
                }
                Ok(found.map_or(Learnt::Nothing, Learnt::Checkpoint))
            }
        }
    }

    /// A replica says how it is doing.
    pub(super) fn on_report(&mut self, id: u64, report: Verified<StatusReport>) -> Result<Learnt, Ignored> {
        let from = report.signer();
        let question = self.open.get(&id).ok_or(Ignored::NotUnderWay)?;
        let Query::Status { .. } = &question.query else { return Err(Ignored::OtherQuestion) };
        let report = report.into_signed().message;
        match report.stable.clone().map(|stable| check_checkpoint(&self.network, stable)).transpose() {
            Err(reason) => Err(self.reject(from, id, reason)),
            Ok(stable) => {
                if let Some(question) = self.open.get_mut(&id) {
                    question.reports.insert(from, report.clone());
                }
                Ok(Learnt::Report(Box::new(report), stable))
            }
        }
    }

    /// A replica does not answer. What holds for all replicas holds if f + 1 say so; what holds for this one alone
    /// leaves the others; and one that is busy may not be when it is asked again.
    pub(super) fn on_unanswerable(
        &mut self,
        from: ReplicaId,
        id: u64,
        reason: Unanswerable,
    ) -> Result<Learnt, Ignored> {
        let needed = self.network.committee.weak_quorum();
        let question = self.open.get_mut(&id).ok_or(Ignored::NotUnderWay)?;
        match reason {
            Unanswerable::Busy => Ok(Learnt::Nothing),
            Unanswerable::TooFarAhead => Err(self.reject(from, id, Ignored::Unanswerable(reason))),
            Unanswerable::KeyTooLong { .. } => {
                question.refused.insert(from, reason);
                let alike = question.refused.values().filter(|other| **other == reason).count();
                if alike >= needed
                    && let Some(question) = self.open.remove(&id)
                {
                    question.query.fail(QueryError::Refused(reason.to_string()));
                    return Ok(Learnt::Nothing);
                }
                Err(self.reject(from, id, Ignored::Unanswerable(reason)))
            }
        }
    }

    /// An answer does not hold. Once no replica is left that could give a better one, the question has no answer.
    fn reject(&mut self, from: ReplicaId, id: u64, reason: Ignored) -> Ignored {
        if let Some(question) = self.open.get_mut(&id) {
            question.rejected.insert(from, reason.to_string());
        }
        reason
    }

    /// A signed report was not that replica's.
    pub(super) fn on_forged(&mut self, from: ReplicaId, id: u64, reason: Ignored) -> Ignored {
        self.reject(from, id, reason)
    }

    /// When [`Self::on_time`] is next worth calling.
    pub(super) fn next_deadline(&self) -> Option<Moment> {
        self.open.values().map(|question| question.retry_at.min(question.deadline)).min()
    }

    /// Whether somebody waits for reports, and so for replicas that may turn out to be unreachable: about that nothing
    /// is announced, one has to look.
    pub(super) fn watch_connections(&self) -> bool {
        self.open.values().any(|question| matches!(question.query, Query::Status { .. }))
    }

    /// Time has passed, or something has changed: says what to send again, to every replica.
    pub(super) fn on_time(&mut self, now: Moment, peers: impl Fn() -> Vec<PeerStatus>) -> Vec<Bytes> {
        let size = self.network.committee.size();
        let mut over = Vec::new();
        let mut again = Vec::new();
        for (id, question) in &mut self.open {
            let status = match &question.query {
                Query::Status { .. } => Some(peers()),
                Query::Prove { .. } | Query::Root { .. } => None,
            };
            let hopeless = question.rejected.len() >= size;
            let complete = status.as_ref().is_some_and(|peers| peers.iter().all(|peer| question.has_heard_of(peer)));
            if hopeless || complete || question.deadline <= now || question.query.is_abandoned() {
                over.push((*id, status.unwrap_or_default()));
            } else if question.retry_at <= now {
                question.attempts = question.attempts.saturating_add(1);
                let pause = self.retry_ms.saturating_mul(1 << question.attempts.min(16));
                question.retry_at = now.saturating_add(pause.saturating_add(jitter(*id, question.attempts, pause / 4)));
                again.push(question.frame.clone());
            }
        }
        for (id, peers) in over {
            if let Some(question) = self.open.remove(&id) {
                question.conclude(now, &peers);
            }
        }
        again
    }

    /// The client is stopping.
    pub(super) fn abort(&mut self) {
        for (_, question) in std::mem::take(&mut self.open) {
            question.query.fail(QueryError::ShuttingDown);
        }
    }
}

impl Question {
    /// Whether there is nothing more to wait for from a replica: it answered, or it cannot be reached.
    fn has_heard_of(&self, peer: &PeerStatus) -> bool {
        let answered = self.reports.contains_key(&peer.id) || self.rejected.contains_key(&peer.id);
        answered || (!peer.connected && peer.last_error.is_some())
    }

    /// Ends the question with what there is.
    fn conclude(mut self, now: Moment, peers: &[PeerStatus]) {
        let waited = Duration::from_millis(now.since(self.since));
        if let Query::Status { reply } = self.query {
            let statuses = peers.iter().map(|peer| ReplicaStatus {
                id: peer.id,
                address: peer.address.clone(),
                report: match (self.reports.remove(&peer.id), self.rejected.remove(&peer.id)) {
                    (Some(report), _) => Ok(report),
                    (None, Some(why)) => Err(Unreachable::Invalid(why)),
                    (None, None) if peer.connected => Err(Unreachable::Silent(waited)),
                    (None, None) => Err(Unreachable::NotConnected(
                        peer.last_error.clone().unwrap_or_else(|| "still being dialled".to_owned()),
                    )),
                },
            });
            let _ = reply.send(statuses.collect());
            return;
        }
        let rejected = self.rejected.into_iter().collect();
        self.query.fail(QueryError::NoAnswer { waited, rejected });
    }
}

impl Query {
    /// Says that there is no answer. Reports have no error of their own: there are none.
    fn fail(self, error: QueryError) {
        match self {
            Self::Prove { reply, .. } => drop(reply.send(Err(error))),
            Self::Root { reply, .. } => drop(reply.send(Err(error))),
            Self::Status { reply } => drop(reply.send(Vec::new())),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Self::Prove { reply, .. } => reply.is_closed(),
            Self::Root { reply, .. } => reply.is_closed(),
            Self::Status { reply } => reply.is_closed(),
        }
    }
}

fn judge_proof(
    network: &Network,
    proof: &CertifiedProof,
    key: &Key,
    at_least: SequenceNumber,
) -> Result<Finding, Ignored> {
    if proof.key != *key {
        return Err(Ignored::OtherKey);
    }
    if proof.checkpoint.vote.sequence < at_least {
        return Err(Ignored::Stale);
    }
    Ok(check_proof(proof, network.committee, &network.keyring)?)
}

fn check_checkpoint(network: &Network, endorsed: Endorsed<Checkpoint>) -> Result<CheckpointCertificate, Ignored> {
    let checked = CheckpointCertificate::check(endorsed, network.committee, &network.keyring);
    checked.map_err(|error| Ignored::NotProven(NotProven::Checkpoint(error)))
}

/// A pause below `bound` that differs from question to question.
fn jitter(id: u64, attempt: u32, bound: u64) -> u64 {
    let [a, b, c, d, ..] = *Digest::of("bezant/question-jitter", &(id, attempt)).as_bytes();
    u64::from(u32::from_le_bytes([a, b, c, d])).checked_rem(bound).unwrap_or(0)
}
