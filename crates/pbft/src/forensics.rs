//! Forensics: who is to blame when two replicas disagree.
//!
//! With more than f traitors two honest replicas may hold different histories. What they hold convicts at least f + 1
//! of the traitors, and never an honest member: by pairs of signatures that no honest member gives
//! ([`crate::evidence`]). So the one who asks trusts neither replica, and whoever hands over a forged home achieves
//! nothing: signatures that do not hold are left out, and a conviction does not depend on who brought it.
//!
//! After Sheng, Wang, Nayak, Kannan and Viswanath, *BFT Protocol Forensics*, CCS 2021, whose PBFT-PK is this protocol
//! for one slot. What is added here: many slots, checkpoints, and logs that were compacted.
//!
//! # The method
//!
//! Everything in both homes that a member signed is collected: commits under blocks, proposals and prepares under
//! prepared certificates, checkpoints, and the view changes that justify each new view that was entered, with all that
//! *they* contain. Then each two statements of one member are held against each other. There is no more to it. Why that
//! suffices is worth a proof.
//!
//! # Why f + 1 are found
//!
//! Two quorums share at least f + 1 members. Suppose that fewer than a quorum are malicious, so that there is somebody
//! honest in each. Let d be committed to slot n in view v, and d' in v', with v <= v'.
//!
//! * **v = v'.** Whoever signed both certificates committed to two batches in one view.
//! * **v < v'.** Let u be the first view after v in which anything but d prepared or committed in slot n, as far as the
//!   homes show; u <= v'. Take the new view by which somebody honest who accepted that had entered u. It begins below
//!   n, or nobody honest would have voted there. Its view changes are a quorum's, so f + 1 of their signers had
//!   committed to d in view v. Of those f + 1, some show no proof for n with view v or later: that is amnesia. If all
//!   the others show d, the highest proof for n is one for d, because u is the first view with anything else, and the
//!   plan has d at n: nobody could have accepted anything else. So if not all f + 1 are guilty of amnesia, one shows a
//!   proof that something other than d prepared in v itself. Those who made that proof are a quorum, f + 1 of them had
//!   committed to d in v, and accepted one batch and committed to another.
//! * **Two stable checkpoints** with different roots at one height: whoever signed both certificates vouched for two
//!   states.
//!
//! # What may be missing
//!
//! The new view of u. A home shows how its replica entered its current view, and earlier ones as far back as the log
//! reaches. One that learned of d' from others, without working in that view, does not have it; but everybody honest
//! who signed the certificate does. Then [`Findings::wanted`] says which view it is, and whose homes to ask for. A
//! disagreement about the state alone, after equal blocks, convicts nobody: the execution of one of the two is broken,
//! which is no lie. But if both states were signed by quorums, f + 1 signed both.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bezant_types::{Committee, Digest, Genesis, Keyring, ReplicaId, SequenceNumber, Signable, Signature, Signed, View};

use crate::StoredBlock;
use crate::certificate::{Certificate, Endorsed, PreparedProof, Signatures};
use crate::evidence::{Clash, Evidence, Pair, forgets};
use crate::message::{Checkpoint, Commit, NewView, PrePrepare, Prepare, ViewChange};
use crate::record::Record;

/// An inquiry into what members signed. It holds all of it: of a long history, hand in the blocks from a window before
/// the [`first_difference`] on.
#[derive(Debug)]
pub struct Inquiry {
    committee: Committee,
    keyring: Keyring,
    proposals: Statements<PrePrepare>,
    prepares: Statements<Prepare>,
    commits: Statements<Commit>,
    checkpoints: Statements<Checkpoint>,
    view_changes: Statements<ViewChange>,
    new_views: Statements<NewView>,
    /// What are said to be certificates of decisions.
    decided: BTreeMap<SequenceNumber, Vec<Endorsed<Commit>>>,
    /// What are said to be certificates of states.
    stable: BTreeMap<SequenceNumber, Vec<Endorsed<Checkpoint>>>,
    /// What is said to have prepared, and by whom.
    prepared: BTreeMap<SequenceNumber, Vec<(View, Digest, Vec<ReplicaId>)>>,
}

