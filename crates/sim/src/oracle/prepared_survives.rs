//! Prepared survives: what may have been decided is proposed again in every later view (rules V-1 to V-4).
//!
//! # When a batch is bound to its slot
//!
//! A replica that has committed to d at n in view v holds the proof that d prepared, and reports it when it leaves v. A
//! new view needs view changes of a quorum. So once so many honest replicas have committed that no quorum can do
//! without one of them, no later view may forget d: every new view whose plan covers n has d there, and no honest
//! replica votes for anything else at n in a later view. The same holds once an honest replica has delivered d at n.
//!
//! The order of sights does not matter: who commits in v after the new view was made has not left v, and whoever of the
//! others made the new view possible had committed before. So what was said in later views is judged again when a batch
//! becomes bound.
//!
//! # Which new views are judged
//!
//! Those that honest replicas send, as their own or passed on. They pass on only what they entered, so these are valid
//! in their eyes, and what is wrong with them is a crime. A new view of a liar that nobody enters proves nothing.

use std::collections::{BTreeMap, HashSet};

use bezant_pbft::message::NewView;
use bezant_pbft::packet::Message;
use bezant_types::{Digest, ReplicaId, SequenceNumber, Verified, View};

use super::members::{Floors, Members};
use super::statement::{Kind, Statement};
use super::{Oracle, Property, Setting};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "prepared-survives",
    claim: "once a batch is delivered somewhere, or so many have committed to it that every quorum holds one of them, all \
            later views propose and accept nothing else in its slot",
};

/// Slots above the least low water mark, and the new views that honest replicas stand by.
#[derive(Debug)]
pub(super) struct PreparedSurvives {
    /// So many replicas that every quorum holds one of them.
    blocking: usize,
    floors: Floors,
    slots: BTreeMap<SequenceNumber, Slot>,
    plans: BTreeMap<View, Vec<Plan>>,
    /// Which new views are known.
    known: HashSet<Digest>,
}

#[derive(Debug, Default)]
struct Slot {
    /// Who has committed to what.
    commits: Vec<(View, Digest, Members)>,
    /// What honest replicas have voted for, each view and batch once.
    voted: Vec<(View, Digest)>,
    /// The batch that no later view may forget, with the first view for which that is known.
    bound: Option<(View, Digest)>,
}

/// What a new view begins with.
#[derive(Debug)]
struct Plan {
    base: SequenceNumber,
    proposals: Vec<Digest>,
}

impl Plan {
    fn of(message: &NewView) -> Self {
        let checkpoints = message.view_changes.iter().filter_map(|change| change.message.checkpoint.as_ref());
        let base = checkpoints.map(|endorsed| endorsed.vote.sequence).max().unwrap_or_default();
        Self { base, proposals: message.proposals.clone() }
    }

    fn judge(&self, view: View, sequence: SequenceNumber, bound: (View, Digest)) -> Result<(), String> {
        let offset = sequence.since(self.base).checked_sub(1).and_then(|offset| usize::try_from(offset).ok());
        let Some(offset) = offset.filter(|_| bound.0 < view) else { return Ok(()) };
        match self.proposals.get(offset) {
            Some(digest) if *digest == bound.1 => Ok(()),
            Some(digest) => Err(format!(
                "view {view} begins with {digest:?} at {sequence}, where {:?} was bound in view {}",
                bound.1, bound.0
            )),
            None => Err(format!(
                "view {view} begins without slot {sequence}, where {:?} was bound in view {}",
                bound.1, bound.0
            )),
        }
    }
}

