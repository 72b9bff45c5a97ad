//! What the spool counts and measures. The help texts are the documentation.

use prometheus::{IntCounter, IntGauge, IntGaugeVec, Opts, Registry};

use super::State;
use super::files::Waiting;

/// The spool's metrics, registered once.
pub(super) struct Metrics {
    waiting_records: IntGauge,
    waiting_bytes: IntGauge,
    oldest: IntGauge,
    state: IntGaugeVec,
    /// Whether draining fails for a reason in the spool's own folder.
    pub(super) stuck: IntGauge,
    /// Records that were written to the spool.
    pub(super) spooled: IntCounter,
    /// Records that came from the spool into the log, those that were there already included.
    pub(super) drained: IntCounter,
    /// Records in doubt that the log turned out to have.
    pub(super) found_again: IntCounter,
    /// Records that neither the log nor the spool took.
    pub(super) refused: IntCounter,
    /// Records of the spool that the log refuses for good.
    pub(super) set_aside: IntCounter,
}

impl Metrics {
    /// Registers everything; fails if the registry already has a spool.
    pub(super) fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            registry.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let state = IntGaugeVec::new(
            Opts::new(
                "tally_spool_state",
                "1 for the state that the spool is in: direct (the log takes records), spooling (the log is out of reach, \
                 the disk takes them), draining (the log takes new records, and what was spooled besides).",
            ),
            &["state"],
        )?;
        registry.register(Box::new(state.clone()))?;
        let metrics = Self {
            waiting_records: gauge("tally_spool_records", "Records that wait on disk for the log.")?,
            waiting_bytes: gauge("tally_spool_bytes", "Bytes on disk that wait for the log.")?,
            oldest: gauge(
                "tally_spool_oldest_timestamp_seconds",
                "When the oldest record that waits was spooled, in seconds since the epoch; 0 when none waits.",
            )?,
            state,
            stuck: gauge(
                "tally_spool_stuck",
                "1 while the spool can't be drained because its own disk fails or what is on it is damaged. A restart sets \
                 what is damaged aside.",
            )?,
            spooled: counter("tally_spool_spooled_total", "Records that were written to the spool.")?,
            drained: counter(
                "tally_spool_drained_total",
                "Records of the spool that are in the log since, those found there already included.",
            )?,
            found_again: counter(
                "tally_spool_found_again_total",
                "Records of the spool whose delivery was in doubt and which the log turned out to have.",
            )?,
            refused: counter(
                "tally_spool_refused_total",
                "Records that neither the log nor the spool took: its disk is full or fails, or spool.max_bytes is reached.",
            )?,
            set_aside: counter(
                "tally_spool_set_aside_total",
                "Acknowledged records that the log refuses for good, kept in the file `refused` of the spool's folder.",
            )?,
        };
        metrics.show_state(State::Direct);
        Ok(metrics)
    }

    pub(super) fn show_waiting(&self, waiting: &Waiting) {
        self.waiting_records.set(waiting.records as i64);
        self.waiting_bytes.set(waiting.bytes as i64);
        self.oldest.set(waiting.oldest.unwrap_or(0) / 1000);
    }

    pub(super) fn show_state(&self, state: State) {
        for each in [State::Direct, State::Spooling, State::Draining] {
            self.state.with_label_values(&[each.as_str()]).set(i64::from(each == state));
        }
    }
}
