//! What clients ask that needs no agreement: proofs, checkpoints, where the replica stands.
//!
//! A question that must cover something that was just acknowledged waits for the checkpoint that does.
//!
//! **The adversary** is a client that asks more than an answer is worth. What can never be answered is refused at once,
//! by name. Each client has a quota of questions that wait, so that it crowds out nobody else's; were there very many
//! clients, the one with the most gives way. What a turn's status reports have in common is worked out once.

use std::collections::{BTreeMap, VecDeque};

use bezant_ledger::Key;
use bezant_pbft::Report;
use bezant_types::genesis::Parameters;
use bezant_types::keys::Role;
use bezant_types::{AccountId, SequenceNumber, Signed, Verified};

use crate::replica::outputs::Host;
use crate::transport::{ConnectionId, PeerStatus};
use crate::wire::{Ask, CertifiedProof, PeerReport, StatusReport, Tell, Unanswerable};

/// A question that waits until the stable checkpoint covers what it is about.
#[derive(Debug)]
pub(super) struct Question {
    at_least: SequenceNumber,
    connection: ConnectionId,
    ask: Ask,
}

/// The questions that wait.
#[derive(Debug, Default)]
pub(super) struct Questions {
    of: BTreeMap<AccountId, VecDeque<Question>>,
    count: usize,
}

impl Questions {
    /// Lets a question wait, if its client has not too many waiting already.
    fn admit(&mut self, account: AccountId, question: Question) -> Result<(), Unanswerable> {
        if self.of.get(&account).is_some_and(|waiting| waiting.len() >= WAITING_PER_CLIENT) {
            return Err(Unanswerable::Busy);
        }
        if self.count >= WAITING {
            self.give_way();
        }
        self.of.entry(account).or_default().push_back(question);
        self.count += 1;
        Ok(())
    }

    /// Drops the oldest question of the client that has the most. It asks again, or somebody else.
    fn give_way(&mut self) {
        let Some(most) = self.of.iter().max_by_key(|(_, waiting)| waiting.len()).map(|(account, _)| *account) else {
            return;
        };
        if let Some(waiting) = self.of.get_mut(&most)
            && waiting.pop_front().is_some()
        {
            self.count -= 1;
            if waiting.is_empty() {
                self.of.remove(&most);
            }
        }
    }

    /// Takes those that a checkpoint here can answer.
    fn take_covered(&mut self, stable: SequenceNumber) -> Vec<Question> {
        let mut covered = Vec::new();
        for waiting in self.of.values_mut() {
            let (now, later): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(waiting).into_iter().partition(|question| question.at_least <= stable);
            covered.extend(now);
            *waiting = later;
        }
        self.of.retain(|_, waiting| !waiting.is_empty());
        self.count -= covered.len();
        covered
    }
}

/// Whether a question can be answered at all, by a replica that has executed so far.
fn admit_ask(ask: &Ask, parameters: &Parameters, executed: SequenceNumber) -> Result<SequenceNumber, Unanswerable> {
    let at_least = match ask {
        Ask::Prove { key, at_least, .. } => {
            let too_long = matches!(key, Key::Entry(bytes) if bytes.len() > parameters.max_key_bytes as usize);
            if too_long {
                return Err(Unanswerable::KeyTooLong { limit: parameters.max_key_bytes });
            }
            (*at_least).max(SequenceNumber::ZERO.next())
        }
        Ask::Root { at_least, .. } => *at_least,
        Ask::Status { .. } | Ask::Submit(_) => SequenceNumber::ZERO,
    };
    if at_least > executed.saturating_add(parameters.window) {
        return Err(Unanswerable::TooFarAhead);
    }
    Ok(at_least)
}

/// The status reports of one turn: the same for everybody, but that only admins see the connections.
#[derive(Default)]
struct Statuses {
    plain: Option<Box<Signed<StatusReport>>>,
    full: Option<Box<Signed<StatusReport>>>,
    given: BTreeMap<AccountId, usize>,
}

