//! What the spool needs of the log beyond what everybody needs of it.

use async_trait::async_trait;

use crate::error::{AppendError, LogError};
use crate::log::EventLog;
use crate::record::{Appended, Record};

/// A log in which a record whose delivery is in doubt can be searched for.
#[async_trait]
pub trait Upstream: EventLog {
    /// Appends records that the caller keeps; the answer has one result a record, in their order.
    async fn offer(&self, topic: &str, records: &[Record]) -> Vec<Result<Appended, AppendError>>;

    /// As [`Upstream::offer`], to one partition, whatever the records' keys.
    async fn append_to(
        &self,
        topic: &str,
        partition: u32,
        records: &[Record],
    ) -> Vec<Result<Appended, AppendError>>;

    /// An offset that no record of the partition with this timestamp (milliseconds since the epoch) or a later one lies
    /// before.
    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64, LogError>;
}
