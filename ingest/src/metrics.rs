//! What ingest counts and measures. The help texts are the documentation.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets,
};
use tally_schemas::DropReason;

/// Ingest's metrics, registered once.
pub struct Metrics {
    /// Events the log has.
    pub events: IntCounter,
    /// Contributions the log has.
    pub contributions: IntCounter,
    /// Answers by path and status.
    pub requests: IntCounterVec,
    /// Requests refused for what their body is, by [`DropReason`].
    pub dropped: IntCounterVec,
    /// Additional properties that no definition declares.
    pub undeclared_properties: IntCounter,
    /// Seconds from the append of a request's records to their acknowledgement.
    pub append_seconds: Histogram,
    /// Requests whose records the log did not take.
    pub append_failures: IntCounter,
    /// Bytes of bodies held now.
    pub in_flight_bytes: IntGauge,
}

impl Metrics {
    /// Registers everything; fails if the registry already has an ingest.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let counters = |name: &str, help: &str, labels: &[&str]| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone()))?;
            Ok::<_, prometheus::Error>(counters)
        };
        let append_seconds = Histogram::with_opts(
            HistogramOpts::new(
                "tally_ingest_append_seconds",
                "Seconds from the append of a request's records to the log's acknowledgement.",
            )
            .buckets(exponential_buckets(0.000_5, 2.0, 16)?),
        )?;
        registry.register(Box::new(append_seconds.clone()))?;
        let in_flight_bytes =
            IntGauge::new("tally_ingest_in_flight_bytes", "Bytes of request bodies held at the moment.")?;
        registry.register(Box::new(in_flight_bytes.clone()))?;
        let metrics = Self {
            events: counter("tally_ingest_events_total", "Events that the log acknowledged.")?,
            contributions: counter(
                "tally_ingest_contributions_total",
                "Contribution events that the log acknowledged.",
            )?,
            requests: counters(
                "tally_ingest_requests_total",
                "Answers by path and status.",
                &["path", "status"],
            )?,
            dropped: counters(
                "tally_ingest_dropped_total",
                "Requests refused for what their body holds, by drop reason.",
                &["reason"],
            )?,
            undeclared_properties: counter(
                "tally_ingest_undeclared_properties_total",
                "Additional properties, of accepted events, that no definition declares.",
            )?,
            append_seconds,
            append_failures: counter(
                "tally_ingest_append_failures_total",
                "Requests whose records the log did not acknowledge in full.",
            )?,
            in_flight_bytes,
        };
        for reason in [DropReason::Invalid, DropReason::Oversized] {
            metrics.dropped.with_label_values(&[reason.as_str()]);
        }
        Ok(metrics)
    }
}
