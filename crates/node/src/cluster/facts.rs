//! What the replicas say of themselves and of each other, put together and judged.
//!
//! **The adversary** is among those who are asked: a report is signed, but up to f of the signers lie. So what a
//! replica says of itself counts for itself; a checkpoint counts if a quorum signed it; and what replicas say of
//! another one counts if f + 1 of them say so, unless it is evidence that anybody can check.

use std::collections::{BTreeMap, BTreeSet};

use bezant_ledger::divergence::{self, Claim};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_pbft::message::{Checkpoint, Standing};
use bezant_types::{Committee, Genesis, ReplicaId};
use serde::Serialize;
use tokio::time::Instant;

use crate::client::Client;
use crate::wire::StatusReport;

/// A group, as its replicas describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GroupFacts {
    /// What people call the network.
    pub network: String,
    /// The network's identity.
    pub genesis: String,
    /// How many replicas must work together.
    pub quorum: usize,
    /// What all of this comes to.
    pub verdict: Verdict,
    /// Each replica, in the order of their ids.
    pub replicas: Vec<ReplicaFacts>,
    /// Replicas whose state contradicts the group's.
    pub diverged: Vec<u16>,
    /// Replicas that contradicted themselves, and who has the proof.
    pub convicted: Vec<Conviction>,
}

/// What the state of a group comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// A quorum works in one view, and its states agree.
    Healthy,
    /// A quorum answers, but not enough of it works in one view: it is changing its view, or recovering.
    NotSettled,
    /// Fewer than a quorum answer.
    NoQuorum,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReplicaFacts {
    /// Which.
    pub id: u16,
    /// Where it is.
    pub address: String,
    /// What it said.
    #[serde(flatten)]
    pub answer: Answer,
}

/// What became of the question to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Answer {
    /// None came.
    Unreachable {
        /// Why.
        why: String,
    },
    /// Where it stands, in its own words.
    Report {
        /// Its view.
        view: u64,
        /// How it stands to it: `normal`, `view changing` or `recovering`.
        standing: &'static str,
        /// The primary of that view.
        primary: u16,
        /// The last sequence number that it executed.
        executed: u64,
        /// Its last stable checkpoint, 0 for the genesis.
        stable: u64,
        /// The state root that a quorum signed there.
        root: Option<String>,
        /// Requests that wait to be executed.
        waiting: u64,
        /// From which sequence number on it votes again, if it lost its log and that is known.
        votes_from: Option<u64>,
        /// Whether it is fetching the state of others.
        fetching_state: bool,
        /// Entries in its ledger, as of the stable checkpoint.
        entries: u64,
        /// Their bytes.
        state_bytes: u64,
        /// Bytes of its write-ahead log.
        log_bytes: u64,
        /// How long it has been up.
        uptime_s: u64,
        /// Its connections to others; empty if it tells only admins.
        peers: Vec<PeerFacts>,
    },
}

/// A replica's connection to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerFacts {
    /// To which.
    pub id: u16,
    /// Whether there is one.
    pub connected: bool,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
    /// Frames that were dropped because too many waited.
    pub dropped_frames: u64,
    /// Why there is none, or why the last one ended.
    pub last_error: Option<String>,
}

/// A replica that was caught contradicting itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conviction {
    /// Which.
    pub replica: u16,
    /// Who says to keep a proof, in their `evidence` folder.
    pub by: Vec<u16>,
    /// Whether so many say so that an honest one is among them. If not, the proof itself is to be looked at.
    pub certain: bool,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Healthy => "a quorum works in one view, and its states agree",
            Self::NotSettled => "a quorum answers, but is changing its view or recovering",
            Self::NoQuorum => "fewer replicas answer than make a quorum",
        })
    }
}

impl GroupFacts {
    /// Asks every replica where it stands. Takes until the deadline only if one is connected and silent.
    pub async fn ask(client: &Client, genesis: &Genesis, deadline: Instant) -> Self {
        let statuses = client.status(deadline).await;
        let mut answers: Vec<_> =
            statuses.into_iter().map(|status| status.report.map_err(|why| why.to_string())).collect();
        // A client that is stopping answers with nothing.
        answers.resize_with(genesis.committee().size(), || Err("it was not asked".to_owned()));
        Self::new(genesis, &answers)
    }

