//! As primary proposes two batches for one slot.
//!
//! *Paper or hazard* — the attack that the prepare phase is for (Castro and Liskov 1999, section 4.2); Bano et al.,
//! *Twins*, OPODIS 2021; hazards 1, 3, 10, 48.
//!
//! *Power* — the primary; stronger with colluders, whose keys it uses.
//!
//! *Goal* — that two honest members commit different batches at one place.
//!
//! *Strategy* — some hear of one batch and the others of another, which is just as acceptable: dated a millisecond
//! later, in another order, or with a request less. How the others are chosen changes with the view: one half, one
//! alone, or everybody with both in either order. Each side also gets the prepares and commits that the colluders'
//! keys can sign, for its own batch, so that it needs as few honest votes as can be.
//!
//! *Defences* — any two quorums share an honest member (rules P-4 and P-5), which accepts one batch for a slot (P-2);
//! evidence and a view change when both batches meet. With more than f colluders the attack succeeds, as it must, and
//! leaves `f + 1` of them convictable.
//!
//! *What the model leaves out* — it does not learn which halves work best.

use std::collections::{BTreeMap, BTreeSet};

use bezant_pbft::message::{Batch, Commit, PrePrepare, Prepare};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Digest, ReplicaId, SequenceNumber, View};

use super::forge::{redated, reversed, shortened};
use super::{Adversary, Corrupted, honestly};

/// How many slots it remembers to have split.
const MEMORY: usize = 512;

/// Who hears what in a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Halves,
    Loner,
    Everybody,
}

/// Two batches for one slot.
#[derive(Clone, Debug)]
struct Split {
    ours: Digest,
    twin: Batch,
    /// Who hears of the twin.
    others: BTreeSet<ReplicaId>,
}

/// See the module's head.
#[derive(Clone, Debug)]
pub struct EquivocatingPrimary {
    style: Option<(View, Style)>,
    splits: BTreeMap<(View, SequenceNumber), Split>,
}

impl EquivocatingPrimary {
    /// One that has not lied yet.
    pub fn new() -> Self {
        Self { style: None, splits: BTreeMap::new() }
    }

    fn style(&mut self, me: &mut Corrupted, view: View) -> Style {
        if let Some((known, style)) = self.style
            && known == view
        {
            return style;
        }
        let style = *me.dice.pick(&[Style::Halves, Style::Loner, Style::Everybody]).unwrap_or(&Style::Halves);
        self.style = Some((view, style));
        style
    }

    /// The two batches of a slot: the same for everybody who asks, however often.
    fn split(&mut self, me: &mut Corrupted, vote: PrePrepare, batch: &Batch) -> Option<&Split> {
        let key = (vote.view, vote.sequence);
        if !self.splits.contains_key(&key) {
            let style = self.style(me, vote.view);
            let twins: Vec<_> = [redated(batch), reversed(batch), shortened(batch)].into_iter().flatten().collect();
            let twin = me.dice.pick(&twins)?.clone();
            let honest = me.honest();
            let first = usize::try_from(me.dice.below(honest.len() as u64)).unwrap_or(0);
            let count = if style == Style::Loner { 1 } else { honest.len() / 2 };
            let others = honest.iter().cycle().skip(first).take(count).copied().collect();
            self.splits.insert(key, Split { ours: vote.digest, twin, others });
            if self.splits.len() > MEMORY {
                self.splits.pop_first();
            }
        }
        self.splits.get(&key)
    }
}

impl Default for EquivocatingPrimary {
    fn default() -> Self {
        Self::new()
    }
}

impl Adversary for EquivocatingPrimary {
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet> {
        if !me.signed(message) || me.is(to) {
            return honestly(message);
        }
        if let Message::PrePrepare(vote, Some(batch)) = message {
            let PrePrepare { view, sequence, .. } = *vote.message();
            let Some(split) = self.split(me, *vote.message(), batch).cloned() else { return honestly(message) };
            let Split { ours, twin, others } = split;
            let hears_twin = others.contains(&to);
            let theirs = PrePrepare { view, sequence, digest: twin.digest() };
            let lie = Packet::PrePrepare(me.sign(theirs), Some(twin));
            let digest = if hears_twin { theirs.digest } else { ours };
            let mut said = match (self.style(me, view), hears_twin) {
                (Style::Everybody, true) => vec![lie, message.to_packet()],
                (Style::Everybody, false) => vec![message.to_packet(), lie],
                (Style::Halves | Style::Loner, true) => vec![lie],
                (Style::Halves | Style::Loner, false) => honestly(message),
            };
            for accomplice in me.held() {
                let prepare = Prepare { view, sequence, digest };
                let commit = Commit { view, sequence, digest };
                if accomplice != me.id() {
                    said.extend(me.sign_as(accomplice, prepare).map(Packet::Prepare));
                }
                said.extend(me.sign_as(accomplice, commit).map(Packet::Commit));
            }
            return said;
        }
        if let Message::Commit(vote) = message {
            let Commit { view, sequence, .. } = *vote.message();
            let split = self.splits.get(&(view, sequence)).filter(|split| split.others.contains(&to));
            if let Some(split) = split {
                return vec![Packet::Commit(me.sign(Commit { view, sequence, digest: split.twin.digest() }))];
            }
        }
        honestly(message)
    }
}

#[cfg(test)]
mod tests {
    use bezant_pbft::certificate::Endorsed;

    use super::super::tests::Stage;
    use super::*;

    /// What each of the others was told about slot 1 of view 0.
    fn told(me: &mut Corrupted, stage: &Stage) -> BTreeMap<ReplicaId, Vec<Message>> {
        let mut liar = EquivocatingPrimary::new();
        let proposal = stage.pre_prepare(0, 0, 1);
        let mut say = |to| liar.on_saying(me, to, &proposal).iter().map(|one| stage.receive(one).unwrap()).collect();
        (1..4).map(ReplicaId::new).map(|to| (to, say(to))).collect::<Vec<_>>().into_iter().collect()
    }

    #[test]
    fn it_signs_two_acceptable_batches_for_one_slot_and_commits_to_both() {
        let stage = Stage::new(4);
        let told = told(&mut stage.traitor(0, &[]), &stage);
        let mut digests = BTreeSet::new();
        for message in told.values().flatten() {
            if let Message::PrePrepare(vote, Some(batch)) = message {
                assert_eq!(batch.digest(), vote.message().digest);
                assert_eq!((vote.signer(), vote.message().sequence.get()), (ReplicaId::new(0), 1));
                digests.insert(batch.digest());
            }
        }
        assert_eq!(digests.len(), 2);
    }

    /// With f + 1 colluders among four, both sides can be given a commit certificate's worth of votes less one.
    #[test]
    fn its_colluders_vote_for_both_sides() {
        let stage = Stage::new(4);
        let told = told(&mut stage.traitor(0, &[1]), &stage);
        let committee = stage.genesis().committee();
        let mut committed = BTreeSet::new();
        for (to, messages) in &told {
            let mut votes: BTreeMap<Commit, Vec<_>> = BTreeMap::new();
            for message in messages {
                if let Message::Commit(vote) = message {
                    votes.entry(*vote.message()).or_default().push((vote.signer(), vote.signature()));
                }
            }
            for (vote, signatures) in votes {
                assert_eq!(signatures.len() + 1, committee.quorum(), "to {to}");
                let endorsed = Endorsed { vote, signatures };
                bezant_types::signed::verify_all(&endorsed.vote, &endorsed.signatures, stage.keyring()).unwrap();
                committed.insert(vote.digest);
            }
        }
        assert_eq!(committed.len(), 2);
    }
}
