//! The tables of fields: protocol parameters in `genesis.toml`, limits of the transport in `node.toml` and
//! `client.toml`.
//!
//! One line here per field, and from it follow reading, the line of each value for complaints, and writing with
//! comments.

use std::fmt::Write as _;
use std::ops::Range;

use bezant_types::genesis::Parameters;
use serde::Deserialize;
use toml::Spanned;

use super::document::Document;
use super::error::Error;
use super::units::{Bytes, Count, Field, Millis};
use crate::transport::Limits;

/// Declares a section of optional fields over a type that has them all.
macro_rules! section {
    ($(#[$doc:meta])* $section:ident over $target:ident { $($field:ident: $unit:ident, $comment:literal;)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $section {
            $($field: Option<Spanned<$unit>>,)*
        }

        impl $section {
            /// `base` with what the section sets.
            pub(super) fn over(&self, mut base: $target, document: &Document) -> Result<$target, Error> {
                $(if let Some(value) = &self.$field {
                    base.$field = Field::from_number(value.get_ref().0).ok_or_else(|| {
                        let what = concat!(stringify!($field), " is larger than any such value can be");
                        document.complain(value.span(), what, "Choose a smaller one")
                    })?;
                })*
                Ok(base)
            }

            /// Where a field's value stands, if it is set.
            pub(super) fn span_of(&self, field: &str) -> Option<Range<usize>> {
                $(if field == stringify!($field) {
                    return self.$field.as_ref().map(Spanned::span);
                })*
                None
            }

            /// The fields in the order of the table.
            #[cfg(test)]
            pub(super) const FIELDS: &'static [&'static str] = &[$(stringify!($field),)*];

            /// The lines of a section with all values of `target`, explained; each preceded by `prefix`.
            pub(super) fn write(target: &$target, prefix: &str) -> String {
                let mut text = String::new();
                $(
                    let value = $unit(Field::to_number(&target.$field));
                    let _ = writeln!(text, "# {}\n{prefix}{} = {value}", $comment, stringify!($field));
                )*
                text
            }
        }
    };
}

section! {
    /// `[protocol]` of the genesis. What is left out is as in [`Parameters::standard`].
    Protocol over Parameters {
        checkpoint_interval: Count, "A checkpoint every so many batches.";
        window: Count, "How many batches may be under way above the last stable checkpoint: at least twice the above.";
        pipeline: Count, "How many batches a primary keeps under way before it lets requests gather.";
        max_batch_requests: Count, "The most requests in a batch.";
        max_batch_bytes: Bytes, "The most bytes of requests in a batch, unless a single request is larger.";
        max_bundle_bytes: Bytes, "The most bytes of one request.";
        max_bundle_operations: Count, "The most operations in one request.";
        max_key_bytes: Bytes, "The longest key.";
        max_value_bytes: Bytes, "The longest value.";
        max_reply_bytes: Bytes, "The most bytes of answers to one request.";
        max_state_bytes: Bytes, "The most bytes of keys and values that the ledger holds, in memory.";
        client_window: Count, "How many request numbers of a client are remembered with their outcomes.";
        max_clock_skew_ms: Millis, "How far a primary's clock may be from a backup's.";
        request_timeout_ms: Millis, "How long a backup waits for a request to execute, before it wants another primary.";
        max_view_change_timeout_ms: Millis, "The longest that the doubling timeout of a view change grows to.";
        seal_after_ms: Millis, "How long executed batches may rest before the primary seals them with a checkpoint.";
        status_interval_ms: Millis, "How often a replica tells the others where it stands.";
    }
}

section! {
    /// `[limits]` of a node. What is left out follows from the genesis ([`Limits::for_network`]).
    LimitsSection over Limits {
        incoming_per_replica: Bytes, "How much of one replica's frames may wait here; then we stop reading from it.";
        incoming_per_client: Bytes, "The same for one client, over all of its connections.";
        incoming_of_clients: Bytes, "The same for all clients together.";
        outgoing_per_replica: Bytes, "How much may wait to be sent to a replica; then the oldest is dropped.";
        outgoing_while_down: Bytes, "The same while that replica is not connected.";
        outgoing_per_client: Bytes, "How much may wait to be sent on a client's connection.";
        connections_per_client: Count, "How many connections a client may have.";
        client_connections: Count, "How many connections all clients together may have.";
        pending_handshakes: Count, "How many connections may be in the handshake; the next one ends the oldest.";
        handshakes_per_second: Count, "How many connections may come from one address per second.";
        handshake_timeout: Millis, "How long connecting and the handshake may take.";
        keepalive: Millis, "How often an idle connection says that it is alive.";
        idle_timeout: Millis, "How long a connection may be silent before it counts as dead: at least twice the above.";
        min_backoff: Millis, "How long to wait before dialling again, the first time; it doubles with each failure.";
        max_backoff: Millis, "The longest such wait.";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of a type's fields, from how it prints itself.
    fn fields_of(value: &impl std::fmt::Debug) -> Vec<String> {
        let text = format!("{value:?}");
        let body = text.split_once("{ ").unwrap().1.trim_end_matches(" }").to_owned();
        body.split(", ").map(|field| field.split_once(": ").unwrap().0.to_owned()).collect()
    }

    #[test]
    fn every_parameter_and_every_local_limit_can_be_set() {
        assert_eq!(fields_of(&Parameters::standard()), Protocol::FIELDS);
        let limits = fields_of(&Limits::for_network(&Parameters::standard()));
        let local: Vec<_> = limits.iter().filter(|name| !name.ends_with("_frame")).collect();
        assert_eq!(local, LimitsSection::FIELDS.iter().collect::<Vec<_>>());
    }
}