/// What came of an inquiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// What quorums contradict each other about, in order.
    pub disagreements: Vec<Disagreement>,
    /// The members that are convicted, each with a proof of every kind that there is.
    pub culprits: BTreeMap<ReplicaId, Vec<Evidence>>,
    /// If fewer than f + 1 are convicted although quorums contradict each other: what would convict the rest.
    pub wanted: Vec<Wanted>,
}

/// Two certificates that hold and contradict each other. More than f members are malicious.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// Two batches are decided for one slot.
    Blocks {
        /// What a quorum committed to, in the earlier view.
        earlier: Commit,
        /// What a quorum committed to, in the same view or a later one.
        later: Commit,
    },
    /// Two states are proven at one height.
    States {
        /// What a quorum vouched for.
        one: Checkpoint,
        /// What a quorum vouched for.
        other: Checkpoint,
    },
}

/// How somebody entered a view, which none of the homes shows, or not as it was shown to those who then voted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The slot that was decided twice.
    pub sequence: SequenceNumber,
    /// The view.
    pub view: View,
    /// Whoever is honest among these has it in its log, unless that was compacted since.
    pub holders: BTreeSet<ReplicaId>,
}

/// The first sequence number at which two histories have different batches. Both ascend; they may begin anywhere.
pub fn first_difference(
    one: impl IntoIterator<Item = (SequenceNumber, Digest)>,
    other: impl IntoIterator<Item = (SequenceNumber, Digest)>,
) -> Option<SequenceNumber> {
    let mut other = other.into_iter().peekable();
    one.into_iter().find_map(|(sequence, digest)| {
        while other.next_if(|(at, _)| *at < sequence).is_some() {}
        let (_, theirs) = other.next_if(|(at, _)| *at == sequence)?;
        (theirs != digest).then_some(sequence)
    })
}

