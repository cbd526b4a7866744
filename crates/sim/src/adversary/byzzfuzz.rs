//! Changes very little of what is said in a few protocol rounds.
//!
//! *Paper or hazard* — Winter, Buse, de Graaf, von Gleissenthall and Kulahcioglu Ozkan, *Randomized Testing of
//! Byzantine Fault Tolerant Algorithms*, OOPSLA 2023; hazards 1, 3, 8, 16, 29, 36.
//!
//! *Power* — one member. Its own key.
//!
//! *Goal* — the bugs that lie near honest behaviour: a message that is nearly right is not refused at the first check.
//!
//! *Strategy* — a **round** is a phase of a slot of a view, numbered in the order in which a member comes to it, by
//! saying or hearing. A **process fault** names a round, receivers, and a mutation: the view or the sequence number
//! changed by one, the digest exchanged for another that was seen, or silence. All that the member says in that round
//! to those receivers is changed in the same way. A **network fault** names a round and a partition, which is the
//! world's to keep: [`Plan`] draws both, [`Rounds`] counts for both.
//!
//! *Defences* — all of them a little.
//!
//! *What the model leaves out* — the paper counts replies as a round and changes them too; here clients are lied to by
//! [`LyingAnswers`](super::LyingAnswers). Checkpoints are left as they are, as in the paper.

use std::collections::{BTreeMap, BTreeSet};

use bezant_pbft::message::{Batch, Commit, NewView, PrePrepare, Prepare, ViewChange};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Committee, Digest, ReplicaId, SequenceNumber, View};

use super::forge::{redated, shortened};
use super::notes::{Notes, view_of};
use super::{Adversary, Corrupted, Hearing, honestly};
use crate::dice::Dice;

/// How many rounds are told apart: those that lie further back belong to the current one, as in the paper.
const MEMORY: usize = 1024;

/// A protocol round, by its number: the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(pub u64);

/// What is said in a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    ViewChange,
    NewView,
    PrePrepare,
    Prepare,
    Commit,
}

/// Counts the rounds of one member.
#[derive(Clone, Debug, Default)]
pub struct Rounds {
    known: BTreeMap<(View, SequenceNumber, Phase), Round>,
    last: u64,
}

impl Rounds {
    /// Before the first round.
    pub fn new() -> Self {
        Self::default()
    }

    /// The round that a message belongs to, whether the member says or hears it. `None` for what belongs to none:
    /// checkpoints and help.
    pub fn of(&mut self, message: &Message) -> Option<Round> {
        let (phase, sequence) = match message {
            Message::ViewChange(_) => (Phase::ViewChange, SequenceNumber::ZERO),
            Message::NewView(_) => (Phase::NewView, SequenceNumber::ZERO),
            Message::PrePrepare(vote, _) => (Phase::PrePrepare, vote.message().sequence),
            Message::Prepare(vote) => (Phase::Prepare, vote.message().sequence),
            Message::Commit(vote) => (Phase::Commit, vote.message().sequence),
            Message::Checkpoint(_)
            | Message::Status(_)
            | Message::Fetch(_)
            | Message::Requests(_)
            | Message::Batch(..)
            | Message::Decided(_)
            | Message::Stable(_) => return None,
        };
        let key = (view_of(message)?, sequence, phase);
        if let Some(known) = self.known.get(&key) {
            return Some(*known);
        }
        let forgotten =
            self.known.len() == MEMORY && self.known.first_key_value().is_some_and(|(first, _)| key < *first);
        if forgotten {
            return Some(Round(self.last));
        }
        self.last += 1;
        self.known.insert(key, Round(self.last));
        if self.known.len() > MEMORY {
            self.known.pop_first();
        }
        Some(Round(self.last))
    }

    /// The last round that the member has come to.
    pub fn current(&self) -> Round {
        Round(self.last)
    }
}

/// A small change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mutation {
    /// The next view.
    ViewUp,
    /// The view before.
    ViewDown,
    /// The next sequence number. Of a view change: the checkpoint's.
    SequenceUp,
    /// The sequence number before.
    SequenceDown,
    /// Another digest that was seen. Of a proposal: nearly the same batch. Of a view change: of what prepared.
    Digest,
    /// Nothing is said.
    Omission,
}

/// All of them.
pub const MUTATIONS: [Mutation; 6] = [
    Mutation::ViewUp,
    Mutation::ViewDown,
    Mutation::SequenceUp,
    Mutation::SequenceDown,
    Mutation::Digest,
    Mutation::Omission,
];

