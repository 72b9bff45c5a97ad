//! Reads one partition without a group.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer, DefaultConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Notify;

use super::config::KafkaConfig;
use super::failure::{is_out_of_range, unavailable};
use super::lookup;
use super::queue::QueueCursor;
use crate::error::LogError;
use crate::log::TailReader;
use crate::record::{FetchLimits, LogRecord};
use crate::topic::Watermarks;

pub(super) struct Tail {
    topic: String,
    partition: u32,
    /// Gone when the reader is being dropped.
    native: Option<Native>,
    arrived: Arc<Notify>,
    cursor: QueueCursor,
    gap: Gap,
    request_timeout: Duration,
}

struct Native {
    queue: PartitionQueue<DefaultConsumerContext>,
    consumer: Arc<BaseConsumer>,
}

/// What is known of a gap between the last record and the end of the log. librdkafka tells no offsets that it passes
/// without finding a record.
enum Gap {
    Unknown,
    /// Reading began anew after the log was found to reach so far: once its end is met, all up to here was passed.
    Crossing(u64),
    /// There is none since the last record.
    None,
}

impl Tail {
    pub(super) fn start(
        config: &KafkaConfig,
        topic: &str,
        partition: u32,
        from: u64,
    ) -> Result<Self, LogError> {
        let consumer: BaseConsumer =
            config.tail().create().map_err(|error| LogError::Configuration(error.to_string()))?;
        let consumer = Arc::new(consumer);
        let arrived = Arc::new(Notify::new());
        let mut queue = consumer
            .split_partition_queue(topic, partition as i32)
            .ok_or_else(|| LogError::UnknownTopic(topic.to_owned()))?;
        let waker = Arc::clone(&arrived);
        queue.set_nonempty_callback(move || waker.notify_one());
        assign(&consumer, topic, partition, from).map_err(|error| unavailable(&error))?;
        Ok(Self {
            topic: topic.to_owned(),
            partition,
            native: Some(Native { queue, consumer }),
            arrived,
            cursor: QueueCursor::at(from),
            gap: Gap::Unknown,
            request_timeout: config.request_timeout,
        })
    }

    fn drain(&mut self, limits: FetchLimits) -> Vec<LogRecord> {
        let Some(Native { queue, consumer }) = &self.native else { return Vec::new() };
        // Events that belong to no partition.
        while let Some(event) = consumer.poll(Duration::ZERO) {
            if let Err(error) = event {
                tracing::warn!(topic = self.topic, %error, "kafka consumer");
            }
        }
        let records = self.cursor.drain(queue, limits);
        if !records.is_empty() && matches!(self.gap, Gap::None) {
            self.gap = Gap::Unknown;
        }
        records
    }

    async fn failed(&self, error: &KafkaError) -> LogError {
        if !is_out_of_range(error) {
            return unavailable(error);
        }
        match self.watermarks().await {
            Ok(Watermarks { low, high }) => LogError::OffsetOutOfRange {
                partition: self.partition,
                requested: self.cursor.offset(),
                low,
                high,
            },
            Err(error) => error,
        }
    }

    /// Finds out whether records are missing between the last one and the end of the log, and passes them.
    async fn look_for_gap(&mut self) -> Result<(), LogError> {
        if !self.cursor.at_end() {
            return Ok(());
        }
        let offset = self.cursor.offset();
        match self.gap {
            Gap::None => {}
            Gap::Crossing(high) => {
                self.cursor = QueueCursor::at(offset.max(high));
                self.gap = Gap::None;
            }
            Gap::Unknown => {
                let high = self.watermarks().await?.high;
                if high <= offset {
                    self.gap = Gap::None;
                    return Ok(());
                }
                // What was fetched, the end that was met among it, is forgotten with this.
                self.cursor = QueueCursor::at(offset);
                self.gap = Gap::Crossing(high);
                let (topic, partition) = (self.topic.clone(), self.partition);
                self.ask(move |consumer| lookup::restart(consumer, &topic, partition, offset)).await?;
            }
        }
        Ok(())
    }

    async fn watermarks(&self) -> Result<Watermarks, LogError> {
        let (topic, partition, timeout) = (self.topic.clone(), self.partition, self.request_timeout);
        self.ask(move |consumer| lookup::watermarks(consumer, &topic, partition, timeout)).await
    }

    /// librdkafka blocks, so requests go to a thread that may.
    async fn ask<T: Send + 'static>(
        &self,
        request: impl FnOnce(&BaseConsumer) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, LogError> {
        let consumer = self.native.as_ref().map(|native| Arc::clone(&native.consumer));
        let consumer = consumer.ok_or_else(|| LogError::Unavailable("the reader is closed".to_owned()))?;
        tokio::task::spawn_blocking(move || request(&consumer).map_err(|error| unavailable(&error)))
            .await
            .map_err(|error| LogError::Unavailable(error.to_string()))?
    }
}

fn assign(consumer: &BaseConsumer, topic: &str, partition: u32, from: u64) -> Result<(), KafkaError> {
    let mut list = TopicPartitionList::with_capacity(1);
    list.add_partition_offset(topic, partition as i32, Offset::Offset(from as i64))?;
    consumer.incremental_assign(&list)
}

#[async_trait]
impl TailReader for Tail {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        let deadline = tokio::time::Instant::now() + limits.max_wait;
        loop {
            let records = self.drain(limits);
            if !records.is_empty() {
                return Ok(records);
            }
            if let Some(error) = self.cursor.failure() {
                return Err(self.failed(error).await);
            }
            tokio::select! {
                () = self.arrived.notified() => {}
                () = tokio::time::sleep_until(deadline) => break,
            }
        }
        self.look_for_gap().await?;
        Ok(Vec::new())
    }

    fn next_offset(&self) -> u64 {
        self.cursor.offset()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // Closing a consumer blocks.
        let native = self.native.take();
        std::thread::spawn(move || drop(native));
    }
}
