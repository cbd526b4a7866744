//! Fetching the state of a checkpoint, and serving it to others.
//!
//! # One at a time
//!
//! The core names a checkpoint, and may name a later one while the transfer goes on: then the transfer is turned to
//! that. Once a state is whole the executor installs it and the saver makes it durable, and nothing is fetched beside
//! that ([`StateFetch`]). What the core names meanwhile is fetched afterwards: it asks once, delivers nothing until
//! that state is there, and in an idle group nothing would make it ask again.
//!
//! A transfer that finds nobody to ask is taken up again after a pause, for ever: the core asks once, and waits.
//!
//! # What serving costs
//!
//! Each peer has a ration of bytes a second (hazard 70). What exceeds it is not refused but served in the next second:
//! to the one who asks, silence and `Unknown` mean that this replica cannot be relied on, and it would go elsewhere, in
//! the end nowhere. A second is within its patience, and it has only a few questions under way, so few may wait here.

use std::collections::VecDeque;

use bezant_ledger::State;
use bezant_ledger::transfer::{self, Content, Piece, PieceRequest, Transfer, TransferInput, TransferOutput};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_store::Disk;
use bezant_types::codec::encoded_len;
use bezant_types::{Committee, Moment, ReplicaId};

use crate::executor::Task;
use crate::member::Member;
use crate::output::Output;

/// How large a piece is served, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// How many bytes of pieces one peer is served a second, a last piece more or less.
const BYTES_PER_SECOND: usize = 64 << 20;
/// How many questions of one peer wait for the next second. More than an honest one has under way.
const MOST_WAITING: usize = 32;
/// How long a transfer that failed rests, the first time; it doubles with each failure in a row.
const FIRST_REST_MS: u64 = 500;
/// The longest such rest.
const LONGEST_REST_MS: u64 = 30_000;
const SECOND_MS: u64 = 1_000;

/// Where this replica stands with a state of others.
#[derive(Debug)]
pub(crate) enum StateFetch {
    /// It needs none.
    None,
    /// It is fetching one.
    Fetching(Box<Fetch>),
    /// One is being installed and saved.
    Installing {
        /// A later one that the core has asked for since, to be fetched next.
        overtaken_by: Option<CheckpointCertificate>,
    },
}

/// A transfer under way.
#[derive(Debug)]
pub(crate) struct Fetch {
    transfer: Transfer,
    certificate: CheckpointCertificate,
    started: Moment,
    /// Failures in a row.
    failures: u32,
    /// After a failure: when to take it up again.
    resume_at: Option<Moment>,
}

/// What came of an input.
#[derive(Default)]
pub(crate) struct Fetched {
    ask: Vec<(ReplicaId, PieceRequest)>,
    finished: Option<(State, CheckpointCertificate)>,
}

impl<D: Disk> Member<D> {
    /// The core lacks the state of this checkpoint.
    pub(crate) fn fetch_state(&mut self, now: Moment, certificate: CheckpointCertificate, out: &mut Vec<Output>) {
        let fetched = match &mut self.state_fetch {
            StateFetch::Installing { overtaken_by } => {
                *overtaken_by = Some(certificate);
                return;
            }
            StateFetch::Fetching(fetch) => fetch.retarget(now, certificate),
            StateFetch::None => {
                let local = self.states.last_key_value().map(|(_, state)| state.clone());
                let mut fetch = Box::new(Fetch::begin(now, certificate, self.committee(), self.id, local));
                let fetched = fetch.step(now, TransferInput::Tick);
                self.state_fetch = StateFetch::Fetching(fetch);
                fetched
            }
        };
        self.go_on_fetching(fetched, out);
    }

    /// The state that was fetched is installed and durable.
    pub(crate) fn on_state_restored(&mut self, now: Moment, out: &mut Vec<Output>) {
        if let Some(certificate) = self.state_fetch.installed() {
            self.fetch_state(now, certificate, out);
        }
    }

    pub(crate) fn on_piece_request(&mut self, now: Moment, peer: ReplicaId, request: PieceRequest) {
        self.rations.entry(peer).or_insert_with(|| Ration::new(now)).ask(request);
    }

    pub(crate) fn on_piece(&mut self, now: Moment, peer: ReplicaId, piece: Piece, out: &mut Vec<Output>) {
        if let StateFetch::Fetching(fetch) = &mut self.state_fetch {
            let fetched = fetch.step(now, TransferInput::Piece { from: peer, piece });
            self.go_on_fetching(fetched, out);
        }
    }

