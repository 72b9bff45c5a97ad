//! The Internal API's metrics.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tally_schemas::DropReason;

pub(crate) struct Metrics {
    /// `tally_internal_requests_total{path,status}`
    pub(crate) requests: IntCounterVec,
    /// `tally_internal_cut_usage_total{event}`
    pub(crate) cut_usage: IntCounterVec,
    /// `tally_internal_dropped_total{reason}`
    pub(crate) dropped: IntCounterVec,
    /// `tally_internal_in_flight_body_bytes`
    pub(crate) in_flight_bytes: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("tally_internal_requests_total", "Requests to the Internal API by path and status"),
            &["path", "status"],
        )?;
        let cut_usage = IntCounterVec::new(
            Opts::new(
                "tally_internal_cut_usage_total",
                "What was cut of counts that would be too many events, by event",
            ),
            &["event"],
        )?;
        let dropped = IntCounterVec::new(
            Opts::new("tally_internal_dropped_total", "Usage reports that were refused, by drop reason"),
            &["reason"],
        )?;
        let in_flight_bytes = IntGauge::new(
            "tally_internal_in_flight_body_bytes",
            "Bytes of request bodies held by the Internal API",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(cut_usage.clone()))?;
        registry.register(Box::new(dropped.clone()))?;
        registry.register(Box::new(in_flight_bytes.clone()))?;
        for reason in [DropReason::Invalid, DropReason::Oversized] {
            dropped.with_label_values(&[reason.as_str()]);
        }
        Ok(Self { requests, cut_usage, dropped, in_flight_bytes })
    }
}