    /// Puts together what each replica said, or why it said nothing. `answers` has one element for each replica, in the
    /// order of their ids; the signatures of reports have been checked.
    pub fn new(genesis: &Genesis, answers: &[Result<StatusReport, String>]) -> Self {
        let committee = genesis.committee();
        let said: BTreeMap<ReplicaId, &StatusReport> =
            committee.members().zip(answers).filter_map(|(id, answer)| Some((id, answer.as_ref().ok()?))).collect();
        let stable = |report: &StatusReport| proven(genesis, report);
        let diverged = diverged(genesis, &said);
        let replicas = committee.members().zip(genesis.replicas()).zip(answers).map(|((id, entry), answer)| {
            let answer = match answer {
                Err(why) => Answer::Unreachable { why: why.clone() },
                Ok(report) => Answer::of(report, stable(report)),
            };
            ReplicaFacts { id: id.get(), address: entry.address.clone(), answer }
        });
        Self {
            network: genesis.name().to_owned(),
            genesis: genesis.digest().to_string(),
            quorum: committee.quorum(),
            verdict: verdict(committee.quorum(), &said, &diverged),
            replicas: replicas.collect(),
            diverged: diverged.iter().map(|id| id.get()).collect(),
            convicted: convicted(committee, &said),
        }
    }
}

impl Answer {
    fn of(report: &StatusReport, stable: Option<Checkpoint>) -> Self {
        Self::Report {
            view: report.view.get(),
            standing: match report.standing {
                Standing::Normal => "normal",
                Standing::ViewChanging => "view changing",
                Standing::Recovering => "recovering",
            },
            primary: report.primary.get(),
            executed: report.executed.get(),
            stable: stable.map_or(0, |vote| vote.sequence.get()),
            root: stable.map(|vote| vote.root.to_string()),
            waiting: report.waiting,
            votes_from: report.silent_until.map(|sequence| sequence.get()),
            fetching_state: report.fetching_state,
            entries: report.entries,
            state_bytes: report.state_bytes,
            log_bytes: report.log_bytes,
            uptime_s: report.uptime_s,
            peers: report
                .peers
                .iter()
                .map(|peer| PeerFacts {
                    id: peer.id.get(),
                    connected: peer.connected,
                    queued_bytes: peer.queued_bytes,
                    dropped_frames: peer.dropped_frames,
                    last_error: peer.last_error.clone(),
                })
                .collect(),
        }
    }
}

/// The stable checkpoint of a report, if a quorum really signed it.
fn proven(genesis: &Genesis, report: &StatusReport) -> Option<Checkpoint> {
    let endorsed = report.stable.clone()?;
    let certificate = CheckpointCertificate::check(endorsed, genesis.committee(), &genesis.keyring()).ok()?;
    Some(*certificate.vote())
}

/// Who has another state than the group: by the certificates in hand, and by the word of f + 1.
fn diverged(genesis: &Genesis, said: &BTreeMap<ReplicaId, &StatusReport>) -> BTreeSet<ReplicaId> {
    let committee = genesis.committee();
    let mut claims = Vec::new();
    let mut accusers: BTreeMap<ReplicaId, usize> = BTreeMap::new();
    for (id, report) in said {
        if let Some(stable) = &report.stable {
            claims.push(Claim { replica: *id, height: stable.vote.sequence, root: stable.vote.root });
            if let Ok(certificate) = CheckpointCertificate::check(stable.clone(), committee, &genesis.keyring()) {
                let Checkpoint { sequence: height, root } = *certificate.vote();
                claims.extend(certificate.signers().map(|replica| Claim { replica, height, root }));
            }
        }
        for peer in report.peers.iter().filter(|peer| peer.diverged && peer.id != *id) {
            *accusers.entry(peer.id).or_default() += 1;
        }
    }
    let compared = divergence::compare(committee, &claims);
    let by_claims = compared.into_iter().flat_map(|one| one.diverged).map(|claim| claim.replica);
    let by_word = accusers.into_iter().filter(|(_, by)| *by >= committee.weak_quorum()).map(|(id, _)| id);
    by_claims.chain(by_word).collect()
}

fn verdict(quorum: usize, said: &BTreeMap<ReplicaId, &StatusReport>, diverged: &BTreeSet<ReplicaId>) -> Verdict {
    if said.len() < quorum {
        return Verdict::NoQuorum;
    }
    let mut views: BTreeMap<_, usize> = BTreeMap::new();
    for (id, report) in said {
        if report.standing == Standing::Normal && !diverged.contains(id) {
            *views.entry(report.view).or_default() += 1;
        }
    }
    if views.values().any(|members| *members >= quorum) { Verdict::Healthy } else { Verdict::NotSettled }
}

