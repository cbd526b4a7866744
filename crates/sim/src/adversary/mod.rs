//! Members that lie, one a file.
//!
//! # The seam of evil
//!
//! A corrupted replica runs the same code as an honest one; an [`Adversary`] stands between it and the world. It
//! decides what really goes out when the honest replica inside wants to say something, what the honest replica gets to
//! hear, and what else is said, when. The same adversary plays in the simulator and, with `bezant up --traitor`, in a
//! real cluster.
//!
//! What it can sign is what the type lets it sign: [`Corrupted`] holds the keys of the corrupted members, and no
//! others. What it can delay is only what it says itself: the network keeps its own bound.

use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Digest, Genesis, Moment, ReplicaId, SecretKey, Signable, Signed, Verified};

use bezant_ledger::transfer::Piece;

use crate::dice::Dice;

/// Something that a corrupted member does of its own.
#[derive(Clone, Debug)]
pub enum Deed {
    /// Says something to one member, after so many milliseconds.
    Tell {
        /// In whose name the connection is: one of the corrupted.
        from: ReplicaId,
        /// To whom.
        to: ReplicaId,
        /// What.
        packet: Packet,
        /// When.
        after_ms: u64,
    },
    /// Ends its process and starts it again with an empty log, as if it had never spoken.
    Forget,
}

/// A corrupted member: its keys, what it may know, and what it has decided to do.
#[derive(Clone, Debug)]
pub struct Corrupted {
    id: ReplicaId,
    keys: Vec<(ReplicaId, SecretKey)>,
    genesis: Genesis,
    /// What the member's clock shows.
    pub now: Moment,
    /// Its randomness.
    pub dice: Dice,
    deeds: Vec<Deed>,
}

impl Corrupted {
    /// Member `id`, with its own key and those of the members that it colludes with.
    pub fn new(id: ReplicaId, keys: Vec<(ReplicaId, SecretKey)>, genesis: Genesis, dice: Dice) -> Self {
        Self { id, keys, genesis, now: Moment::ZERO, dice, deeds: Vec::new() }
    }

    /// Who it is.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// The network.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Whether it holds this member's key.
    pub fn is(&self, member: ReplicaId) -> bool {
        self.keys.iter().any(|(one, _)| *one == member)
    }

    /// Signs as itself.
    pub fn sign<M: Signable<Signer = ReplicaId>>(&self, message: M) -> Signed<M> {
        self.sign_as(self.id, message).expect("a member holds its own key")
    }

    /// Signs as one of the members that it colludes with, if it has that key.
    pub fn sign_as<M: Signable<Signer = ReplicaId>>(&self, member: ReplicaId, message: M) -> Option<Signed<M>> {
        let (_, key) = self.keys.iter().find(|(one, _)| *one == member)?;
        Some(Verified::sign(message, member, key, self.genesis.digest()).into_signed())
    }

    /// All other members.
    pub fn others(&self) -> Vec<ReplicaId> {
        self.genesis.committee().members().filter(|one| *one != self.id).collect()
    }

    /// Says something to one member, now.
    pub fn tell(&mut self, to: ReplicaId, packet: Packet) {
        self.tell_later(0, to, packet);
    }

    /// Says something to one member, later.
    pub fn tell_later(&mut self, after_ms: u64, to: ReplicaId, packet: Packet) {
        self.deeds.push(Deed::Tell { from: self.id, to, packet, after_ms });
    }

    /// Forgets everything that it ever said.
    pub fn forget(&mut self) {
        self.deeds.push(Deed::Forget);
    }

    /// A digest of nothing.
    pub fn bogus_digest(&mut self) -> Digest {
        Digest::of("bezant/sim/bogus", &self.dice.below(4))
    }

    /// What it has decided to do since this was last asked.
    pub fn take_deeds(&mut self) -> Vec<Deed> {
        std::mem::take(&mut self.deeds)
    }
}

/// Whether the honest replica inside gets to hear something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It does.
    Passes,
    /// It does not.
    Dropped,
}

/// A way to lie.
pub trait Adversary: Send {
    /// The honest replica inside wants to say `message` to `to`, who is somebody else. What is given back is said
    /// instead, at once; what is to be said later or to others goes through [`Corrupted::tell_later`].
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet>;

    /// A message has arrived, its signatures checked.
    fn on_hearing(&mut self, me: &mut Corrupted, from: ReplicaId, message: &Message) -> Hearing {
        let _ = (me, from, message);
        Hearing::Passes
    }

    /// The honest replica inside serves a piece of state. What is given back is served instead.
    fn on_serving(&mut self, me: &mut Corrupted, to: ReplicaId, piece: Piece) -> Vec<Piece> {
        let _ = (me, to);
        vec![piece]
    }

    /// A hundred milliseconds have passed.
    fn on_tick(&mut self, me: &mut Corrupted) {
        let _ = me;
    }
}
