//! Fetching the state of a checkpoint, and serving it to others.

use std::time::Instant;

use bezant_ledger::State;
use bezant_ledger::transfer::{self, Moment, Piece, PieceRequest, Transfer, TransferInput, TransferOutput};
use bezant_pbft::certificate::CheckpointCertificate;
use bezant_types::{Committee, ReplicaId};

/// How large a piece is served, in bytes.
const PIECE_BYTES: usize = 256 << 10;
/// How many bytes of pieces one peer is served a second (hazard 70).
const BYTES_PER_SECOND: usize = 64 << 20;

/// A transfer under way.
pub(super) struct Fetch {
    transfer: Transfer,
    certificate: CheckpointCertificate,
    started: Instant,
}

/// What came of an input.
#[derive(Default)]
pub(super) struct Fetched {
    pub(super) ask: Vec<(ReplicaId, PieceRequest)>,
    pub(super) finished: Option<(State, CheckpointCertificate)>,
}

impl Fetch {
    pub(super) fn begin(
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
        Self { transfer, certificate, started: Instant::now() }
    }

    /// The group has moved on.
    pub(super) fn retarget(&mut self, certificate: CheckpointCertificate) -> Fetched {
        let vote = *certificate.vote();
        self.certificate = certificate;
        self.step(TransferInput::Retarget { root: vote.root, height: vote.sequence })
    }

    pub(super) fn step(&mut self, input: TransferInput) -> Fetched {
        let mut fetched = Fetched::default();
        for output in self.transfer.step(self.now(), input) {
            match output {
                TransferOutput::Send { to, request } => fetched.ask.push((to, request)),
                TransferOutput::Blame { replica, lie } => {
                    tracing::warn!("replica {replica} sent {lie} in a state transfer: it is not asked again");
                }
                TransferOutput::Ignored { from, reason } => {
                    tracing::debug!("a piece of state from replica {from} was ignored: {reason:?}");
                }
                TransferOutput::Finished(state) => {
                    let seconds = self.started.elapsed().as_secs_f64();
                    tracing::info!("fetched the state at {} in {seconds:.1} s", state.height());
                    fetched.finished = Some((state, self.certificate.clone()));
                }
                // The next stable checkpoint of the group starts it again.
                TransferOutput::Failed(reason) => tracing::warn!("fetching the state failed for now: {reason}"),
            }
        }
        fetched
    }

    /// When to step with a tick.
    pub(super) fn wake_at(&self) -> Option<tokio::time::Instant> {
        let at = self.transfer.wake_at()?;
        Some(tokio::time::Instant::from_std(self.started + std::time::Duration::from_millis(at.get())))
    }

    fn now(&self) -> Moment {
        Moment::new(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// What one peer was served in the current second.
pub(super) struct Ration {
    since: Instant,
    bytes: usize,
}

impl Ration {
    pub(super) fn new() -> Self {
        Self { since: Instant::now(), bytes: 0 }
    }

    /// Serves a piece unless the peer has had its share; it will ask again, or somebody else.
    pub(super) fn serve<'s>(
        &mut self,
        states: impl Iterator<Item = &'s State>,
        request: &PieceRequest,
    ) -> Option<Piece> {
        if self.since.elapsed().as_secs() >= 1 {
            *self = Self::new();
        }
        if self.bytes >= BYTES_PER_SECOND {
            return None;
        }
        let mut last = None;
        for state in states {
            let piece = transfer::serve(state, request, PIECE_BYTES);
            let known = !piece.is_unknown();
            last = Some(piece);
            if known {
                break;
            }
        }
        self.bytes += PIECE_BYTES;
        last
    }
}
