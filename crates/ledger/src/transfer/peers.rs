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

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Peers {
        Peers::new([1, 2, 3].map(ReplicaId::new).to_vec())
    }

    fn asked(peers: &mut Peers, now: Moment) -> Option<u16> {
        peers.take_turn(now).map(|(id, _)| id.get())
    }

    #[test]
    fn peers_are_asked_in_turn_and_eight_things_at_once() {
        let mut peers = three();
        let turns: Vec<_> = (0..25).map_while(|_| asked(&mut peers, Moment::ZERO)).collect();
        assert_eq!(turns, [1, 2, 3].repeat(MAX_FLYING));
        peers.landed(ReplicaId::new(2));
        assert_eq!((asked(&mut peers, Moment::ZERO), asked(&mut peers, Moment::ZERO)), (Some(2), None));
        let mut sound = three();
        let turns = (0..25).map_while(|_| sound.take_sound_turn(Moment::ZERO)).count();
        assert_eq!(turns, 3 * MAX_FLYING);
    }

    /// After its rest a peer that failed gets one question at a time, and twice as long for the answer as before; after
    /// one answer it is as good as any.
    #[test]
    fn a_peer_that_fails_rests_twice_as_long_each_time_and_is_left_out_at_last() {
        let one = ReplicaId::new(1);
        let mut peers = Peers::new([one].to_vec());
        let mut now = Moment::ZERO;
        for failures in 0..MAX_FAILURES {
            let (_, until) = peers.take_turn(now).expect("it is ready");
            assert_eq!(until.since(now), TIMEOUT_MS << failures);
            assert_eq!(peers.take_turn(now).is_some(), failures == 0);
            assert_eq!((peers.is_doubtful(one), peers.take_sound_turn(now).is_some()), (failures > 0, failures == 0));
            (0..3).for_each(|_| peers.landed(one));
            peers.failed(one, now);
            peers.failed(one, now); // What fails together counts once.
            assert_eq!(peers.take_turn(now), None);
            let rest = peers.wake_at().map(|until| until.since(now));
            let last = failures + 1 == MAX_FAILURES;
            assert_eq!(rest, (!last).then_some(REST_MS << (failures + 1)));
            assert_eq!(peers.all_gone(), last.then_some(TransferFailed::NobodyLeft { liars: 0, silent: 1 }));
            now = now.saturating_add(rest.unwrap_or(0));
            peers.wake(now);
        }
        let mut peers = three();
        peers.failed(one, now);
        peers.wake(now.saturating_add(2 * REST_MS));
        peers.succeeded(one);
        assert!(!peers.is_doubtful(one));
        assert_eq!((0..25).map_while(|_| asked(&mut peers, now)).count(), 3 * MAX_FLYING);
    }
}
