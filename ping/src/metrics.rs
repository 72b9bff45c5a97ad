//! The Service Ping's Prometheus metrics; each field's doc comment is its help text.

use prometheus::core::Collector;
use prometheus::{Gauge, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry};

/// Seconds: from a small installation's payload to one at every metric's time limit.
const SECONDS: &[f64] = &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// What the Service Ping measures about itself.
#[derive(Clone)]
pub(crate) struct PingMetrics {
    /// When a payload was taken last, in seconds since 1970; 0 for never.
    pub last_success: Gauge,
    /// Tries and requests beside them that failed, by reason.
    pub failures: IntCounterVec,
    /// Seconds it took to compute a payload, by kind.
    pub generation_seconds: HistogramVec,
}

impl PingMetrics {
    /// Creates the metrics and registers them.
    ///
    /// # Panics
    /// When the registry holds metrics of these names: one Service Ping a process.
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self {
            last_success: Gauge::new(
                "tally_ping_last_success_timestamp_seconds",
                "When a payload was taken last, in seconds since 1970; 0 for never",
            )
            .expect("the name is valid"),
            failures: IntCounterVec::new(
                Opts::new(
                    "tally_ping_failures_total",
                    "Tries and requests beside them that failed, by reason",
                ),
                &["reason"],
            )
            .expect("name and labels are valid"),
            generation_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "tally_ping_generation_seconds",
                    "Seconds it took to compute a payload, by kind",
                )
                .buckets(SECONDS.to_vec()),
                &["kind"],
            )
            .expect("name, buckets and labels are valid"),
        };
        let collectors: [Box<dyn Collector>; 3] = [
            Box::new(metrics.last_success.clone()),
            Box::new(metrics.failures.clone()),
            Box::new(metrics.generation_seconds.clone()),
        ];
        for collector in collectors {
            registry.register(collector).expect("one Service Ping a registry");
        }
        metrics
    }
}
