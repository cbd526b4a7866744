//! Water marks: an honest replica votes only where a vote can still count (rule C-2).
//!
//! **Below.** The low water mark is the last stable checkpoint that the replica has executed: of the state it came back
//! with, and then what [`Sight::Stable`] shows.
//!
//! **Above.** The window ends so far above the last checkpoint that was ever stable to it, or that its log shows to
//! have been. A replica that comes back from an older saved state says again what it had said, or was about to say,
//! when its window was higher (rule R-2). In the step that moves its window a primary proposes for the new room, and
//! that is shown before the window's move: so a vote above the window is a crime only if the window has not reached it
//! when the moment is over.

use std::collections::BTreeMap;

use bezant_pbft::message::ViewChange;
use bezant_pbft::packet::Message;
use bezant_types::{ReplicaId, SequenceNumber};

use super::statement::{Matter, Statement, stable_in};
use super::{Oracle, Property, Setting};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "water-marks",
    claim: "an honest replica votes only above its last stable checkpoint and at most a window beyond it, and its view \
            changes name slots of such a window only",
};

/// The windows of the honest replicas.
#[derive(Debug)]
pub(super) struct WaterMarks {
    window: u64,
    low: BTreeMap<ReplicaId, SequenceNumber>,
    /// The last checkpoint that was stable to each of them in any life.
    highest: BTreeMap<ReplicaId, SequenceNumber>,
    /// Votes of this moment above the window.
    early: Vec<(When, ReplicaId, Matter)>,
}

impl WaterMarks {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        Self {
            window: setting.genesis.parameters().window,
            low: BTreeMap::new(),
            highest: BTreeMap::new(),
            early: Vec::new(),
        }
    }

    fn on_said(&mut self, when: When, replica: ReplicaId, message: &Message) -> Result<(), String> {
        let Some(Statement { matter, .. }) = Statement::by(replica, message) else { return Ok(()) };
        if let Message::ViewChange(change) = message {
            return self.judge_view_change(replica, change.message());
        }
        if !matter.kind.has_sequence() {
            return Ok(());
        }
        let low = self.low.get(&replica).copied().unwrap_or_default();
        if matter.sequence <= low {
            return Err(format!("replica {replica} says {matter}, and its checkpoint at {low} is stable"));
        }
        // What it vouches for it has executed, however far that is beyond an old state that it came back with.
        if matter.kind.is_vote() && self.high(replica) < matter.sequence {
            self.early.push((when, replica, matter));
        }
        Ok(())
    }

    fn high(&self, replica: ReplicaId) -> SequenceNumber {
        self.highest.get(&replica).copied().unwrap_or_default().saturating_add(self.window)
    }

    fn move_to(&mut self, replica: ReplicaId, low: SequenceNumber) {
        self.low.insert(replica, low);
        let highest = self.highest.entry(replica).or_default();
        *highest = (*highest).max(low);
    }

    fn judge_view_change(&self, replica: ReplicaId, change: &ViewChange) -> Result<(), String> {
        let low = change.checkpoint.as_ref().map(|endorsed| endorsed.vote.sequence).unwrap_or_default();
        let high = low.saturating_add(self.window);
        let outside = change.prepared.iter().find(|one| one.sequence <= low || high < one.sequence);
        if let Some(proof) = outside {
            return Err(format!(
                "replica {replica} asks for view {} with a proof for slot {}, and its checkpoint is at {low}",
                change.view, proof.sequence
            ));
        }
        let in_order = change.prepared.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
        let of_earlier_views = change.prepared.iter().all(|proof| proof.view < change.view);
        if !in_order || !of_earlier_views {
            return Err(format!("replica {replica} asks for view {} with proofs that nobody accepts", change.view));
        }
        Ok(())
    }

    /// The moment of those votes is over.
    fn judge_early(&mut self, now: Option<When>) -> Result<(), String> {
        while let Some((_, replica, matter)) = self.early.pop_if(|(said, ..)| now != Some(*said)) {
            let high = self.high(replica);
            if high < matter.sequence {
                return Err(format!("replica {replica} says {matter}, and its window ends at {high}"));
            }
        }
        Ok(())
    }
}

impl Oracle for WaterMarks {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, when: When, sight: &Sight<'_>) -> Result<(), String> {
        self.judge_early(Some(when))?;
        match *sight {
            Sight::Said { replica, message, .. } => return self.on_said(when, replica, message),
            Sight::Booted { replica, records, stable, .. } => {
                self.move_to(replica, stable_in(records));
                self.move_to(replica, stable);
            }
            // It may have ended between the vote and the move.
            Sight::Crashed { replica } => self.early.retain(|(_, one, _)| *one != replica),
            Sight::Stable { replica, sequence, .. } => self.move_to(replica, sequence),
            Sight::Delivered { .. }
            | Sight::Executed { .. }
            | Sight::Installed { .. }
            | Sight::Entered { .. }
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

    fn at_end(&mut self, _: When) -> Result<(), String> {
        self.judge_early(None)
    }
}