/// What a corrupted member does in one round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessFault {
    /// When.
    pub round: Round,
    /// To whom.
    pub receivers: BTreeSet<ReplicaId>,
    /// What.
    pub mutation: Mutation,
}

/// What the network does in one round: what is said across its parts in it is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkFault {
    /// When, by the sender's count.
    pub round: Round,
    /// Each member is in one of these.
    pub parts: Vec<BTreeSet<ReplicaId>>,
}

impl NetworkFault {
    /// Whether what `from` says in this round to `to` is lost.
    pub fn cuts(&self, round: Round, from: ReplicaId, to: ReplicaId) -> bool {
        self.round == round && !self.parts.iter().any(|part| part.contains(&from) && part.contains(&to))
    }
}

/// One test of the method: which member is corrupted, and what goes wrong when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The corrupted member.
    pub corrupted: ReplicaId,
    /// What it does.
    pub process: Vec<ProcessFault>,
    /// What the network does.
    pub network: Vec<NetworkFault>,
}

impl Plan {
    /// A plan with so many faults of either kind among the first `rounds` rounds: the paper's parameters r, c and d.
    pub fn drawn(dice: &mut Dice, committee: Committee, rounds: u64, process: usize, network: usize) -> Self {
        let members: Vec<_> = committee.members().collect();
        let corrupted = dice.pick(&members).copied().unwrap_or(ReplicaId::new(0));
        let process = process_faults(dice, committee.members().filter(|one| *one != corrupted), rounds, process);
        let network = choose(dice, rounds, network)
            .into_iter()
            .map(|round| NetworkFault { round, parts: partition(dice, &members) })
            .collect();
        Self { corrupted, process, network }
    }
}

/// Different rounds among the first so many.
fn choose(dice: &mut Dice, rounds: u64, count: usize) -> BTreeSet<Round> {
    let count = count.min(usize::try_from(rounds).unwrap_or(usize::MAX));
    let mut chosen = BTreeSet::new();
    while chosen.len() < count {
        chosen.insert(Round(dice.between(1, rounds)));
    }
    chosen
}

fn process_faults(
    dice: &mut Dice,
    others: impl Iterator<Item = ReplicaId> + Clone,
    rounds: u64,
    count: usize,
) -> Vec<ProcessFault> {
    let rounds = choose(dice, rounds, count);
    let fault = |round| {
        let receivers = others.clone().filter(|_| dice.permille(500)).collect();
        let mutation = *dice.pick(&MUTATIONS).unwrap_or(&Mutation::Omission);
        ProcessFault { round, receivers, mutation }
    };
    rounds.into_iter().map(fault).collect()
}

/// Every member into one of two to four parts, at least two of them with somebody in it.
fn partition(dice: &mut Dice, members: &[ReplicaId]) -> Vec<BTreeSet<ReplicaId>> {
    let count = dice.between(2, 4);
    loop {
        let mut parts: BTreeMap<u64, BTreeSet<ReplicaId>> = BTreeMap::new();
        for member in members {
            parts.entry(dice.below(count)).or_default().insert(*member);
        }
        if parts.len() > 1 {
            return parts.into_values().collect();
        }
    }
}

/// See the module's head.
#[derive(Clone, Debug)]
pub struct ByzzFuzz {
    faults: Faults,
    rounds: Rounds,
    notes: Notes,
}

#[derive(Clone, Debug)]
enum Faults {
    Known(Vec<ProcessFault>),
    /// Drawn when the member first speaks, for it does not know the group before.
    Drawn {
        seed: u64,
        rounds: u64,
        count: usize,
    },
}

impl ByzzFuzz {
    /// With exactly these faults.
    pub fn new(faults: Vec<ProcessFault>) -> Self {
        Self { faults: Faults::Known(faults), rounds: Rounds::new(), notes: Notes::new() }
    }

    /// With so many faults among the first `rounds` rounds, whichever the dice say.
    pub fn drawn(dice: &mut Dice, rounds: u64, count: usize) -> Self {
        Self { faults: Faults::Drawn { seed: dice.any(), rounds, count }, rounds: Rounds::new(), notes: Notes::new() }
    }

    fn mutation(&mut self, me: &Corrupted, round: Round, to: ReplicaId) -> Option<Mutation> {
        if let Faults::Drawn { seed, rounds, count } = self.faults {
            let others = me.genesis().committee().members().filter(|one| *one != me.id());
            self.faults = Faults::Known(process_faults(&mut Dice::new(seed), others, rounds, count));
        }
        let Faults::Known(faults) = &self.faults else { return None };
        let fault = faults.iter().find(|fault| fault.round == round && fault.receivers.contains(&to))?;
        Some(fault.mutation)
    }

