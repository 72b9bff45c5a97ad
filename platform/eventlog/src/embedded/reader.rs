//! Reads one partition for a group member.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::group::{Group, Lease};
use super::storage::Storage;
use super::tail::Tail;
use super::topic::Topic;
use crate::error::{CommitError, LogError};
use crate::log::{PartitionReader, TailReader};
use crate::position::Position;
use crate::record::{FetchLimits, LogRecord};

pub(super) struct Reader {
    group: Arc<Group>,
    lease: Arc<Lease>,
    tail: Tail,
}

impl Reader {
    pub(super) fn new(
        group: Arc<Group>,
        topic: Arc<Topic>,
        storage: Arc<Storage>,
        lease: Arc<Lease>,
        offset: u64,
    ) -> Self {
        let tail = Tail::new(topic, lease.partition, storage, offset);
        Self { group, lease, tail }
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        tokio::select! {
            biased;
            () = self.lease.revoked.cancelled() => Err(LogError::Revoked),
            fetched = self.tail.fetch(limits) => fetched,
        }
    }

    async fn seek(&mut self, offset: u64) -> Result<(), LogError> {
        self.tail.seek(offset);
        Ok(())
    }

    async fn commit(&mut self, position: &Position) -> Result<(), CommitError> {
        self.group.commit(&self.lease, position).await
    }

    fn revoked(&self) -> &CancellationToken {
        &self.lease.revoked
    }

    fn high_watermark(&self) -> Option<u64> {
        Some(self.tail.high_watermark())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.group.released(&self.lease);
    }
}
