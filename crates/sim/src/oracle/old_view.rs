//! Old views: who has left a view says nothing in it any more (rule V-1).
//!
//! A replica has left every view below that of any message it has signed: its view change, its new view, a vote, even
//! its word on where it stands. What it passes on of others binds it to nothing.
//!
//! A replica that lost its log has forgotten how far it went. It may come back to a view below one that it asked for
//! alone (what rule A-1 cannot exclude), so it begins again.

use std::collections::BTreeMap;

use bezant_pbft::packet::Message;
use bezant_types::{ReplicaId, View};

use super::statement::{Kind, Statement};
use super::{Oracle, Property};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "old-view",
    claim: "an honest replica signs nothing in a view below one that it has spoken in or asked for",
};

/// The highest view of any message of each honest replica.
#[derive(Debug, Default)]
pub(super) struct OldView {
    reached: BTreeMap<ReplicaId, View>,
}

impl OldView {
    fn on_said(&mut self, replica: ReplicaId, message: &Message) -> Result<(), String> {
        let view = match (Statement::by(replica, message), message) {
            (Some(statement), _) if statement.matter.kind == Kind::Checkpoint => return Ok(()),
            (Some(statement), _) => statement.matter.view,
            (None, Message::Status(status)) if status.signer() == replica => status.message().view,
            (None, _) => return Ok(()),
        };
        let reached = self.reached.entry(replica).or_default();
        if view < *reached {
            let what = Statement::of(message).map_or("its status".to_owned(), |one| one.matter.to_string());
            return Err(format!("replica {replica} says {what} in view {view} after it has spoken in view {reached}"));
        }
        *reached = view;
        Ok(())
    }
}

impl Oracle for OldView {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Said { replica, message, .. } => self.on_said(replica, message),
            Sight::Booted { replica, without_log: true, .. } => {
                self.reached.remove(&replica);
                Ok(())
            }
            Sight::Booted { .. }
            | Sight::Crashed { .. }
            | Sight::Delivered { .. }
            | Sight::Executed { .. }
            | Sight::Installed { .. }
            | Sight::Stable { .. }
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