    /// Another digest than this, that was seen.
    fn other(&self, me: &mut Corrupted, digest: Digest) -> Digest {
        self.notes.other_digest(me, digest)
    }
}

impl Adversary for ByzzFuzz {
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet> {
        self.notes.said(me, message);
        let round = self.rounds.of(message);
        if !me.signed(message) {
            return honestly(message);
        }
        let Some(mutation) = round.and_then(|round| self.mutation(me, round, to)) else { return honestly(message) };
        if mutation == Mutation::Omission {
            return vec![];
        }
        if let Message::PrePrepare(vote, batch) = message {
            let PrePrepare { view, sequence, digest } = *vote.message();
            let (view, sequence) = (moved_view(mutation, view), moved_sequence(mutation, sequence));
            let nearly = batch.as_ref().filter(|_| mutation == Mutation::Digest).and_then(nearly_same);
            let digest = nearly.as_ref().map_or(digest, Batch::digest);
            let batch = nearly.or_else(|| batch.clone());
            return vec![Packet::PrePrepare(me.sign(PrePrepare { view, sequence, digest }), batch)];
        }
        if let Message::Prepare(vote) = message {
            let Prepare { view, sequence, digest } = *vote.message();
            let (view, sequence) = (moved_view(mutation, view), moved_sequence(mutation, sequence));
            let digest = if mutation == Mutation::Digest { self.other(me, digest) } else { digest };
            return vec![Packet::Prepare(me.sign(Prepare { view, sequence, digest }))];
        }
        if let Message::Commit(vote) = message {
            let Commit { view, sequence, digest } = *vote.message();
            let (view, sequence) = (moved_view(mutation, view), moved_sequence(mutation, sequence));
            let digest = if mutation == Mutation::Digest { self.other(me, digest) } else { digest };
            return vec![Packet::Commit(me.sign(Commit { view, sequence, digest }))];
        }
        if let Message::ViewChange(change) = message {
            let mut change =
                ViewChange { view: moved_view(mutation, change.message().view), ..change.message().clone() };
            if let Some(endorsed) = &mut change.checkpoint {
                endorsed.vote.sequence = moved_sequence(mutation, endorsed.vote.sequence);
            }
            if let Some(proof) = change.prepared.first_mut().filter(|_| mutation == Mutation::Digest) {
                proof.digest = self.other(me, proof.digest);
            }
            return vec![Packet::ViewChange(me.sign(change))];
        }
        if let Message::NewView(opening) = message {
            let NewView { view, view_changes, mut proposals } = opening.message().clone();
            if let Some(first) = proposals.first_mut().filter(|_| mutation == Mutation::Digest) {
                *first = self.other(me, *first);
            }
            match mutation {
                // A place more or less: the list begins one place earlier or later.
                Mutation::SequenceUp => proposals.insert(0, Batch::Null.digest()),
                Mutation::SequenceDown => drop((!proposals.is_empty()).then(|| proposals.remove(0))),
                Mutation::ViewUp | Mutation::ViewDown | Mutation::Digest | Mutation::Omission => {}
            }
            let view = moved_view(mutation, view);
            return vec![Packet::NewView(me.sign(NewView { view, view_changes, proposals }))];
        }
        honestly(message)
    }

