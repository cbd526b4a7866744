//! Agreement: one history, whoever tells it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bezant_pbft::Block;
use bezant_types::{Digest, ReplicaId, SequenceNumber};

use super::{Oracle, Property};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "agreement",
    claim: "no two honest replicas deliver different batches at one sequence number or find different state roots at one \
            height, and each delivers and executes without a gap",
};

/// What the honest replicas agreed on, and where each of them is in it.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    batches: BTreeMap<SequenceNumber, Digest>,
    roots: BTreeMap<SequenceNumber, Digest>,
    lives: BTreeMap<ReplicaId, Life>,
}

/// How far a replica has come since it was started.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    executed: SequenceNumber,
    /// Nothing yet: what it delivers first depends on how many blocks it read back.
    delivered: Option<SequenceNumber>,
}

impl Oracle for Agreement {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Booted { replica, stable, .. } => {
                self.lives.insert(replica, Life { executed: stable, delivered: None });
                Ok(())
            }
            Sight::Delivered { replica, block } => self.on_delivered(replica, block),
            Sight::Executed { replica, sequence, root, .. } => self.on_executed(replica, sequence, root),
            Sight::Installed { replica, sequence, root } => self.on_installed(replica, sequence, root),
            Sight::Stable { replica, sequence, root } => self.find_root(replica, sequence, root),
            // Each fault means that a quorum said one thing and this replica, which works, found another.
            Sight::Halted { replica, fault } => Err(format!("replica {replica} halts: {fault}")),
            Sight::Crashed { .. }
            | Sight::Said { .. }
            | Sight::Entered { .. }
            | Sight::Accused { .. }
            | Sight::Weighed { .. }
            | Sight::Heard { .. }
            | Sight::Asked { .. }
            | Sight::Answered { .. }
            | Sight::Stabilised => Ok(()),
        }
    }
}

impl Agreement {
    fn on_delivered(&mut self, replica: ReplicaId, block: &Block) -> Result<(), String> {
        let (sequence, digest) = (block.sequence(), block.batch.digest());
        let named = block.certificate.vote().digest;
        if digest != named {
            return Err(format!(
                "replica {replica} delivers {digest:?} at {sequence} with a certificate for {named:?}"
            ));
        }
        let agreed = *self.batches.entry(sequence).or_insert(digest);
        if agreed != digest {
            return Err(format!("replica {replica} delivers {digest:?} at {sequence}, where {agreed:?} was delivered"));
        }
        let life = self.lives.entry(replica).or_default();
        let in_order = match life.delivered {
            Some(last) => sequence == last.next(),
            None => life.executed < sequence,
        };
        if !in_order {
            let last = life.delivered.unwrap_or(life.executed);
            return Err(format!("replica {replica} delivers block {sequence} after block {last}"));
        }
        life.delivered = Some(sequence);
        Ok(())
    }

    fn on_executed(
        &mut self,
        replica: ReplicaId,
        sequence: SequenceNumber,
        root: Option<Digest>,
    ) -> Result<(), String> {
        let life = self.lives.entry(replica).or_default();
        if sequence != life.executed.next() {
            return Err(format!("replica {replica} executes block {sequence} after block {}", life.executed));
        }
        if life.delivered.is_some_and(|last| last < sequence) {
            return Err(format!("replica {replica} executes block {sequence} before it is delivered"));
        }
        life.executed = sequence;
        root.map_or(Ok(()), |root| self.find_root(replica, sequence, root))
    }

    fn on_installed(&mut self, replica: ReplicaId, sequence: SequenceNumber, root: Digest) -> Result<(), String> {
        let life = self.lives.entry(replica).or_default();
        if sequence <= life.executed {
            return Err(format!(
                "replica {replica} installs the state at {sequence} although it has executed block {}",
                life.executed
            ));
        }
        *life = Life { executed: sequence, delivered: Some(sequence) };
        self.find_root(replica, sequence, root)
    }

    fn find_root(&mut self, replica: ReplicaId, sequence: SequenceNumber, root: Digest) -> Result<(), String> {
        match self.roots.entry(sequence) {
            Entry::Occupied(agreed) if *agreed.get() != root => {
                Err(format!("replica {replica} has root {root:?} at {sequence}, where {:?} was found", agreed.get()))
            }
            Entry::Occupied(_) => Ok(()),
            Entry::Vacant(first) => {
                first.insert(root);
                Ok(())
            }
        }
    }
}
