//! Records on their way into the log and out of it, and how much a reader asks for.

use std::time::Duration;

use bytes::Bytes;

/// One record to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Records of one key go to one partition, in order. Records without a key go where the log likes, all those of
    /// one append call to the same partition.
    pub key: Option<Bytes>,
    /// An empty value with a key is a tombstone (Kafka's null): a compacted topic forgets the key's older records.
    pub value: Bytes,
    /// Milliseconds since the epoch, UTC. Retention by age goes by it.
    pub timestamp: i64,
}

impl Record {
    /// Bytes of key and value, what a topic's `max_record_bytes` limits.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.len()
    }
}

/// Where a record has its place now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    pub partition: u32,
    pub offset: u64,
}

/// One record as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRecord {
    pub offset: u64,
    /// Milliseconds since the epoch, UTC, as appended.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Bytes,
}

impl LogRecord {
    /// Bytes of key and value, what [`FetchLimits::max_bytes`] counts.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.len()
    }
}

/// What ends one fetch, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchLimits {
    /// At most so many records, at least one.
    pub max_records: usize,
    /// At most so many bytes of keys and values; a first record that is longer comes alone.
    pub max_bytes: usize,
    /// How long to wait for a first record. What is there is returned without waiting for more.
    pub max_wait: Duration,
}
