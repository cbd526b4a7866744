//! Keeping the proofs against members that contradicted themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bezant_store::evidence::Kept;
use bezant_store::{Home, HomeError};
use bezant_types::{Digest, Genesis, ReplicaId};

use crate::verify::EvidenceFile;

/// The members that the evidence in this home convicts. A member is among them once a proof is on disk, and not before:
/// otherwise the one proof that could not be written would be the last that anybody tried to keep.
#[derive(Debug, Default)]
pub(super) struct Convictions {
    convicted: BTreeSet<ReplicaId>,
    /// Members of whom a proof could not be kept, and when.
    lost: BTreeMap<ReplicaId, Instant>,
}

impl Convictions {
    /// Reads what is there. What does not convict anybody is left alone.
    pub(super) fn load(home: &Home, genesis: &Genesis) -> Self {
        let Ok(evidence) = home.evidence() else { return Self::default() };
        let names = evidence.names().unwrap_or_default();
        let files = names.iter().filter_map(|name| evidence.read(name).ok().flatten());
        let convicted = files.filter_map(|bytes| EvidenceFile::decode(&bytes).ok()?.convict(genesis).ok()).collect();
        Self { convicted, lost: BTreeMap::new() }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = ReplicaId> {
        self.convicted.iter().copied()
    }

    /// A member has contradicted itself.
    pub(super) fn accuse(&mut self, member: ReplicaId, file: &EvidenceFile, home: &Home) {
        if !self.wants(member, Instant::now()) {
            return;
        }
        let bytes = file.encode();
        let name = format!("replica-{member}-{}", &Digest::of_bytes(&bytes).to_string()[..16]);
        let kept = home.evidence().and_then(|folder| folder.save(&name, &bytes));
        self.note(member, &name, kept, Instant::now());
    }

    /// Whether a proof against the member is worth writing: it has none yet, and the disk has not just refused one. How
    /// often a member contradicts itself is for the member to decide.
    fn wants(&self, member: ReplicaId, now: Instant) -> bool {
        let just_lost = self.lost.get(&member).is_some_and(|at| now.saturating_duration_since(*at) < PAUSE);
        !self.convicted.contains(&member) && !just_lost
    }

    fn note(&mut self, member: ReplicaId, name: &str, kept: Result<Kept, HomeError>, now: Instant) {
        let why = match kept {
            Ok(Kept::New | Kept::Already) => {
                tracing::warn!("replica {member} contradicted itself: the proof is kept as evidence/{name}.evidence");
                self.lost.remove(&member);
                self.convicted.insert(member);
                return;
            }
            Ok(Kept::NoRoom) => "the evidence folder is full".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!("replica {member} contradicted itself, and the proof could not be kept: {why}");
        self.lost.insert(member, now);
    }
}

/// How long to wait after a proof could not be kept.
const PAUSE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_convicted_by_a_proof_that_was_kept_and_by_no_other() {
        let (mut convictions, member, now) = (Convictions::default(), ReplicaId::new(2), Instant::now());
        assert!(convictions.wants(member, now));
        convictions.note(member, "a", Ok(Kept::NoRoom), now);
        assert_eq!(convictions.members().count(), 0);
        assert!(!convictions.wants(member, now), "not at once again");
        assert!(convictions.wants(member, now + PAUSE));
        convictions.note(member, "a", Err(HomeError::EvidenceName { name: "a".into() }), now);
        assert!(convictions.wants(member, now + PAUSE));
        convictions.note(member, "a", Ok(Kept::New), now + PAUSE);
        assert_eq!(convictions.members().collect::<Vec<_>>(), [member]);
        assert!(!convictions.wants(member, now + 2 * PAUSE));
    }
}
