//! The collector's Prometheus metrics.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

pub(crate) struct Metrics {
    /// `tally_collect_requests_total{path,status}`
    pub(crate) requests: IntCounterVec,
    /// `tally_collect_payloads_total{outcome}`: `stored`, `repeated` or `refused`.
    pub(crate) payloads: IntCounterVec,
    /// `tally_collect_lost_version_checks_total`
    pub(crate) lost_version_checks: IntCounter,
    /// `tally_collect_in_flight_body_bytes`
    pub(crate) in_flight_bytes: IntGauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let requests = IntCounterVec::new(
            Opts::new("tally_collect_requests_total", "Requests to the collector by path and status"),
            &["path", "status"],
        )?;
        let payloads = IntCounterVec::new(
            Opts::new("tally_collect_payloads_total", "Service Ping payloads received, by outcome"),
            &["outcome"],
        )?;
        let lost_version_checks = IntCounter::new(
            "tally_collect_lost_version_checks_total",
            "Version checks that were answered and could not be recorded",
        )?;
        let in_flight_bytes = IntGauge::new(
            "tally_collect_in_flight_body_bytes",
            "Bytes of request bodies held by the collector",
        )?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(payloads.clone()))?;
        registry.register(Box::new(lost_version_checks.clone()))?;
        registry.register(Box::new(in_flight_bytes.clone()))?;
        Ok(Self { requests, payloads, lost_version_checks, in_flight_bytes })
    }
}