    fn on_hearing(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Hearing {
        self.notes.heard(message);
        self.rounds.of(message);
        Hearing::Passes
    }
}

fn nearly_same(batch: &Batch) -> Option<Batch> {
    shortened(batch).or_else(|| redated(batch))
}

fn moved_view(mutation: Mutation, view: View) -> View {
    match mutation {
        Mutation::ViewUp => view.next(),
        Mutation::ViewDown => view.saturating_sub(1),
        Mutation::SequenceUp | Mutation::SequenceDown | Mutation::Digest | Mutation::Omission => view,
    }
}

fn moved_sequence(mutation: Mutation, sequence: SequenceNumber) -> SequenceNumber {
    match mutation {
        Mutation::SequenceUp => sequence.next(),
        Mutation::SequenceDown => sequence.saturating_sub(1),
        Mutation::ViewUp | Mutation::ViewDown | Mutation::Digest | Mutation::Omission => sequence,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::tests::Stage;
    use super::*;

    /// The proposal of the first primary.
    pub(crate) fn proposal() -> Message {
        Stage::new(4).pre_prepare(0, 0, 1)
    }

    fn fault(round: u64, receivers: &[u16], mutation: Mutation) -> ProcessFault {
        let receivers = receivers.iter().copied().map(ReplicaId::new).collect();
        ProcessFault { round: Round(round), receivers, mutation }
    }

    #[test]
    fn rounds_are_numbered_in_the_order_in_which_a_member_comes_to_them() {
        let stage = Stage::new(4);
        let mut rounds = Rounds::new();
        assert_eq!(rounds.of(&stage.pre_prepare(0, 0, 1)), Some(Round(1)));
        assert_eq!(rounds.of(&stage.prepare(1, 0, 1)), Some(Round(2)));
        assert_eq!(rounds.of(&stage.prepare(2, 0, 1)), Some(Round(2)));
        assert_eq!(rounds.of(&stage.checkpoint(2, 64)), None);
        assert_eq!(rounds.of(&stage.commit(1, 0, 1)), Some(Round(3)));
        assert_eq!(rounds.of(&Message::ViewChange(stage.view_change(1, 1))), Some(Round(4)));
        assert_eq!(rounds.of(&stage.pre_prepare(0, 0, 1)), Some(Round(1)), "an old round stays what it was");
        assert_eq!(rounds.current(), Round(4));
    }

    #[test]
    fn only_the_chosen_receivers_of_the_chosen_round_hear_something_else() {
        let stage = Stage::new(4);
        for mutation in MUTATIONS {
            let mut me = stage.traitor(1, &[]);
            let mut fuzz = ByzzFuzz::new(vec![fault(2, &[0, 3], mutation)]);
            fuzz.on_hearing(&mut me, ReplicaId::new(0), &stage.pre_prepare(0, 0, 5));
            let (prepare, commit) = (stage.prepare(1, 0, 5), stage.commit(1, 0, 5));
            let say = |fuzz: &mut ByzzFuzz, me: &mut Corrupted, to, message: &Message| {
                fuzz.on_saying(me, ReplicaId::new(to), message)
            };
            assert_eq!(say(&mut fuzz, &mut me, 2, &prepare), honestly(&prepare));
            let said = say(&mut fuzz, &mut me, 3, &prepare);
            assert_eq!(said.len(), usize::from(mutation != Mutation::Omission));
            for packet in &said {
                let Some(Message::Prepare(vote)) = stage.receive(packet) else { panic!("{packet:?}") };
                let Prepare { view, sequence, digest } = *vote.message();
                let known = (View::ZERO, SequenceNumber::new(5), stage.batch(5).digest());
                let changed = [view != known.0, sequence != known.1, digest != known.2];
                let count = changed.iter().filter(|one| **one).count();
                assert_eq!(
                    count,
                    usize::from(mutation != Mutation::ViewDown),
                    "{mutation:?}: there is no view below 0"
                );
            }
            assert_eq!(say(&mut fuzz, &mut me, 3, &commit), honestly(&commit), "another round");
        }
    }

    #[test]
    fn a_proposal_under_another_digest_brings_the_batch_of_that_digest() {
        let stage = Stage::new(4);
        let mut me = stage.traitor(0, &[]);
        let mut fuzz = ByzzFuzz::new(vec![fault(1, &[3], Mutation::Digest)]);
        let said = fuzz.on_saying(&mut me, ReplicaId::new(3), &stage.pre_prepare(0, 0, 1));
        let Some(Message::PrePrepare(vote, Some(batch))) = stage.receive(&said[0]) else { panic!("{said:?}") };
        assert_eq!(vote.message().digest, batch.digest());
        assert_ne!(batch, stage.batch(1));
    }

    #[test]
    fn a_plan_has_as_many_faults_as_asked_for_and_cuts_across_its_parts() {
        let committee = Stage::new(7).genesis().committee();
        for seed in 0..50 {
            let plan = Plan::drawn(&mut Dice::new(seed), committee, 20, 3, 2);
            assert_eq!(plan, Plan::drawn(&mut Dice::new(seed), committee, 20, 3, 2));
            assert_eq!((plan.process.len(), plan.network.len()), (3, 2));
            assert!(plan.process.iter().all(|fault| !fault.receivers.contains(&plan.corrupted)));
            for fault in &plan.network {
                let everybody: usize = fault.parts.iter().map(BTreeSet::len).sum();
                assert_eq!(everybody, 7);
                let (one, other) = (*fault.parts[0].first().unwrap(), *fault.parts[1].first().unwrap());
                assert!(fault.cuts(fault.round, one, other) && !fault.cuts(fault.round, one, one));
                assert!(!fault.cuts(Round(0), one, other));
            }
        }
    }
}