impl PreparedSurvives {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        let committee = setting.genesis.committee();
        Self {
            blocking: committee.size() - committee.quorum() + 1,
            floors: Floors::new(setting),
            slots: BTreeMap::new(),
            plans: BTreeMap::new(),
            known: HashSet::new(),
        }
    }

    fn on_said(&mut self, replica: ReplicaId, message: &Message) -> Result<(), String> {
        if let Message::NewView(new_view) = message {
            return self.on_new_view(replica, new_view);
        }
        let Some(Statement { matter, content, .. }) = Statement::by(replica, message) else { return Ok(()) };
        if !matter.kind.is_vote() || matter.sequence <= self.floors.least() {
            return Ok(());
        }
        let slot = self.slots.entry(matter.sequence).or_default();
        if !slot.voted.contains(&(matter.view, content)) {
            slot.voted.push((matter.view, content));
            if let Some((view, digest)) = slot.bound.filter(|(view, digest)| *view < matter.view && *digest != content)
            {
                return Err(format!(
                    "replica {replica} says {matter} ({content:?}), where {digest:?} was bound in view {view}"
                ));
            }
        }
        if matter.kind == Kind::Commit && slot.commit(matter.view, content, replica) >= self.blocking {
            return self.bind(matter.sequence, (matter.view, content));
        }
        Ok(())
    }

    fn on_new_view(&mut self, replica: ReplicaId, message: &Verified<NewView>) -> Result<(), String> {
        if !self.known.insert(message.digest()) {
            return Ok(());
        }
        let (view, plan) = (message.message().view, Plan::of(message.message()));
        for (sequence, slot) in self.slots.range(plan.base.next()..) {
            if let Some(bound) = slot.bound {
                plan.judge(view, *sequence, bound)
                    .map_err(|crime| format!("{crime}, and replica {replica} says so"))?;
            }
        }
        self.plans.entry(view).or_default().push(plan);
        Ok(())
    }

    /// From now on no later view may have another batch in this slot, and none may have had one.
    fn bind(&mut self, sequence: SequenceNumber, bound: (View, Digest)) -> Result<(), String> {
        let slot = self.slots.entry(sequence).or_default();
        let (view, digest) = bound;
        match slot.bound {
            Some((first, other)) if other != digest => {
                let text = format!("{digest:?} is bound to slot {sequence} in view {view}");
                return Err(format!("{text}, and {other:?} was in view {first}"));
            }
            Some((first, _)) if first <= view => return Ok(()),
            Some(_) | None => slot.bound = Some(bound),
        }
        let strayed = slot.voted.iter().find(|(later, other)| view < *later && *other != digest);
        if let Some((later, other)) = strayed {
            return Err(format!(
                "{digest:?} is bound to slot {sequence} in view {view}, and an honest replica voted for {other:?} there \
                 in view {later}"
            ));
        }
        let later = self.plans.range(view.next()..);
        later
            .flat_map(|(later, plans)| plans.iter().map(|plan| (*later, plan)))
            .try_for_each(|(later, plan)| plan.judge(later, sequence, bound))
    }
}

impl Slot {
    /// How many have committed to this in this view, now that `replica` has.
    fn commit(&mut self, view: View, digest: Digest, replica: ReplicaId) -> usize {
        let known = self.commits.iter().position(|(in_view, batch, _)| (*in_view, *batch) == (view, digest));
        let index = known.unwrap_or_else(|| {
            self.commits.push((view, digest, Members::default()));
            self.commits.len() - 1
        });
        let members = &mut self.commits[index].2;
        members.insert(replica);
        members.len()
    }
}

impl Oracle for PreparedSurvives {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Said { replica, message, .. } => self.on_said(replica, message),
            Sight::Delivered { block, .. } => {
                let vote = block.certificate.vote();
                if vote.sequence <= self.floors.least() {
                    return Ok(());
                }
                self.bind(vote.sequence, (vote.view, vote.digest))
            }
            Sight::Booted { replica, without_log: true, .. } => {
                // It will not report what it forgot.
                let commits = self.slots.values_mut().flat_map(|slot| &mut slot.commits);
                commits.for_each(|(_, _, members)| members.remove(replica));
                Ok(())
            }
            Sight::Stable { .. } => {
                if let Some(least) = self.floors.raised_by(sight) {
                    self.slots = self.slots.split_off(&least.next());
                }
                Ok(())
            }
            Sight::Booted { .. }
            | Sight::Crashed { .. }
            | Sight::Executed { .. }
            | Sight::Installed { .. }
            | Sight::Entered { .. }
            | Sight::Accused { .. }
            | Sight::Halted { .. }
            | Sight::Weighed { .. }
            | Sight::Heard { .. }
            | Sight::Asked { .. }
            | Sight::Answered { .. }
            | Sight::Stabilised => Ok(()),
        }
    }
}
