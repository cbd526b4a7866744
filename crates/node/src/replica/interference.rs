//! Somebody who comes between a replica and the world. For experiments.
//!
//! How a group bears a member that lies is best seen where it lives: in real processes. So whoever starts a replica may
//! hand it an [`Interference`], which decides what really goes out when the replica wants to say something, what the
//! replica gets to hear, and what else is said. The replica inside is the honest one, and its own log says what it
//! believes that it has said.
//!
//! This crate knows no liar: those who lie live beside the simulator, which nothing here may import, and this trait is
//! how they get here. A replica without one does nothing of this.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bezant_host::To;
use bezant_ledger::transfer::{Piece, PieceRequest};
use bezant_pbft::message::Reply;
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{AccountId, ReplicaId, Request, Verified};
use bytes::Bytes;

use crate::replica::outputs::Host;
use crate::wire::{TELL, Tell};

/// A way to come between a replica and the world.
pub trait Interference: Send {
    /// The replica wants to say `message` to `to`. What is given back is said instead, at once. What goes to all others
    /// comes here once for each.
    fn on_saying(&mut self, to: ReplicaId, message: &Message) -> Vec<Packet>;

    /// A message has arrived from another member, its signatures checked.
    fn on_hearing(&mut self, from: ReplicaId, message: &Message) -> Hearing;

    /// A client has sent a request, which is authentic.
    fn on_request(&mut self, request: &Request) -> Hearing;

    /// The replica tells a client what its request came to. What is given back is signed and sent instead.
    fn on_answering(&mut self, reply: Reply) -> Vec<Reply>;

    /// The replica serves a piece of state. What is given back is served instead.
    fn on_serving(&mut self, to: ReplicaId, piece: Piece) -> Vec<Piece>;

    /// [`Self::tick_every`] has passed.
    fn on_tick(&mut self);

    /// How often [`Self::on_tick`] is called.
    fn tick_every(&self) -> Duration;

    /// What is to be done besides. Asked after each turn of the replica's loop, and after each tick.
    fn take_acts(&mut self) -> Vec<Act>;
}

/// Whether the replica gets to hear something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It does.
    Passes,
    /// It does not.
    Dropped,
}

/// Something that is done besides what the replica does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Says something to one other member.
    Tell {
        /// To whom.
        to: ReplicaId,
        /// What.
        packet: Packet,
        /// After how long.
        after: Duration,
    },
    /// Asks one other member for a piece of state.
    Ask {
        /// Whom.
        to: ReplicaId,
        /// For what.
        request: PieceRequest,
    },
    /// Ends the replica and starts it again with an empty log, as if it had never spoken. What was on its disk stays
    /// there: from then on it lives in the folder `scratch` of its home, which is emptied each time.
    Forget,
}

/// Whoever interferes, and what is still to be said.
pub(super) struct Between {
    who: Box<dyn Interference>,
    /// By when, and in the order in which it was decided. At most [`MOST_LATER`].
    later: BTreeMap<(Instant, u64), (ReplicaId, Packet)>,
    decided: u64,
    next_tick: Instant,
    memory: Memory,
}

/// Whether the replica is to remember what it said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Memory {
    Kept,
    Renounced,
}

/// What is to leave now.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    Say(ReplicaId, Packet),
    Ask(ReplicaId, PieceRequest),
}

impl Between {
    pub(super) fn new(who: Box<dyn Interference>, now: Instant) -> Self {
        let next_tick = now + who.tick_every();
        Self { who, later: BTreeMap::new(), decided: 0, next_tick, memory: Memory::Kept }
    }

    /// Whoever interferes goes on with the replica's next life; what was still to be said is not.
    pub(super) fn into_who(self) -> Box<dyn Interference> {
        self.who
    }

    /// When it has something to do although nothing arrives.
    pub(super) fn wake_at(&self) -> Instant {
        let said = self.later.first_key_value().map(|((at, _), _)| *at);
        said.map_or(self.next_tick, |at| at.min(self.next_tick))
    }

    /// What of all that the replica would hear passes.
    pub(super) fn hear(&mut self, messages: &mut Vec<(ReplicaId, Message)>) {
        messages.retain(|(from, message)| self.who.on_hearing(*from, message) == Hearing::Passes);
    }

    /// What of the clients' requests passes.
    pub(super) fn take_requests(&mut self, requests: &mut Vec<(AccountId, Request)>) {
        requests.retain(|(_, request)| self.who.on_request(request) == Hearing::Passes);
    }

    pub(super) fn serve(&mut self, to: ReplicaId, piece: Piece) -> Vec<Piece> {
        self.who.on_serving(to, piece)
    }

    /// What is to leave by now.
    fn due(&mut self, now: Instant) -> Vec<Due> {
        if self.next_tick <= now {
            self.who.on_tick();
            // From now on: ticks that a busy machine has missed are not made up for.
            self.next_tick = now + self.who.tick_every();
        }
        let mut due = Vec::new();
        for act in self.who.take_acts() {
            match act {
                Act::Tell { to, packet, after } if self.later.len() < MOST_LATER => {
                    self.decided += 1;
                    self.later.insert((now + after, self.decided), (to, packet));
                }
                Act::Tell { .. } => tracing::debug!("too much is waiting to be said, and something is not"),
                Act::Ask { to, request } => due.push(Due::Ask(to, request)),
                Act::Forget => self.memory = Memory::Renounced,
            }
        }
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let (to, packet) = entry.remove();
            due.push(Due::Say(to, packet));
        }
        due
    }
}

