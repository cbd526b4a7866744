//! Members that lie. Each runs the real replica and twists what it says, with its own key only.

use bezant_pbft::message::{Batch, Checkpoint, Commit, NewView, PrePrepare, Prepare, ViewChange};
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Digest, Timestamp, View};

use crate::network::{Dice, Members};
use crate::oracle::statement;

/// How a traitor lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Traitor {
    /// It hears everything and says nothing.
    Silent,
    /// As primary it proposes one batch to some and another to others.
    TwoFacedPrimary,
    /// It votes for whatever each one wants to hear, and for things that nobody proposed.
    TwoFacedVoter,
    /// Its view changes forget, exaggerate or lie; its new views are wrong in every way.
    ForgetfulViewChanger,
    /// It vouches for states that never were, near and far.
    CheckpointLiar,
    /// It repeats what it heard from others, out of season.
    Parrot,
    /// It means no harm, but its execution is broken. Not part of the campaigns: it halts.
    Diverged,
}

pub(crate) const TRAITORS: [Traitor; 6] = [
    Traitor::Silent,
    Traitor::TwoFacedPrimary,
    Traitor::TwoFacedVoter,
    Traitor::ForgetfulViewChanger,
    Traitor::CheckpointLiar,
    Traitor::Parrot,
];

fn bogus(dice: &mut Dice) -> Digest {
    Digest::of("test/bogus", &dice.below(4))
}

impl Traitor {
    /// What really goes to `to` instead of `message`.
    pub(crate) fn twist(self, members: &Members, dice: &mut Dice, me: u16, to: u16, message: &Message) -> Vec<Packet> {
        let honest = message.to_packet();
        // It has no key but its own: what others signed it can only pass on.
        if statement(&honest).is_some_and(|(signer, _)| signer != me) {
            return vec![honest];
        }
        match (self, &honest) {
            (Self::Silent, _) => vec![],
            (Self::TwoFacedPrimary, Packet::PrePrepare(signed, Some(batch))) if to % 2 == 1 => {
                let Some(other) = redated(batch) else { return vec![honest] };
                let PrePrepare { view, sequence, .. } = signed.message;
                let twin = members.pre_prepare_by(me, view.get(), sequence.get(), other.digest(), Some(other));
                if dice.chance(20) { vec![honest, twin] } else { vec![twin] }
            }
            (Self::TwoFacedVoter, Packet::Prepare(signed)) => {
                let Prepare { view, sequence, .. } = signed.message;
                let lie = members.prepare(me, view.get(), sequence.get(), bogus(dice));
                let early = members.commit(me, view.get(), sequence.get(), bogus(dice));
                pick(dice, [vec![lie.clone(), honest.clone()], vec![honest, lie], vec![early], vec![]])
            }
            (Self::TwoFacedVoter, Packet::Commit(signed)) => {
                let Commit { view, sequence, .. } = signed.message;
                let lie = members.commit(me, view.get(), sequence.get(), bogus(dice));
                let next = members.commit(me, view.get() + dice.below(3), sequence.get() + dice.below(9), bogus(dice));
                pick(dice, [vec![lie.clone(), honest.clone()], vec![honest, lie], vec![next], vec![]])
            }
            (Self::ForgetfulViewChanger, Packet::ViewChange(signed)) => {
                let ViewChange { view, checkpoint, prepared } = signed.message.clone();
                let forget = Packet::ViewChange(members.view_change(me, view.get(), checkpoint.clone(), vec![]));
                let stale = Packet::ViewChange(members.view_change(me, view.get(), None, vec![]));
                let far =
                    Packet::ViewChange(members.view_change(me, view.get() + 1_000_000, checkpoint.clone(), vec![]));
                let mut forged = prepared.clone();
                for proof in &mut forged {
                    proof.view = View::new(view.get() - 1);
                    proof.digest = bogus(dice);
                }
                let forged = Packet::ViewChange(members.view_change(me, view.get(), checkpoint, forged));
                pick(dice, [vec![forget], vec![stale], vec![far, honest.clone()], vec![forged], vec![honest]])
            }
            (Self::ForgetfulViewChanger, Packet::NewView(signed)) => {
                let NewView { view, view_changes, proposals } = signed.message.clone();
                let mut nulls = proposals.clone();
                nulls.fill(Batch::Null.digest());
                let nothing = members.new_view(view.get(), view_changes.clone(), vec![]);
                let nulls = members.new_view(view.get(), view_changes.clone(), nulls);
                let twice = members.new_view(view.get(), vec![view_changes[0].clone(); view_changes.len()], proposals);
                pick(dice, [vec![nothing], vec![nulls], vec![twice], vec![honest.clone()], vec![]])
            }
            (Self::CheckpointLiar, Packet::Checkpoint(signed)) => {
                let Checkpoint { sequence, .. } = signed.message;
                let lie = members.checkpoint(me, sequence.get(), bogus(dice));
                let near = members.checkpoint(me, sequence.get() + 4, bogus(dice));
                let far = members.checkpoint(me, 1 << 60, bogus(dice));
                pick(dice, [vec![lie.clone(), honest.clone()], vec![honest, lie], vec![near], vec![far]])
            }
            (_, _) => vec![honest],
        }
    }

    /// What it says about something that it heard.
    pub(crate) fn on_hearing(self, dice: &mut Dice, packet: &Packet) -> Option<Packet> {
        let repeats = self == Self::Parrot && dice.chance(30);
        repeats.then(|| packet.clone())
    }
}

fn pick<const N: usize>(dice: &mut Dice, choices: [Vec<Packet>; N]) -> Vec<Packet> {
    let index = dice.below(N as u64) as usize;
    choices.into_iter().nth(index).expect("an index below the number of choices")
}

/// The same requests under another time: another batch.
fn redated(batch: &Batch) -> Option<Batch> {
    let later = |timestamp: Timestamp| Timestamp::new(timestamp.get() + 1);
    match batch {
        Batch::Null => None,
        Batch::Seal { timestamp } => Some(Batch::Seal { timestamp: later(*timestamp) }),
        Batch::Requests { timestamp, requests } => {
            Some(Batch::Requests { timestamp: later(*timestamp), requests: requests.clone() })
        }
    }
}
