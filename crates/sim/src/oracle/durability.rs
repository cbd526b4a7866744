//! Durability: nothing is said that could be forgotten, and nothing that a client was told is lost.
//!
//! # Statements
//!
//! Whatever binding statement a replica has made, in whatever life, its log must license when it is read the next time:
//!
//! * a record that implies it: a proposal its pre-prepare, an accepted proposal its prepare, a prepared certificate its
//!   commit, and the rest as it was said; or
//! * for a vote, a record which shows that it has left that view; for a view change or new view, that it has gone on to
//!   the view or beyond it; or
//! * for what concerns a sequence number, a stable checkpoint, in the log or with the saved state, that covers it.
//!
//! This is judged at each start, from the bytes that the disk kept. So it finds a message that left before its record
//! was safe if the crash comes between the two: worlds must crash machines at every write.
//!
//! Without its log a replica has nothing to license by. What it said before is then for the oracle of contradiction.
//!
//! # Acknowledgements
//!
//! An outcome that an honest client believes must be the one that an honest replica found when it executed the request.
//! When all is calm again, every honest replica's ledger has come as far as that.

use std::collections::{BTreeMap, HashMap, HashSet};

use bezant_ledger::Execution;
use bezant_pbft::record::Record;
use bezant_types::{AccountId, Digest, Outcome, ReplicaId, RequestNumber, SequenceNumber, View};

use super::statement::{Kind, Matter, Statement, stable_in};
use super::{Oracle, Property, Setting};
use crate::sight::{ClientIndex, Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "durability",
    claim: "no replica says what its log does not show after a crash, and every outcome that an honest client believes is \
            the one that honest replicas found and keep",
};

/// What was said and is not covered by a checkpoint, what was executed, and what was acknowledged.
#[derive(Debug)]
pub(super) struct Durability {
    genesis: Digest,
    accounts: Vec<AccountId>,
    window: u64,
    liveness_ms: u64,
    replicas: BTreeMap<ReplicaId, Words>,
    fresh: HashMap<(AccountId, RequestNumber), (SequenceNumber, Digest)>,
    highest: HashMap<AccountId, RequestNumber>,
    /// How high the acknowledged requests reach: each entry is a new height.
    acknowledged: Vec<(When, SequenceNumber)>,
    stabilised: Option<When>,
}

#[derive(Debug, Default)]
struct Words {
    said: HashMap<Matter, Digest>,
    /// Statements up to here are covered by a checkpoint and no longer kept.
    covered: SequenceNumber,
    executed: SequenceNumber,
}

impl Durability {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        Self {
            genesis: setting.genesis.digest(),
            accounts: setting.genesis.clients().iter().map(|client| client.key).collect(),
            window: setting.genesis.parameters().client_window.into(),
            liveness_ms: setting.liveness_ms,
            replicas: BTreeMap::new(),
            fresh: HashMap::new(),
            highest: HashMap::new(),
            acknowledged: Vec::new(),
            stabilised: None,
        }
    }

    fn on_booted(
        &mut self,
        replica: ReplicaId,
        records: &[Record],
        stable: SequenceNumber,
        without_log: bool,
    ) -> Result<(), String> {
        let words = self.replicas.entry(replica).or_default();
        words.executed = stable;
        if without_log {
            words.said.clear();
            words.covered = SequenceNumber::ZERO;
            return Ok(());
        }
        let licence = Licence::of(self.genesis, replica, records, stable);
        if licence.proven < words.covered {
            return Err(format!(
                "replica {replica} comes back and knows no checkpoint beyond {}, though {} was stable to it",
                licence.proven, words.covered
            ));
        }
        // The least of them, so that the same world always names the same one.
        let forgotten = words.said.iter().filter(|(matter, content)| !licence.covers(**matter, **content)).min();
        match forgotten {
            Some((matter, content)) => Err(format!(
                "replica {replica} said {matter} ({content:?}), and comes back with a log that shows nothing of it"
            )),
            None => Ok(()),
        }
    }

    fn on_executed(&mut self, replica: ReplicaId, sequence: SequenceNumber, executions: &[Execution]) {
        self.replicas.entry(replica).or_default().executed = sequence;
        for Execution { client, number, outcome, .. } in executions.iter().filter(|one| one.fresh) {
            self.fresh.entry((*client, *number)).or_insert_with(|| (sequence, outcome.digest()));
            let highest = self.highest.entry(*client).or_default();
            *highest = (*highest).max(*number);
        }
    }

    fn on_answered(
        &mut self,
        when: When,
        client: ClientIndex,
        number: RequestNumber,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let Some(account) = self.accounts.get(client.0).copied() else { return Ok(()) };
        let executed = self.fresh.get(&(account, number)).copied();
        let about = || format!("client {} believes that its request {number} came to {outcome:?}", client.0);
        let told = match outcome {
            Outcome::Executed(_) => outcome.digest(),
            Outcome::NotKept { outcome } => *outcome,
            Outcome::Expired => {
                let expired = self.highest.get(&account).is_some_and(|highest| highest.since(number) >= self.window);
                return if expired { Ok(()) } else { Err(format!("{}, and it is not that old", about())) };
            }
            Outcome::NumberReused => return Err(format!("{}, and it is honest", about())),
        };
        match executed {
            None => Err(format!("{}, and no honest replica has executed it", about())),
            Some((sequence, found)) if found != told => {
                Err(format!("{}, and honest replicas found another outcome at {sequence}", about()))
            }
            Some((sequence, _)) => {
                if self.acknowledged.last().is_none_or(|(_, last)| *last < sequence) {
                    self.acknowledged.push((when, sequence));
                }
                Ok(())
            }
        }
    }
}

