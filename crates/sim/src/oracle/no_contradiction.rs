//! No contradiction: an honest replica says one thing about one matter, in all its lives.
//!
//! # Amnesia
//!
//! A view change contradicts an earlier commit of its signer if it neither proves what was committed nor a checkpoint
//! that covers the slot: the two would convict it. So they are held against each other here for every honest replica,
//! in all its lives.
//!
//! # A replica that lost its log
//!
//! It does not know what it said and must therefore say nothing about anything that it can have spoken about (rule
//!
//!
//! * never again about a slot or a checkpoint at or below the highest that it has voted for, not even the same;
//! * no view change and no new view, but one that it had sent and that others brought back to it, before a checkpoint
//!   at or above that one is stable to it.
//!
//! One thing rule A-1 cannot exclude, and says so: a view change for a view that nobody had reached. If it asks for
//! such a view again, it may tell another story. That is let pass as long as no honest replica has entered that view.

use std::collections::{BTreeMap, HashMap};

use bezant_pbft::message::ViewChange;
use bezant_pbft::packet::Message;
use bezant_types::{Digest, ReplicaId, SequenceNumber, View};

use super::statement::{Kind, Matter, Statement};
use super::{Oracle, Property};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "no-contradiction",
    claim: "an honest replica never signs two different things about one matter in all its lives, and after it lost its \
            log it says nothing that it could contradict",
};

/// All that the honest replicas ever said.
#[derive(Debug, Default)]
pub(super) struct NoContradiction {
    replicas: BTreeMap<ReplicaId, Words>,
    /// The highest view that an honest replica has entered.
    highest_entered: View,
}

#[derive(Debug, Default)]
struct Words {
    said: HashMap<Matter, Said>,
    /// Of each slot, the highest view in which it committed.
    commits: BTreeMap<SequenceNumber, View>,
    /// How many times it lost its log.
    losses: u32,
    /// The highest sequence number that it has said anything about.
    highest: SequenceNumber,
    /// What was the highest when it lost its log.
    forgotten: Option<SequenceNumber>,
    /// Whether it has lost its log, and no checkpoint that covers what it forgot is stable to it yet.
    silent: bool,
}

#[derive(Clone, Copy, Debug)]
struct Said {
    content: Digest,
    /// How many times it had lost its log when it said that.
    losses: u32,
}

impl NoContradiction {
    fn on_said(&mut self, replica: ReplicaId, message: &Message) -> Result<(), String> {
        let Some(Statement { matter, content, .. }) = Statement::by(replica, message) else { return Ok(()) };
        let words = self.replicas.entry(replica).or_default();
        let about = || format!("replica {replica} says {matter} ({content:?})");
        if matter.kind.has_sequence() {
            words.highest = words.highest.max(matter.sequence);
            if let Some(forgotten) = words.forgotten.filter(|forgotten| matter.sequence <= *forgotten) {
                return Err(format!("{}, and before it lost its log it spoke of slots up to {forgotten}", about()));
            }
        } else if words.silent && words.said.get(&matter).is_none_or(|said| said.content != content) {
            return Err(format!("{}, and it has lost its log and may have said another before", about()));
        }
        if matter.kind == Kind::Commit {
            let accepted = |kind| words.said.get(&Matter { kind, ..matter });
            let accepted = accepted(Kind::Prepare).or_else(|| accepted(Kind::PrePrepare));
            if let Some(other) = accepted.filter(|accepted| accepted.content != content) {
                return Err(format!("{}, and it had accepted {:?} there", about(), other.content));
            }
            let view = words.commits.entry(matter.sequence).or_default();
            *view = (*view).max(matter.view);
        }
        if let Message::ViewChange(change) = message
            && let Some((sequence, view)) = words.forgotten_by(change.message())
        {
            return Err(format!("{}, and forgets that it committed to slot {sequence} in view {view}", about()));
        }
        let said = Said { content, losses: words.losses };
        let before = *words.said.entry(matter).or_insert(said);
        if before.content == content {
            return Ok(());
        }
        let unreached = !matter.kind.has_sequence() && self.highest_entered < matter.view;
        if unreached && before.losses < words.losses {
            words.said.insert(matter, said);
            return Ok(());
        }
        Err(format!("{}, and before it said {:?}", about(), before.content))
    }
}

impl Words {
    /// What it committed to and this view change of its says nothing of.
    fn forgotten_by(&self, change: &ViewChange) -> Option<(SequenceNumber, View)> {
        let low = change.checkpoint.as_ref().map(|stable| stable.vote.sequence).unwrap_or_default();
        let reported =
            |sequence, view| change.prepared.iter().any(|proof| proof.sequence == sequence && view <= proof.view);
        let above = self.commits.range(low.next()..).map(|(sequence, view)| (*sequence, *view));
        above.filter(|(_, view)| *view < change.view).find(|(sequence, view)| !reported(*sequence, *view))
    }
}

impl Oracle for NoContradiction {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Said { replica, message, .. } => {
                return self.on_said(replica, message);
            }
            Sight::Booted { replica, without_log: true, .. } => {
                let words = self.replicas.entry(replica).or_default();
                words.losses += 1;
                words.forgotten = Some(words.highest);
                words.silent = true;
            }
            Sight::Stable { replica, sequence, .. } => {
                let words = self.replicas.entry(replica).or_default();
                words.silent &= words.forgotten.is_some_and(|forgotten| sequence < forgotten);
            }
            Sight::Entered { view, .. } => self.highest_entered = self.highest_entered.max(view),
            Sight::Booted { .. }
            | Sight::Crashed { .. }
            | Sight::Delivered { .. }
            | Sight::Executed { .. }
            | Sight::Installed { .. }
            | Sight::Accused { .. }
            | Sight::Halted { .. }
            | Sight::Weighed { .. }
            | Sight::Heard { .. }
            | Sight::Asked { .. }
            | Sight::Answered { .. }
            | Sight::Stabilised => {}
        }
        Ok(())
    }
}
