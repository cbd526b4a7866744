//! Bounded memory: what a replica holds follows from the genesis and from what clients asked for, not from what liars
//! send.
//!
//! # Items
//!
//! * **Slots.** A slot is kept between the low water mark and a window above the last checkpoint that the replica knows
//!   to be stable. After a restart its low water mark is that of its saved state, which may be older than a checkpoint
//!   that was stable to it before: the distance is added.
//! * **Blocks.** The last window of them, for those who are a little behind.
//! * **Waiting requests.** Of honest clients: what was asked and is not executed in the history up to where the replica
//!   is. A request may arrive again while it is being executed, so for each client one window of numbers is added. Of
//!   each corrupted client: as many of the least requests as fit the quota of bytes that one client has in the pool.
//!
//! # Bytes of the log
//!
//! The log is begun anew at a stable checkpoint once it has doubled since it last was, or has reached 12 MiB. So it
//! holds at most twice what a fresh log needs, or that, and what was written since. Either is, for every slot:
//!
//! * the bodies of its batch: the largest that were seen times the most in a batch, or what a batch may hold in bytes,
//!   whichever is less, but at least one; twice, for a batch that failed and the one that followed it;
//! * the proposal, and the certificate that it prepared;
//!
//! and for every view since the last stable checkpoint a view change and a new view, which repeat the certificates of a
//! window once, and a quorum of times. In all of this a record's and a frame's own bytes are covered by a kibibyte.

use std::collections::BTreeMap;

use bezant_ledger::Execution;
use bezant_pbft::packet::Message;
use bezant_types::codec::encoded_len;
use bezant_types::genesis::Parameters;
use bezant_types::{AccountId, Committee, ReplicaId, SequenceNumber, View};

use super::statement::stable_in;
use super::{Oracle, Property, Setting};
use crate::sight::{ClientIndex, Sight, When};

pub(super) const PROPERTY: Property = Property {
    name: "bounded-memory",
    claim: "slots, blocks, waiting requests and the bytes of the log stay within what the genesis and the honest clients' \
            demand explain",
};

/// How many bytes of one client may wait in a replica.
const CLIENT_QUOTA: u64 = 32 << 20;
/// Bytes of the least request: its client, its number, one transaction of one operation without a field, a signature.
const LEAST_REQUEST: u64 = 32 + 8 + 4 + 8 + 4 + 1 + 64;
/// The log is not compacted below this size, in bytes.
const LOG_FLOOR: u64 = 12 << 20;
/// More than what a record and its frame need around their contents, in bytes: a frame is padded to a disk's sectors.
const AROUND: u64 = 1 << 10;

/// What is known of demand, and of each replica.
#[derive(Debug)]
pub(super) struct BoundedMemory {
    committee: Committee,
    parameters: Parameters,
    honest: Vec<AccountId>,
    corrupted: u64,
    asked: u64,
    largest_request: u64,
    /// How many requests of honest clients are executed in the history up to a height.
    executed: BTreeMap<SequenceNumber, u64>,
    replicas: BTreeMap<ReplicaId, Place>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Place {
    low: SequenceNumber,
    /// The last checkpoint that was ever stable to it.
    highest_low: SequenceNumber,
    height: SequenceNumber,
    /// The highest view that it asked for.
    asked: View,
    /// How many views it has entered or asked for since its window last moved, in whatever life.
    views: u64,
}

impl BoundedMemory {
    pub(super) fn new(setting: &Setting<'_>) -> Self {
        let clients = setting.genesis.clients().iter().enumerate();
        let honest = clients.filter(|(index, _)| !setting.corrupted_clients.contains(&ClientIndex(*index)));
        Self {
            committee: setting.genesis.committee(),
            parameters: setting.genesis.parameters().clone(),
            honest: honest.map(|(_, client)| client.key).collect(),
            corrupted: setting.corrupted_clients.len() as u64,
            asked: 0,
            largest_request: 0,
            executed: BTreeMap::new(),
            replicas: BTreeMap::new(),
        }
    }

