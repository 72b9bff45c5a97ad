//! The processor's settings.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tally_eventlog::FetchLimits;

/// How the processor batches and writes. Memory is bounded by `batch_max_bytes` times the partitions it works on, about
/// four times over (a batch being written and one being folded, each as records and as rows).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessorConfig {
    /// The consumer group whose positions say what has been counted.
    pub group: String,
    /// A batch closes after so many records,
    pub batch_max_records: usize,
    /// or so many bytes of records,
    pub batch_max_bytes: usize,
    /// or so many milliseconds after its first record, whichever is first,
    pub batch_max_wait_ms: u64,
    /// though time closes none sooner than so many milliseconds after the partition's batch before it: while records keep coming
    /// there is an insert a table so often.
    pub batch_interval_ms: u64,
    /// Seconds after which a range must be announced again before another insert of it may start. At most the session
    /// timeout of the consumer group: past that the partition may belong to somebody else.
    pub announcement_ttl_s: u64,
    /// Seconds to wait before writing again after the store was out of reach.
    pub outage_pause_s: u64,
    /// Seconds after which work on a partition that has heard nothing at all, neither from the log nor from the store, is given up
    /// and begun again; and after which one that gets no further counts as stalled. Longer than all tries of an insert.
    pub stall_timeout_s: u64,
    /// Memory for the ids that clients choose.
    pub id_filter_bytes: IdFilterBytes,
    /// Deduplication windows of the tables below this number of inserts are refused at start.
    pub min_deduplication_window: u64,
}

/// The most that the filter of known ids takes, in bytes, for each partition of a topic that this process works on. It remembers
/// the ids of one to two weeks, and wants ten bits for each id of a week twice over; where it gets less, the store is asked
/// more often. Memory that no id has touched is not taken.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdFilterBytes {
    /// Of tracked events.
    pub events: usize,
    /// Of page events.
    pub page_events: usize,
    /// Of contributions.
    pub contributions: usize,
}

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
#[error("processor.{setting} is {value}; expected 1 to {largest}")]
pub struct InvalidConfig {
    setting: &'static str,
    value: usize,
    largest: usize,
}

impl ProcessorConfig {
    /// Refuses batches of nothing, and batches whose insert would not be one block.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let bounds = [
            ("batch_max_records", self.batch_max_records, BATCH_MAX_RECORDS),
            ("batch_max_bytes", self.batch_max_bytes, BATCH_MAX_BYTES),
        ];
        match bounds.into_iter().find(|(_, value, largest)| !(1..=*largest).contains(value)) {
            Some((setting, value, largest)) => Err(InvalidConfig { setting, value, largest }),
            None => Ok(()),
        }
    }

    /// How long a batch may stay open after its first record.
    pub fn batch_max_wait(&self) -> Duration {
        Duration::from_millis(self.batch_max_wait_ms)
    }

    /// How far apart the batches of a partition close at least, unless they are full.
    pub fn batch_interval(&self) -> Duration {
        Duration::from_millis(self.batch_interval_ms)
    }

    /// How old an announcement may be when an insert starts.
    pub fn announcement_ttl(&self) -> Duration {
        Duration::from_secs(self.announcement_ttl_s)
    }

    /// For how long work on a partition may hear nothing.
    pub fn stall_timeout(&self) -> Duration {
        Duration::from_secs(self.stall_timeout_s)
    }

    /// The pause between tries while the store is out of reach.
    pub fn outage_pause(&self) -> Duration {
        Duration::from_secs(self.outage_pause_s)
    }

    /// What one fetch for a batch may bring, given what the batch holds already.
    pub fn fetch_limits(&self, records: usize, bytes: usize, max_wait: Duration) -> FetchLimits {
        FetchLimits {
            max_records: (self.batch_max_records - records).min(FETCH_MAX_RECORDS),
            max_bytes: (self.batch_max_bytes - bytes).min(FETCH_MAX_BYTES),
            max_wait,
        }
    }
}

/// An insert of so many rows and bytes is one block for the store; rows take a little more than their records.
const BATCH_MAX_RECORDS: usize = 200_000;
const BATCH_MAX_BYTES: usize = 40 << 20;

/// Folding one fetch must not keep the runtime's thread from other work for long.
const FETCH_MAX_RECORDS: usize = 5_000;
const FETCH_MAX_BYTES: usize = 4 << 20;