impl Oracle for Durability {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, when: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Booted { replica, records, stable, without_log } => {
                return self.on_booted(replica, records, stable, without_log);
            }
            Sight::Said { replica, message, .. } => {
                if let Some(Statement { matter, content, .. }) = Statement::by(replica, message) {
                    // The first counts: a second one that differs is for the oracle of contradiction.
                    self.replicas.entry(replica).or_default().said.entry(matter).or_insert(content);
                }
            }
            Sight::Stable { replica, sequence, .. } => {
                let words = self.replicas.entry(replica).or_default();
                words.covered = words.covered.max(sequence);
                words.said.retain(|matter, _| !matter.kind.has_sequence() || sequence < matter.sequence);
            }
            Sight::Executed { replica, sequence, executions, .. } => self.on_executed(replica, sequence, executions),
            Sight::Installed { replica, sequence, .. } => {
                self.replicas.entry(replica).or_default().executed = sequence;
            }
            Sight::Answered { client, number, outcome } => return self.on_answered(when, client, number, outcome),
            Sight::Stabilised => self.stabilised = Some(when),
            Sight::Crashed { .. }
            | Sight::Delivered { .. }
            | Sight::Entered { .. }
            | Sight::Accused { .. }
            | Sight::Halted { .. }
            | Sight::Weighed { .. }
            | Sight::Heard { .. }
            | Sight::Asked { .. } => {}
        }
        Ok(())
    }

    fn at_end(&mut self, when: When) -> Result<(), String> {
        let calm = self.stabilised.is_some_and(|since| when.since(since) >= self.liveness_ms);
        let old_enough = |(told, _): &&(When, SequenceNumber)| when.since(*told) >= self.liveness_ms;
        let Some((_, height)) = self.acknowledged.iter().rfind(old_enough).filter(|_| calm) else { return Ok(()) };
        match self.replicas.iter().find(|(_, words)| words.executed < *height) {
            Some((replica, words)) => Err(format!(
                "a request that was executed at {height} was acknowledged, and the ledger of replica {replica} stands at {}",
                words.executed
            )),
            None => Ok(()),
        }
    }
}

/// What the log of a replica lets it have said.
struct Licence {
    held: HashSet<(Matter, Digest)>,
    /// It has left all views below this.
    left_below: View,
    /// It has entered this view.
    entered: View,
    /// It holds the proof of a checkpoint here.
    proven: SequenceNumber,
}

impl Licence {
    fn of(genesis: Digest, replica: ReplicaId, records: &[Record], stable: SequenceNumber) -> Self {
        let mut licence = Self {
            held: HashSet::new(),
            left_below: View::ZERO,
            entered: View::ZERO,
            proven: stable.max(stable_in(records)),
        };
        for record in records {
            licence.held.extend(Statement::implied(genesis, replica, record));
            match record {
                Record::ViewChange(message) => licence.left_below = licence.left_below.max(message.view),
                Record::NewView(message) => licence.left_below = licence.left_below.max(message.view),
                Record::Entered(signed) => {
                    licence.left_below = licence.left_below.max(signed.message.view);
                    licence.entered = licence.entered.max(signed.message.view);
                }
                Record::Proposed(..)
                | Record::Accepted(..)
                | Record::Bodies(..)
                | Record::Prepared(_)
                | Record::Checkpoint(_)
                | Record::Stable(_)
                | Record::LogLost
                | Record::SilentUntil(_) => {}
            }
        }
        licence
    }

    fn covers(&self, matter: Matter, content: Digest) -> bool {
        let gone_on = match matter.kind {
            Kind::PrePrepare | Kind::Prepare | Kind::Commit => {
                matter.view < self.left_below || matter.sequence <= self.proven
            }
            Kind::Checkpoint => matter.sequence <= self.proven,
            // Who is in a view does not ask for it again.
            Kind::ViewChange => matter.view < self.left_below || matter.view <= self.entered,
            Kind::NewView => matter.view < self.left_below,
        };
        gone_on || self.held.contains(&(matter, content))
    }
}
