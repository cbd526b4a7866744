//! Whether evidence convicts, judged without the code that made it.

use bezant_pbft::evidence::{Clash, Evidence, Pair};
use bezant_pbft::message::{Commit, ViewChange};
use bezant_types::{Digest, Keyring, ReplicaId, SequenceNumber, Signable, Signed, View};

use super::super::statement::Kind;

/// What the two statements are, if they are of one kind: what a replica notices by itself.
pub(super) fn kind(evidence: &Evidence) -> Option<Kind> {
    Some(match evidence {
        Evidence::PrePrepares(_) => Kind::PrePrepare,
        Evidence::Prepares(_) => Kind::Prepare,
        Evidence::Commits(_) => Kind::Commit,
        Evidence::Checkpoints(_) => Kind::Checkpoint,
        Evidence::ViewChanges(_) => Kind::ViewChange,
        Evidence::NewViews(_) => Kind::NewView,
        Evidence::PrePrepareAndCommit(_) | Evidence::PrepareAndCommit(_) | Evidence::Amnesia(_) => return None,
    })
}

/// What the two statements are, in words.
pub(super) fn words(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::PrePrepares(_) => "two proposals",
        Evidence::Prepares(_) => "two prepares",
        Evidence::Commits(_) => "two commits",
        Evidence::Checkpoints(_) => "two checkpoints",
        Evidence::ViewChanges(_) => "two view changes",
        Evidence::NewViews(_) => "two new views",
        Evidence::PrePrepareAndCommit(_) => "a proposal and another commit",
        Evidence::PrepareAndCommit(_) => "a prepare and another commit",
        Evidence::Amnesia(_) => "a commit and a view change that forgets it",
    }
}

/// That both statements are `member`'s, and that no honest member makes both.
pub(super) fn judge(evidence: &Evidence, member: ReplicaId, keyring: &Keyring) -> Result<(), String> {
    type Place = (View, SequenceNumber);
    let bench = Bench { member, keyring };
    match evidence {
        Evidence::PrePrepares(pair) => bench.compare(pair, |m| -> Place { (m.view, m.sequence) }),
        Evidence::Prepares(pair) => bench.compare(pair, |m| -> Place { (m.view, m.sequence) }),
        Evidence::Commits(pair) => bench.compare(pair, |m| -> Place { (m.view, m.sequence) }),
        Evidence::Checkpoints(pair) => bench.compare(pair, |m| m.sequence),
        Evidence::ViewChanges(pair) => bench.compare(pair, |m| m.view),
        Evidence::NewViews(pair) => bench.compare(pair, |m| m.view),
        Evidence::PrePrepareAndCommit(Clash { first, second }) => {
            let (proposal, commit) = (bench.hear(first)?, bench.hear(second)?);
            differ((proposal.view, proposal.sequence, proposal.digest), commit)
        }
        Evidence::PrepareAndCommit(Clash { first, second }) => {
            let (prepare, commit) = (bench.hear(first)?, bench.hear(second)?);
            differ((prepare.view, prepare.sequence, prepare.digest), commit)
        }
        Evidence::Amnesia(Clash { first, second }) => forgets(bench.hear(first)?, bench.hear(second)?),
    }
}

/// Whom it is about, and everybody's keys.
struct Bench<'k> {
    member: ReplicaId,
    keyring: &'k Keyring,
}

impl Bench<'_> {
    /// What the member has really said.
    fn hear<'s, M: Signable<Signer = ReplicaId>>(&self, signed: &'s Signed<M>) -> Result<&'s M, String> {
        if signed.signer != self.member {
            return Err(format!("one statement is of replica {}", signed.signer));
        }
        match signed.clone().verify(self.keyring) {
            Ok(_) => Ok(&signed.message),
            Err(_) => Err("a signature is not valid".to_owned()),
        }
    }

    fn compare<M: Signable<Signer = ReplicaId>, P: PartialEq>(
        &self,
        pair: &Pair<M>,
        place: impl Fn(&M) -> P,
    ) -> Result<(), String> {
        let (first, second) = (self.hear(&pair.first)?, self.hear(&pair.second)?);
        if first == second {
            return Err("the two statements are one".to_owned());
        }
        if place(first) != place(second) {
            return Err("the two statements are about two matters".to_owned());
        }
        Ok(())
    }
}

fn differ(accepted: (View, SequenceNumber, Digest), commit: &Commit) -> Result<(), String> {
    let (view, sequence, digest) = accepted;
    if (view, sequence) != (commit.view, commit.sequence) {
        return Err("the two statements are about two matters".to_owned());
    }
    if digest == commit.digest { Err("the two statements agree".to_owned()) } else { Ok(()) }
}

fn forgets(commit: &Commit, change: &ViewChange) -> Result<(), String> {
    if change.view <= commit.view {
        return Err("the commit is not of an earlier view".to_owned());
    }
    if change.checkpoint.iter().any(|endorsed| endorsed.vote.sequence >= commit.sequence) {
        return Err("a checkpoint covers the commit".to_owned());
    }
    if change.prepared.iter().any(|proof| proof.sequence == commit.sequence && proof.view >= commit.view) {
        return Err("the view change reports the slot".to_owned());
    }
    Ok(())
}