impl Inquiry {
    /// An inquiry in the network of `genesis` that has seen nothing yet.
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            committee: genesis.committee(),
            keyring: genesis.keyring(),
            proposals: Statements::default(),
            prepares: Statements::default(),
            commits: Statements::default(),
            checkpoints: Statements::default(),
            view_changes: Statements::default(),
            new_views: Statements::default(),
            decided: BTreeMap::new(),
            stable: BTreeMap::new(),
            prepared: BTreeMap::new(),
        }
    }

    /// Takes in a block that one of them holds.
    pub fn examine_block(&mut self, StoredBlock { commits, .. }: &StoredBlock) {
        let Commit { view, sequence, .. } = commits.vote;
        self.commits.add_all((sequence, view), commits.vote, &commits.signatures);
        let known = self.decided.entry(sequence).or_default();
        if !known.contains(commits) {
            known.push(commits.clone());
        }
    }

    /// Takes in a record of the log of one of them. What it wrote down of its own words is not signed there, and
    /// convicts nobody.
    pub fn examine_record(&mut self, record: &Record) {
        match record {
            Record::Accepted(signed, _) => {
                let PrePrepare { view, sequence, .. } = signed.message;
                self.proposals.add((sequence, view), signed.clone());
            }
            Record::Prepared(proof) => self.examine_proof(proof),
            Record::Stable(endorsed) => self.examine_checkpoint(endorsed),
            Record::Entered(signed) => self.examine_new_view(signed),
            Record::Proposed(..)
            | Record::Bodies(..)
            | Record::Checkpoint(_)
            | Record::ViewChange(_)
            | Record::NewView(_)
            | Record::LogLost
            | Record::SilentUntil(_) => {}
        }
    }

    /// Takes in evidence that one of them has kept.
    pub fn examine_evidence(&mut self, evidence: &Evidence) {
        let slot = |view: View, sequence: SequenceNumber| (sequence, view);
        match evidence.clone() {
            Evidence::PrePrepares(Pair { first, second }) => {
                for one in [first, second] {
                    self.proposals.add(slot(one.message.view, one.message.sequence), one);
                }
            }
            Evidence::Prepares(Pair { first, second }) => {
                for one in [first, second] {
                    self.prepares.add(slot(one.message.view, one.message.sequence), one);
                }
            }
            Evidence::Commits(Pair { first, second }) => {
                [first, second].into_iter().for_each(|one| self.examine_commit(one));
            }
            Evidence::Checkpoints(Pair { first, second }) => {
                for one in [first, second] {
                    self.checkpoints.add((one.message.sequence, View::ZERO), one);
                }
            }
            Evidence::ViewChanges(Pair { first, second }) => {
                [first, second].iter().for_each(|one| self.examine_view_change(one));
            }
            Evidence::NewViews(Pair { first, second }) => {
                [first, second].iter().for_each(|one| self.examine_new_view(one));
            }
            Evidence::PrePrepareAndCommit(Clash { first, second }) => {
                self.proposals.add(slot(first.message.view, first.message.sequence), first);
                self.examine_commit(second);
            }
            Evidence::PrepareAndCommit(Clash { first, second }) => {
                self.prepares.add(slot(first.message.view, first.message.sequence), first);
                self.examine_commit(second);
            }
            Evidence::Amnesia(Clash { first, second }) => {
                self.examine_commit(first);
                self.examine_view_change(&second);
            }
        }
    }

    fn examine_commit(&mut self, signed: Signed<Commit>) {
        self.commits.add((signed.message.sequence, signed.message.view), signed);
    }

    fn examine_proof(&mut self, PreparedProof { view, sequence, digest, pre_prepare, prepares }: &PreparedProof) {
        let (view, sequence, digest) = (*view, *sequence, *digest);
        let (place, primary) = ((sequence, view), self.committee.primary(view));
        let proposal = PrePrepare { view, sequence, digest };
        self.proposals.add(place, Signed { signer: primary, message: proposal, signature: *pre_prepare });
        self.prepares.add_all(place, Prepare { view, sequence, digest }, prepares);
        let known = self.prepared.entry(sequence).or_default();
        if known.iter().all(|(in_view, batch, _)| (*in_view, *batch) != (view, digest)) {
            let voters = core::iter::once(primary).chain(prepares.iter().map(|(signer, _)| *signer));
            known.push((view, digest, voters.collect()));
        }
    }

    fn examine_checkpoint(&mut self, endorsed: &Endorsed<Checkpoint>) {
        let sequence = endorsed.vote.sequence;
        self.checkpoints.add_all((sequence, View::ZERO), endorsed.vote, &endorsed.signatures);
        let known = self.stable.entry(sequence).or_default();
        if !known.contains(endorsed) {
            known.push(endorsed.clone());
        }
    }

    fn examine_view_change(&mut self, signed: &Signed<ViewChange>) {
        self.view_changes.add((SequenceNumber::ZERO, signed.message.view), signed.clone());
        signed.message.checkpoint.iter().for_each(|endorsed| self.examine_checkpoint(endorsed));
        signed.message.prepared.iter().for_each(|proof| self.examine_proof(proof));
    }

    fn examine_new_view(&mut self, signed: &Signed<NewView>) {
        self.new_views.add((SequenceNumber::ZERO, signed.message.view), signed.clone());
        signed.message.view_changes.iter().for_each(|change| self.examine_view_change(change));
    }

    /// Holds everything that was taken in against everything else.
    pub fn conclude(&self) -> Findings {
        let culprits = self.culprits();
        let disagreements = self.disagreements();
        let enough = culprits.len() >= self.committee.weak_quorum();
        let wanted =
            if enough { Vec::new() } else { disagreements.iter().filter_map(|one| self.wanted(one)).collect() };
        Findings { disagreements, culprits, wanted }
    }

    fn culprits(&self) -> BTreeMap<ReplicaId, Vec<Evidence>> {
        let mut book = Book { keyring: &self.keyring, culprits: BTreeMap::new() };
        book.convict_all(self.proposals.contradictions(&self.keyring).map(Evidence::PrePrepares));
        book.convict_all(self.prepares.contradictions(&self.keyring).map(Evidence::Prepares));
        book.convict_all(self.commits.contradictions(&self.keyring).map(Evidence::Commits));
        book.convict_all(self.checkpoints.contradictions(&self.keyring).map(Evidence::Checkpoints));
        book.convict_all(self.view_changes.contradictions(&self.keyring).map(Evidence::ViewChanges));
        book.convict_all(self.new_views.contradictions(&self.keyring).map(Evidence::NewViews));
        let proposed = self.proposals.beside(&self.commits, |proposal, commit| proposal.digest != commit.digest);
        book.convict_all(proposed.map(Evidence::PrePrepareAndCommit));
        let prepared = self.prepares.beside(&self.commits, |prepare, commit| prepare.digest != commit.digest);
        book.convict_all(prepared.map(Evidence::PrepareAndCommit));
        book.convict_all(self.forgotten().map(Evidence::Amnesia));
        book.culprits
    }

    /// Each commit that the view change of its signer forgets.
    fn forgotten(&self) -> impl Iterator<Item = Clash<Commit, ViewChange>> {
        self.view_changes.iter().flat_map(|change| {
            let low = change.message.checkpoint.as_ref().map(|stable| stable.vote.sequence).unwrap_or_default();
            let commits = self.commits.of_after(change.signer, low);
            let forgotten = commits.filter(|commit| forgets(&commit.message, &change.message));
            forgotten.map(|commit| Clash { first: commit.clone(), second: change.clone() })
        })
    }

    fn disagreements(&self) -> Vec<Disagreement> {
        let blocks = self.decided.values().filter_map(|known| {
            let differ = |one: &Commit, other: &Commit| one.digest != other.digest;
            let (earlier, later) = self.contradiction(known, differ)?;
            Some(Disagreement::Blocks { earlier, later })
        });
        let states = self.stable.values().filter_map(|known| {
            let (one, other) = self.contradiction(known, |one: &Checkpoint, other| one.root != other.root)?;
            Some(Disagreement::States { one, other })
        });
        blocks.chain(states).collect()
    }

    /// The least vote that a quorum really cast, and the next one of a quorum that differs from it. Signatures are
    /// checked only where votes differ at all.
    fn contradiction<V: Signable<Signer = ReplicaId> + Ord + Copy>(
        &self,
        known: &[Endorsed<V>],
        differ: impl Fn(&V, &V) -> bool,
    ) -> Option<(V, V)> {
        let first = known.first()?;
        if !known.iter().any(|one| differ(&one.vote, &first.vote)) {
            return None;
        }
        let holds = |one: &&Endorsed<V>| Certificate::check((*one).clone(), self.committee, &self.keyring).is_ok();
        let votes: BTreeSet<V> = known.iter().filter(holds).map(|one| one.vote).collect();
        let least = votes.first().copied()?;
        let other = votes.into_iter().find(|one| differ(one, &least))?;
        Some((least, other))
    }

    /// The first view after the earlier one in which anything else is seen to have prepared or committed.
    fn wanted(&self, disagreement: &Disagreement) -> Option<Wanted> {
        let Disagreement::Blocks { earlier, later } = disagreement else { return None };
        let sequence = earlier.sequence;
        let prepared = self.prepared.get(&sequence).into_iter().flatten();
        let prepared = prepared.map(|(view, digest, voters)| (*view, *digest, voters.clone()));
        let decided = self.decided.get(&sequence).into_iter().flatten();
        let decided = decided.map(|one| {
            let signers = one.signatures.iter().map(|(signer, _)| *signer);
            (one.vote.view, one.vote.digest, signers.collect::<Vec<_>>())
        });
        let strayed: Vec<_> = prepared
            .chain(decided)
            .filter(|(view, digest, _)| earlier.view < *view && *view <= later.view && *digest != earlier.digest)
            .collect();
        let view = strayed.iter().map(|(view, ..)| *view).min()?;
        let holders = strayed.into_iter().filter(|(at, ..)| *at == view).flat_map(|(_, _, voters)| voters).collect();
        Some(Wanted { sequence, view, holders })
    }
}

