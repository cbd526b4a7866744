//! What a member is told.

use bezant_ledger::transfer::{Piece, PieceRequest};
use bezant_pbft::packet::Message;
use bezant_types::{AccountId, ReplicaId, Request};

use crate::executor::Done;

/// What has arrived since the last time, after the door: signatures were checked, and who handed something over is who
/// the channel says it is.
#[derive(Debug, Default)]
pub struct Arrived {
    /// What executor and saver report, in their order.
    pub reports: Vec<Done>,
    /// Peers whose connections came up.
    pub connected: Vec<ReplicaId>,
    /// Requests from clients, and who handed each of them over.
    pub requests: Vec<(AccountId, Request)>,
    /// Agreement.
    pub messages: Vec<Message>,
    /// State transfer: peers' questions.
    pub piece_requests: Vec<(ReplicaId, PieceRequest)>,
    /// State transfer: peers' answers.
    pub pieces: Vec<(ReplicaId, Piece)>,
}

impl Arrived {
    /// Whether nothing has.
    pub fn is_empty(&self) -> bool {
        let Self { reports, connected, requests, messages, piece_requests, pieces } = self;
        reports.is_empty()
            && connected.is_empty()
            && requests.is_empty()
            && messages.is_empty()
            && piece_requests.is_empty()
            && pieces.is_empty()
    }
}
