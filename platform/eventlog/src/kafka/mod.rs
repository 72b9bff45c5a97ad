//! The log on Apache Kafka, through librdkafka.
//!
//! Producers are idempotent and wait for all in-sync replicas. A group's position is its committed offset, with the
//! pending range in the metadata string beside it ([`Position::metadata`](crate::Position::metadata)); the brokers
//! refuse commits of past group generations.

mod config;
mod context;
mod failure;
mod lease;
mod lookup;
mod member;
mod producer;
mod queue;
mod reader;
mod tail;
mod topics;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

pub use self::config::KafkaConfig;
use self::config::RECORD_OVERHEAD;
use self::context::NativeConsumer;
use self::member::Member;
use self::producer::RecordProducer;
use self::reader::Reader;
use self::tail::Tail;
use self::topics::{Topic, Topics};
use crate::error::{AppendError, LogError};
use crate::log::{Assignment, EventLog, GroupConsumer, TailReader};
use crate::record::{Appended, Record};
use crate::spool::Upstream;
use crate::topic::{TopicSpec, Watermarks};

/// A log on a Kafka cluster. Dropping it waits, for a bounded time, until members whose consumers were dropped have
/// left their groups.
pub struct KafkaLog {
    config: KafkaConfig,
    topics: Topics,
    producer: RecordProducer,
    /// Room for waiting records, in bytes.
    room: Arc<Semaphore>,
    members: Mutex<Members>,
    /// See [`EventLog::keep_places_after`].
    shutdown: Arc<OnceLock<CancellationToken>>,
}

#[derive(Default)]
struct Members {
    threads: Vec<(Arc<Member>, JoinHandle<()>)>,
    /// How often each group and topic was joined from here under a name, which tells static members apart.
    joined: BTreeMap<(String, String), u32>,
}

impl KafkaLog {
    /// Sets the clients up; brokers that can't be reached show later, in `check` for one.
    pub fn connect(config: KafkaConfig) -> Result<Self, LogError> {
        config.check()?;
        let configuration = |error: rdkafka::error::KafkaError| LogError::Configuration(error.to_string());
        let topics = Topics::new(&config).map_err(configuration)?;
        let producer = RecordProducer::new(config.producer()).map_err(configuration)?;
        let room = Arc::new(Semaphore::new(config.max_waiting_bytes));
        Ok(Self { config, topics, producer, room, members: Mutex::default(), shutdown: Arc::default() })
    }

    async fn join_as(
        &self,
        group: &str,
        topic: &str,
        name: Option<&str>,
    ) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.topics.get(topic).await?;
        let mut members = self.members.lock();
        members.threads.retain(|(_, thread)| !thread.is_finished());
        let joined = members.joined.entry((group.to_owned(), topic.to_owned())).or_default();
        let name = name.map(|name| format!("{name}-{topic}-{joined}"));
        let keeps_place = name.as_ref().map(|_| Arc::clone(&self.shutdown));
        let member = Arc::new(Member::new(&self.config, group, topic, keeps_place));
        let (consumer, thread) = member::start(&self.config, &member, name.as_deref())?;
        *joined += u32::from(name.is_some());
        members.threads.push((Arc::clone(&member), thread));
        Ok(Box::new(Consumer { member, native: consumer, request_timeout: self.config.request_timeout }))
    }

    /// Sends those records that are not too long, each to its partition.
    async fn send(
        &self,
        name: &str,
        topic: &Topic,
        records: &[Record],
        partitions: &[u32],
    ) -> Vec<Result<Appended, AppendError>> {
        let limit = topic.max_record_bytes;
        let bytes: usize = records
            .iter()
            .map(Record::size)
            .filter(|bytes| *bytes <= limit)
            .map(|bytes| bytes + RECORD_OVERHEAD)
            .sum();
        let permits = bytes.min(self.config.max_waiting_bytes) as u32;
        let room = Arc::clone(&self.room).acquire_many_owned(permits);
        match tokio::time::timeout(self.config.append_timeout, room).await {
            Ok(Ok(room)) => self.producer.send(name, records, partitions, limit, room).await,
            _ => vec![Err(AppendError::Full); records.len()],
        }
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.topics.ensure(spec).await
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        self.offer(topic, &records).await
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, LogError> {
        self.topics.watermarks(topic).await
    }

    async fn join(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.join_as(group, topic, self.config.group_instance_id.as_deref()).await
    }

    async fn join_unnamed(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.join_as(group, topic, None).await
    }

    fn keep_places_after(&self, shutdown: CancellationToken) {
        let _ = self.shutdown.set(shutdown);
    }

    async fn tail(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        let partitions = self.topics.get(topic).await?.partitions;
        if partition >= partitions {
            return Err(LogError::no_partition(topic, partition, partitions));
        }
        Ok(Box::new(Tail::start(&self.config, topic, partition, from)?))
    }

    async fn check(&self) -> Result<(), LogError> {
        self.topics.check().await
    }
}

#[async_trait]
impl Upstream for KafkaLog {
    async fn offer(&self, topic: &str, records: &[Record]) -> Vec<Result<Appended, AppendError>> {
        match self.topics.get(topic).await {
            Ok(found) => {
                let partitions = found.spread.partitions_of(records, found.partitions);
                self.send(topic, &found, records, &partitions).await
            }
            Err(error) => vec![Err(not_sent(error)); records.len()],
        }
    }

    async fn append_to(
        &self,
        topic: &str,
        partition: u32,
        records: &[Record],
    ) -> Vec<Result<Appended, AppendError>> {
        match self.topics.get(topic).await {
            Ok(found) => self.send(topic, &found, records, &vec![partition; records.len()]).await,
            Err(error) => vec![Err(not_sent(error)); records.len()],
        }
    }

    async fn offset_at(&self, topic: &str, partition: u32, timestamp: i64) -> Result<u64, LogError> {
        self.topics.offset_at(topic, partition, timestamp).await
    }
}

/// The answer to an append whose topic could not be looked up.
fn not_sent(error: LogError) -> AppendError {
    match error {
        LogError::UnknownTopic(topic) => AppendError::UnknownTopic(topic),
        error => AppendError::Unavailable(error.to_string()),
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        let deadline = Instant::now() + self.config.drain_timeout;
        for (member, thread) in self.members.get_mut().threads.drain(..) {
            while member.is_stopping() && !thread.is_finished() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}

/// A member of a group, as the caller sees it.
struct Consumer {
    member: Arc<Member>,
    native: Weak<NativeConsumer>,
    request_timeout: Duration,
}

#[async_trait]
impl GroupConsumer for Consumer {
    async fn next_assignment(&mut self) -> Result<Assignment, LogError> {
        loop {
            let Some(offer) = self.member.take_offer() else {
                self.member.offered.notified().await;
                continue;
            };
            let offer = offer?;
            let (partition, position) = (offer.lease.partition, offer.position.clone());
            let reader =
                Reader::new(Arc::clone(&self.member), self.native.clone(), offer, self.request_timeout);
            return Ok(Assignment { partition, position, reader: Box::new(reader) });
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.member.stop();
    }
}
