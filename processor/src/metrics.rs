//! The processor's metrics. Their help texts are their documentation.

use prometheus::{
    GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry,
    core::Collector,
    proto::{Metric, MetricFamily},
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
    pub stalls: IntCounterVec,
    pub freshness_seconds: HistogramVec,
    drops: IntCounterVec,
    by_partition: PartitionGauges,
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
                "Times an insert or a question failed after all its tries and consumption paused.",
            )?,
            refused_batches: IntCounter::new(
                "tally_processor_refused_batches_total",
                "Times the store refused a batch's rows themselves. The records at fault are searched, and become dead letters.",
            )?,
            doubtful_ids: IntCounter::new(
                "tally_processor_doubtful_ids_total",
                "Records whose id the filter took for known, so that the store was asked. Where these are many more than the \
                 repetitions, processor.id_filter_bytes is too small.",
            )?,
            stalls: counters(
                "tally_processor_stalls_total",
                "Times the work on a partition heard nothing from log and store for processor.stall_timeout_s, and was given up and \
                 begun again.",
                &["topic"],
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
            by_partition: PartitionGauges::register(registry)?,
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
            Box::new(metrics.stalls.clone()),
            Box::new(metrics.freshness_seconds.clone()),
            Box::new(metrics.drops.clone()),
        ];
        collectors.into_iter().try_for_each(|collector| registry.register(collector))?;
        Ok(metrics)
    }

    /// The series of a partition that this process begins to work on.
    pub fn of_partition(&self, topic: &'static str, partition: u32) -> PartitionSeries {
        let series =
            PartitionSeries { gauges: self.by_partition.clone(), topic, partition: partition.to_string() };
        series.set_waiting(false);
        series.set_stalled(false);
        series
    }

    /// How counting goes, for whoever asks whether the process is ready. A store that is away does not take that from it: a
    /// restart would change nothing.
    pub fn condition(&self) -> String {
        let conditions =
            [("waiting for the store", &self.by_partition.waiting), ("stalled", &self.by_partition.stalled)];
        let told: Vec<String> = conditions
            .into_iter()
            .map(|(condition, gauges)| (condition, partitions_of(gauges)))
            .filter(|(_, partitions)| !partitions.is_empty())
            .map(|(condition, partitions)| format!("{condition}: {}", partitions.join(", ")))
            .collect();
        if told.is_empty() { "ok".to_owned() } else { told.join("; ") }
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

/// What is measured of each partition that this process works on.
#[derive(Clone)]
struct PartitionGauges {
    lag: IntGaugeVec,
    freshness: GaugeVec,
    waiting: IntGaugeVec,
    stalled: IntGaugeVec,
}

impl PartitionGauges {
    fn register(registry: &Registry) -> prometheus::Result<Self> {
        let gauges = Self {
            lag: gauges(
                "tally_processor_lag_records",
                "Records in the log that were not counted yet, of the partitions that this process works on.",
            )?,
            freshness: GaugeVec::new(
                Opts::new(
                    "tally_processor_partition_freshness_seconds",
                    "How old the newest record of a partition's last batch was when its rows could be queried, or is while they wait \
                     for the store; 0 when everything is counted.",
                ),
                PARTITION,
            )?,
            waiting: gauges(
                "tally_processor_waiting",
                "Whether consumption of a partition is paused, because the store does not take what was read.",
            )?,
            stalled: gauges(
                "tally_processor_partition_stalled",
                "Whether a partition has got no further for processor.stall_timeout_s, though there is something to count.",
            )?,
        };
        registry.register(Box::new(gauges.lag.clone()))?;
        registry.register(Box::new(gauges.freshness.clone()))?;
        registry.register(Box::new(gauges.waiting.clone()))?;
        registry.register(Box::new(gauges.stalled.clone()))?;
        Ok(gauges)
    }
}

/// What is measured of one partition; when it goes elsewhere, so do its series.
pub struct PartitionSeries {
    gauges: PartitionGauges,
    topic: &'static str,
    partition: String,
}

impl PartitionSeries {
    pub fn set_lag(&self, records: u64) {
        self.gauges.lag.with_label_values(&self.labels()).set(records as i64);
    }

    pub fn set_freshness(&self, seconds: f64) {
        self.gauges.freshness.with_label_values(&self.labels()).set(seconds);
    }

    pub fn set_waiting(&self, is_waiting: bool) {
        self.gauges.waiting.with_label_values(&self.labels()).set(is_waiting.into());
    }

    pub fn set_stalled(&self, is_stalled: bool) {
        self.gauges.stalled.with_label_values(&self.labels()).set(is_stalled.into());
    }

    fn labels(&self) -> [&str; 2] {
        [self.topic, &self.partition]
    }
}

impl Drop for PartitionSeries {
    fn drop(&mut self) {
        let PartitionGauges { lag, freshness, waiting, stalled } = &self.gauges;
        for gauges in [lag, waiting, stalled] {
            // An error says that there was none.
            let _ = gauges.remove_label_values(&self.labels());
        }
        let _ = freshness.remove_label_values(&self.labels());
    }
}

/// Where a gauge is set, as `topic/partition`.
fn partitions_of(gauges: &IntGaugeVec) -> Vec<String> {
    let families = gauges.collect();
    let is_set = |metric: &&Metric| metric.get_gauge().get_value() > 0.0;
    let name = |metric: &Metric| {
        let [topic, partition] = ["topic", "partition"].map(|name| {
            let label = metric.get_label().iter().find(|label| label.name() == name);
            label.map_or("", |label| label.value()).to_owned()
        });
        format!("{topic}/{partition}")
    };
    families.iter().flat_map(MetricFamily::get_metric).filter(is_set).map(name).collect()
}

/// The labels of what is measured by partition.
const PARTITION: &[&str] = &["topic", "partition"];

fn gauges(name: &str, help: &str) -> prometheus::Result<IntGaugeVec> {
    IntGaugeVec::new(Opts::new(name, help), PARTITION)
}

fn counters(name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    IntCounterVec::new(Opts::new(name, help), labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_names_partitions_that_wait_or_are_stalled_while_they_are_worked_on() {
        let metrics = Metrics::register(&Registry::new()).expect("nothing is registered yet");
        assert_eq!(metrics.condition(), "ok");
        let (first, second) =
            (metrics.of_partition("tally.events", 0), metrics.of_partition("tally.events", 3));
        first.set_waiting(true);
        second.set_waiting(true);
        second.set_stalled(true);
        assert_eq!(
            metrics.condition(),
            "waiting for the store: tally.events/0, tally.events/3; stalled: tally.events/3"
        );
        second.set_waiting(false);
        drop(first);
        assert_eq!(metrics.condition(), "stalled: tally.events/3");
        drop(second);
        assert_eq!(metrics.condition(), "ok");
    }
}
