//! Where the spool lives, how much it may take, and how long it waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::embedded::Clock;

/// Settings of a spool.
#[derive(Clone)]
pub struct SpoolConfig {
    /// The spool's own folder; created when missing. One process at a time.
    pub directory: PathBuf,
    /// Bytes that it may take on disk. Past them records are refused.
    pub max_bytes: u64,
    /// The topics that are asked for when it is to be found out whether the log answers again.
    pub topics: Vec<String>,
    /// The longest record that the log takes, key and value together, in bytes.
    pub max_record_bytes: usize,
    /// How long the log may take for an append by itself. One that takes far longer is given up, in doubt.
    pub append_timeout: Duration,
    /// How long the log has to answer without a break before it is searched for records in doubt: what was sent to it
    /// before the break must have been taken or lost by then, and be visible to readers.
    pub settle: Duration,
    /// How often a log that does not answer is asked. Longer, up to 16 times, where it keeps failing in between.
    pub probe_interval: Duration,
    /// How long it may take to answer.
    pub probe_timeout: Duration,
    /// How long an append may wait for the disk.
    pub write_timeout: Duration,
    /// Records sent at once when the spool is drained, in bytes.
    pub chunk_bytes: usize,
    /// A file of the spool is closed once it is as long as this, and removed once it is drained.
    pub segment_bytes: u64,
    /// Tells how long records have been waiting.
    pub clock: Clock,
}

impl SpoolConfig {
    /// The defaults, in the given folder, for the given topics.
    pub fn new(directory: impl Into<PathBuf>, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            directory: directory.into(),
            max_bytes: 1 << 30,
            topics: topics.into_iter().map(Into::into).collect(),
            max_record_bytes: 1 << 20,
            append_timeout: Duration::from_secs(5),
            settle: Duration::from_secs(30),
            probe_interval: Duration::from_millis(500),
            probe_timeout: Duration::from_secs(2),
            write_timeout: Duration::from_secs(10),
            chunk_bytes: 4 << 20,
            segment_bytes: 16 << 20,
            clock: Arc::new(system_clock),
        }
    }

    /// How long the log may take for an append until it is given up. Twice `append_timeout`: for room, and for the answer.
    pub(super) fn longest_offer(&self) -> Duration {
        self.append_timeout * 2 + self.probe_timeout
    }

    /// How long an append may take until it is answered by the log, or else by the disk.
    pub fn longest_accept(&self) -> Duration {
        self.longest_offer() + self.write_timeout
    }
}

fn system_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