/// A slot and a view, either of which may mean nothing.
type Place = (SequenceNumber, View);

/// Everything of one kind that was signed, by signer and place. Nothing of it has been checked, so what is said to be
/// signed twice is kept twice: one of the two may be forged.
#[derive(Debug)]
struct Statements<M: Signable>(BTreeMap<(ReplicaId, Place), Vec<Signed<M>>>);

impl<M: Signable> Default for Statements<M> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<M: Signable<Signer = ReplicaId>> Statements<M> {
    fn add(&mut self, place: Place, signed: Signed<M>) {
        let known = self.0.entry((signed.signer, place)).or_default();
        if !known.contains(&signed) {
            known.push(signed);
        }
    }

    fn add_all(&mut self, place: Place, message: M, signatures: &Signatures) {
        let sign = |(signer, signature): &(ReplicaId, Signature)| Signed {
            signer: *signer,
            message: message.clone(),
            signature: *signature,
        };
        signatures.iter().for_each(|one| self.add(place, sign(one)));
    }

    fn iter(&self) -> impl Iterator<Item = &Signed<M>> {
        self.0.values().flatten()
    }

    /// What a member signed about slots after this one.
    fn of_after(&self, signer: ReplicaId, sequence: SequenceNumber) -> impl Iterator<Item = &Signed<M>> {
        let from = (signer, (sequence.next(), View::ZERO));
        self.0.range(from..).take_while(move |((one, _), _)| *one == signer).flat_map(|(_, known)| known)
    }

