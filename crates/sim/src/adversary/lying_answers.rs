//! Tells clients that their requests came to something else.
//!
//! *Paper or hazard* — Castro and Liskov 1999, section 4.1 (why a client waits for f + 1 equal replies); hazards 77,
//! 78, 88.
//!
//! *Power* — one member.
//!
//! *Goal* — that a client believes something that was not executed, or never believes anything.
//!
//! *Strategy* — its replies name another outcome, another request, another view; it repeats a lie, follows it with the
//! truth, or says nothing. All traitors of this kind tell the same lie about a request, so that they add up.
//!
//! *Defences* — rule P-7: f + 1 equal replies of distinct replicas, of each the first.
//!
//! *What the model leaves out* — replies to requests that the client has not sent.

use bezant_pbft::message::Reply;
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Outcome, ReplicaId, View};

use super::{Adversary, Corrupted, honestly};

/// See the module's head.
#[derive(Clone, Copy, Debug)]
pub struct LyingAnswers;

impl LyingAnswers {
    /// One that has not lied yet.
    pub const fn new() -> Self {
        Self
    }
}

impl Default for LyingAnswers {
    fn default() -> Self {
        Self::new()
    }
}

/// What a request did not come to: the same for everybody who lies about it.
fn untruth(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Executed(receipts) if !receipts.is_empty() => Outcome::Executed(vec![]),
        Outcome::Executed(_) | Outcome::NumberReused | Outcome::NotKept { .. } => Outcome::Expired,
        Outcome::Expired => Outcome::NumberReused,
    }
}

impl Adversary for LyingAnswers {
    fn on_saying(&mut self, _: &mut Corrupted, _: ReplicaId, message: &Message) -> Vec<Packet> {
        honestly(message)
    }

    fn on_answering(&mut self, me: &mut Corrupted, reply: Reply) -> Vec<Reply> {
        let lie = Reply { outcome: untruth(&reply.outcome), ..reply.clone() };
        match me.dice.below(5) {
            0 => vec![lie],
            1 => vec![lie.clone(), lie.clone(), lie],
            2 => vec![lie, reply],
            3 => vec![Reply { number: reply.number.next(), ..lie }, Reply { view: View::MAX, ..reply }],
            _ => vec![],
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::tests::{Stage, reply};
    use super::*;

    #[test]
    fn it_gives_a_client_another_outcome_and_always_the_same() {
        let stage = Stage::new(4);
        let mut outcomes = BTreeSet::new();
        for id in 1..3 {
            let mut me = stage.traitor(id, &[]);
            for _ in 0..32 {
                let told = LyingAnswers::new().on_answering(&mut me, reply());
                outcomes.extend(told.into_iter().map(|reply| reply.outcome.digest()));
            }
        }
        assert_eq!(outcomes.len(), 2, "the truth and one lie");
    }
}
