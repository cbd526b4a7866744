//! The log of one sequence number: who said what, which bodies are here, what came of it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bezant_types::{Committee, Digest, ReplicaId, Request, SequenceNumber, Signature, View};

use crate::certificate::{CommitCertificate, PreparedCertificate};
use crate::message::{Batch, Commit, PrePrepare};

/// What somebody said about a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vote {
    pub(crate) view: View,
    pub(crate) digest: Digest,
    pub(crate) signature: Signature,
}

/// What became of a vote that was to be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    Yes,
    Duplicate,
    /// The same voter votes for a view before the one it voted for last.
    Superseded,
    /// The same voter said this for the same view: evidence.
    Contradicts(Vote),
}

/// Votes of one kind for one slot: of each replica the one for the highest view. So memory is bounded by the size of
/// the group, however many views a liar invents, and a vote that arrives before its view begins is not lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Tally(BTreeMap<ReplicaId, Vote>);

impl Tally {
    pub(crate) fn count(&mut self, voter: ReplicaId, vote: Vote) -> Counted {
        match self.0.get(&voter) {
            Some(known) if known.view == vote.view && known.digest == vote.digest => return Counted::Duplicate,
            Some(known) if known.view == vote.view => return Counted::Contradicts(*known),
            Some(known) if known.view > vote.view => return Counted::Superseded,
            Some(_) | None => {}
        }
        self.0.insert(voter, vote);
        Counted::Yes
    }

    /// Who voted for exactly this batch in exactly this view.
    pub(crate) fn matching(&self, view: View, digest: Digest) -> impl Iterator<Item = (ReplicaId, Signature)> {
        self.0
            .iter()
            .filter(move |(_, vote)| vote.view == view && vote.digest == digest)
            .map(|(voter, vote)| (*voter, vote.signature))
    }

    /// The vote of a member.
    pub(crate) fn of(&self, voter: ReplicaId) -> Option<Vote> {
        self.0.get(&voter).copied()
    }

    fn forget_before(&mut self, view: View) {
        self.0.retain(|_, vote| vote.view >= view);
    }
}

/// A batch and as many bodies of its requests as have arrived.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Payload {
    batch: Batch,
    bodies: Vec<Option<Request>>,
    /// Where the bodies that are not here belong.
    missing: BTreeMap<Digest, Vec<usize>>,
    /// Whether an earlier record of this slot holds the bodies.
    pub(crate) recorded: bool,
}

impl Payload {
    /// A batch, with the bodies that `known` finds.
    pub(crate) fn new(batch: Batch, mut known: impl FnMut(&Digest) -> Option<Request>) -> Self {
        let bodies: Vec<_> = batch.requests().iter().map(&mut known).collect();
        let mut missing: BTreeMap<Digest, Vec<usize>> = BTreeMap::new();
        for (place, digest) in batch.requests().iter().enumerate().filter(|(place, _)| bodies[*place].is_none()) {
            missing.entry(*digest).or_default().push(place);
        }
        Self { batch, bodies, missing, recorded: false }
    }

    pub(crate) fn batch(&self) -> &Batch {
        &self.batch
    }

    pub(crate) fn missing(&self) -> impl Iterator<Item = Digest> {
        self.missing.keys().copied()
    }

    /// All bodies in order, if none is missing.
    pub(crate) fn complete(&self) -> Option<Vec<Request>> {
        if self.is_complete() { self.bodies.iter().cloned().collect() } else { None }
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.missing.is_empty()
    }

    /// Puts a body where it belongs. Says whether it was missing here.
    pub(crate) fn supply(&mut self, request: &Request) -> bool {
        let Some(places) = self.missing.remove(&request.digest()) else { return false };
        for place in places {
            self.bodies[place] = Some(request.clone());
        }
        true
    }

    pub(crate) fn body(&self, digest: &Digest) -> Option<&Request> {
        let index = self.batch.requests().iter().position(|one| one == digest)?;
        self.bodies.get(index)?.as_ref()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bodies.iter().flatten().map(Request::size).sum()
    }
}

/// How many batches that it voted for in different views a slot keeps. In each view there is one, and after a window's
/// worth of failed views the earliest are the ones that nobody needs.
const VOTED_LIMIT: usize = 16;

/// How far this replica has gone with the current proposal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Progress {
    /// It has said nothing in this view.
    #[default]
    Silent,
    /// It has accepted the proposal: its bodies and its prepare (or, as primary, its pre-prepare) are on record.
    Accepted,
    /// The proposal has prepared in this view; its commit is on record.
    Prepared,
}

