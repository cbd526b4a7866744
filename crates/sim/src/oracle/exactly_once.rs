//! Exactly once: a request takes effect in one place, with one outcome, however often it comes.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use bezant_ledger::Execution;
use bezant_types::{AccountId, Digest, Outcome, ReplicaId, RequestNumber, SequenceNumber};

use super::{Oracle, Property, Setting};
use crate::sight::{Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "exactly-once",
    claim: "each number of a client is executed afresh at one place only, every replica finds the same outcomes there, \
            again after every restart, and a request that comes again gets the outcome that it had",
};

/// What was executed, by whoever was the first to execute it.
#[derive(Debug)]
pub(super) struct ExactlyOnce {
    /// How many numbers of a client the ledger remembers.
    window: u64,
    /// Of each block, the fingerprint of all that it came to.
    blocks: BTreeMap<SequenceNumber, u64>,
    fresh: HashMap<(AccountId, RequestNumber), Fresh>,
    /// The highest number of each client that was executed.
    highest: HashMap<AccountId, RequestNumber>,
}

#[derive(Clone, Copy, Debug)]
struct Fresh {
    sequence: SequenceNumber,
    request: Digest,
    outcome: u64,
}

impl ExactlyOnce {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        Self {
            window: setting.genesis.parameters().client_window.into(),
            blocks: BTreeMap::new(),
            fresh: HashMap::new(),
            highest: HashMap::new(),
        }
    }

    fn on_executed(
        &mut self,
        replica: ReplicaId,
        sequence: SequenceNumber,
        executions: &[Execution],
    ) -> Result<(), String> {
        let found = fingerprint_of_block(executions);
        match self.blocks.get(&sequence) {
            Some(first) if *first == found => Ok(()),
            Some(_) => Err(format!(
                "replica {replica} finds other outcomes at {sequence} than were found there before: {executions:?}"
            )),
            None => {
                self.blocks.insert(sequence, found);
                executions.iter().try_for_each(|one| self.judge(replica, sequence, one))
            }
        }
    }

    fn judge(&mut self, replica: ReplicaId, sequence: SequenceNumber, execution: &Execution) -> Result<(), String> {
        let Execution { client, number, request, ref outcome, fresh } = *execution;
        let outcome_print = fingerprint(outcome);
        let before = self.fresh.get(&(client, number)).copied();
        let about = || format!("replica {replica}, at {sequence}: request {number} of client {client}");
        match (fresh, before) {
            (true, Some(before)) => {
                Err(format!("{} is executed again; the first time was at {}", about(), before.sequence))
            }
            (true, None) => {
                self.fresh.insert((client, number), Fresh { sequence, request, outcome: outcome_print });
                let highest = self.highest.entry(client).or_default();
                *highest = (*highest).max(number);
                Ok(())
            }
            (false, before) => {
                let expired = self.highest.get(&client).is_some_and(|highest| highest.since(number) >= self.window);
                let fits = match **outcome {
                    Outcome::Expired => expired,
                    Outcome::NumberReused => before.is_some_and(|before| before.request != request),
                    Outcome::NotKept { .. } => before.is_some_and(|before| before.request == request),
                    Outcome::Executed(_) => {
                        before.is_some_and(|before| before.request == request && before.outcome == outcome_print)
                    }
                };
                // Nobody but a client of the genesis has a window; the oracle of validity sees strangers.
                if fits { Ok(()) } else { Err(format!("{} gets {outcome:?} without being executed", about())) }
            }
        }
    }
}

/// Sixty-four bits: enough to tell apart what no adversary of a simulation computes collisions for.
fn fingerprint(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn fingerprint_of_block(executions: &[Execution]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for Execution { client, number, request, outcome, fresh } in executions {
        (client, number, request, outcome, fresh).hash(&mut hasher);
    }
    hasher.finish()
}

impl Oracle for ExactlyOnce {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Executed { replica, sequence, executions, .. } => self.on_executed(replica, sequence, executions),
            Sight::Booted { .. }
            | Sight::Crashed { .. }
            | Sight::Said { .. }
            | Sight::Delivered { .. }
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
