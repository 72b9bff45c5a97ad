//! What capture counts and measures. The help texts are the documentation.

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry, exponential_buckets,
};
use tally_schemas::DropReason;

/// Capture's metrics, registered once.
pub(crate) struct Metrics {
    /// Events the log has.
    pub(crate) events: IntCounter,
    /// Answers by endpoint and status.
    pub(crate) requests: IntCounterVec,
    /// What was refused or set aside, by [`DropReason`].
    pub(crate) dropped: IntCounterVec,
    /// Texts that were longer than is kept.
    pub(crate) cut_texts: IntCounter,
    /// Seconds from the append of a request's records to their acknowledgement.
    pub(crate) append_seconds: Histogram,
    /// Requests whose records the log did not take.
    pub(crate) append_failures: IntCounter,
    /// Bytes of bodies held now.
    pub(crate) in_flight_bytes: IntGauge,
}

impl Metrics {
    /// Registers everything; fails if the registry already has a capture.
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
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
                "tally_capture_append_seconds",
                "Seconds from the append of a request's page events to the log's acknowledgement.",
            )
            .buckets(exponential_buckets(0.000_5, 2.0, 16)?),
        )?;
        registry.register(Box::new(append_seconds.clone()))?;
        let in_flight_bytes =
            IntGauge::new("tally_capture_in_flight_bytes", "Bytes of trackers' bodies held at the moment.")?;
        registry.register(Box::new(in_flight_bytes.clone()))?;
        let metrics = Self {
            events: counter("tally_capture_events_total", "Page events that the log acknowledged.")?,
            requests: counters(
                "tally_capture_requests_total",
                "Answers to trackers by endpoint and status.",
                &["endpoint", "status"],
            )?,
            dropped: counters(
                "tally_capture_dropped_total",
                "Events, or bodies that could not be taken apart, that were refused or set aside, by drop reason.",
                &["reason"],
            )?,
            cut_texts: counter(
                "tally_capture_cut_texts_total",
                "Texts of events that were longer than is kept of one.",
            )?,
            append_seconds,
            append_failures: counter(
                "tally_capture_append_failures_total",
                "Requests whose records the log did not acknowledge in full.",
            )?,
            in_flight_bytes,
        };
        for reason in [DropReason::Invalid, DropReason::Oversized, DropReason::UnknownKey] {
            metrics.dropped.with_label_values(&[reason.as_str()]);
        }
        Ok(metrics)
    }

    /// Counts something that was refused or set aside.
    pub(crate) fn drop_one(&self, reason: DropReason) {
        self.dropped.with_label_values(&[reason.as_str()]).inc();
    }
}
