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
//!
//! Twins (one key, two honest replicas) are not among them: nobody lies there, and the world starts the second replica.
//!
//! # What a file says
//!
//! Each begins with the same headings: *Paper or hazard*, *Power*, *Goal*, *Strategy*, *Defences* (rules of
//! [`bezant_pbft`]), *What the model leaves out*. Hazards are numbered as in [`Kind::hazards`]. All are bounded in
//! memory and in what they say in a tick: they are to strain the replicas and not the simulator.

mod amnesia;
pub mod byzzfuzz;
mod censoring;
pub mod client;
mod corrupted;
mod equivocating_new_view;
mod equivocating_primary;
mod equivocating_voter;
mod fetch_flood;
pub(crate) mod forge;
mod forged_certificates;
mod junk;
mod kind;
mod lying_answers;
mod lying_checkpoints;
mod notes;
mod poisoned_transfer;
mod replaying;
mod silent;
mod slow;
mod stale_certificates;
#[cfg(test)]
mod tests;
mod view_change_storm;
mod watermark_exhaustion;

use bezant_ledger::transfer::Piece;
use bezant_pbft::message::Reply;
use bezant_pbft::packet::{Message, Packet};
use bezant_types::{ReplicaId, Request};

pub use self::amnesia::Amnesia;
pub use self::byzzfuzz::ByzzFuzz;
pub use self::censoring::Censoring;
pub(crate) use self::corrupted::signer;
pub use self::corrupted::{Corrupted, Deed};
pub use self::equivocating_new_view::EquivocatingNewView;
pub use self::equivocating_primary::EquivocatingPrimary;
pub use self::equivocating_voter::EquivocatingVoter;
pub use self::fetch_flood::FetchFlood;
pub use self::forged_certificates::ForgedCertificates;
pub use self::junk::Junk;
pub use self::kind::{Kind, UnknownKind, all, names};
pub use self::lying_answers::LyingAnswers;
pub use self::lying_checkpoints::LyingCheckpoints;
pub use self::poisoned_transfer::PoisonedTransfer;
pub use self::replaying::Replaying;
pub use self::silent::Silent;
pub use self::slow::Slow;
pub use self::stale_certificates::StaleCertificates;
pub use self::view_change_storm::ViewChangeStorm;
pub use self::watermark_exhaustion::WatermarkExhaustion;

/// Whether the honest replica inside gets to hear something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    /// It does.
    Passes,
    /// It does not.
    Dropped,
}

/// How often [`Adversary::on_tick`] is called, in milliseconds.
pub const TICK_MS: u64 = 100;

/// A way to lie.
pub trait Adversary: Send {
    /// The honest replica inside wants to say `message` to `to`, who is somebody else. What is given back is said
    /// instead, at once; what is to be said later or to others goes through [`Corrupted::tell_later`]. A message that
    /// goes to all comes here once for each of them.
    fn on_saying(&mut self, me: &mut Corrupted, to: ReplicaId, message: &Message) -> Vec<Packet>;

    /// A message has arrived from another member, its signatures checked.
    fn on_hearing(&mut self, me: &mut Corrupted, from: ReplicaId, message: &Message) -> Hearing {
        let _ = (me, from, message);
        Hearing::Passes
    }

    /// A client has sent a request, which is authentic.
    fn on_request(&mut self, me: &mut Corrupted, request: &Request) -> Hearing {
        let _ = (me, request);
        Hearing::Passes
    }

    /// The honest replica inside tells a client what its request came to. What is given back is signed and sent
    /// instead.
    fn on_answering(&mut self, me: &mut Corrupted, reply: Reply) -> Vec<Reply> {
        let _ = me;
        vec![reply]
    }

    /// The honest replica inside serves a piece of state, or says that it does not have it. What is given back is
    /// served instead.
    fn on_serving(&mut self, me: &mut Corrupted, to: ReplicaId, piece: Piece) -> Vec<Piece> {
        let _ = (me, to);
        vec![piece]
    }

    /// [`TICK_MS`] have passed.
    fn on_tick(&mut self, me: &mut Corrupted) {
        let _ = me;
    }
}

/// Says what it was to say.
fn honestly(message: &Message) -> Vec<Packet> {
    vec![message.to_packet()]
}
