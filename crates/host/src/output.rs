//! What a member wants done.

use bezant_ledger::transfer::{Piece, PieceRequest};
use bezant_pbft::Fault;
use bezant_pbft::evidence::Evidence;
use bezant_pbft::ignored::{Ignored, Source};
use bezant_pbft::packet::Message;
use bezant_types::{AccountId, ReplicaId, RequestNumber, SequenceNumber, View};

use crate::executor::Task;
use crate::saver::Save;

/// What the host is to do. In the order in which it comes; none of it is waited for.
#[derive(Clone, Debug)]
pub enum Output {
    /// Hand a message to others. It is as they will see it once they have checked it, and not yet bytes.
    Send {
        /// To whom.
        to: To,
        /// What.
        message: Message,
    },
    /// State transfer: ask a peer.
    AskPiece {
        /// Whom.
        to: ReplicaId,
        /// For what.
        request: PieceRequest,
    },
    /// State transfer: answer a peer.
    Piece {
        /// Whom.
        to: ReplicaId,
        /// What it asked for.
        piece: Piece,
    },
    /// For the executor.
    Execute(Task),
    /// For the saver.
    Save(Save),
    /// A client has too much waiting here. Tell it: it may try again later.
    Busy {
        /// Who.
        client: AccountId,
        /// With which request.
        number: RequestNumber,
    },
    /// A member has contradicted itself. Keep the proof.
    Accuse(ReplicaId, Evidence),
    /// A message was ignored. For whoever watches.
    Ignored(Source, Ignored),
    /// The replica has entered a view. For whoever watches.
    Entered(View),
    /// This replica's own state at this checkpoint has become stable: proofs of it can be given.
    Stable(SequenceNumber),
    /// Something happened that cannot happen while at most f members are malicious and this one works. Stop, and tell
    /// the operator. It is the last of its round.
    Halt(Fault),
}

/// To whom a message goes. What goes to oneself never leaves the member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// Every other replica.
    Others,
    /// One other replica.
    One(ReplicaId),
}
