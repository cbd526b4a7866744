//! Every bound of the transport, in one table.

use std::time::Duration;

use bezant_types::genesis::{MAX_FRAME, Parameters};

/// What a peer may cost. Local to a node: members need not agree on these, apart from the sizes of frames, which follow
/// from the genesis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame between replicas.
    pub replica_frame: usize,
    /// The largest frame of a client to a replica: a request and its envelope.
    pub client_frame: usize,
    /// The largest frame of a replica to a client: a reply or proof and its envelope.
    pub reply_frame: usize,
    /// How many bytes of one replica's frames the host may be owing an answer for; beyond it we stop reading from it.
    pub incoming_per_replica: usize,
    /// The same for one client, over all of its connections.
    pub incoming_per_client: usize,
    /// The same for all clients together.
    pub incoming_of_clients: usize,
    /// How many bytes may wait to be sent to a replica; beyond it the oldest frames are dropped.
    pub outgoing_per_replica: usize,
    /// The same while it is not connected. Smaller: what a replica missed while it was away it will ask for.
    pub outgoing_while_down: usize,
    /// How many bytes may wait to be sent on a client's connection.
    pub outgoing_per_client: usize,
    /// How many connections a client may have.
    pub connections_per_client: usize,
    /// How many connections all clients together may have.
    pub client_connections: usize,
    /// How many connections may be in the handshake. The next one ends the oldest.
    pub pending_handshakes: usize,
    /// How many connections may come from one address (IPv6: one /64) per second, on average and at once.
    pub handshakes_per_second: u32,
    /// How long connecting, TLS and the greeting may take together.
    pub handshake_timeout: Duration,
    /// How often an empty frame is sent when there is nothing else to send.
    pub keepalive: Duration,
    /// How long a connection may be silent before it counts as dead.
    pub idle_timeout: Duration,
    /// How long to wait before dialling again, the first time; it doubles with each failure in a row.
    pub min_backoff: Duration,
    /// The longest such wait.
    pub max_backoff: Duration,
}

impl Limits {
    /// Limits that suit a network with these parameters.
    pub fn for_network(parameters: &Parameters) -> Self {
        let client_frame = parameters.max_bundle_bytes as usize + ENVELOPE;
        let reply_frame = parameters.max_reply_bytes as usize + ENVELOPE;
        Self {
            replica_frame: MAX_FRAME,
            client_frame,
            reply_frame,
            incoming_per_replica: 2 * MAX_FRAME,
            incoming_per_client: (4 * client_frame).max(SMALLEST_BUDGET),
            incoming_of_clients: (64 * client_frame).max(16 * SMALLEST_BUDGET),
            outgoing_per_replica: 2 * MAX_FRAME,
            outgoing_while_down: 1 << 20,
            outgoing_per_client: (4 * reply_frame).max(SMALLEST_BUDGET),
            connections_per_client: 16,
            client_connections: 1024,
            pending_handshakes: 64,
            handshakes_per_second: 100,
            handshake_timeout: Duration::from_secs(5),
            keepalive: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(6),
            min_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(5),
        }
    }