/// One sequence number's log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// The primary's pre-prepare of the current view.
    pub(crate) proposal: Option<Vote>,
    /// A pre-prepare of the current view that came without its batch: somebody was told this. It is not accepted, and
    /// the primary is held to it.
    pub(crate) heard: Option<Vote>,
    pub(crate) progress: Progress,
    /// As primary of the current view: what this replica proposed.
    pub(crate) announced: Option<Digest>,
    pub(crate) prepares: Tally,
    pub(crate) commits: Tally,
    /// The batches that this replica has voted for here, the latest last. It vouched for their bodies, so it keeps
    /// them.
    voted: Vec<Digest>,
    /// The proof with the highest view that a batch prepared here.
    pub(crate) prepared: Option<PreparedCertificate>,
    /// The proof that a batch committed here.
    pub(crate) committed: Option<CommitCertificate>,
    /// Batches that matter here, by digest: the proposed, the prepared and the committed one.
    payloads: BTreeMap<Digest, Payload>,
    /// Batches that matter here and are not here, each with those who should have it.
    pub(crate) wanted: BTreeMap<Digest, BTreeSet<ReplicaId>>,
}

impl Slot {
    /// What the primary of the current view is known to have proposed, accepted or not.
    pub(crate) fn told(&self) -> Option<Vote> {
        self.proposal.or(self.heard)
    }

    /// Forgets the proposal of the view that was left. What prepared, what committed, bodies and later votes stay.
    pub(crate) fn enter_view(&mut self, view: View) {
        self.proposal = None;
        self.heard = None;
        self.announced = None;
        self.progress = Progress::Silent;
        self.prepares.forget_before(view);
        self.commits.forget_before(view);
        self.tidy(None);
    }

    /// Drops payloads that no proof or proposal names, `also` aside.
    fn tidy(&mut self, also: Option<Digest>) {
        let matters: BTreeSet<Digest> = self.matters().chain(also).collect();
        self.payloads.retain(|digest, _| matters.contains(digest));
        self.wanted.retain(|digest, _| matters.contains(digest));
    }

    fn matters(&self) -> impl Iterator<Item = Digest> {
        let proposed = self.proposal.map(|vote| vote.digest);
        let prepared = self.prepared.as_ref().map(PreparedCertificate::digest);
        let committed = self.committed.as_ref().map(|certificate| certificate.vote().digest);
        [proposed, self.announced, prepared, committed].into_iter().flatten().chain(self.voted.iter().copied())
    }

    /// Remembers to keep the bodies of a batch that this replica votes for: a prepared certificate may name it as a
    /// holder although it never saw the batch prepared itself.
    pub(crate) fn vote_for(&mut self, digest: Digest) {
        self.voted.retain(|one| *one != digest);
        self.voted.push(digest);
        if self.voted.len() > VOTED_LIMIT {
            self.voted.remove(0);
        }
    }

    /// The batches whose bodies this replica vouched for, in the order in which it did.
    pub(crate) fn vouched(&self) -> impl Iterator<Item = Digest> {
        let prepared = self.prepared.as_ref().map(PreparedCertificate::digest);
        prepared.filter(|digest| !self.voted.contains(digest)).into_iter().chain(self.voted.iter().copied())
    }

    /// Who vouched for the batches that matter here.
    pub(crate) fn vouchers(&self, committee: Committee, view: View) -> impl Iterator<Item = ReplicaId> {
        let primary = self.proposal.map(|_| committee.primary(view));
        let committed = self.committed.iter().flat_map(CommitCertificate::signers);
        let prepared = self.prepared.iter().flat_map(move |certificate| certificate.holders(committee));
        primary.into_iter().chain(committed).chain(prepared)
    }

    pub(crate) fn payload(&self, digest: &Digest) -> Option<&Payload> {
        self.payloads.get(digest)
    }

    pub(crate) fn payload_mut(&mut self, digest: &Digest) -> Option<&mut Payload> {
        self.payloads.get_mut(digest)
    }

    pub(crate) fn payloads(&self) -> impl Iterator<Item = &Payload> {
        self.payloads.values()
    }

    /// Keeps a batch unless it is here already.
    pub(crate) fn keep(&mut self, payload: Payload) {
        let digest = payload.batch.digest();
        self.wanted.remove(&digest);
        self.payloads.entry(digest).or_insert(payload);
        self.tidy(Some(digest));
    }

    /// Puts a body wherever it is missing in this slot.
    pub(crate) fn supply(&mut self, request: &Request) -> bool {
        let mut missing = false;
        for payload in self.payloads.values_mut() {
            missing |= payload.supply(request);
        }
        missing
    }

    /// Says that a batch matters here and that `holders` should have it.
    pub(crate) fn want(&mut self, digest: Digest, holders: impl IntoIterator<Item = ReplicaId>) {
        if !self.payloads.contains_key(&digest) {
            self.wanted.entry(digest).or_default().extend(holders);
        }
    }

    /// Rule P-4: the pre-prepare and enough matching prepares of distinct backups.
    pub(crate) fn try_prepared(&self, sequence: SequenceNumber, committee: Committee) -> Option<PreparedCertificate> {
        let Vote { view, digest, signature } = self.proposal?;
        let pre_prepare = PrePrepare { view, sequence, digest };
        PreparedCertificate::assemble(pre_prepare, signature, self.prepares.matching(view, digest), committee)
    }

