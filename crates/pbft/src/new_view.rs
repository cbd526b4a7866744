//! What a new view must begin with: a pure function of the view changes that justify it (Castro and Liskov 1999,
//! section 4.4).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bezant_types::{Committee, Digest, ReplicaId, SequenceNumber};

use crate::certificate::{CheckpointCertificate, PreparedCertificate};
use crate::message::Batch;
use crate::replica::sequence_of;
use crate::view_change::ValidViewChange;

/// What the primary of a new view must propose again, slot by slot: the paper's O, without the signatures.
///
/// # Why nothing committed is lost
///
/// If a batch committed for a slot in some view, a quorum prepared it there. Any quorum of view changes shares an
/// honest member with that quorum. That member reports the batch as prepared, with that view or a later one, unless the
/// slot is at or below its stable checkpoint, whose certificate then moves `min-s` past the slot. In every later view
/// the batch of the *highest* view is chosen, and by induction no other batch can have prepared in between. Choosing
/// any certificate but the highest breaks the induction: this is the mistake that most implementations made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    /// min-s of the paper: the highest checkpoint that is proven.
    checkpoint: Option<CheckpointCertificate>,
    /// From min-s + 1 to max-s without a gap; where nothing prepared, the null batch.
    proposals: Vec<Digest>,
    /// Who should have the batch of a slot.
    holders: BTreeMap<SequenceNumber, Vec<ReplicaId>>,
}

impl Plan {
    /// The plan of view 0, which begins with nothing.
    pub(crate) fn empty() -> Self {
        Self { checkpoint: None, proposals: Vec::new(), holders: BTreeMap::new() }
    }

    /// Rule V-2.
    pub(crate) fn compute(view_changes: &[&ValidViewChange], committee: Committee) -> Self {
        let checkpoint = view_changes
            .iter()
            .map(|change| change.checkpoint())
            .max_by_key(|stable| sequence_of(*stable))
            .flatten()
            .cloned();
        let min_s = sequence_of(checkpoint.as_ref());
        let mut highest: BTreeMap<SequenceNumber, &PreparedCertificate> = BTreeMap::new();
        let prepared = view_changes.iter().flat_map(|change| change.prepared());
        for certificate in prepared.filter(|certificate| certificate.sequence() > min_s) {
            let best = highest.entry(certificate.sequence()).or_insert(certificate);
            if best.view() < certificate.view() {
                *best = certificate;
            }
        }
        let max_s = highest.keys().next_back().copied().unwrap_or(min_s);
        let null = Batch::Null.digest();
        let digest_at = |sequence| highest.get(&sequence).map_or(null, |certificate| certificate.digest());
        // The width is bounded: a valid view change names slots within a window above its own checkpoint only.
        let proposals = (1..=max_s.since(min_s)).map(|offset| digest_at(min_s.saturating_add(offset))).collect();
        let holders = highest
            .iter()
            .map(|(sequence, certificate)| (*sequence, certificate.holders(committee).collect()))
            .collect();
        Self { checkpoint, proposals, holders }
    }

    pub(crate) fn checkpoint(&self) -> Option<&CheckpointCertificate> {
        self.checkpoint.as_ref()
    }

    pub(crate) fn proposals(&self) -> &[Digest] {
        &self.proposals
    }

    /// min-s: the last slot that the plan does not touch because a checkpoint covers it.
    pub(crate) fn base(&self) -> SequenceNumber {
        sequence_of(self.checkpoint.as_ref())
    }

    /// max-s, if anything is prescribed.
    pub(crate) fn last(&self) -> Option<SequenceNumber> {
        let width = u64::try_from(self.proposals.len()).expect("a plan is as wide as a window");
        (width > 0).then(|| self.base().saturating_add(width))
    }

    /// What is prescribed for a slot.
    pub(crate) fn get(&self, sequence: SequenceNumber) -> Option<Digest> {
        let offset = sequence.since(self.base()).checked_sub(1)?;
        self.proposals.get(usize::try_from(offset).ok()?).copied()
    }

    /// All that is prescribed, with who should have the batches.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (SequenceNumber, Digest, &[ReplicaId])> {
        let base = self.base();
        self.proposals.iter().zip(1..).map(move |(digest, offset)| {
            let sequence = base.saturating_add(offset);
            (sequence, *digest, self.holders.get(&sequence).map_or(&[][..], Vec::as_slice))
        })
    }
}
