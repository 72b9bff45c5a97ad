//! What can go wrong with the log, one enum for each kind of call: [`AppendError`] for one record that was not taken,
//! [`CommitError`] for a position that was not stored, [`LogError`] for everything else.

use std::path::PathBuf;

/// Why one record was not appended. It is not in the log, except that after [`AppendError::InDoubt`] it may be, or may
/// yet get there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Key and value together are longer than the topic takes.
    #[error("record of {bytes} bytes is longer than the {limit} bytes that the topic takes")]
    TooLarge { bytes: usize, limit: usize },
    /// The topic was never ensured.
    #[error("topic {0:?} does not exist")]
    UnknownTopic(String),
    /// The log refuses this record for good, with the log's own words.
    #[error("the log refused the record: {0}")]
    Rejected(String),
    /// Too much is waiting to be written already.
    #[error("the log's buffer is full")]
    Full,
    /// The log can't write now: brokers out of reach, disk full, I/O error, shutting down.
    #[error("the log can't take records now: {0}")]
    Unavailable(String),
    /// The record was on its way when the answer got lost.
    #[error("it is not known whether the log has the record: {reason}")]
    InDoubt {
        /// Where it is if it is in the log, as far as that is known.
        partition: Option<u32>,
        reason: String,
    },
}

impl AppendError {
    /// Whether the same record may be taken later.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Full | Self::Unavailable(_) | Self::InDoubt { .. })
    }
}

/// Why a position was not committed. After any of them the previous position stands, except that a
/// [`CommitError::Log`] may have been stored although its answer was lost.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The group has moved on without this member; the log refused its generation.
    #[error("the consumer group has moved on without this member")]
    Fenced,
    /// The partition is being, or was, taken away from this reader.
    #[error("the partition was taken away from this reader")]
    Revoked,
    /// The log failed while storing the position.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// A failure of the log itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The topic was never ensured.
    #[error("topic {0:?} does not exist")]
    UnknownTopic(String),
    /// The topic exists with settings that can't be changed to the wanted ones.
    #[error("topic {topic:?} can't be made as wanted: {reason}")]
    TopicMismatch { topic: String, reason: String },
    /// The read position lies before the oldest or after the newest record: records were deleted by retention before
    /// they were read, or the log was lost. The reader decides where to go on, with `seek`.
    #[error("offset {requested} of partition {partition} is outside of what the log keeps ({low} to {high})")]
    OffsetOutOfRange { partition: u32, requested: u64, low: u64, high: u64 },
    /// The partition is being, or was, taken away from this reader.
    #[error("the partition was taken away from this reader")]
    Revoked,
    /// Another process has the log's directory open.
    #[error("the log in {0} is in use by another process")]
    InUse(PathBuf),
    /// Stored bytes are not what was written.
    #[error("the log is damaged: {0}")]
    Corrupt(String),
    /// The log's configuration can't work.
    #[error("the log is not configured right: {0}")]
    Configuration(String),
    /// The log can't answer now: brokers out of reach, disk full, I/O error, shutting down.
    #[error("the log is not available: {0}")]
    Unavailable(String),
}

impl LogError {
    /// A partition was asked for that the topic doesn't have.
    pub(crate) fn no_partition(topic: &str, partition: u32, partitions: u32) -> Self {
        let reason = format!("it has {partitions} partitions, none with the number {partition}");
        Self::TopicMismatch { topic: topic.to_owned(), reason }
    }

    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
