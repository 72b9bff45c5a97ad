//! Where payloads and tries to send them are kept. A trait, so that the scheduler can be tested without ClickHouse.

mod clickhouse;
mod memory;
mod row_binary;

use async_trait::async_trait;
use jiff::Timestamp;
use tally_query::service_ping::PayloadKind;

pub(crate) use self::clickhouse::ClickHouseStorage;
pub use self::memory::MemoryStorage;
use crate::payload::StoredPayload;
use crate::submission::Submission;

/// Why a payload or a submission could not be stored or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store: {0}")]
pub struct StorageError(pub String);

/// Keeps payloads and submissions. Storing the same again changes nothing.
#[async_trait]
pub trait Storage: Send + Sync {
    /// Stores a payload under its time and kind; `Ok` means durable.
    async fn put_payload(&self, payload: &StoredPayload) -> Result<(), StorageError>;

    /// The payload of this kind that was recorded at this time.
    async fn payload(
        &self,
        recorded_at: Timestamp,
        kind: PayloadKind,
    ) -> Result<Option<StoredPayload>, StorageError>;

    /// The newest payload of this kind that was recorded after `since`.
    async fn latest(
        &self,
        kind: PayloadKind,
        since: Timestamp,
    ) -> Result<Option<StoredPayload>, StorageError>;

    /// Stores a try to send.
    async fn put_submission(&self, submission: &Submission) -> Result<(), StorageError>;

    /// The tries to send the payload of this time, in their order.
    async fn submissions(&self, recorded_at: Timestamp) -> Result<Vec<Submission>, StorageError>;

    /// The newest tries of all, newest first, at most `limit`.
    async fn recent_submissions(&self, limit: usize) -> Result<Vec<Submission>, StorageError>;
}