fn convicted(committee: Committee, said: &BTreeMap<ReplicaId, &StatusReport>) -> Vec<Conviction> {
    let mut by: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
    for (id, report) in said {
        for accused in &report.accused {
            by.entry(accused.get()).or_default().push(id.get());
        }
    }
    let certain = |by: &Vec<u16>| by.len() >= committee.weak_quorum();
    by.into_iter().map(|(replica, by)| Conviction { replica, certain: certain(&by), by }).collect()
}

#[cfg(test)]
mod tests {
    use bezant_types::genesis::{Parameters, ReplicaEntry};
    use bezant_types::{SecretKey, SequenceNumber, View};

    use super::*;
    use crate::wire::PeerReport;

    fn genesis() -> Genesis {
        let entry = |i: u8| ReplicaEntry {
            key: SecretKey::from_seed([i; 32]).account(),
            address: format!("127.0.0.1:{}", 7401 + u16::from(i)),
        };
        Genesis::new("test".into(), (0..4).map(entry).collect(), vec![], vec![], Parameters::standard()).unwrap()
    }

    fn report(view: u64, standing: Standing) -> StatusReport {
        StatusReport {
            view: View::new(view),
            standing,
            primary: ReplicaId::new((view % 4) as u16),
            executed: SequenceNumber::new(9),
            stable: None,
            waiting: 0,
            silent_until: None,
            fetching_state: false,
            entries: 0,
            state_bytes: 0,
            log_bytes: 0,
            accused: Vec::new(),
            uptime_s: 1,
            peers: Vec::new(),
        }
    }

    fn accusing(accused: u16) -> StatusReport {
        let peer = PeerReport {
            id: ReplicaId::new(accused),
            address: String::new(),
            connected: true,
            queued_bytes: 0,
            dropped_frames: 0,
            last_error: None,
            claim: None,
            diverged: true,
        };
        StatusReport { peers: vec![peer], ..report(0, Standing::Normal) }
    }

    fn normal() -> Result<StatusReport, String> {
        Ok(report(0, Standing::Normal))
    }

    fn silent() -> Result<StatusReport, String> {
        Err("connection refused".into())
    }

    #[test]
    fn a_quorum_in_one_view_is_healthy_and_fewer_are_not() {
        let judge = |answers: &[_]| GroupFacts::new(&genesis(), answers).verdict;
        assert_eq!(judge(&[normal(), normal(), normal(), silent()]), Verdict::Healthy);
        assert_eq!(judge(&[normal(), normal(), silent(), silent()]), Verdict::NoQuorum);
        let changing = || Ok(report(1, Standing::ViewChanging));
        assert_eq!(judge(&[normal(), normal(), changing(), changing()]), Verdict::NotSettled);
        let ahead = || Ok(report(1, Standing::Normal));
        assert_eq!(judge(&[normal(), normal(), ahead(), silent()]), Verdict::NotSettled, "two views");
    }

    #[test]
    fn one_accuser_may_lie_and_two_of_four_may_not() {
        let facts = GroupFacts::new(&genesis(), &[Ok(accusing(3)), normal(), normal(), normal()]);
        assert_eq!(facts.diverged, [0u16; 0]);
        let facts = GroupFacts::new(&genesis(), &[Ok(accusing(3)), Ok(accusing(3)), normal(), normal()]);
        assert_eq!(facts.diverged, [3]);
        assert_eq!(facts.verdict, Verdict::Healthy, "three others agree");
    }

    #[test]
    fn a_checkpoint_that_no_quorum_signed_is_not_shown() {
        use bezant_pbft::certificate::{Endorsed, Signatures};
        let vote = Checkpoint { sequence: SequenceNumber::new(64), root: bezant_types::Digest::new([7; 32]) };
        let unsigned = Endorsed { vote, signatures: Signatures::new() };
        let liar = StatusReport { stable: Some(unsigned), ..report(0, Standing::Normal) };
        let facts = GroupFacts::new(&genesis(), &[Ok(liar), normal(), normal(), normal()]);
        let Answer::Report { stable, root, .. } = &facts.replicas[0].answer else { panic!("it answered") };
        assert_eq!((*stable, root), (0, &None));
    }

    #[test]
    fn convictions_name_who_has_the_proof() {
        let witness = StatusReport { accused: vec![ReplicaId::new(2)], ..report(0, Standing::Normal) };
        let facts = GroupFacts::new(&genesis(), &[Ok(witness.clone()), Ok(witness.clone()), normal(), silent()]);
        assert_eq!(facts.convicted, [Conviction { replica: 2, by: vec![0, 1], certain: true }]);
        let facts = GroupFacts::new(&genesis(), &[normal(), Ok(witness), normal(), silent()]);
        assert_eq!(facts.convicted, [Conviction { replica: 2, by: vec![1], certain: false }], "it may lie");
    }
}
