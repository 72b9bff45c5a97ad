//! The processor's metrics. Their help texts are their documentation.

use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry, core::Collector,
};
use tally_schemas::DropReason;

/// Everything the processor reports.
#[derive(Clone)]
pub struct Metrics {
    pub records: IntCounterVec,
    pub batches: IntCounterVec,
    pub replayed_batches: IntCounterVec,
    pub batch_records: HistogramVec,
    pub insert_seconds: HistogramVec,
    pub inserted_rows: IntCounterVec,
    pub store_outages: IntCounter,
    pub refused_batches: IntCounter,
    pub doubtful_ids: IntCounter,
    pub lag: IntGaugeVec,
    pub freshness_seconds: HistogramVec,
    drops: IntCounterVec,
}

impl Metrics {
    /// Registers the metrics; a registry takes them once.
    pub fn register(registry: &Registry) -> prometheus::Result<Self> {
        let metrics = Self {
            records: counters(
                "tally_processor_records_total",
                "Records of the log that were counted.",
                &["topic"],
            )?,
            batches: counters("tally_processor_batches_total", "Batches written and committed.", &["topic"])?,
            replayed_batches: counters(
                "tally_processor_replayed_batches_total",
                "Batches that were found announced but not finished, and done again.",
                &["topic"],
            )?,
            batch_records: HistogramVec::new(
                HistogramOpts::new("tally_processor_batch_records", "Records in a batch.")
                    .buckets(vec![1.0, 10.0, 100.0, 1e3, 1e4, 3e4, 1e5, 3e5]),
                &["topic"],
            )?,
            insert_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "tally_processor_insert_seconds",
                    "Time one insert took, retries included.",
                ),
                &["table"],
            )?,
            inserted_rows: counters(
                "tally_processor_inserted_rows_total",
                "Rows sent to a table.",
                &["table"],
            )?,
            store_outages: IntCounter::new(
                "tally_processor_store_outages_total",
                "Times an insert failed after all its tries and consumption paused.",
            )?,
            refused_batches: IntCounter::new(
                "tally_processor_refused_batches_total",
                "Times the store refused a batch's rows themselves, and consumption waits all the same.",
            )?,
            doubtful_ids: IntCounter::new(
                "tally_processor_doubtful_ids_total",
                "Page events whose id the filter took for known, so that the store was asked. Where these are many more than the \
                 repetitions, processor.event_id_filter_bytes is too small.",
            )?,
            lag: IntGaugeVec::new(
                Opts::new("tally_processor_lag_records", "Records in the log that were not counted yet."),
                &["topic", "partition"],
            )?,
            freshness_seconds: HistogramVec::new(
                HistogramOpts::new(
                    "tally_processor_freshness_seconds",
                    "From ingest's acceptance of a batch's newest record until its rows could be queried.",
                )
                .buckets(vec![0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 30.0, 300.0, 3600.0]),
                &["topic"],
            )?,
            drops: counters(
                "tally_processor_drops_total",
                "What was not counted, by reason. Unknown events are kept raw; undecodable records as dead letters.",
                &["reason"],
            )?,
        };
        let collectors: [Box<dyn Collector>; 12] = [
            Box::new(metrics.records.clone()),
            Box::new(metrics.batches.clone()),
            Box::new(metrics.replayed_batches.clone()),
            Box::new(metrics.batch_records.clone()),
            Box::new(metrics.insert_seconds.clone()),
            Box::new(metrics.inserted_rows.clone()),
            Box::new(metrics.store_outages.clone()),
            Box::new(metrics.refused_batches.clone()),
            Box::new(metrics.doubtful_ids.clone()),
            Box::new(metrics.lag.clone()),
            Box::new(metrics.freshness_seconds.clone()),
            Box::new(metrics.drops.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    /// How often something was dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.with_label_values(&[reason.as_str()]).get()
    }

    /// Counts drops; a reason is shown from its first drop on.
    pub fn drop_by(&self, reason: DropReason, times: u64) {
        self.drops.with_label_values(&[reason.as_str()]).inc_by(times);
    }
}

fn counters(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}
