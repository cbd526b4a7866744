//! Comparing checkpoints: who has another state than the group (rule L-11, hazards 22 and 88).
//!
//! Same height and different root means that somebody diverged: a bug, a flipped bit, or malice. A quorum that stands
//! behind one root says who. Claims are compared at equal heights only, so a replica that is merely behind is never
//! accused; and without a quorum at a height nobody is, because nobody knows who is right.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bezant_types::{Committee, Digest, ReplicaId, SequenceNumber};

/// What a replica says its state was. The caller has checked that it said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Claim {
    /// Who.
    pub replica: ReplicaId,
    /// After which block.
    pub height: SequenceNumber,
    /// Its state root there.
    pub root: Digest,
}

/// Replicas whose state at one height is not the group's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// At which height.
    pub height: SequenceNumber,
    /// The root that a quorum stands behind.
    pub root: Digest,
    /// Who stands behind it, in order.
    pub agreed: Vec<ReplicaId>,
    /// Everybody who claimed something else, with the claim, in order. A replica that claimed both is here as well.
    pub diverged: Vec<Claim>,
}

/// Every height at which a quorum of `committee` agrees and somebody contradicts it, in ascending order. Claims of
/// strangers do not count; a claim made twice counts once.
///
/// Should two roots have a quorum at one height, more than f members claimed both, and the group has no truth left to
/// measure anybody by: nobody is accused.
pub fn compare(committee: Committee, claims: &[Claim]) -> Vec<Divergence> {
    let mut heights: BTreeMap<SequenceNumber, BTreeSet<Claim>> = BTreeMap::new();
    for claim in claims.iter().filter(|claim| committee.contains(claim.replica)) {
        heights.entry(claim.height).or_default().insert(*claim);
    }
    heights.into_iter().filter_map(|(height, claims)| judge(committee, height, &claims)).collect()
}

fn judge(committee: Committee, height: SequenceNumber, claims: &BTreeSet<Claim>) -> Option<Divergence> {
    let mut camps: BTreeMap<Digest, Vec<ReplicaId>> = BTreeMap::new();
    for claim in claims {
        camps.entry(claim.root).or_default().push(claim.replica);
    }
    let mut quorums = camps.into_iter().filter(|(_, members)| members.len() >= committee.quorum());
    let (root, agreed) = quorums.next()?;
    if quorums.next().is_some() {
        return None;
    }
    let diverged: Vec<_> = claims.iter().filter(|claim| claim.root != root).copied().collect();
    (!diverged.is_empty()).then_some(Divergence { height, root, agreed, diverged })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(replica: u16, height: u64, root: u8) -> Claim {
        Claim { replica: ReplicaId::new(replica), height: SequenceNumber::new(height), root: Digest::new([root; 32]) }
    }

    fn accused(n: usize, claims: &[Claim]) -> Vec<(u64, Vec<u16>)> {
        let found = compare(Committee::new(n).unwrap(), claims);
        let names = |one: &Divergence| one.diverged.iter().map(|claim| claim.replica.get()).collect();
        found.iter().map(|one| (one.height.get(), names(one))).collect()
    }

    #[test]
    fn all_who_contradict_a_quorum_are_named() {
        let claims = [claim(0, 8, 1), claim(1, 8, 1), claim(2, 8, 1), claim(3, 8, 2)];
        assert_eq!(accused(4, &claims), [(8, alloc::vec![3])]);
        let seven: Vec<_> = (0..5).map(|i| claim(i, 8, 1)).chain([claim(5, 8, 2), claim(6, 8, 3)]).collect();
        assert_eq!(accused(7, &seven), [(8, alloc::vec![5, 6])]);
    }

    #[test]
    fn a_slow_replica_is_not_accused() {
        // Replica 3 is at height 4, where its old claim agreed, and says nothing of height 8.
        let old = (0..4).map(|i| claim(i, 4, 9));
        let claims: Vec<_> = (0..3).map(|i| claim(i, 8, 1)).chain(old).collect();
        assert_eq!(accused(4, &claims), []);
        let alone: Vec<_> = (0..3).map(|i| claim(i, 8, 1)).chain([claim(3, 4, 7)]).collect();
        assert_eq!(accused(4, &alone), [], "a claim at a height where no quorum is known");
    }

    #[test]
    fn without_a_quorum_nobody_is_accused() {
        assert_eq!(accused(4, &[claim(0, 8, 1), claim(1, 8, 1), claim(3, 8, 2)]), []);
        assert_eq!(accused(4, &[]), []);
    }

    #[test]
    fn repetition_and_strangers_make_no_quorum() {
        let repeated = [claim(0, 8, 1), claim(0, 8, 1), claim(1, 8, 1), claim(9, 8, 1), claim(3, 8, 2)];
        assert_eq!(accused(4, &repeated), []);
    }

    #[test]
    fn a_replica_that_claims_both_is_named() {
        let claims = [claim(0, 8, 1), claim(1, 8, 1), claim(2, 8, 1), claim(2, 8, 2)];
        assert_eq!(accused(4, &claims), [(8, alloc::vec![2])]);
    }

    #[test]
    fn two_quorums_accuse_nobody() {
        let claims: Vec<_> = (0..3).map(|i| claim(i, 8, 1)).chain((1..4).map(|i| claim(i, 8, 2))).collect();
        assert_eq!(accused(4, &claims), []);
    }

    #[test]
    fn each_height_is_judged_alone_and_an_old_divergence_still_counts() {
        let claims: Vec<_> = (0..4)
            .flat_map(|i| [claim(i, 4, if i == 2 { 5 } else { 1 }), claim(i, 8, if i == 0 { 6 } else { 2 })])
            .collect();
        assert_eq!(accused(4, &claims), [(4, alloc::vec![2]), (8, alloc::vec![0])]);
    }
}
