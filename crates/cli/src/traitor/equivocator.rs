//! Says one thing to some and another to others, whatever its place: two adversaries of the simulator in one.

use bezant_pbft::packet::{Message, Packet};
use bezant_sim::adversary::{Adversary, Corrupted, EquivocatingPrimary, EquivocatingVoter, Hearing};
use bezant_types::ReplicaId;

/// As primary [`EquivocatingPrimary`], as backup [`EquivocatingVoter`]. A person who lets a replica equivocate does not
/// wait until it is its turn to be the primary, which may be never.
pub(super) struct Equivocator {
    primary: EquivocatingPrimary,
    voter: EquivocatingVoter,
}

impl Equivocator {
    pub(super) fn new() -> Self {
        Self { primary: EquivocatingPrimary::new(), voter: EquivocatingVoter::new() }
    }
}

impl Adversary for Equivocator {
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet> {
        if speaks_as_primary(me, message) {
            self.primary.on_saying(me, to, message)
        } else {
            self.voter.on_saying(me, to, message)
        }
    }

    fn on_hearing(&mut self, me: &mut Corrupted, from: ReplicaId, message: &Message) -> Hearing {
        let heard = [self.primary.on_hearing(me, from, message), self.voter.on_hearing(me, from, message)];
        if heard.contains(&Hearing::Dropped) { Hearing::Dropped } else { Hearing::Passes }
    }

    fn on_tick(&mut self, me: &mut Corrupted) {
        self.primary.on_tick(me);
        self.voter.on_tick(me);
    }
}

/// Whether this is said in a view whose primary it is.
fn speaks_as_primary(me: &Corrupted, message: &Message) -> bool {
    let view = match message {
        Message::PrePrepare(vote, _) => vote.message().view,
        Message::Prepare(vote) => vote.message().view,
        Message::Commit(vote) => vote.message().view,
        Message::NewView(new_view) => new_view.message().view,
        Message::Checkpoint(_)
        | Message::ViewChange(_)
        | Message::Status(_)
        | Message::Fetch(_)
        | Message::Requests(_)
        | Message::Batch(..)
        | Message::Decided(_)
        | Message::Stable(_) => return false,
    };
    me.primary(view) == me.id()
}
