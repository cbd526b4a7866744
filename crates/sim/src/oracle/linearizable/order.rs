//! The order in which requests stand in the blocks that honest replicas delivered.
//!
//! It is nobody's verdict. It is a guess, and a guess of an order is checked in one pass: if each request comes before
//! all that were asked after its answer, and the copy that executes them so gives every answer that a client was told,
//! then the history is linearizable, wherever the guess came from. In a world without a mistake the guess is right. So
//! the search, which may take exponential time, is left to histories that are suspect.

use std::collections::{HashMap, HashSet};

use bezant_pbft::Block;
use bezant_types::{AccountId, RequestNumber, SequenceNumber};

use super::Call;
use super::model::Model;

/// Where each request stands first.
#[derive(Debug, Default)]
pub(super) struct Order {
    known: HashSet<SequenceNumber>,
    places: HashMap<(AccountId, RequestNumber), (SequenceNumber, usize)>,
}

impl Order {
    pub(super) fn on_delivered(&mut self, block: &Block) {
        let sequence = block.sequence();
        if !self.known.insert(sequence) {
            return;
        }
        for (index, request) in block.requests.iter().enumerate() {
            let place = self.places.entry((request.client(), request.number())).or_insert((sequence, index));
            *place = (*place).min((sequence, index));
        }
    }

    /// Whether this order explains what was told. If not, another one still may.
    pub(super) fn explains(&self, calls: &[&Call], mut model: Model) -> bool {
        let mut placed = Vec::with_capacity(calls.len());
        for call in calls {
            match self.places.get(&(call.account, call.number)) {
                Some(place) => placed.push((place, *call)),
                // It was never executed, unless somebody was told so.
                None if call.answer.is_none() => {}
                None => return false,
            }
        }
        placed.sort_by_key(|(place, _)| *place);
        let mut latest = 0;
        placed.into_iter().all(|(_, call)| {
            latest = latest.max(call.asked);
            let in_time = call.answer.as_ref().is_none_or(|(told, _)| latest < *told);
            in_time && model.execute(call.account, call.role, &call.transactions, call.told())
        })
    }
}