impl Host {
    /// Answers the questions of a turn, or lets them wait.
    pub(super) fn on_asks(&mut self, asks: Vec<(AccountId, ConnectionId, Ask)>) {
        if asks.is_empty() {
            return;
        }
        let standing = self.member.replica().report();
        let mut statuses = Statuses::default();
        for (account, connection, ask) in asks {
            let (Ask::Prove { id, .. } | Ask::Root { id, .. } | Ask::Status { id }) = &ask else {
                continue; // A request goes to agreement.
            };
            let id = *id;
            let answered = match admit_ask(&ask, self.genesis.parameters(), standing.executed) {
                Err(reason) => Err(reason),
                Ok(_) if matches!(ask, Ask::Status { .. }) => {
                    self.tell_status(account, connection, id, &standing, &mut statuses)
                }
                Ok(at_least) => self.on_question(account, Question { at_least, connection, ask }),
            };
            if let Err(reason) = answered {
                self.tell(connection, &Tell::Unanswerable { id, reason });
            }
        }
    }

    fn on_question(&mut self, account: AccountId, question: Question) -> Result<(), Unanswerable> {
        let stable = self.member.stable().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        if question.at_least <= stable {
            self.answer(&question);
            return Ok(());
        }
        self.questions.admit(account, question)
    }

    /// A later checkpoint has become stable.
    pub(super) fn answer_questions(&mut self) {
        let stable = self.member.stable().map_or(SequenceNumber::ZERO, |(state, _)| state.height());
        for question in self.questions.take_covered(stable) {
            self.answer(&question);
        }
    }

    fn tell_status(
        &self,
        account: AccountId,
        connection: ConnectionId,
        id: u64,
        standing: &Report,
        statuses: &mut Statuses,
    ) -> Result<(), Unanswerable> {
        let given = statuses.given.entry(account).or_default();
        if *given >= STATUSES_PER_TURN {
            return Err(Unanswerable::Busy);
        }
        *given += 1;
        let report = if self.keyring.role(account) == Some(Role::Admin) {
            statuses.full.get_or_insert_with(|| Box::new(self.status(standing, self.peer_reports(standing))))
        } else {
            statuses.plain.get_or_insert_with(|| Box::new(self.status(standing, Vec::new())))
        };
        self.tell(connection, &Tell::Status { id, report: report.clone() });
        Ok(())
    }

    fn answer(&self, question: &Question) {
        let endorsed = self.member.stable().map(|(_, certificate)| certificate.as_endorsed().clone());
        match (&question.ask, self.member.stable()) {
            (Ask::Prove { id, key, .. }, Some((state, certificate))) => {
                let checkpoint = certificate.as_endorsed().clone();
                let proof = CertifiedProof { checkpoint, key: key.clone(), proof: state.prove(key) };
                self.tell(question.connection, &Tell::Proof { id: *id, proof });
            }
            (Ask::Root { id, .. }, _) => self.tell(question.connection, &Tell::Root { id: *id, checkpoint: endorsed }),
            (Ask::Prove { .. } | Ask::Submit(_) | Ask::Status { .. }, _) => {}
        }
    }

    fn peer_reports(&self, standing: &Report) -> Vec<PeerReport> {
        let diverged = self.member.diverged(standing);
        let report = |status: PeerStatus| PeerReport {
            claim: standing.claims.iter().find(|(id, ..)| *id == status.id).map(|(_, at, root)| (*at, *root)),
            diverged: diverged.contains(&status.id),
            id: status.id,
            address: status.address,
            connected: status.connected,
            queued_bytes: status.queued_bytes as u64,
            dropped_frames: status.dropped_frames,
            last_error: status.last_error,
        };
        self.mesh.peers().into_iter().map(report).collect()
    }

