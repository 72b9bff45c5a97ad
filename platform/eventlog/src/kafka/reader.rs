//! Reads one partition for a member of a Kafka consumer group.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio_util::sync::CancellationToken;

use super::context::NativeConsumer;
use super::failure::{commit_error, is_out_of_range, is_rebalancing, unavailable};
use super::lease::Lease;
use super::lookup;
use super::member::{Member, Offer};
use super::queue::QueueCursor;
use crate::error::{CommitError, LogError};
use crate::log::PartitionReader;
use crate::position::Position;
use crate::record::{FetchLimits, LogRecord};
use crate::topic::Watermarks;

/// Between attempts to commit while the group rebalances.
const COMMIT_RETRY: Duration = Duration::from_millis(100);

pub(super) struct Reader {
    member: Arc<Member>,
    consumer: Weak<NativeConsumer>,
    lease: Arc<Lease>,
    cursor: QueueCursor,
    request_timeout: Duration,
}

impl Reader {
    pub(super) fn new(
        member: Arc<Member>,
        consumer: Weak<NativeConsumer>,
        offer: Offer,
        request_timeout: Duration,
    ) -> Self {
        let Offer { lease, position } = offer;
        let cursor = QueueCursor::at(position.next_offset);
        Self { member, consumer, lease, cursor, request_timeout }
    }

    /// What librdkafka has fetched already, within the limits.
    fn drain(&mut self, limits: FetchLimits) -> Vec<LogRecord> {
        let queue = self.lease.queue.native.lock();
        queue.as_ref().map(|queue| self.cursor.drain(queue, limits)).unwrap_or_default()
    }

    async fn failed(&self, error: &KafkaError) -> LogError {
        if !is_out_of_range(error) {
            return unavailable(error);
        }
        let (topic, partition, timeout) =
            (self.member.topic.clone(), self.lease.partition, self.request_timeout);
        let reach = self.ask(move |consumer| lookup::watermarks(consumer, &topic, partition, timeout)).await;
        match reach {
            Ok(Watermarks { low, high }) => {
                LogError::OffsetOutOfRange { partition, requested: self.cursor.offset(), low, high }
            }
            Err(error) => error,
        }
    }

    /// librdkafka blocks, so requests go to a thread that may.
    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&NativeConsumer) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, LogError> {
        let consumer = self.consumer.clone();
        tokio::task::spawn_blocking(move || {
            let consumer = consumer.upgrade().ok_or(LogError::Revoked)?;
            request(&consumer).map_err(|error| unavailable(&error))
        })
        .await
        .map_err(|error| LogError::Unavailable(error.to_string()))?
    }
}

#[async_trait]
impl PartitionReader for Reader {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        let deadline = tokio::time::Instant::now() + limits.max_wait;
        loop {
            if self.lease.revoked.is_cancelled() {
                return Err(LogError::Revoked);
            }
            let records = self.drain(limits);
            if !records.is_empty() {
                return Ok(records);
            }
            if let Some(error) = self.cursor.failure() {
                return Err(self.failed(error).await);
            }
            tokio::select! {
                () = self.lease.revoked.cancelled() => {}
                () = self.lease.queue.arrived.notified() => {}
                () = tokio::time::sleep_until(deadline) => return Ok(Vec::new()),
            }
        }
    }

    async fn seek(&mut self, offset: u64) -> Result<(), LogError> {
        // A restart gives the partition up for a moment; a rebalance has to wait as it does for a commit.
        let guard = Arc::clone(&self.lease.commits).lock_owned().await;
        if self.lease.revoked.is_cancelled() {
            return Err(LogError::Revoked);
        }
        let (topic, partition, timeout) =
            (self.member.topic.clone(), self.lease.partition, self.request_timeout);
        let has_stopped = self.cursor.failure().is_some();
        let seek = move |consumer: &NativeConsumer| {
            let _guard = guard;
            if has_stopped {
                lookup::restart(consumer, &topic, partition, offset)
            } else {
                lookup::seek(consumer, &topic, partition, offset, timeout)
            }
        };
        self.ask(seek).await?;
        self.cursor = QueueCursor::at(offset);
        Ok(())
    }

    async fn commit(&mut self, position: &Position) -> Result<(), CommitError> {
        let guard = Arc::clone(&self.lease.commits).lock_owned().await;
        // Whoever takes the partition away cancels first and then waits for the lock that is held here.
        if self.lease.revoked.is_cancelled() {
            return Err(CommitError::Revoked);
        }
        let list = commit_list(&self.member.topic, self.lease.partition, position)?;
        let (consumer, revoked) = (self.consumer.clone(), self.lease.revoked.clone());
        let commit = tokio::task::spawn_blocking(move || {
            let result = commit(&consumer, &list, &revoked);
            drop(guard);
            result
        });
        commit.await.map_err(|error| LogError::Unavailable(error.to_string()))?
    }

    fn revoked(&self) -> &CancellationToken {
        &self.lease.revoked
    }

    fn high_watermark(&self) -> Option<u64> {
        let known = self.member.high_watermarks.get(self.lease.partition);
        known.map(|high| high.max(self.cursor.offset()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.member.returned(&self.lease);
    }
}

fn commit_list(topic: &str, partition: u32, position: &Position) -> Result<TopicPartitionList, LogError> {
    let mut list = TopicPartitionList::with_capacity(1);
    let mut element = list.add_partition(topic, partition as i32);
    element.set_offset(Offset::Offset(position.next_offset as i64)).map_err(|error| unavailable(&error))?;
    element.set_metadata(position.metadata());
    Ok(list)
}

/// While the group rebalances the brokers refuse commits even from members that keep their partitions.
fn commit(
    consumer: &Weak<NativeConsumer>,
    list: &TopicPartitionList,
    revoked: &CancellationToken,
) -> Result<(), CommitError> {
    let consumer = consumer.upgrade().ok_or(CommitError::Revoked)?;
    loop {
        let error = match consumer.commit(list, CommitMode::Sync) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        if revoked.is_cancelled() {
            return Err(CommitError::Revoked);
        }
        if !is_rebalancing(&error) {
            return Err(commit_error(&error));
        }
        std::thread::sleep(COMMIT_RETRY);
    }
}