    /// Does what is due by now: for the own transfer, and for those of others.
    pub(crate) fn tick_transfers(&mut self, now: Moment, out: &mut Vec<Output>) {
        if let StateFetch::Fetching(fetch) = &mut self.state_fetch
            && fetch.wake_at().is_some_and(|at| at <= now)
        {
            let fetched = fetch.tick(now);
            self.go_on_fetching(fetched, out);
        }
        for (peer, ration) in &mut self.rations {
            while let Some(request) = ration.next(now) {
                // The newest first: most of what anybody wants is in it, whichever state it is wanted for.
                let states = self.states.values().rev();
                let known =
                    states.map(|state| transfer::serve(state, &request, PIECE_BYTES)).find(|piece| !piece.is_unknown());
                let unknown = Piece { answers: request, content: Content::Unknown };
                let piece = known.unwrap_or(unknown);
                ration.charge(encoded_len(&piece));
                out.push(Output::Piece { to: *peer, piece });
            }
        }
    }

    /// When [`Self::tick_transfers`] is next worth calling.
    pub(crate) fn transfers_wake_at(&self) -> Option<Moment> {
        let own = match &self.state_fetch {
            StateFetch::Fetching(fetch) => fetch.wake_at(),
            StateFetch::None | StateFetch::Installing { .. } => None,
        };
        own.into_iter().chain(self.rations.values().filter_map(Ration::wake_at)).min()
    }

    fn go_on_fetching(&mut self, fetched: Fetched, out: &mut Vec<Output>) {
        out.extend(fetched.ask.into_iter().map(|(to, request)| Output::AskPiece { to, request }));
        if let Some((state, certificate)) = fetched.finished {
            self.state_fetch = StateFetch::Installing { overtaken_by: None };
            out.push(Output::Execute(Task::Install { state, certificate }));
        }
    }
}

impl StateFetch {
    /// Nothing is being installed any more; gives what is to be fetched next.
    fn installed(&mut self) -> Option<CheckpointCertificate> {
        match std::mem::replace(self, Self::None) {
            Self::Installing { overtaken_by } => overtaken_by,
            Self::None | Self::Fetching(_) => None,
        }
    }
}

impl Fetch {
    pub(crate) fn begin(
        now: Moment,
        certificate: CheckpointCertificate,
        committee: Committee,
        me: ReplicaId,
        local: Option<State>,
    ) -> Self {
        let vote = *certificate.vote();
        // Those who signed the checkpoint have it; the others may.
        let (mut peers, others): (Vec<_>, Vec<_>) =
            committee.members().partition(|one| certificate.signers().any(|signer| signer == *one));
        peers.extend(others);
        peers.retain(|one| *one != me);
        tracing::info!("fetching the state at {} from the others", vote.sequence);
        let transfer = Transfer::new(vote.root, vote.sequence, peers, local);
        Self { transfer, certificate, started: now, failures: 0, resume_at: None }
    }

    /// The group has moved on.
    fn retarget(&mut self, now: Moment, certificate: CheckpointCertificate) -> Fetched {
        self.certificate = certificate;
        (self.failures, self.resume_at) = (0, None);
        self.aim(now)
    }

    /// Time has passed.
    fn tick(&mut self, now: Moment) -> Fetched {
        match self.resume_at {
            Some(at) if now < at => Fetched::default(),
            Some(_) => {
                self.resume_at = None;
                self.aim(now)
            }
            None => self.step(now, TransferInput::Tick),
        }
    }

    fn aim(&mut self, now: Moment) -> Fetched {
        let vote = *self.certificate.vote();
        self.step(now, TransferInput::Retarget { root: vote.root, height: vote.sequence })
    }

    fn step(&mut self, now: Moment, input: TransferInput) -> Fetched {
        let mut fetched = Fetched::default();
        for output in self.transfer.step(now, input) {
            match output {
                TransferOutput::Send { to, request } => fetched.ask.push((to, request)),
                TransferOutput::Blame { replica, lie } => {
                    tracing::warn!("replica {replica} sent {lie} in a state transfer: it is not asked again");
                }
                TransferOutput::Ignored { from, reason } => {
                    tracing::debug!("a piece of state from replica {from} was ignored: {reason:?}");
                }
                TransferOutput::Finished(state) => {
                    let took_ms = now.since(self.started);
                    tracing::info!("fetched the state at {} in {took_ms} ms", state.height());
                    fetched.finished = Some((state, self.certificate.clone()));
                }
                TransferOutput::Failed(reason) => {
                    let rest_ms = LONGEST_REST_MS.min(FIRST_REST_MS << self.failures.min(16));
                    self.failures = self.failures.saturating_add(1);
                    self.resume_at = Some(now.saturating_add(rest_ms));
                    tracing::warn!("fetching the state failed, again in {rest_ms} ms: {reason}");
                }
            }
        }
        fetched
    }

    fn wake_at(&self) -> Option<Moment> {
        self.transfer.wake_at().into_iter().chain(self.resume_at).min()
    }
}

/// What one peer was served in the current second, and what it waits for.
#[derive(Debug)]
pub(crate) struct Ration {
    since: Moment,
    bytes: usize,
    waiting: VecDeque<PieceRequest>,
}

impl Ration {
    fn new(now: Moment) -> Self {
        Self { since: now, bytes: 0, waiting: VecDeque::new() }
    }