    /// Rule P-5: a quorum of matching commits of distinct replicas. Among them is an honest one that saw the batch
    /// prepared, so this replica need not have seen it itself: it is how those who take no part in a view learn what it
    /// decides.
    pub(crate) fn try_committed(&self, commit: Commit, committee: Committee) -> Option<CommitCertificate> {
        CommitCertificate::assemble(commit, self.commits.matching(commit.view, commit.digest), committee)
    }

    /// Wants every batch that matters here and is not here, from those who vouched for it.
    pub(crate) fn want_what_matters(&mut self, committee: Committee, view: View) {
        let matters: Vec<_> = self.matters().collect();
        let vouchers: BTreeSet<_> = self.vouchers(committee, view).collect();
        for digest in matters {
            self.want(digest, vouchers.iter().copied());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vote(view: u64, digest: u8) -> Vote {
        Vote { view: View::new(view), digest: Digest::new([digest; 32]), signature: Signature::new([0; 64]) }
    }

    /// A batch that is like no other of these.
    fn batch(time: u64) -> Batch {
        Batch::Seal { timestamp: bezant_types::Timestamp::new(time) }
    }

    fn keep(slot: &mut Slot, time: u64) {
        slot.keep(Payload::new(batch(time), |_| None));
    }

    #[test]
    fn of_the_batches_that_nothing_names_a_slot_keeps_the_last() {
        let mut slot = Slot::default();
        slot.vote_for(batch(7).digest());
        (0..40).for_each(|time| keep(&mut slot, time));
        let kept: Vec<_> = slot.payloads().map(|payload| payload.batch().clone()).collect();
        assert!(kept.len() == 2 && kept.contains(&batch(7)) && kept.contains(&batch(39)), "{kept:?}");
    }

    #[test]
    fn a_slot_vouches_for_the_last_batches_that_it_voted_for() {
        let mut slot = Slot::default();
        (0..40).for_each(|time| slot.vote_for(batch(time).digest()));
        slot.vote_for(batch(30).digest());
        let vouched: Vec<_> = slot.vouched().collect();
        let expected: Vec<_> =
            (24..40).filter(|time| *time != 30).chain([30]).map(|time| batch(time).digest()).collect();
        assert_eq!(vouched, expected);
    }

    #[test]
    fn a_slot_vouches_once_for_what_it_has_a_proof_of() {
        let mut slot = Slot::default();
        let proven = Vote { digest: batch(100).digest(), ..vote(0, 0) };
        slot.proposal = Some(proven);
        [1, 2].into_iter().for_each(|backup| _ = slot.prepares.count(ReplicaId::new(backup), proven));
        slot.prepared = slot.try_prepared(SequenceNumber::new(1), Committee::new(4).expect("four may be one"));
        assert!(slot.prepared.is_some());
        for voted in
            [alloc::vec![], alloc::vec![batch(100).digest()], alloc::vec![batch(100).digest(), batch(101).digest()]]
        {
            voted.into_iter().for_each(|digest| slot.vote_for(digest));
            assert_eq!(slot.vouched().filter(|digest| *digest == proven.digest).count(), 1);
        }
    }

    #[test]
    fn what_belongs_to_the_view_that_was_left_is_forgotten() {
        let mut slot = Slot::default();
        let (early, late) = (ReplicaId::new(1), ReplicaId::new(2));
        slot.proposal = Some(vote(3, 9));
        slot.want(vote(3, 9).digest, [early]);
        for tally in [&mut slot.prepares, &mut slot.commits] {
            tally.count(early, vote(3, 9));
            tally.count(late, vote(4, 9));
        }
        slot.enter_view(View::new(4));
        assert!(slot.told().is_none() && slot.wanted.is_empty());
        for tally in [&slot.prepares, &slot.commits] {
            assert_eq!((tally.of(early), tally.of(late)), (None, Some(vote(4, 9))));
        }
    }

    #[test]
    fn a_voter_has_one_vote_and_the_highest_view_counts() {
        let mut tally = Tally::default();
        let voter = ReplicaId::new(1);
        assert_eq!(tally.count(voter, vote(1, 1)), Counted::Yes);
        assert_eq!(tally.count(voter, vote(1, 1)), Counted::Duplicate);
        assert_eq!(tally.count(voter, vote(1, 2)), Counted::Contradicts(vote(1, 1)));
        assert_eq!(tally.count(voter, vote(0, 3)), Counted::Superseded);
        assert_eq!(tally.matching(View::new(1), Digest::new([1; 32])).count(), 1);
        assert_eq!(tally.count(voter, vote(2, 2)), Counted::Yes);
        assert_eq!(tally.matching(View::new(1), Digest::new([1; 32])).count(), 0);
        assert_eq!(tally.matching(View::new(2), Digest::new([2; 32])).count(), 1);
    }

    #[test]
    fn ten_thousand_votes_of_one_member_are_one_entry() {
        let mut tally = Tally::default();
        for view in 0..10_000 {
            tally.count(ReplicaId::new(1), vote(view, (view % 251) as u8));
        }
        assert_eq!(tally.0.len(), 1);
    }
}