    /// Two different statements of each member about each matter, where there are two that hold.
    fn contradictions(&self, keyring: &Keyring) -> impl Iterator<Item = Pair<M>> {
        self.0.values().filter(|known| known.len() > 1).filter_map(|known| {
            let mut sound = known.iter().filter(|one| (*one).clone().verify(keyring).is_ok());
            let first = sound.next()?;
            let second = sound.find(|one| one.message != first.message)?;
            Some(Pair { first: first.clone(), second: second.clone() })
        })
    }

    /// Statements of two kinds by one member about one place.
    fn beside<N: Signable<Signer = ReplicaId>>(
        &self,
        others: &Statements<N>,
        contradict: impl Fn(&M, &N) -> bool,
    ) -> impl Iterator<Item = Clash<M, N>> {
        let both = self.0.iter().filter_map(|(key, known)| Some((known, others.0.get(key)?)));
        let pairs =
            both.flat_map(|(known, others)| known.iter().flat_map(move |one| others.iter().map(move |it| (one, it))));
        let clashing = pairs.filter(move |(one, other)| contradict(&one.message, &other.message));
        clashing.map(|(one, other)| Clash { first: one.clone(), second: other.clone() })
    }
}

/// Who is convicted, and by what.
struct Book<'k> {
    keyring: &'k Keyring,
    culprits: BTreeMap<ReplicaId, Vec<Evidence>>,
}

impl Book<'_> {
    /// Enters whoever is convicted by evidence of one kind, each once.
    fn convict_all(&mut self, evidence: impl Iterator<Item = Evidence>) {
        let mut convicted = BTreeSet::new();
        for one in evidence {
            if !convicted.contains(&one.accused())
                && let Ok(culprit) = one.verify(self.keyring)
            {
                convicted.insert(culprit);
                self.culprits.entry(culprit).or_default().push(one);
            }
        }
    }
}
