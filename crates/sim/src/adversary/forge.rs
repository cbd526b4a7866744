//! The forger's workshop: batches that are nearly the same, certificates that are nearly signed.

use std::collections::BTreeMap;

use bezant_pbft::certificate::{Endorsed, PreparedProof, Signatures};
use bezant_pbft::message::{Batch, PrePrepare, Prepare, ViewChange};
use bezant_types::{Digest, ReplicaId, SequenceNumber, Signable, Signature, Signed, Timestamp, View};

use super::Corrupted;

/// The same requests under another time: another batch, just as acceptable.
pub(crate) fn redated(batch: &Batch) -> Option<Batch> {
    let later = |timestamp: Timestamp| Timestamp::new(timestamp.get().wrapping_add(1));
    match batch {
        Batch::Null => None,
        Batch::Seal { timestamp } => Some(Batch::Seal { timestamp: later(*timestamp) }),
        Batch::Requests { timestamp, requests } => {
            Some(Batch::Requests { timestamp: later(*timestamp), requests: requests.clone() })
        }
    }
}

/// The same requests in the opposite order: another batch, with other results.
pub(super) fn reversed(batch: &Batch) -> Option<Batch> {
    let Batch::Requests { timestamp, requests } = batch else { return None };
    let requests: Vec<_> = requests.iter().rev().copied().collect();
    (requests.len() > 1).then_some(Batch::Requests { timestamp: *timestamp, requests })
}

/// A batch without its last request.
pub(super) fn shortened(batch: &Batch) -> Option<Batch> {
    let Batch::Requests { timestamp, requests } = batch else { return None };
    let (_, rest) = requests.split_last()?;
    (!rest.is_empty()).then(|| Batch::Requests { timestamp: *timestamp, requests: rest.to_vec() })
}

/// A member's signature if the key is held, else the forger's own under that member's name.
fn signature_of<M: Signable<Signer = ReplicaId>>(me: &Corrupted, member: ReplicaId, message: &M) -> Signature {
    let genuine = me.sign_as(member, message.clone()).map(|signed| signed.signature);
    genuine.unwrap_or_else(|| me.sign(message.clone()).signature)
}

/// Signatures of so many members, those first whose keys are held, in order. With more than f colluders some of what
/// is forged is no forgery.
fn signatures<M: Signable<Signer = ReplicaId>>(
    me: &Corrupted,
    message: &M,
    count: usize,
    but: Option<ReplicaId>,
) -> Signatures {
    let willing = me.held().into_iter().chain(me.honest()).filter(|one| Some(*one) != but);
    let mut signers: Vec<_> = willing.take(count).collect();
    signers.sort();
    signers.into_iter().map(|one| (one, signature_of(me, one, message))).collect()
}

/// A certificate of the right shape whose signatures are genuine only as far as the keys go.
pub(super) fn endorsed<V: Signable<Signer = ReplicaId>>(me: &Corrupted, vote: V) -> Endorsed<V> {
    let signatures = signatures(me, &vote, me.genesis().committee().quorum(), None);
    Endorsed { vote, signatures }
}

/// A prepared proof of the right shape whose signatures are genuine only as far as the keys go.
pub(super) fn prepared(me: &Corrupted, view: View, sequence: SequenceNumber, digest: Digest) -> PreparedProof {
    let committee = me.genesis().committee();
    let primary = committee.primary(view);
    let pre_prepare = signature_of(me, primary, &PrePrepare { view, sequence, digest });
    let prepares = signatures(me, &Prepare { view, sequence, digest }, committee.prepares(), Some(primary));
    PreparedProof { view, sequence, digest, pre_prepare, prepares }
}

/// What a new view on these view changes has to begin with (rule V-2), derived here once more: whoever lies about it
/// must know it.
pub(crate) fn obliged(view_changes: &[Signed<ViewChange>]) -> Vec<Digest> {
    let stable = |change: &Signed<ViewChange>| {
        change.message.checkpoint.as_ref().map_or(SequenceNumber::ZERO, |endorsed| endorsed.vote.sequence)
    };
    let base = view_changes.iter().map(stable).max().unwrap_or(SequenceNumber::ZERO);
    let mut best: BTreeMap<SequenceNumber, (View, Digest)> = BTreeMap::new();
    for proof in view_changes.iter().flat_map(|change| &change.message.prepared) {
        let known = best.entry(proof.sequence).or_insert((proof.view, proof.digest));
        if known.0 < proof.view {
            *known = (proof.view, proof.digest);
        }
    }
    let last = best.keys().next_back().copied().unwrap_or(base);
    let null = Batch::Null.digest();
    (1..=last.since(base))
        .map(|offset| best.get(&base.saturating_add(offset)).map_or(null, |(_, digest)| *digest))
        .collect()
}
