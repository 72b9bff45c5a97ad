//! What those who only write need of the log: records in, durable or refused. Every [`EventLog`] is one; so is what keeps
//! records on disk while the log is out of reach.

use async_trait::async_trait;

use crate::error::{AppendError, LogError};
use crate::log::EventLog;
use crate::record::Record;

/// Takes records, and answers once they are durable.
#[async_trait]
pub trait Intake: Send + Sync {
    /// Takes records for a topic; the answer has one result a record, in their order. `Ok` means that the record is
    /// durable and will be in the topic exactly once, though it need not be there yet.
    async fn accept(&self, topic: &str, records: Vec<Record>) -> Vec<Result<(), AppendError>>;

    /// Whether records would be taken now.
    async fn ready(&self) -> Result<(), LogError>;
}

#[async_trait]
impl<L: EventLog + ?Sized> Intake for L {
    async fn accept(&self, topic: &str, records: Vec<Record>) -> Vec<Result<(), AppendError>> {
        self.append(topic, records).await.into_iter().map(|appended| appended.map(drop)).collect()
    }

    async fn ready(&self) -> Result<(), LogError> {
        self.check().await
    }
}
