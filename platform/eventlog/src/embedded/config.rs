//! Where the embedded log lives and how much it may take.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the epoch, UTC. Passed in, so that a test can hold retention's clock.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Settings of an embedded log.
#[derive(Clone)]
pub struct EmbeddedConfig {
    /// The log's own directory; created when missing. One process at a time.
    pub directory: PathBuf,
    /// Records waiting for their fsync, in bytes. Appends past it wait, and are refused after `append_timeout`.
    pub max_waiting_bytes: usize,
    /// How long one append may take, waiting for room included, before it is answered with a retriable error.
    pub append_timeout: Duration,
    /// Keep no more than about so many bytes (as stored) in each partition.
    pub max_partition_bytes: Option<u64>,
    /// Let retention delete records that a consumer group has yet to read. Off, a group that has ever joined holds
    /// back every record from its committed position on, however old, for as long as the log exists.
    pub delete_unread: bool,
    /// How often retention looks for records to delete.
    pub retention_interval: Duration,
    /// How long a partition that is being taken away waits for its reader to be dropped, before it is cut off.
    pub drain_timeout: Duration,
    /// Bytes of recent chunks held in memory before they are written as files; about three times as much is taken at
    /// the worst.
    pub memtable_bytes: u64,
    /// Retention's clock.
    pub clock: Clock,
}

impl EmbeddedConfig {
    /// The defaults, in the given directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            max_waiting_bytes: 64 << 20,
            append_timeout: Duration::from_secs(30),
            max_partition_bytes: None,
            delete_unread: false,
            retention_interval: Duration::from_mins(1),
            drain_timeout: Duration::from_secs(10),
            memtable_bytes: 32 << 20,
            clock: Arc::new(system_clock),
        }
    }
}

fn system_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}