impl Host {
    /// What the replica wants said is said otherwise.
    pub(super) fn say_otherwise(&mut self, to: To, message: &Message) {
        let receivers = match to {
            To::One(peer) => vec![peer],
            To::Others => self.others().collect(),
        };
        for receiver in receivers {
            let Some(between) = &mut self.between else { return };
            for packet in between.who.on_saying(receiver, message) {
                self.send_packet(receiver, packet);
            }
        }
    }

    /// An answer to a client, as the executor has sealed it. It is opened again here, so that an honest replica pays
    /// nothing for this.
    pub(super) fn answer_otherwise(&mut self, client: AccountId, frame: &Bytes) {
        let Some(between) = &mut self.between else { return };
        let Ok(Tell::Reply(reply)) = TELL.open(frame, usize::MAX) else { return };
        for reply in between.who.on_answering(reply.message) {
            let signed = Verified::sign(reply, self.member.id(), &self.key, self.genesis_digest).into_signed();
            self.mesh.reply(client, Bytes::from(TELL.seal(&Tell::Reply(signed))));
        }
    }

    /// What whoever interferes does of its own.
    pub(super) fn interfere(&mut self, now: Instant) {
        let Some(between) = &mut self.between else { return };
        for due in between.due(now) {
            match due {
                Due::Say(to, packet) => self.send_packet(to, packet),
                Due::Ask(to, request) => self.ask_piece(to, request),
            }
        }
        self.mesh.flush();
    }

    /// Whether the replica is to begin anew, without its log.
    pub(super) fn is_to_forget(&self) -> bool {
        self.between.as_ref().is_some_and(|between| between.memory == Memory::Renounced)
    }
}

/// How much may wait to be said. A liar that says more strains its own process first.
const MOST_LATER: usize = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;

    /// Says what it is given, and forgets after that.
    struct Parrot(Vec<Act>);

    impl Interference for Parrot {
        fn on_saying(&mut self, _: ReplicaId, message: &Message) -> Vec<Packet> {
            vec![message.to_packet()]
        }

        fn on_hearing(&mut self, from: ReplicaId, _: &Message) -> Hearing {
            if from == ReplicaId::new(1) { Hearing::Dropped } else { Hearing::Passes }
        }

        fn on_request(&mut self, _: &Request) -> Hearing {
            Hearing::Passes
        }

        fn on_answering(&mut self, reply: Reply) -> Vec<Reply> {
            vec![reply]
        }

        fn on_serving(&mut self, _: ReplicaId, piece: Piece) -> Vec<Piece> {
            vec![piece]
        }

        fn on_tick(&mut self) {
            self.0.push(Act::Forget);
        }

        fn tick_every(&self) -> Duration {
            Duration::from_millis(100)
        }

        fn take_acts(&mut self) -> Vec<Act> {
            std::mem::take(&mut self.0)
        }
    }

    fn tell(to: u16, after_ms: u64) -> Act {
        let packet = Packet::Requests(Vec::new());
        Act::Tell { to: ReplicaId::new(to), packet, after: Duration::from_millis(after_ms) }
    }

    fn whom(due: &[Due]) -> Vec<u16> {
        let to = |due: &Due| match due {
            Due::Say(to, _) | Due::Ask(to, _) => to.get(),
        };
        due.iter().map(to).collect()
    }

    #[test]
    fn what_is_to_be_said_later_is_said_in_its_time_and_in_order() {
        let now = Instant::now();
        let at = |ms| now + Duration::from_millis(ms);
        let acts = vec![tell(3, 70), tell(1, 0), tell(2, 0), tell(4, 70)];
        let mut between = Between::new(Box::new(Parrot(acts)), now);
        assert_eq!(between.wake_at(), at(100), "the first tick");
        assert_eq!(whom(&between.due(now)), [1, 2]);
        assert_eq!(between.wake_at(), at(70));
        assert_eq!(whom(&between.due(at(69))), [0u16; 0]);
        assert_eq!(whom(&between.due(at(70))), [3, 4]);
        assert_eq!(between.memory, Memory::Kept);
        assert_eq!(whom(&between.due(at(130))), [0u16; 0]);
        assert_eq!((between.memory, between.wake_at()), (Memory::Renounced, at(230)));
    }

    #[test]
    fn what_waits_to_be_said_is_bounded() {
        let now = Instant::now();
        let acts = vec![tell(1, 1); MOST_LATER + 10];
        let mut between = Between::new(Box::new(Parrot(acts)), now);
        assert_eq!(between.due(now).len(), 0);
        assert_eq!(between.due(now + Duration::from_millis(1)).len(), MOST_LATER);
    }

    #[test]
    fn the_replica_hears_what_passes() {
        let message = || Message::Requests(Vec::new());
        let mut messages = vec![(ReplicaId::new(1), message()), (ReplicaId::new(2), message())];
        Between::new(Box::new(Parrot(Vec::new())), Instant::now()).hear(&mut messages);
        assert_eq!(messages, [(ReplicaId::new(2), message())]);
    }
}