    fn on_executed(&mut self, sequence: SequenceNumber, executions: &[Execution]) {
        let last = self.executed.last_key_value().map(|(last, count)| (*last, *count));
        let (last, before) = last.unwrap_or_default();
        if last < sequence {
            let fresh = executions.iter().filter(|one| one.fresh && self.honest.contains(&one.client)).count();
            self.executed.insert(sequence, before + fresh as u64);
        }
    }

    fn max_items(&self, place: &Place) -> u64 {
        let window = self.parameters.window;
        let slots = window + place.highest_low.since(place.low);
        let executed = self.executed.range(..=place.height).next_back().map_or(0, |(_, count)| *count);
        let repeated = self.honest.len() as u64 * u64::from(self.parameters.client_window);
        let honest = self.asked.saturating_sub(executed) + repeated;
        slots + window + honest + self.corrupted * (CLIENT_QUOTA / LEAST_REQUEST)
    }

    fn max_log_bytes(&self, place: &Place) -> u64 {
        let Parameters { window, max_batch_requests, max_batch_bytes, max_bundle_bytes, .. } = self.parameters;
        let batch_requests = u64::from(max_batch_requests);
        // A corrupted client's requests are not shown when they are asked for: they may be as large as they may be.
        let request = if self.corrupted == 0 { self.largest_request } else { max_bundle_bytes.into() };
        let bodies = (batch_requests * request).min(max_batch_bytes.into()).max(request) + batch_requests * 36;
        let certificate = 66 * self.committee.quorum() as u64 + 160;
        let slots = window + place.highest_low.since(place.low);
        let live = slots * (2 * (bodies + AROUND) + certificate + 2 * AROUND);
        let view = (self.committee.quorum() as u64 + 1) * (window * certificate + certificate + AROUND);
        LOG_FLOOR.max(2 * live) + live + (1 + place.views) * view
    }

    fn on_weighed(&self, replica: ReplicaId, items: usize, log_bytes: u64) -> Result<(), String> {
        let place = self.replicas.get(&replica).copied().unwrap_or_default();
        let (items, most) = (items as u64, self.max_items(&place));
        if items > most {
            return Err(format!("replica {replica} holds {items} slots, requests and blocks; {most} are explained"));
        }
        let most = self.max_log_bytes(&place);
        if log_bytes > most {
            return Err(format!("the log of replica {replica} has {log_bytes} bytes; {most} are explained"));
        }
        Ok(())
    }

    fn place(&mut self, replica: ReplicaId) -> &mut Place {
        self.replicas.entry(replica).or_default()
    }
}

impl Oracle for BoundedMemory {
    fn property(&self) -> Property {
        PROPERTY
    }

    fn on_sight(&mut self, _: When, sight: &Sight<'_>) -> Result<(), String> {
        match *sight {
            Sight::Booted { replica, records, stable, .. } => {
                let place = self.place(replica);
                place.highest_low = place.highest_low.max(stable).max(stable_in(records));
                (place.low, place.height) = (stable, stable);
            }
            Sight::Stable { replica, sequence, .. } => {
                let place = self.place(replica);
                place.low = sequence;
                place.highest_low = place.highest_low.max(sequence);
                place.views = 0;
            }
            Sight::Entered { replica, .. } => self.place(replica).views += 1,
            Sight::Said { replica, message: Message::ViewChange(change), .. } if change.signer() == replica => {
                // What it says to all is shown for each of them: it is one.
                let place = self.place(replica);
                place.views += u64::from(place.asked < change.message().view);
                place.asked = place.asked.max(change.message().view);
            }
            Sight::Executed { replica, sequence, executions, .. } => {
                self.place(replica).height = sequence;
                self.on_executed(sequence, executions);
            }
            Sight::Installed { replica, sequence, .. } => self.place(replica).height = sequence,
            Sight::Asked { bundle, .. } => {
                self.asked += 1;
                self.largest_request = self.largest_request.max(encoded_len(bundle.as_signed()) as u64);
            }
            Sight::Weighed { replica, items, log_bytes } => return self.on_weighed(replica, items, log_bytes),
            Sight::Crashed { .. }
            | Sight::Said { .. }
            | Sight::Delivered { .. }
            | Sight::Accused { .. }
            | Sight::Halted { .. }
            | Sight::Heard { .. }
            | Sight::Answered { .. }
            | Sight::Stabilised => {}
        }
        Ok(())
    }
}