    /// Checks the limits against each other.
    ///
    /// # Errors
    /// [`BadLimit`] names the first that cannot be, and what would do.
    pub fn validate(&self) -> Result<(), BadLimit> {
        let require = |holds: bool, name: &'static str, rule: &'static str| {
            if holds { Ok(()) } else { Err(BadLimit { name, rule }) }
        };
        let fits = |budget: usize, frame: usize| budget >= (2 * frame).max(SMALLEST_BUDGET);
        require((1024..=MAX_FRAME).contains(&self.replica_frame), "replica_frame", "must be between 1 KiB and 32 MiB")?;
        require((1024..=MAX_FRAME).contains(&self.client_frame), "client_frame", "must be between 1 KiB and 32 MiB")?;
        require((1024..=MAX_FRAME).contains(&self.reply_frame), "reply_frame", "must be between 1 KiB and 32 MiB")?;
        let two = "must be at least 1 MiB and hold two of the largest frames";
        require(fits(self.incoming_per_replica, self.replica_frame), "incoming_per_replica", two)?;
        require(fits(self.incoming_per_client, self.client_frame), "incoming_per_client", two)?;
        require(
            self.incoming_of_clients >= self.incoming_per_client,
            "incoming_of_clients",
            "must be at least incoming_per_client",
        )?;
        require(self.incoming_of_clients <= MOST, "incoming_of_clients", "must be at most 1 TiB")?;
        require(self.incoming_per_replica <= MOST, "incoming_per_replica", "must be at most 1 TiB")?;
        require(fits(self.outgoing_per_replica, self.replica_frame), "outgoing_per_replica", two)?;
        require(
            self.outgoing_while_down <= self.outgoing_per_replica,
            "outgoing_while_down",
            "must be at most outgoing_per_replica",
        )?;
        require(fits(self.outgoing_per_client, self.reply_frame), "outgoing_per_client", two)?;
        require(self.connections_per_client >= 1, "connections_per_client", "must be at least 1")?;
        require(self.client_connections >= 1, "client_connections", "must be at least 1")?;
        require(self.pending_handshakes >= 1, "pending_handshakes", "must be at least 1")?;
        require(self.handshakes_per_second >= 1, "handshakes_per_second", "must be at least 1")?;
        let positive = "must be at least 1 ms";
        require(!self.handshake_timeout.is_zero(), "handshake_timeout", positive)?;
        require(!self.keepalive.is_zero(), "keepalive", positive)?;
        require(
            self.idle_timeout >= 2 * self.keepalive,
            "idle_timeout",
            "must be at least twice keepalive, or a connection dies when one sign of life is late",
        )?;
        require(!self.min_backoff.is_zero(), "min_backoff", positive)?;
        require(self.min_backoff <= self.max_backoff, "max_backoff", "must be at least min_backoff")
    }
}

/// A limit that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} {rule}")]
pub struct BadLimit {
    /// Which one.
    pub name: &'static str,
    /// What must hold.
    pub rule: &'static str,
}

/// What surrounds a request or reply at most: signature, signer, numbers, and the certificate of a proof, which is 66
/// bytes a signature of at most 100 members.
const ENVELOPE: usize = 64 << 10;
/// Below this, a buffer full of tiny frames, each charged its overhead, would not fit a budget.
const SMALLEST_BUDGET: usize = 1 << 20;
/// Far below what a semaphore counts.
const MOST: usize = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_limits_hold_for_small_and_large_requests() {
        let largest = Parameters { max_bundle_bytes: 16 << 20, max_reply_bytes: 16 << 20, ..Parameters::standard() };
        let smallest = Parameters { max_bundle_bytes: 1 << 10, max_reply_bytes: 1 << 10, ..Parameters::standard() };
        for parameters in [Parameters::standard(), largest, smallest] {
            Limits::for_network(&parameters).validate().unwrap();
        }
    }

    #[test]
    fn limits_that_would_deadlock_or_never_hold_are_refused_by_name() {
        let standard = || Limits::for_network(&Parameters::standard());
        let refusals = [
            (Limits { incoming_per_replica: MAX_FRAME, ..standard() }, "incoming_per_replica"),
            (Limits { incoming_per_client: 1 << 20, ..standard() }, "incoming_per_client"),
            (Limits { incoming_of_clients: 1 << 20, ..standard() }, "incoming_of_clients"),
            (Limits { replica_frame: MAX_FRAME + 1, ..standard() }, "replica_frame"),
            (Limits { idle_timeout: Duration::from_secs(1), ..standard() }, "idle_timeout"),
            (Limits { connections_per_client: 0, ..standard() }, "connections_per_client"),
            (Limits { max_backoff: Duration::from_millis(1), ..standard() }, "max_backoff"),
        ];
        for (limits, name) in refusals {
            assert_eq!(limits.validate().unwrap_err().name, name);
        }
    }
}
