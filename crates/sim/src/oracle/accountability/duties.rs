//! What one honest replica heard of corrupted members, as far as it must remember it.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use bezant_pbft::certificate::{CheckpointCertificate, PreparedCertificate};
use bezant_pbft::message::ViewChange;
use bezant_types::{Committee, Digest, Keyring, ReplicaId, SequenceNumber, Verified, View};

use super::super::statement::{Kind, Matter, Statement};
use crate::sight::When;

/// Of so many view changes and new views of a member all are looked at: fewer than what a replica checks in the
/// shortest time for which it rations.
const CHECKED: usize = 4;

/// What one replica heard in this life.
#[derive(Debug)]
pub(super) struct Ear {
    low: SequenceNumber,
    window: u64,
    /// The view that it has entered or asked for.
    view: View,
    /// Whether it works in that view.
    normal: bool,
    /// Whether it has had a vote in all of this life.
    pub(super) judges_proposals: bool,
    /// Of each member and slot the vote of each kind for the highest view.
    votes: BTreeMap<(SequenceNumber, Kind, ReplicaId), (View, Digest)>,
    checkpoints: BTreeMap<(SequenceNumber, ReplicaId), Digest>,
    /// What it has prepared in its view.
    own: BTreeMap<SequenceNumber, Digest>,
    view_changes: BTreeMap<ReplicaId, Vec<Verified<ViewChange>>>,
    /// The new views of its view that it has heard since it works in it.
    new_views: BTreeSet<Digest>,
    /// How many view changes and new views it has heard of each member.
    dear: BTreeMap<ReplicaId, usize>,
    pub(super) has_accused: BTreeSet<(ReplicaId, Kind)>,
    /// At how many moments it has shown something, and the last of them.
    pub(super) moments: u64,
    last: Option<When>,
}

impl Ear {
    pub(super) fn new(low: SequenceNumber, window: u64) -> Self {
        Self {
            low,
            window,
            view: View::ZERO,
            normal: true,
            judges_proposals: true,
            votes: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            own: BTreeMap::new(),
            view_changes: BTreeMap::new(),
            new_views: BTreeSet::new(),
            dear: BTreeMap::new(),
            has_accused: BTreeSet::new(),
            moments: 0,
            last: None,
        }
    }

    /// It has said or done something.
    pub(super) fn shows_something(&mut self, when: When) {
        if self.last != Some(when) {
            self.last = Some(when);
            self.moments += 1;
        }
    }

    /// It has asked for a view.
    pub(super) fn leave(&mut self, view: View) {
        if self.view < view {
            self.go_on(view);
            self.normal = false;
        }
    }

    /// It has entered a view.
    pub(super) fn enter(&mut self, view: View) {
        if self.view <= view {
            self.go_on(view);
            self.normal = true;
        }
    }

    fn go_on(&mut self, view: View) {
        self.view = view;
        self.votes.retain(|_, (voted, _)| *voted >= view);
        self.own.clear();
        self.new_views.clear();
        for changes in self.view_changes.values_mut() {
            changes.retain(|change| view < change.message().view);
        }
    }

    /// Its window has moved.
    pub(super) fn advance(&mut self, low: SequenceNumber) {
        self.low = low;
        self.votes.retain(|(sequence, ..), _| low < *sequence);
        self.checkpoints.retain(|(sequence, _), _| low < *sequence);
        self.own = self.own.split_off(&low.next());
    }

    /// It has prepared this itself.
    pub(super) fn prepared(&mut self, matter: Matter, digest: Digest) {
        if matter.view == self.view {
            self.own.insert(matter.sequence, digest);
        }
    }

    fn in_window(&self, sequence: SequenceNumber) -> bool {
        self.low < sequence && sequence <= self.low.saturating_add(self.window)
    }

    pub(super) fn hear_proposal(&mut self, Statement { signer, matter, content }: Statement, group: Committee) -> bool {
        let current = self.normal && self.judges_proposals && matter.view == self.view;
        let proposed = self.own.get(&matter.sequence).filter(|_| current && signer == group.primary(matter.view));
        proposed.is_some_and(|own| *own != content)
    }

    pub(super) fn hear_prepare(&mut self, statement: Statement, group: Committee) -> bool {
        let Statement { signer, matter, .. } = statement;
        signer != group.primary(matter.view) && self.view <= matter.view && self.hear_vote(statement)
    }

    pub(super) fn hear_vote(&mut self, Statement { signer, matter, content }: Statement) -> bool {
        let sequence = matter.sequence;
        if !self.in_window(sequence) {
            // The window may reach it before it is looked at, and then a later view's vote outweighs what comes.
            let near = self.low < sequence && sequence <= self.low.saturating_add(2 * self.window);
            if near {
                self.votes.insert((sequence, matter.kind, signer), (View::MAX, content));
            }
            return false;
        }
        match self.votes.entry((sequence, matter.kind, signer)) {
            Entry::Vacant(first) => {
                first.insert((matter.view, content));
                false
            }
            Entry::Occupied(mut known) => {
                let (view, digest) = *known.get();
                if view < matter.view {
                    known.insert((matter.view, content));
                }
                view == matter.view && digest != content
            }
        }
    }

    pub(super) fn hear_checkpoint(&mut self, Statement { signer, matter, content }: Statement) -> bool {
        let within = self.in_window(matter.sequence);
        within && *self.checkpoints.entry((matter.sequence, signer)).or_insert(content) != content
    }

    pub(super) fn hear_view_change(
        &mut self,
        change: &Verified<ViewChange>,
        committee: Committee,
        keyring: &Keyring,
    ) -> bool {
        let (signer, view) = (change.signer(), change.message().view);
        let dear = self.dear.entry(signer).or_default();
        *dear += 1;
        if *dear > CHECKED || view <= self.view {
            return false;
        }
        let known = self.view_changes.entry(signer).or_default();
        let last = known.iter().all(|one| one.message().view <= view);
        let other = known.iter().find(|one| one.message().view == view && one.digest() != change.digest());
        let window = self.window;
        let owed = last && other.is_some_and(|one| is_valid(one.message(), window, committee, keyring));
        known.push(change.clone());
        owed
    }

    pub(super) fn hear_new_view(&mut self, Statement { signer, matter, content }: Statement, group: Committee) -> bool {
        *self.dear.entry(signer).or_default() += 1;
        let current = self.normal && matter.view == self.view && matter.view != View::ZERO;
        if !current || signer != group.primary(matter.view) {
            return false;
        }
        self.new_views.insert(content);
        // One of two is not the one that it entered by. More are not kept.
        let several = self.new_views.len() > 1;
        if several {
            self.new_views.pop_last();
        }
        several
    }
}

/// Whether a view change holds, all of it.
fn is_valid(change: &ViewChange, window: u64, committee: Committee, keyring: &Keyring) -> bool {
    let ViewChange { view, checkpoint, prepared } = change;
    let low = checkpoint.as_ref().map(|endorsed| endorsed.vote.sequence).unwrap_or_default();
    let high = low.saturating_add(window);
    let in_order = prepared.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
    let in_range = prepared.iter().all(|one| low < one.sequence && one.sequence <= high && one.view < *view);
    let proven = |endorsed| CheckpointCertificate::check(endorsed, committee, keyring).is_ok();
    in_order
        && in_range
        && checkpoint.clone().is_none_or(proven)
        && prepared.iter().all(|proof| PreparedCertificate::check(proof.clone(), committee, keyring).is_ok())
}
