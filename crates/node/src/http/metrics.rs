//! What a gateway counts, in Prometheus' text format.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::client::Group;
use crate::gateway::Counters;

/// The content type of [`Metrics::text`].
pub(crate) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything that is measured.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    view: Gauge,
    executed: Gauge,
    stable: Gauge,
    connected: Gauge,
}

impl Metrics {
    /// What a gateway counts, and how long the group takes for its bundles.
    pub(crate) fn new(counters: Arc<Counters>, latency: Histogram) -> Self {
        let mut registry = Registry::with_prefix("bezant");
        registry.register("bundle_seconds", "How long the group took for a bundle", latency);
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let view = gauge("view", "The view of the group, as f + 1 replicas claim it");
        let executed = gauge("executed", "The sequence number to which f + 1 replicas have executed");
        let stable = gauge("stable", "The last stable checkpoint that was seen with its certificate");
        let connected = gauge("replicas_connected", "Replicas that the gateway is connected to");
        registry.register_collector(Box::new(Gateway(counters)));
        Self { registry, view, executed, stable, connected }
    }

    /// All of it, now.
    pub(crate) fn text(&self, group: &Group) -> String {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.view.set(group.view.map_or(0, |view| number(view.get())));
        self.executed.set(group.executed.map_or(0, |sequence| number(sequence.get())));
        self.stable.set(group.stable.as_ref().map_or(0, |stable| number(stable.vote().sequence.get())));
        self.connected.set(number(group.connected.len() as u64));
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to memory does not fail");
        text
    }
}

#[derive(Debug)]
struct Gateway(Arc<Counters>);

impl Collector for Gateway {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let counters = &*self.0;
        let counted = [
            ("connections", "Connections of Redis clients that were accepted", &counters.connections),
            ("rejected_connections", "Connections that were turned away", &counters.rejected_connections),
            ("requests", "Commands of Redis clients, of all kinds", &counters.commands),
            ("ordered_requests", "Commands that became transactions and were sent", &counters.ordered_commands),
            ("bundles", "Bundles that were sent to the group", &counters.bundles),
            ("failed_bundles", "Bundles that the group refused or did not answer", &counters.failed_bundles),
            ("unsent_requests", "Commands not sent because earlier ones had no answer", &counters.unsent_commands),
            ("received_bytes", "Bytes read from Redis clients", &counters.bytes_in),
            ("reply_bytes", "Bytes of replies to Redis clients", &counters.bytes_out),
        ];
        for (name, help, counter) in counted {
            let counter = ConstCounter::new(counter.load(Ordering::Relaxed));
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let flying = ConstGauge::new(counters.bundles_in_flight.load(Ordering::Relaxed));
        let help = "Bundles that are under way";
        flying.encode(encoder.encode_descriptor("bundles_in_flight", help, None, MetricType::Gauge)?)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::histogram::linear_buckets;

    use super::*;

    #[test]
    fn counters_gauges_and_latencies_are_told() {
        let counters = Arc::new(Counters::default());
        counters.commands.store(7, Ordering::Relaxed);
        let latency = Histogram::new(linear_buckets(1.0, 1.0, 2));
        latency.observe(0.5);
        let text = Metrics::new(counters, latency).text(&Group::default());
        for line in ["bezant_requests_total 7", "bezant_view 0", "bezant_bundle_seconds_count 1", "# EOF"] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
