//! Whether evidence convicts, judged without the code that made it.

use bezant_pbft::evidence::{Evidence, Pair};
use bezant_types::signed::signing_digest;
use bezant_types::{Keyring, ReplicaId, SequenceNumber, Signable, View};

use super::super::statement::Kind;

/// What kind of contradiction the evidence is about.
pub(super) fn kind(evidence: &Evidence) -> Option<Kind> {
    Some(match evidence {
        Evidence::PrePrepares(_) => Kind::PrePrepare,
        Evidence::Prepares(_) => Kind::Prepare,
        Evidence::Commits(_) => Kind::Commit,
        Evidence::Checkpoints(_) => Kind::Checkpoint,
        Evidence::ViewChanges(_) => Kind::ViewChange,
        Evidence::NewViews(_) => Kind::NewView,
    })
}

/// That both statements are `member`'s, about one matter, and different.
pub(super) fn judge(evidence: &Evidence, member: ReplicaId, keyring: &Keyring) -> Result<(), String> {
    type Place = (View, SequenceNumber);
    match evidence {
        Evidence::PrePrepares(pair) => compare(pair, member, keyring, |m| -> Place { (m.view, m.sequence) }),
        Evidence::Prepares(pair) => compare(pair, member, keyring, |m| -> Place { (m.view, m.sequence) }),
        Evidence::Commits(pair) => compare(pair, member, keyring, |m| -> Place { (m.view, m.sequence) }),
        Evidence::Checkpoints(pair) => compare(pair, member, keyring, |m| m.sequence),
        Evidence::ViewChanges(pair) => compare(pair, member, keyring, |m| m.view),
        Evidence::NewViews(pair) => compare(pair, member, keyring, |m| m.view),
    }
}

fn compare<M: Signable<Signer = ReplicaId>, P: PartialEq>(
    pair: &Pair<M>,
    member: ReplicaId,
    keyring: &Keyring,
    place: impl Fn(&M) -> P,
) -> Result<(), String> {
    let statements = [&pair.first, &pair.second];
    for signed in statements {
        if signed.signer != member {
            return Err(format!("one statement is of replica {}", signed.signer));
        }
        if signed.clone().verify(keyring).is_err() {
            return Err("a signature is not valid".to_owned());
        }
    }
    let digest = |message| signing_digest(keyring.genesis(), member, message);
    if digest(&pair.first.message) == digest(&pair.second.message) {
        return Err("the two statements are one".to_owned());
    }
    if place(&pair.first.message) != place(&pair.second.message) {
        return Err("the two statements are about two matters".to_owned());
    }
    Ok(())
}