    /// Lets a question wait for its turn. The oldest of too many gives way: whoever asks for so much has moved on from
    /// it.
    fn ask(&mut self, request: PieceRequest) {
        if self.waiting.len() >= MOST_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(request);
    }

    /// The next question to answer, unless the second's ration is used up.
    fn next(&mut self, now: Moment) -> Option<PieceRequest> {
        if now.since(self.since) >= SECOND_MS {
            (self.since, self.bytes) = (now, 0);
        }
        if self.bytes < BYTES_PER_SECOND { self.waiting.pop_front() } else { None }
    }

    fn charge(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn wake_at(&self) -> Option<Moment> {
        (!self.waiting.is_empty()).then(|| self.since.saturating_add(SECOND_MS))
    }
}

#[cfg(test)]
mod tests {
    use bezant_ledger::transfer::PieceId;
    use bezant_pbft::certificate::CheckpointCertificate;
    use bezant_types::Digest;

    use super::*;
    use crate::fixture::{certify, genesis, history, replica};

    /// The core waits for the later state, and in an idle group it does not ask again.
    #[test]
    fn what_is_asked_for_while_a_state_is_installed_is_fetched_next() {
        let genesis = genesis();
        let (_, states) = history(&genesis, 1);
        let endorsed = certify(&genesis, &states[1]);
        let later = CheckpointCertificate::check(endorsed, genesis.committee(), &genesis.keyring()).unwrap();
        let mut overtaken = StateFetch::Installing { overtaken_by: Some(later.clone()) };
        assert_eq!(overtaken.installed(), Some(later));
        assert!(matches!(overtaken, StateFetch::None));
        assert_eq!(StateFetch::Installing { overtaken_by: None }.installed(), None);
    }

    #[test]
    fn a_transfer_that_failed_is_taken_up_again_for_ever_and_ends_when_somebody_answers() {
        let genesis = genesis();
        let (_, states) = history(&genesis, 3);
        let target = &states[3];
        let certificate =
            CheckpointCertificate::check(certify(&genesis, target), genesis.committee(), &genesis.keyring()).unwrap();
        let mut now = Moment::new(7);
        let mut fetch = Fetch::begin(now, certificate, genesis.committee(), replica(3), None);
        let mut fetched = fetch.step(now, TransferInput::Tick);
        let (mut failures, mut rests) = (0, Vec::new());
        while failures < 10 {
            now = fetch.wake_at().expect("a transfer that is not over wakes again");
            fetched = fetch.tick(now);
            if let Some(at) = fetch.resume_at {
                (failures, now) = (failures + 1, at);
                rests.push(at.since(fetch.started));
                fetched = fetch.tick(at);
                assert!(!fetched.ask.is_empty(), "everybody is asked anew");
            }
        }
        assert!(rests.is_sorted());
        while fetched.finished.is_none() {
            let answers: Vec<_> = fetched.ask.drain(..).collect();
            assert!(!answers.is_empty(), "it goes on asking");
            for (from, request) in answers {
                let piece = transfer::serve(target, &request, PIECE_BYTES);
                let next = fetch.step(now, TransferInput::Piece { from, piece });
                fetched.ask.extend(next.ask);
                fetched.finished = fetched.finished.or(next.finished);
            }
        }
        assert_eq!(fetched.finished.unwrap().0.root(), target.root());
    }

    #[test]
    fn what_exceeds_a_ration_is_served_in_the_next_second() {
        let start = Moment::new(7);
        let mut ration = Ration::new(start);
        let request =
            |id| PieceRequest { id: PieceId::new(id), wanted: transfer::Wanted::Header { root: Digest::new([1; 32]) } };
        ration.ask(request(1));
        assert_eq!(ration.next(start), Some(request(1)));
        ration.charge(BYTES_PER_SECOND);
        assert_eq!(ration.wake_at(), None, "nobody waits");
        (2..4).for_each(|id| ration.ask(request(id)));
        assert_eq!(ration.next(start), None);
        assert_eq!(ration.wake_at(), Some(start.saturating_add(SECOND_MS)));
        assert_eq!(ration.next(start.saturating_add(SECOND_MS)), Some(request(2)));
        assert_eq!(ration.next(start.saturating_add(SECOND_MS)), Some(request(3)));
    }

    #[test]
    fn of_too_many_questions_the_oldest_give_way() {
        let start = Moment::new(7);
        let mut ration = Ration::new(start);
        let wanted = transfer::Wanted::Header { root: Digest::new([1; 32]) };
        let count = MOST_WAITING as u64 + 5;
        (0..count).for_each(|id| ration.ask(PieceRequest { id: PieceId::new(id), wanted }));
        let served: Vec<_> = std::iter::from_fn(|| ration.next(start)).map(|request| request.id).collect();
        assert_eq!(served, (5..count).map(PieceId::new).collect::<Vec<_>>());
    }
}