    /// Where this replica stands, signed.
    fn status(&self, standing: &Report, peers: Vec<PeerReport>) -> Signed<StatusReport> {
        let state = self.member.stable().map(|(state, _)| state);
        let report = StatusReport {
            view: standing.view,
            standing: standing.standing,
            primary: standing.primary,
            executed: standing.executed,
            stable: self.member.stable().map(|(_, certificate)| certificate.as_endorsed().clone()),
            waiting: standing.waiting as u64,
            silent_until: standing.silent_until,
            fetching_state: self.member.is_fetching_state(),
            entries: state.map_or(0, bezant_ledger::State::entries),
            state_bytes: state.map_or(0, bezant_ledger::State::bytes),
            log_bytes: self.member.log_bytes(),
            accused: self.convictions.members().collect(),
            uptime_s: self.started.elapsed().as_secs(),
            peers,
        };
        Verified::sign(report, self.member.id(), &self.key, self.genesis_digest).into_signed()
    }
}

/// The most questions of one client that wait for a checkpoint.
const WAITING_PER_CLIENT: usize = 64;
/// The most of all clients.
const WAITING: usize = 4096;
/// The most status reports that one client gets in a turn.
const STATUSES_PER_TURN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::fixture::{ALICE, BOB, account};

    fn at(sequence: u64) -> SequenceNumber {
        SequenceNumber::new(sequence)
    }

    fn prove(key_bytes: usize, at_least: u64) -> Ask {
        Ask::Prove { id: 1, key: Key::Entry(vec![7; key_bytes]), at_least: at(at_least) }
    }

    fn question(at_least: u64) -> Question {
        Question { at_least: at(at_least), connection: ConnectionId::new(1), ask: prove(1, at_least) }
    }

    #[test]
    fn what_can_never_be_answered_is_refused_by_name() {
        let parameters = Parameters::standard();
        let judge = |ask: &Ask| admit_ask(ask, &parameters, at(10));
        let longest = parameters.max_key_bytes as usize;
        assert_eq!(judge(&prove(longest, 5)), Ok(at(5)));
        let too_long = Unanswerable::KeyTooLong { limit: parameters.max_key_bytes };
        assert_eq!(judge(&prove(longest + 1, 5)), Err(too_long));
        let highest = 10 + parameters.window;
        assert_eq!(judge(&Ask::Root { id: 1, at_least: at(highest) }), Ok(at(highest)));
        assert_eq!(judge(&Ask::Root { id: 1, at_least: at(highest + 1) }), Err(Unanswerable::TooFarAhead));
        assert_eq!(judge(&Ask::Root { id: 1, at_least: at(u64::MAX) }), Err(Unanswerable::TooFarAhead));
        assert_eq!(judge(&prove(1, 0)), Ok(at(1)), "there is no proof before the first checkpoint");
    }

    #[test]
    fn a_client_that_asks_much_crowds_out_nobody() {
        let mut questions = Questions::default();
        let (alice, bob) = (account(ALICE), account(BOB));
        questions.admit(bob, question(3)).unwrap();
        for _ in 0..WAITING_PER_CLIENT {
            questions.admit(alice, question(9)).unwrap();
        }
        assert_eq!(questions.admit(alice, question(9)), Err(Unanswerable::Busy));
        questions.admit(bob, question(9)).unwrap();
        assert_eq!(questions.take_covered(at(3)).len(), 1);
        assert_eq!(questions.take_covered(at(9)).len(), WAITING_PER_CLIENT + 1);
        assert_eq!(questions.count, 0);
    }

    #[test]
    fn when_very_many_clients_ask_the_one_with_the_most_gives_way() {
        let mut questions = Questions::default();
        let crowd = |i: usize| AccountId::new([(i % 200) as u8; 32]);
        let quiet = AccountId::new([250; 32]);
        questions.admit(quiet, question(1)).unwrap();
        for i in 0..WAITING + 500 {
            questions.admit(crowd(i), question(1)).unwrap();
        }
        assert_eq!(questions.count, WAITING);
        assert_eq!(questions.of[&quiet].len(), 1);
        assert_eq!(questions.take_covered(at(1)).len(), WAITING);
    }
}
