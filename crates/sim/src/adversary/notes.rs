//! What a traitor remembers of what was said: bounded, and enough to lie about.

use std::collections::VecDeque;

use bezant_pbft::message::{PrePrepare, Status};
use bezant_pbft::packet::Message;
use bezant_types::{Digest, SequenceNumber, View};

use super::Corrupted;
use crate::dice::Dice;

/// The last few different things.
#[derive(Clone, Debug)]
pub(super) struct Recent<T> {
    items: VecDeque<T>,
    limit: usize,
}

impl<T: PartialEq> Recent<T> {
    pub(super) fn new(limit: usize) -> Self {
        Self { items: VecDeque::new(), limit }
    }

    /// Remembers something, unless it is remembered already.
    pub(super) fn note(&mut self, item: T) {
        if self.items.contains(&item) {
            return;
        }
        if self.items.len() == self.limit {
            self.items.pop_front();
        }
        self.items.push_back(item);
    }

    /// Any of them.
    pub(super) fn pick(&self, dice: &mut Dice) -> Option<&T> {
        let index = usize::try_from(dice.below(self.items.len() as u64)).ok()?;
        self.items.get(index)
    }

    /// From the oldest to the newest.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> {
        self.items.iter()
    }
}

/// What a traitor knows of the group.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    /// The highest view in which the honest replica inside has spoken.
    pub(super) view: View,
    /// Its last stable checkpoint.
    pub(super) stable: SequenceNumber,
    /// The last sequence number that it has executed, as it says itself.
    pub(super) executed: SequenceNumber,
    /// The highest sequence number that was proposed.
    pub(super) proposed: SequenceNumber,
    /// Batches that were proposed, with their places.
    pub(super) batches: Recent<(SequenceNumber, Digest)>,
    /// Requests in them.
    pub(super) requests: Recent<Digest>,
    /// State roots that somebody vouched for.
    pub(super) roots: Recent<(SequenceNumber, Digest)>,
}

impl Notes {
    pub(super) fn new() -> Self {
        Self {
            view: View::ZERO,
            stable: SequenceNumber::ZERO,
            executed: SequenceNumber::ZERO,
            proposed: SequenceNumber::ZERO,
            batches: Recent::new(64),
            requests: Recent::new(256),
            roots: Recent::new(16),
        }
    }

    /// The honest replica inside says something.
    pub(super) fn said(&mut self, me: &Corrupted, message: &Message) {
        self.heard(message);
        if !me.signed(message) {
            return;
        }
        if let Message::Status(status) = message {
            let Status { view, stable, executed, .. } = *status.message();
            self.view = self.view.max(view);
            self.stable = self.stable.max(stable);
            self.executed = self.executed.max(executed);
        }
        if let Some(view) = view_of(message) {
            self.view = self.view.max(view);
        }
    }

    /// Something was said by anybody.
    pub(super) fn heard(&mut self, message: &Message) {
        if let Message::PrePrepare(vote, batch) = message {
            let PrePrepare { sequence, digest, .. } = *vote.message();
            self.proposed = self.proposed.max(sequence);
            self.batches.note((sequence, digest));
            for request in batch.iter().flat_map(|batch| batch.requests()).take(16) {
                self.requests.note(*request);
            }
        }
        if let Message::Checkpoint(vote) = message {
            self.roots.note((vote.message().sequence, vote.message().root));
        }
        if let Message::Stable(endorsed) = message {
            self.roots.note((endorsed.vote.sequence, endorsed.vote.root));
        }
    }

    /// A digest that means something, elsewhere.
    pub(super) fn other_digest(&self, me: &mut Corrupted, than: Digest) -> Digest {
        let seen = self.batches.pick(&mut me.dice).map(|(_, digest)| *digest);
        seen.filter(|digest| *digest != than).unwrap_or_else(|| me.bogus_digest())
    }
}

/// The view that a message belongs to.
pub(super) fn view_of(message: &Message) -> Option<View> {
    match message {
        Message::PrePrepare(vote, _) => Some(vote.message().view),
        Message::Prepare(vote) => Some(vote.message().view),
        Message::Commit(vote) => Some(vote.message().view),
        Message::ViewChange(message) => Some(message.message().view),
        Message::NewView(message) => Some(message.message().view),
        Message::Checkpoint(_)
        | Message::Status(_)
        | Message::Fetch(_)
        | Message::Requests(_)
        | Message::Batch(..)
        | Message::Decided(_)
        | Message::Stable(_) => None,
    }
}
