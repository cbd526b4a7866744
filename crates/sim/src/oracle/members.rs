//! A set of replicas, and how far the honest ones have come.

use std::collections::BTreeMap;

use bezant_types::{ReplicaId, SequenceNumber};

use super::Setting;
use crate::sight::Sight;

/// A set of replicas. A group has at most a hundred, so one machine word of 128 bits holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Members(u128);

impl Members {
    pub(super) fn insert(&mut self, member: ReplicaId) {
        self.0 |= bit(member);
    }

    pub(super) fn remove(&mut self, member: ReplicaId) {
        self.0 &= !bit(member);
    }

    pub(super) fn contains(self, member: ReplicaId) -> bool {
        self.0 & bit(member) != 0
    }

    pub(super) fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// A number that no group has room for, as a liar may write it down, is in no set.
fn bit(member: ReplicaId) -> u128 {
    1u128.checked_shl(member.get().into()).unwrap_or(0)
}

impl FromIterator<ReplicaId> for Members {
    fn from_iter<I: IntoIterator<Item = ReplicaId>>(members: I) -> Self {
        let mut set = Self::default();
        members.into_iter().for_each(|member| set.insert(member));
        set
    }
}

/// The low water marks of the honest replicas, and the least of them: behind it nothing is decided any more, and books
/// that are about votes can be closed. Who comes back from an older saved state says some of it again, and who lost its
/// ledger delivers some of it again: what is at or below the least mark is no longer judged by such books. A replica
/// that is never started holds all of them open.
#[derive(Debug)]
pub(super) struct Floors {
    marks: BTreeMap<ReplicaId, SequenceNumber>,
    least: SequenceNumber,
}

impl Floors {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        let honest = setting.genesis.committee().members().filter(|member| !setting.corrupted.contains(member));
        Self { marks: honest.map(|member| (member, SequenceNumber::ZERO)).collect(), least: SequenceNumber::ZERO }
    }

    /// The least low water mark that all honest replicas have reached in some life.
    pub(super) fn least(&self) -> SequenceNumber {
        self.least
    }

    /// The new least low water mark, if this sight raises it.
    pub(super) fn raised_by(&mut self, sight: &Sight<'_>) -> Option<SequenceNumber> {
        let Sight::Stable { replica, sequence, .. } = sight else { return None };
        let mark = self.marks.entry(*replica).or_default();
        *mark = (*mark).max(*sequence);
        let least = self.marks.values().min().copied().unwrap_or_default();
        let raised = self.least < least;
        self.least = least;
        raised.then_some(least)
    }
}
