//! What the client knows of the group without asking.
//!
//! Every reply carries its sender's view, every report says more. Up to f of these claims are lies, so what counts is
//! what a weak quorum claims at least: of f + 1 replicas that claim a view or a height one is honest.

use std::collections::BTreeMap;

use bezant_pbft::certificate::CheckpointCertificate;
use bezant_types::{Committee, ReplicaId, SequenceNumber, View};

use super::questions::Learnt;

/// What a client knows of the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// The highest view that a weak quorum claims, if known.
    pub view: Option<View>,
    /// The highest sequence number that a weak quorum says it has executed, if known.
    pub executed: Option<SequenceNumber>,
    /// The latest checkpoint that was seen with its certificate.
    pub stable: Option<CheckpointCertificate>,
    /// Which replicas there is a connection to.
    pub connected: Vec<ReplicaId>,
}

/// The latest claims.
pub(super) struct Known {
    committee: Committee,
    views: BTreeMap<ReplicaId, View>,
    executed: BTreeMap<ReplicaId, SequenceNumber>,
    stable: Option<CheckpointCertificate>,
}

impl Known {
    pub(super) fn new(committee: Committee) -> Self {
        Self { committee, views: BTreeMap::new(), executed: BTreeMap::new(), stable: None }
    }

    /// A replica has signed a reply in this view.
    pub(super) fn on_view(&mut self, replica: ReplicaId, view: View) {
        self.views.insert(replica, view);
    }

    /// What came out of an answer.
    pub(super) fn on_learnt(&mut self, replica: ReplicaId, learnt: Learnt) {
        match learnt {
            Learnt::Nothing => {}
            Learnt::Checkpoint(certificate) => self.on_checkpoint(certificate),
            Learnt::Report(report, stable) => {
                self.views.insert(replica, report.view);
                self.executed.insert(replica, report.executed);
                stable.into_iter().for_each(|certificate| self.on_checkpoint(certificate));
            }
        }
    }

    fn on_checkpoint(&mut self, certificate: CheckpointCertificate) {
        let later = |known: &CheckpointCertificate| known.vote().sequence < certificate.vote().sequence;
        if self.stable.as_ref().is_none_or(later) {
            self.stable = Some(certificate);
        }
    }

    /// All of it.
    pub(super) fn group(&self, connected: Vec<ReplicaId>) -> Group {
        Group {
            view: self.backed(&self.views),
            executed: self.backed(&self.executed),
            stable: self.stable.clone(),
            connected,
        }
    }

    /// The highest value that a weak quorum claims or exceeds.
    fn backed<T: Copy + Ord>(&self, claims: &BTreeMap<ReplicaId, T>) -> Option<T> {
        let mut claims: Vec<T> = claims.values().copied().collect();
        claims.sort_unstable_by(|one, other| other.cmp(one));
        claims.get(self.committee.weak_quorum() - 1).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_liar_does_not_move_what_is_known() {
        let mut known = Known::new(Committee::new(4).unwrap());
        assert_eq!(known.group(vec![]).view, None);
        known.on_view(ReplicaId::new(3), View::MAX);
        assert_eq!(known.group(vec![]).view, None, "one claim is nobody's");
        for honest in 0..2 {
            known.on_view(ReplicaId::new(honest), View::new(5));
            assert_eq!(known.group(vec![]).view, Some(View::new(5)));
        }
        known.on_view(ReplicaId::new(3), View::ZERO);
        assert_eq!(known.group(vec![]).view, Some(View::new(5)), "nor back");
    }
}
