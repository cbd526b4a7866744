//! What clients ask that needs no agreement: proofs, checkpoints, where the replica stands.
//!
//! A question that must cover something that was just acknowledged waits for the checkpoint that does. Such questions
//! wait in a bounded queue; the oldest gives way, and its client asks again or somebody else.

use bezant_types::{AccountId, SequenceNumber, Verified};

use bezant_types::keys::Role;

use crate::replica::effects::Host;
use crate::transport::{ConnectionId, PeerStatus};
use crate::wire::{Ask, CertifiedProof, PeerReport, StatusReport, Tell};

/// The most questions that wait for a checkpoint.
const MAX_QUESTIONS: usize = 4096;

/// A question that waits until the stable checkpoint covers what it is about.
pub(super) struct Question {
    at_least: SequenceNumber,
    connection: ConnectionId,
    ask: Ask,
}

impl Host {
    pub(super) fn on_ask(&mut self, account: AccountId, connection: ConnectionId, ask: Ask) {
        let at_least = match &ask {
            Ask::Submit(_) => return, // Those go to agreement.
            Ask::Prove { at_least, .. } => (*at_least).max(SequenceNumber::ZERO.next()),
            Ask::Root { at_least, .. } => *at_least,
            Ask::Status { id } => {
                let report = Box::new(self.status(account));
                return self.tell(connection, &Tell::Status { id: *id, report });
            }
        };
        let stable = self.stable.as_ref().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        let question = Question { at_least, connection, ask };
        if at_least <= stable {
            return self.answer(&question);
        }
        if self.questions.len() >= MAX_QUESTIONS {
            self.questions.pop_front();
        }
        self.questions.push_back(question);
    }

    /// A later checkpoint has become stable.
    pub(super) fn answer_questions(&mut self) {
        let stable = self.stable.as_ref().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        for question in std::mem::take(&mut self.questions) {
            if question.at_least <= stable {
                self.answer(&question);
            } else {
                self.questions.push_back(question);
            }
        }
    }

    fn answer(&self, question: &Question) {
        let endorsed = self.stable.as_ref().map(|(_, certificate)| certificate.as_endorsed().clone());
        match (&question.ask, &self.stable) {
            (Ask::Prove { id, key, .. }, Some((state, certificate))) => {
                let checkpoint = certificate.as_endorsed().clone();
                let proof = CertifiedProof { checkpoint, key: key.clone(), proof: state.prove(key) };
                self.tell(question.connection, &Tell::Proof { id: *id, proof });
            }
            (Ask::Root { id, .. }, _) => self.tell(question.connection, &Tell::Root { id: *id, checkpoint: endorsed }),
            (Ask::Prove { .. } | Ask::Submit(_) | Ask::Status { .. }, _) => {}
        }
    }

    /// Where this replica stands, signed. Only an admin is told how its connections are doing.
    fn status(&self, account: AccountId) -> bezant_types::Signed<StatusReport> {
        let report = self.replica.report();
        let admin = self.genesis.keyring().role(account) == Some(Role::Admin);
        let diverged = self.diverged();
        let peer = |status: PeerStatus| PeerReport {
            claim: report.claims.iter().find(|(id, ..)| *id == status.id).map(|(_, at, root)| (*at, *root)),
            diverged: diverged.contains(&status.id),
            id: status.id,
            address: status.address,
            connected: status.connected,
            queued_bytes: status.queued_bytes as u64,
            dropped_frames: status.dropped_frames,
            last_error: status.last_error,
        };
        let peers = if admin { self.mesh.peers().into_iter().map(peer).collect() } else { Vec::new() };
        let state = self.stable.as_ref().map(|(state, _)| state);
        let report = StatusReport {
            view: report.view,
            standing: report.standing,
            primary: report.primary,
            executed: report.executed,
            stable: self.stable.as_ref().map(|(_, certificate)| certificate.as_endorsed().clone()),
            waiting: report.waiting as u64,
            silent_until: report.silent_until,
            fetching_state: self.fetch.is_some(),
            entries: state.map_or(0, bezant_ledger::State::entries),
            state_bytes: state.map_or(0, bezant_ledger::State::bytes),
            log_bytes: self.log.size(),
            accused: self.accused.iter().copied().collect(),
            uptime_s: self.started.elapsed().as_secs(),
            peers,
        };
        Verified::sign(report, self.id, &self.key, self.genesis_digest).into_signed()
    }
}
