//! Whom to ask next.

use alloc::vec::Vec;

use bezant_types::{Moment, ReplicaId};

use super::TransferFailed;

/// The peers of a transfer, asked in turn.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    list: Vec<Peer>,
    /// Whose turn it is.
    next: usize,
}

#[derive(Clone, Debug)]
struct Peer {
    id: ReplicaId,
    standing: Standing,
    /// How many requests are under way.
    flying: usize,
    /// How often in a row it did not give what it was asked for.
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Ready,
    Resting { until: Moment },
    Silent,
    Liar,
}

/// Requests under way with one peer, at most: enough to hide the way there and back, few enough to bound what may
/// arrive at once.
const MAX_FLYING: usize = 8;
/// After this many failures in a row a peer is left out.
const MAX_FAILURES: u32 = 6;
const REST_MS: u64 = 200;
const TIMEOUT_MS: u64 = 2_000;

impl Peers {
    pub(super) fn new(ids: Vec<ReplicaId>) -> Self {
        let mut list: Vec<Peer> = Vec::new();
        for id in ids {
            if list.iter().all(|peer| peer.id != id) {
                list.push(Peer { id, standing: Standing::Ready, flying: 0, failures: 0 });
            }
        }
        Self { list, next: 0 }
    }

    /// The next peer that can be asked something, and how long it has for the answer.
    pub(super) fn take_turn(&mut self, now: Moment) -> Option<(ReplicaId, Moment)> {
        // A peer that has just failed gets one request, not eight to be silent about.
        self.turn(now, |peer| peer.flying < if peer.failures == 0 { MAX_FLYING } else { 1 })
    }

    /// As [`Self::take_turn`], among those only that gave what they were last asked for.
    pub(super) fn take_sound_turn(&mut self, now: Moment) -> Option<(ReplicaId, Moment)> {
        self.turn(now, |peer| peer.failures == 0 && peer.flying < MAX_FLYING)
    }

    fn turn(&mut self, now: Moment, may: impl Fn(&Peer) -> bool) -> Option<(ReplicaId, Moment)> {
        let count = self.list.len();
        let mut turns = (self.next..self.next + count).map(|index| index % count);
        let index = turns.find(|index| self.list[*index].standing == Standing::Ready && may(&self.list[*index]))?;
        self.next = (index + 1) % count;
        let peer = &mut self.list[index];
        peer.flying += 1;
        Some((peer.id, now.saturating_add(TIMEOUT_MS << peer.failures.min(MAX_FAILURES))))
    }

    /// Whether `id` did not give what it was last asked for.
    pub(super) fn is_doubtful(&self, id: ReplicaId) -> bool {
        self.list.iter().any(|peer| peer.id == id && peer.failures > 0)
    }

    /// A request to `id` is no longer under way.
    pub(super) fn landed(&mut self, id: ReplicaId) {
        if let Some(peer) = self.find(id) {
            peer.flying = peer.flying.saturating_sub(1);
        }
    }

    /// `id` gave what it was asked for.
    pub(super) fn succeeded(&mut self, id: ReplicaId) {
        let Some(peer) = self.find(id) else { return };
        match peer.standing {
            Standing::Ready | Standing::Resting { .. } => (peer.standing, peer.failures) = (Standing::Ready, 0),
            Standing::Silent | Standing::Liar => {}
        }
    }

    /// `id` did not give what it was asked for, without lying. Several requests that fail together count once.
    pub(super) fn failed(&mut self, id: ReplicaId, now: Moment) {
        let Some(peer) = self.find(id) else { return };
        match peer.standing {
            Standing::Ready => {
                peer.failures += 1;
                peer.standing = if peer.failures < MAX_FAILURES {
                    Standing::Resting { until: now.saturating_add(REST_MS << peer.failures) }
                } else {
                    Standing::Silent
                };
            }
            Standing::Resting { .. } | Standing::Silent | Standing::Liar => {}
        }
    }

    /// `id` lied, and is not asked again.
    pub(super) fn lied(&mut self, id: ReplicaId) {
        if let Some(peer) = self.find(id) {
            peer.standing = Standing::Liar;
        }
    }

    /// Ends the rests that are over.
    pub(super) fn wake(&mut self, now: Moment) {
        for peer in &mut self.list {
            if matches!(peer.standing, Standing::Resting { until } if until <= now) {
                peer.standing = Standing::Ready;
            }
        }
    }

    /// When the next rest is over.
    pub(super) fn wake_at(&self) -> Option<Moment> {
        let rests = self.list.iter().filter_map(|peer| match peer.standing {
            Standing::Resting { until } => Some(until),
            Standing::Ready | Standing::Silent | Standing::Liar => None,
        });
        rests.min()
    }

    /// A new start for everybody but the liars.
    pub(super) fn forgive(&mut self) {
        for peer in &mut self.list {
            match peer.standing {
                Standing::Ready | Standing::Resting { .. } | Standing::Silent => {
                    (peer.standing, peer.failures) = (Standing::Ready, 0);
                }
                Standing::Liar => {}
            }
        }
    }

    /// Why nobody can be asked any more, if that is so.
    pub(super) fn all_gone(&self) -> Option<TransferFailed> {
        let count = |standing| self.list.iter().filter(|peer| peer.standing == standing).count();
        let (liars, silent) = (count(Standing::Liar), count(Standing::Silent));
        (liars + silent == self.list.len()).then_some(TransferFailed::NobodyLeft { liars, silent })
    }

    fn find(&mut self, id: ReplicaId) -> Option<&mut Peer> {
        self.list.iter_mut().find(|peer| peer.id == id)
    }
}
