//! Fetching the state of a checkpoint, and serving it to others.
//!
//! # One at a time
//!
//! The core names a checkpoint, and may name a later one while the transfer goes on: then the transfer is turned to
//! that. Once a state is whole it is being installed by the executor, and nothing is fetched beside that
//! ([`StateFetch`]). What the core names meanwhile is fetched afterwards: it asks once, delivers nothing until that
//! state is there, and in an idle group nothing would make it ask again.
//!
//! A transfer that finds nobody to ask is taken up again after a pause, for ever: the core asks once, and waits.
//!
//! # What serving costs
//!
//! Each peer has a ration of bytes a second (hazard 70). What exceeds it is not refused but served in the next second:
//! to the one who asks, silence and `Unknown` mean that this replica cannot be relied on, and it would go elsewhere, in
//! the end nowhere. A second is within its patience, and it has only a few questions under way, so few may wait here.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bezant_ledger::State;
use bezant_ledger::transfer::{self, Content, Piece, PieceRequest, Transfer, TransferInput, TransferOutput};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_types::{Committee, Moment, ReplicaId};
use bytes::Bytes;

use crate::replica::effects::Host;
use crate::replica::executor::Task;
use crate::wire::{PEER, PeerFrame};

/// How large a piece is served, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// How many bytes of pieces one peer is served a second, a last piece more or less.
const BYTES_PER_SECOND: usize = 64 << 20;
/// How many questions of one peer wait for the next second. More than an honest one has under way.
const MOST_WAITING: usize = 32;
/// How long a transfer that failed rests, the first time; it doubles with each failure in a row.
const FIRST_REST: Duration = Duration::from_millis(500);
/// The longest such rest.
const LONGEST_REST: Duration = Duration::from_secs(30);
const SECOND: Duration = Duration::from_secs(1);

/// Where this replica stands with a state of others.
pub(super) enum StateFetch {
    /// It needs none.
    None,
    /// It is fetching one.
    Fetching(Box<Fetch>),
    /// The executor is installing one.
    Installing {
        /// A later one that the core has asked for since, to be fetched next.
        overtaken_by: Option<CheckpointCertificate>,
    },
}

/// A transfer under way.
pub(super) struct Fetch {
    transfer: Transfer,
    certificate: CheckpointCertificate,
    started: Instant,
    /// Failures in a row.
    failures: u32,
    /// After a failure: when to take it up again.
    resume_at: Option<Instant>,
}

/// What came of an input.
#[derive(Default)]
pub(super) struct Fetched {
    ask: Vec<(ReplicaId, PieceRequest)>,
    finished: Option<(State, CheckpointCertificate)>,
}

impl Host {
    /// The core lacks the state of this checkpoint.
    pub(super) fn fetch_state(&mut self, certificate: CheckpointCertificate) {
        let now = Instant::now();
        let fetched = match &mut self.state_fetch {
            StateFetch::Installing { overtaken_by } => {
                *overtaken_by = Some(certificate);
                return;
            }
            StateFetch::Fetching(fetch) => fetch.retarget(now, certificate),
            StateFetch::None => {
                let local = self.states.last_key_value().map(|(_, state)| state.clone());
                let mut fetch = Box::new(Fetch::begin(now, certificate, self.genesis.committee(), self.id, local));
                let fetched = fetch.step(now, TransferInput::Tick);
                self.state_fetch = StateFetch::Fetching(fetch);
                fetched
            }
        };
        self.go_on_fetching(fetched);
    }

    /// The executor has installed the state that was fetched.
    pub(super) fn on_state_installed(&mut self) {
        if let Some(certificate) = self.state_fetch.installed() {
            self.fetch_state(certificate);
        }
    }

    pub(super) fn on_piece_frame(&mut self, peer: ReplicaId, frame: PeerFrame) {
        let now = Instant::now();
        match frame {
            PeerFrame::Packet(_) => {}
            PeerFrame::AskPiece(request) => {
                self.rations.entry(peer).or_insert_with(|| Ration::new(now)).ask(request);
            }
            PeerFrame::Piece(piece) => {
                if let StateFetch::Fetching(fetch) = &mut self.state_fetch {
                    let fetched = fetch.step(now, TransferInput::Piece { from: peer, piece });
                    self.go_on_fetching(fetched);
                }
            }
        }
    }

    /// Does what is due by now: for the own transfer, and for those of others.
    pub(super) fn tick_transfers(&mut self) {
        let now = Instant::now();
        if let StateFetch::Fetching(fetch) = &mut self.state_fetch
            && fetch.wake_at().is_some_and(|at| at <= now)
        {
            let fetched = fetch.tick(now);
            self.go_on_fetching(fetched);
        }
        for (peer, ration) in &mut self.rations {
            while let Some(request) = ration.next(now) {
                // The newest first: most of what anybody wants is in it, whichever state it is wanted for.
                let states = self.states.values().rev();
                let known =
                    states.map(|state| transfer::serve(state, &request, PIECE_BYTES)).find(|piece| !piece.is_unknown());
                let unknown = Piece { answers: request, content: Content::Unknown };
                let piece = known.unwrap_or(unknown);
                let frame = Bytes::from(PEER.seal(&PeerFrame::Piece(piece)));
                ration.charge(frame.len());
                self.mesh.send(*peer, frame);
            }
        }
        self.mesh.flush();
    }

    /// When [`Self::tick_transfers`] is next worth calling.
    pub(super) fn transfers_wake_at(&self) -> Option<Instant> {
        let own = match &self.state_fetch {
            StateFetch::Fetching(fetch) => fetch.wake_at(),
            StateFetch::None | StateFetch::Installing { .. } => None,
        };
        own.into_iter().chain(self.rations.values().filter_map(Ration::wake_at)).min()
    }

