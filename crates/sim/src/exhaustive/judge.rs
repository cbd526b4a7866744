//! What must not be, from what replicas said and delivered.

use bezant_pbft::packet::Message;
use bezant_types::{Digest, ReplicaId};

/// A commitment: view, sequence number, batch.
pub(super) type Commitment = (u64, u64, Digest);

/// What a judge knows of one honest replica.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// What it delivered, from sequence number 1 on.
    pub(super) delivered: Vec<Digest>,
    /// What it committed to.
    pub(super) commits: Vec<Commitment>,
}

/// What a statement is about, where a member may say one thing only: its kind, view and sequence number; and what it
/// says.
pub(super) fn statement(message: &Message) -> Option<((&'static str, u64, u64), Digest)> {
    match message {
        Message::PrePrepare(vote, _) => {
            let m = vote.message();
            Some((("pre-prepare", m.view.get(), m.sequence.get()), vote.digest()))
        }
        Message::Prepare(vote) => {
            let m = vote.message();
            Some((("prepare", m.view.get(), m.sequence.get()), vote.digest()))
        }
        Message::Commit(vote) => {
            let m = vote.message();
            Some((("commit", m.view.get(), m.sequence.get()), vote.digest()))
        }
        Message::Checkpoint(vote) => Some((("checkpoint", 0, vote.message().sequence.get()), vote.digest())),
        Message::ViewChange(message) => Some((("view change", message.message().view.get(), 0), message.digest())),
        Message::NewView(message) => Some((("new view", message.message().view.get(), 0), message.digest())),
        Message::Status(_)
        | Message::Fetch(_)
        | Message::Requests(_)
        | Message::Batch(..)
        | Message::Decided(_)
        | Message::Stable(_) => None,
    }
}

/// The view of a vote of the normal case.
pub(super) fn vote_view(message: &Message) -> Option<u64> {
    match message {
        Message::PrePrepare(vote, _) => Some(vote.message().view.get()),
        Message::Prepare(vote) => Some(vote.message().view.get()),
        Message::Commit(vote) => Some(vote.message().view.get()),
        Message::Checkpoint(_)
        | Message::ViewChange(_)
        | Message::NewView(_)
        | Message::Status(_)
        | Message::Fetch(_)
        | Message::Requests(_)
        | Message::Batch(..)
        | Message::Decided(_)
        | Message::Stable(_) => None,
    }
}

/// Judges one state of the world. `quorum` is how many commits decide, and `corrupted` how many of them may come from
/// members that are not honest.
pub(super) fn judge(honest: &[(ReplicaId, &Facts)], quorum: usize, corrupted: usize) -> Result<(), String> {
    for (index, (one, facts)) in honest.iter().enumerate() {
        for (other, others) in &honest[index + 1..] {
            let differ = facts.delivered.iter().zip(&others.delivered).position(|(a, b)| a != b);
            if let Some(place) = differ {
                return Err(format!("replicas {one} and {other} delivered different batches at {}", place + 1));
            }
        }
    }
    for (one, facts) in honest {
        for (view, sequence, digest) in &facts.commits {
            let by = honest.iter().filter(|(_, facts)| facts.commits.contains(&(*view, *sequence, *digest))).count();
            let committed = by + corrupted >= quorum;
            for (other, others) in honest {
                let against = others.commits.iter().find(|(later, at, what)| {
                    at == sequence && what != digest && (later == view || (committed && later > view))
                });
                if let Some((later, ..)) = against {
                    return Err(format!(
                        "replica {one} committed to one batch at {sequence} in view {view}{}, and replica {other} to \
                         another in view {later}",
                        if committed { ", as a quorum did" } else { "" }
                    ));
                }
            }
        }
    }
    Ok(())
}
