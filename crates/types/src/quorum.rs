//! Who is in the group, and how many of them are enough.
//!
//! The only place where the arithmetic of quorums is written. With `n` replicas, `f = floor((n - 1) / 3)` may be
//! malicious. A **quorum** has `ceil((n + f + 1) / 2)` members: any two quorums share `f + 1` replicas, hence an honest
//! one. For `n = 3f + 1` that is `2f + 1` (Castro and Liskov 1999, section 3); the general form keeps the intersection
//! for the `n` in between, where `2f + 1` would lose it. A **weak quorum** of `f + 1` contains an honest replica.

use core::fmt;

use borsh::{BorshDeserialize, BorshSerialize};

use crate::{ReplicaId, View};

/// The group of replicas: their number, and what follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, BorshSerialize, BorshDeserialize)]
pub struct Committee(u16);

/// Fewer replicas than one traitor needs against him, or more than this system is made for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} replicas: at least {min} are needed so that one may be malicious (n >= 3f + 1), and at most {max} are supported",
    min = Committee::MIN,
    max = Committee::MAX
)]
pub struct BadCommitteeSize(usize);

impl Committee {
    /// The fewest replicas that survive one traitor.
    pub const MIN: usize = 4;
    /// The most replicas: beyond it a new-view message with its certificates would not fit a frame.
    pub const MAX: usize = 100;

    /// A group of `n` replicas.
    ///
    /// # Errors
    /// [`BadCommitteeSize`] unless `MIN <= n <= MAX`.
    pub fn new(n: usize) -> Result<Self, BadCommitteeSize> {
        match u16::try_from(n) {
            Ok(small) if (Self::MIN..=Self::MAX).contains(&n) => Ok(Self(small)),
            Ok(_) | Err(_) => Err(BadCommitteeSize(n)),
        }
    }

    /// The number of replicas, n.
    pub const fn size(self) -> usize {
        self.0 as usize
    }

    /// How many replicas may be malicious, f.
    pub const fn max_faulty(self) -> usize {
        (self.size() - 1) / 3
    }

    /// How many distinct replicas make a quorum.
    pub const fn quorum(self) -> usize {
        (self.size() + self.max_faulty() + 1).div_ceil(2)
    }

    /// How many distinct replicas contain an honest one, f + 1.
    pub const fn weak_quorum(self) -> usize {
        self.max_faulty() + 1
    }

    /// How many prepares of backups make a prepared certificate together with the primary's pre-prepare.
    pub const fn prepares(self) -> usize {
        self.quorum() - 1
    }

    /// The primary of `view`: `v mod n`.
    pub const fn primary(self, view: View) -> ReplicaId {
        // The remainder is below n, which fits 16 bits.
        ReplicaId::new((view.get() % self.0 as u64) as u16)
    }

    /// Whether `replica` is one of the group.
    pub const fn contains(self, replica: ReplicaId) -> bool {
        replica.get() < self.0
    }

    /// All members, in order.
    pub fn members(self) -> impl DoubleEndedIterator<Item = ReplicaId> + Clone {
        (0..self.0).map(ReplicaId::new)
    }
}

impl fmt::Debug for Committee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Committee(n = {}, f = {}, quorum = {})", self.0, self.max_faulty(), self.quorum())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn any_two_quorums_share_an_honest_replica_for_every_size() {
        for n in Committee::MIN..=Committee::MAX {
            let committee = Committee::new(n).unwrap();
            let (f, quorum) = (committee.max_faulty(), committee.quorum());
            assert!(3 * f < n, "n = {n}");
            assert!(n < 3 * (f + 1) + 1, "f is the largest possible, n = {n}");
            assert!(2 * quorum - n > f, "two quorums share at least f + 1, n = {n}");
            assert!(quorum <= n - f, "the honest alone are a quorum, n = {n}");
            assert!((2 * (quorum - 1)).saturating_sub(n) <= f, "one fewer would not do, n = {n}");
            assert_eq!(committee.weak_quorum(), f + 1);
        }
    }

    #[test]
    fn three_f_plus_one_gives_two_f_plus_one() {
        for f in 1..=33 {
            assert_eq!(Committee::new(3 * f + 1).unwrap().quorum(), 2 * f + 1);
        }
    }

    #[test]
    fn too_few_and_too_many_are_refused() {
        for n in [0, 1, 3, 101, 65_536 + 4] {
            assert_eq!(Committee::new(n), Err(BadCommitteeSize(n)));
        }
    }

    #[test]
    fn the_primary_rotates_through_all_members() {
        let committee = Committee::new(4).unwrap();
        let primaries: Vec<_> = (0..8).map(|view| committee.primary(View::new(view)).get()).collect();
        assert_eq!(primaries, [0, 1, 2, 3, 0, 1, 2, 3]);
        assert!(committee.contains(committee.primary(View::MAX)));
        assert!(!committee.contains(ReplicaId::new(4)));
    }
}