    fn go_on_fetching(&mut self, fetched: Fetched) {
        for (peer, request) in fetched.ask {
            self.mesh.send(peer, Bytes::from(PEER.seal(&PeerFrame::AskPiece(request))));
        }
        self.mesh.flush();
        if let Some((state, certificate)) = fetched.finished {
            self.state_fetch = StateFetch::Installing { overtaken_by: None };
            // If the executor has gone, the loop is about to hear why.
            let _ = self.executor.send(Task::Restore { state, certificate });
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
    pub(super) fn begin(
        now: Instant,
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
    fn retarget(&mut self, now: Instant, certificate: CheckpointCertificate) -> Fetched {
        self.certificate = certificate;
        (self.failures, self.resume_at) = (0, None);
        self.aim(now)
    }

    /// Time has passed.
    fn tick(&mut self, now: Instant) -> Fetched {
        match self.resume_at {
            Some(at) if now < at => Fetched::default(),
            Some(_) => {
                self.resume_at = None;
                self.aim(now)
            }
            None => self.step(now, TransferInput::Tick),
        }
    }

    fn aim(&mut self, now: Instant) -> Fetched {
        let vote = *self.certificate.vote();
        self.step(now, TransferInput::Retarget { root: vote.root, height: vote.sequence })
    }

    fn step(&mut self, now: Instant, input: TransferInput) -> Fetched {
        let mut fetched = Fetched::default();
        for output in self.transfer.step(self.moment(now), input) {
            match output {
                TransferOutput::Send { to, request } => fetched.ask.push((to, request)),
                TransferOutput::Blame { replica, lie } => {
                    tracing::warn!("replica {replica} sent {lie} in a state transfer: it is not asked again");
                }
                TransferOutput::Ignored { from, reason } => {
                    tracing::debug!("a piece of state from replica {from} was ignored: {reason:?}");
                }
                TransferOutput::Finished(state) => {
                    let seconds = now.saturating_duration_since(self.started).as_secs_f64();
                    tracing::info!("fetched the state at {} in {seconds:.1} s", state.height());
                    fetched.finished = Some((state, self.certificate.clone()));
                }
                TransferOutput::Failed(reason) => {
                    let rest = LONGEST_REST.min(FIRST_REST * (1 << self.failures.min(16)));
                    self.failures = self.failures.saturating_add(1);
                    self.resume_at = Some(now + rest);
                    tracing::warn!("fetching the state failed, again in {} ms: {reason}", rest.as_millis());
                }
            }
        }
        fetched
    }

    fn wake_at(&self) -> Option<Instant> {
        let due = self.transfer.wake_at().map(|at| self.started + Duration::from_millis(at.get()));
        due.into_iter().chain(self.resume_at).min()
    }

    fn moment(&self, now: Instant) -> Moment {
        let since = now.saturating_duration_since(self.started);
        Moment::new(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}

/// What one peer was served in the current second, and what it waits for.
pub(super) struct Ration {
    since: Instant,
    bytes: usize,
    waiting: VecDeque<PieceRequest>,
}

impl Ration {
    fn new(now: Instant) -> Self {
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
    fn next(&mut self, now: Instant) -> Option<PieceRequest> {
        if now.saturating_duration_since(self.since) >= SECOND {
            (self.since, self.bytes) = (now, 0);
        }
        if self.bytes < BYTES_PER_SECOND { self.waiting.pop_front() } else { None }
    }

    fn charge(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    fn wake_at(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.since + SECOND)
    }
}

#[cfg(test)]
mod tests {
    use bezant_ledger::transfer::PieceId;
    use bezant_pbft::certificate::CheckpointCertificate;
    use bezant_types::Digest;

    use super::*;
    use crate::verify::fixture::{certify, genesis, history, replica};

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
        let mut now = Instant::now();
        let mut fetch = Fetch::begin(now, certificate, genesis.committee(), replica(3), None);
        let mut fetched = fetch.step(now, TransferInput::Tick);
        let (mut failures, mut rests) = (0, Vec::new());
        while failures < 10 {
            now = fetch.wake_at().expect("a transfer that is not over wakes again");
            fetched = fetch.tick(now);
            if let Some(at) = fetch.resume_at {
                (failures, now) = (failures + 1, at);
                rests.push(at.saturating_duration_since(fetch.started));
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
        let start = Instant::now();
        let mut ration = Ration::new(start);
        let request =
            |id| PieceRequest { id: PieceId::new(id), wanted: transfer::Wanted::Header { root: Digest::new([1; 32]) } };
        ration.ask(request(1));
        assert_eq!(ration.next(start), Some(request(1)));
        ration.charge(BYTES_PER_SECOND);
        assert_eq!(ration.wake_at(), None, "nobody waits");
        (2..4).for_each(|id| ration.ask(request(id)));
        assert_eq!(ration.next(start), None);
        assert_eq!(ration.wake_at(), Some(start + SECOND));
        assert_eq!(ration.next(start + SECOND), Some(request(2)));
        assert_eq!(ration.next(start + SECOND), Some(request(3)));
    }

    #[test]
    fn of_too_many_questions_the_oldest_give_way() {
        let start = Instant::now();
        let mut ration = Ration::new(start);
        let wanted = transfer::Wanted::Header { root: Digest::new([1; 32]) };
        let count = MOST_WAITING as u64 + 5;
        (0..count).for_each(|id| ration.ask(PieceRequest { id: PieceId::new(id), wanted }));
        let served: Vec<_> = std::iter::from_fn(|| ration.next(start)).map(|request| request.id).collect();
        assert_eq!(served, (5..count).map(PieceId::new).collect::<Vec<_>>());
    }
}
