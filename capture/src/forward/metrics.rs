//! What forwarding counts. The help texts are the documentation.

use prometheus::{IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use tally_schemas::DropReason;

use super::collector::SendError;

/// Forwarding's metrics, registered once.
pub(super) struct Metrics {
    /// Events the collector has.
    pub forwarded: IntCounter,
    /// Requests that the collector did not take, by [`SendError::reason`].
    pub failures: IntCounterVec,
    /// Events that were not forwarded and won't be, by [`DropReason`].
    pub dropped: IntCounterVec,
    /// Records behind the end of each partition.
    pub lag: IntGaugeVec,
}

impl Metrics {
    /// Registers everything; fails if the registry already has them.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            forwarded: IntCounter::new(
                "tally_forward_events_total",
                "Tracked events that the Snowplow collector elsewhere has taken; one that was sent again counts again.",
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "tally_forward_failures_total",
                    "Requests that the Snowplow collector elsewhere did not take, by reason. They are repeated.",
                ),
                &["reason"],
            )?,
            dropped: IntCounterVec::new(
                Opts::new(
                    "tally_forward_dropped_total",
                    "Records of tracked events that can't be forwarded, by drop reason.",
                ),
                &["reason"],
            )?,
            lag: IntGaugeVec::new(
                Opts::new(
                    "tally_forward_lag_records",
                    "Records of tracked events that forwarding has not looked at yet, by partition.",
                ),
                &["partition"],
            )?,
        };
        registry.register(Box::new(metrics.forwarded.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        registry.register(Box::new(metrics.dropped.clone()))?;
        registry.register(Box::new(metrics.lag.clone()))?;
        for reason in SendError::REASONS {
            metrics.failures.with_label_values(&[reason]);
        }
        for reason in [DropReason::Oversized, DropReason::Expired, DropReason::Undecodable] {
            metrics.dropped.with_label_values(&[reason.as_str()]);
        }
        Ok(metrics)
    }

    /// Counts records that are not forwarded.
    pub fn drop_by(&self, reason: DropReason, records: u64) {
        self.dropped.with_label_values(&[reason.as_str()]).inc_by(records);
    }
}
