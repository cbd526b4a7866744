//! Quorums: nothing counts as agreed before enough members have said so.
//!
//! An honest replica that commits says that a quorum has prepared; one that delivers, that a quorum has committed; one
//! that moves its window or installs a state, that a quorum vouches for it; one that enters a view, that a quorum wants
//! it. The observer has heard everything that the honest ones ever said. Of the corrupted it supposes that all of them
//! said it, to whomever they liked. If even so there are too few, a vote was counted twice, or for something else, or
//! was invented.

use std::collections::{BTreeMap, HashMap};

use bezant_pbft::Block;
use bezant_types::{Committee, Digest, ReplicaId, SequenceNumber, View};

use super::members::{Floors, Members};
use super::statement::{Kind, Statement};
use super::{Oracle, Property, Setting};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "quorums",
    claim: "an honest replica commits, delivers, moves its window, installs a state or enters a view only after a quorum \
            of distinct members has said what that takes",
};

/// Who has said what.
#[derive(Debug)]
pub(super) struct Quorums {
    committee: Committee,
    corrupted: Members,
    floors: Floors,
    /// Of each slot, who accepted which batch in which view: the primary by proposing it.
    prepared: BTreeMap<SequenceNumber, Votes>,
    committed: BTreeMap<SequenceNumber, Votes>,
    checkpoints: BTreeMap<SequenceNumber, Vec<(Digest, Members)>>,
    view_changes: HashMap<View, Members>,
}

type Votes = Vec<((View, Digest), Members)>;

impl Quorums {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        Self {
            committee: setting.genesis.committee(),
            corrupted: setting.corrupted.iter().copied().collect(),
            floors: Floors::new(setting),
            prepared: BTreeMap::new(),
            committed: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            view_changes: HashMap::new(),
        }
    }

    fn on_said(&mut self, replica: ReplicaId, statement: Statement) -> Result<(), String> {
        let Statement { matter, content, .. } = statement;
        if matter.kind.has_sequence() && matter.sequence <= self.floors.least() {
            return Ok(());
        }
        let vote = (matter.view, content);
        match matter.kind {
            Kind::PrePrepare | Kind::Prepare => {
                add(self.prepared.entry(matter.sequence).or_default(), vote, replica);
            }
            Kind::Commit => {
                if add(self.committed.entry(matter.sequence).or_default(), vote, replica) {
                    let prepared = find(self.prepared.get(&matter.sequence), &vote);
                    self.require(prepared, || format!("replica {replica} says {matter} of {content:?}, which"))?;
                }
            }
            Kind::Checkpoint => {
                add(self.checkpoints.entry(matter.sequence).or_default(), content, replica);
            }
            Kind::ViewChange => self.view_changes.entry(matter.view).or_default().insert(replica),
            Kind::NewView => {}
        }
        Ok(())
    }

    fn on_delivered(&self, replica: ReplicaId, block: &Block) -> Result<(), String> {
        let vote = block.certificate.vote();
        if vote.sequence <= self.floors.least() {
            return Ok(());
        }
        let signers: Members = block.certificate.signers().filter(|one| self.committee.contains(*one)).collect();
        let (found, quorum) = (signers.len(), self.committee.quorum());
        if found < quorum {
            return Err(format!(
                "replica {replica} delivers block {} on commits of {found} members; a quorum is {quorum}",
                vote.sequence
            ));
        }
        let said = find(self.committed.get(&vote.sequence), &(vote.view, vote.digest));
        let invented = block.certificate.signers().find(|one| !self.corrupted.contains(*one) && !said.contains(*one));
        match invented {
            Some(signer) => Err(format!(
                "replica {replica} delivers block {} on a commit of replica {signer} in view {} that it never said",
                vote.sequence, vote.view
            )),
            None => Ok(()),
        }
    }

    fn on_checkpoint(&self, replica: ReplicaId, sequence: SequenceNumber, root: Digest) -> Result<(), String> {
        if sequence <= self.floors.least() {
            return Ok(());
        }
        let vouched = find(self.checkpoints.get(&sequence), &root);
        self.require(vouched, || format!("replica {replica} relies on the checkpoint {root:?} at {sequence}, which"))
    }

    /// That those honest members and all corrupted ones make a quorum.
    fn require(&self, honest: Members, what: impl FnOnce() -> String) -> Result<(), String> {
        let (found, quorum) = (honest.len() + self.corrupted.len(), self.committee.quorum());
        if found < quorum {
            let (honest, corrupted) = (honest.len(), self.corrupted.len());
            return Err(format!(
                "{} {honest} honest and at most {corrupted} corrupted members stand behind; a quorum is {quorum}",
                what()
            ));
        }
        Ok(())
    }

    fn forget(&mut self, least: SequenceNumber) {
        self.prepared = self.prepared.split_off(&least.next());
        self.committed = self.committed.split_off(&least.next());
        self.checkpoints = self.checkpoints.split_off(&least.next());
    }
}

impl Oracle for Quorums {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Said { replica, message, .. } => {
                Statement::by(replica, message).map_or(Ok(()), |statement| self.on_said(replica, statement))
            }
            Sight::Delivered { replica, block } => self.on_delivered(replica, block),
            Sight::Installed { replica, sequence, root } => self.on_checkpoint(replica, sequence, root),
            Sight::Stable { replica, sequence, root } => {
                self.on_checkpoint(replica, sequence, root)?;
                if let Some(least) = self.floors.raised_by(sight) {
                    self.forget(least);
                }
                Ok(())
            }
            Sight::Entered { replica, view } => {
                let wanted = self.view_changes.get(&view).copied().unwrap_or_default();
                self.require(wanted, || format!("replica {replica} enters view {view}, which"))
            }
            Sight::Booted { .. }
            | Sight::Crashed { .. }
            | Sight::Executed { .. }
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

/// Whether this is new.
fn add<V: PartialEq>(votes: &mut Vec<(V, Members)>, vote: V, voter: ReplicaId) -> bool {
    let index = votes.iter().position(|(known, _)| *known == vote).unwrap_or_else(|| {
        votes.push((vote, Members::default()));
        votes.len() - 1
    });
    let voters = &mut votes[index].1;
    let new = !voters.contains(voter);
    voters.insert(voter);
    new
}

fn find<V: PartialEq>(votes: Option<&Vec<(V, Members)>>, vote: &V) -> Members {
    let found = votes.into_iter().flatten().find(|(known, _)| known == vote);
    found.map_or(Members::default(), |(_, voters)| *voters)
}
