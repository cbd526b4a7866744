//! What a corrupted member holds: keys, a clock, dice; and what it has decided to do.

use bezant_ledger::transfer::PieceRequest;
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{Digest, Genesis, Moment, ReplicaId, SecretKey, Signable, Signed, Verified, View};

use crate::dice::Dice;

/// Something that a corrupted member does of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Asks one member for a piece of state, now. The honest replica inside is not told of the answer.
    Ask {
        /// Whom.
        to: ReplicaId,
        /// For what.
        request: PieceRequest,
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
    /// The digest of the genesis.
    network: Digest,
    /// What the member's clock shows.
    pub now: Moment,
    /// Its randomness.
    pub dice: Dice,
    deeds: Vec<Deed>,
}

impl Corrupted {
    /// Member `id`, with its own key and those of the members that it colludes with.
    pub fn new(id: ReplicaId, keys: Vec<(ReplicaId, SecretKey)>, genesis: Genesis, dice: Dice) -> Self {
        Self { id, keys, network: genesis.digest(), genesis, now: Moment::ZERO, dice, deeds: Vec::new() }
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

    /// All whose keys it holds, itself included.
    pub fn held(&self) -> Vec<ReplicaId> {
        self.keys.iter().map(|(one, _)| *one).collect()
    }

    /// The primary of a view.
    pub fn primary(&self, view: View) -> ReplicaId {
        self.genesis.committee().primary(view)
    }

    /// Whether it would itself be the signer of this message, and not only pass it on. What proves itself has none.
    pub fn signed(&self, message: &Message) -> bool {
        signer(message) == Some(self.id)
    }

    /// Signs as itself.
    pub fn sign<M: Signable<Signer = ReplicaId>>(&self, message: M) -> Signed<M> {
        self.sign_as(self.id, message).expect("a member holds its own key")
    }

    /// Signs as one of the members that it colludes with, if it has that key.
    pub fn sign_as<M: Signable<Signer = ReplicaId>>(&self, member: ReplicaId, message: M) -> Option<Signed<M>> {
        let (_, key) = self.keys.iter().find(|(one, _)| *one == member)?;
        Some(Verified::sign(message, member, key, self.network).into_signed())
    }

    /// All other members.
    pub fn others(&self) -> Vec<ReplicaId> {
        self.genesis.committee().members().filter(|one| *one != self.id).collect()
    }

    /// All members whose keys it does not hold.
    pub fn honest(&self) -> Vec<ReplicaId> {
        self.genesis.committee().members().filter(|one| !self.is(*one)).collect()
    }

    /// Says something to one member, now.
    pub fn tell(&mut self, to: ReplicaId, packet: Packet) {
        self.tell_later(0, to, packet);
    }

    /// Says something to one member, later.
    pub fn tell_later(&mut self, after_ms: u64, to: ReplicaId, packet: Packet) {
        self.deeds.push(Deed::Tell { from: self.id, to, packet, after_ms });
    }

    /// Says something to all others, now.
    pub fn tell_others(&mut self, packet: &Packet) {
        for to in self.others() {
            self.tell(to, packet.clone());
        }
    }

    /// Asks one member for a piece of state.
    pub fn ask(&mut self, to: ReplicaId, request: PieceRequest) {
        self.deeds.push(Deed::Ask { to, request });
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

/// The replica that signed a message, if one did.
pub(crate) fn signer(message: &Message) -> Option<ReplicaId> {
    match message {
        Message::PrePrepare(vote, _) => Some(vote.signer()),
        Message::Prepare(vote) => Some(vote.signer()),
        Message::Commit(vote) => Some(vote.signer()),
        Message::Checkpoint(vote) => Some(vote.signer()),
        Message::ViewChange(message) => Some(message.signer()),
        Message::NewView(message) => Some(message.signer()),
        Message::Status(message) => Some(message.signer()),
        Message::Fetch(message) => Some(message.signer()),
        Message::Requests(_) | Message::Batch(..) | Message::Decided(_) | Message::Stable(_) => None,
    }
}
