//! How a client behaves. Nothing here has to agree with anybody else's.

use std::time::Duration;

use bezant_types::Genesis;

use super::numbers::NumberSource;
use crate::transport::Limits;

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// What replicas may cost.
    pub limits: Limits,
    /// How long to wait for an answer before asking again, the first time. Doubled each time, with jitter.
    pub retry: Duration,
    /// The most requests under way at a time. Never more than the window allows, see [`super::requests`].
    pub most_under_way: usize,
    /// The most bytes of requests under way; a single one of any size is always allowed. More than the transport queues
    /// for a replica would be dropped there and sent again a second later.
    pub most_bytes_under_way: usize,
    /// The most requests that wait until others are answered. More are turned away at once.
    pub most_waiting: usize,
    /// The most questions that wait for an answer. More are turned away at once.
    pub most_questions: usize,
    /// Where request numbers come from.
    pub numbers: NumberSource,
}

impl Options {
    /// What suits a client of this network.
    pub fn for_network(genesis: &Genesis) -> Self {
        let parameters = genesis.parameters();
        let limits = Limits::for_network(parameters);
        Self {
            // Shorter than a backup's patience with its primary: whatever was lost is there when a new view begins.
            retry: Duration::from_millis((parameters.request_timeout_ms / 2).max(10)),
            most_under_way: 64,
            most_bytes_under_way: limits.outgoing_per_client / 2,
            most_waiting: 1024,
            most_questions: 256,
            numbers: NumberSource::Clock,
            limits,
        }
    }
}
