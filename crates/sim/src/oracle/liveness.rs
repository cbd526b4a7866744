//! Liveness: when the network keeps its bound again, everybody is served (partial synchrony, as the paper has it).

use std::collections::BTreeMap;
use std::collections::{HashSet, VecDeque};

use bezant_types::{ReplicaId, RequestNumber, SequenceNumber};

use super::{Oracle, Property, Setting};
use crate::sight::{ClientIndex, Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "liveness",
    claim: "after stabilisation everything that honest clients asked for is answered within the bound, and every honest \
            replica executes within the bound what any of them has executed",
};

/// What is owed, and how far everybody is.
#[derive(Debug)]
pub(super) struct Liveness {
    bound_ms: u64,
    honest: Vec<ReplicaId>,
    stabilised: Option<When>,
    /// What was asked, in order, with the answered ones taken out when they come to the front.
    asked: VecDeque<(When, ClientIndex, RequestNumber)>,
    answered: HashSet<(ClientIndex, RequestNumber)>,
    heights: BTreeMap<ReplicaId, SequenceNumber>,
    /// When a height was first reached, each entry higher than the one before.
    reached: VecDeque<(When, SequenceNumber)>,
}

impl Liveness {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        let members = setting.genesis.committee().members();
        Self {
            bound_ms: setting.liveness_ms,
            honest: members.filter(|member| !setting.corrupted.contains(member)).collect(),
            stabilised: None,
            asked: VecDeque::new(),
            answered: HashSet::new(),
            heights: BTreeMap::new(),
            reached: VecDeque::new(),
        }
    }

    /// Whether the time is over that there was for something that began then.
    fn is_over(&self, began: When, now: When) -> bool {
        self.stabilised.is_some_and(|since| now.since(began.max(since)) > self.bound_ms)
    }

    fn judge_clients(&mut self, now: When) -> Result<(), String> {
        while let Some((asked, client, number)) = self.asked.front().copied() {
            if self.answered.remove(&(client, number)) {
                self.asked.pop_front();
                continue;
            }
            if self.is_over(asked, now) {
                return Err(format!(
                    "request {number} of client {}, asked at {asked} ms, is not answered at {now} ms: {} ms are allowed",
                    client.0, self.bound_ms
                ));
            }
            return Ok(());
        }
        Ok(())
    }

    /// That every honest replica has reached what was reached anywhere so long ago. Looked at when something is
    /// reached, and at the end.
    fn judge_replicas(&mut self, now: When) -> Result<(), String> {
        let mut owed = None;
        while let Some((_, height)) = self.reached.front().copied().filter(|(since, _)| self.is_over(*since, now)) {
            self.reached.pop_front();
            owed = Some(height);
        }
        let Some(owed) = owed else { return Ok(()) };
        let height = |replica: &ReplicaId| self.heights.get(replica).copied().unwrap_or_default();
        match self.honest.iter().find(|replica| height(replica) < owed) {
            Some(replica) => Err(format!(
                "replica {replica} has executed up to {} at {now} ms, and {owed} was executed by others more than {} ms \
                 before",
                height(replica),
                self.bound_ms
            )),
            None => Ok(()),
        }
    }

    fn on_height(&mut self, when: When, replica: ReplicaId, height: SequenceNumber) -> Result<(), String> {
        self.heights.insert(replica, height);
        if self.reached.back().is_none_or(|(_, last)| *last < height) {
            self.reached.push_back((when, height));
        }
        self.judge_replicas(when)
    }
}

impl Oracle for Liveness {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, when: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Asked { client, bundle } => {
                self.asked.push_back((when, client, bundle.message().number));
            }
            Sight::Answered { client, number, .. } => {
                self.answered.insert((client, number));
                return self.judge_clients(when);
            }
            Sight::Executed { replica, sequence, .. } | Sight::Installed { replica, sequence, .. } => {
                return self.on_height(when, replica, sequence);
            }
            Sight::Booted { replica, stable, .. } => {
                self.heights.insert(replica, stable);
            }
            Sight::Weighed { .. } => return self.judge_clients(when),
            Sight::Stabilised => self.stabilised = Some(when),
            Sight::Crashed { .. }
            | Sight::Said { .. }
            | Sight::Delivered { .. }
            | Sight::Stable { .. }
            | Sight::Entered { .. }
            | Sight::Accused { .. }
            | Sight::Halted { .. }
            | Sight::Heard { .. } => {}
        }
        Ok(())
    }

    fn at_end(&mut self, when: When) -> Result<(), String> {
        self.judge_clients(when)?;
        self.judge_replicas(when)
    }
}
