//! The log of one machine, kept in a local directory by fjall.
//!
//! Appends of concurrent callers share one write and one fsync (`writer`); records are stored in chunks (`chunk`,
//! `storage`); groups live inside the process and their positions on disk (`group`); old chunks go (`retention`).

mod chunk;
mod config;
mod group;
mod membership;
mod reader;
mod repair;
mod retention;
mod storage;
mod tail;
mod topic;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, oneshot};

pub use self::config::{Clock, EmbeddedConfig};
use self::group::Group;
use self::storage::{Changes, Storage, keys};
use self::tail::Tail;
use self::topic::{StoredTopic, Topic};
use self::writer::{Append, Job, Jobs, Part, Topics};
use crate::error::{AppendError, LogError};
use crate::log::{EventLog, GroupConsumer, TailReader};
use crate::record::{Appended, Record};
use crate::topic::{TopicSpec, Watermarks};

/// A log in a local directory. Dropping it waits for the write that is under way and lets go of the directory.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    /// Dropped to stop retention.
    stop_retention: Option<Sender<()>>,
    retention: Option<JoinHandle<()>>,
}

/// By group name and topic name.
type Groups = BTreeMap<(String, String), Arc<Group>>;

struct Shared {
    config: EmbeddedConfig,
    storage: Arc<Storage>,
    topics: Topics,
    /// Locked while retention decides what to delete.
    groups: Mutex<Groups>,
    jobs: Jobs,
    /// Room for waiting records, in bytes.
    room: Arc<Semaphore>,
    /// Held while a topic is made or changed.
    making_topic: AsyncMutex<()>,
}

impl EmbeddedLog {
    /// Opens the log in its directory, which no other process may have open. Blocks while it recovers.
    pub fn open(config: EmbeddedConfig) -> Result<Self, LogError> {
        let storage = Arc::new(Storage::open(&config.directory, config.memtable_bytes)?);
        let topics: Topics = Arc::new(Mutex::new(load_topics(&storage)?));
        let thread_error = |error: std::io::Error| LogError::Unavailable(error.to_string());
        let (jobs, writer) =
            writer::start(Arc::clone(&storage), Arc::clone(&topics)).map_err(thread_error)?;
        let groups = load_groups(&storage, &topics, &jobs, &config)?;
        let room = Arc::new(Semaphore::new(config.max_waiting_bytes));
        let (groups, making_topic) = (Mutex::new(groups), AsyncMutex::default());
        let shared = Arc::new(Shared { config, storage, topics, groups, jobs, room, making_topic });
        let (stop_retention, retention) = start_retention(&shared).map_err(thread_error)?;
        let (stop_retention, retention) = (Some(stop_retention), Some(retention));
        Ok(Self { shared, writer: Some(writer), stop_retention, retention })
    }

    /// Deletes what retention lets go, now instead of at the next interval. Returns the number of deleted chunks.
    /// Blocks.
    pub fn run_retention(&self) -> Result<usize, LogError> {
        retention::run(&self.shared)
    }

    /// Bytes that the log takes on disk, journals included.
    pub fn disk_bytes(&self) -> Result<u64, LogError> {
        self.shared.storage.disk_bytes()
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        drop(self.stop_retention.take());
        if let Some(retention) = self.retention.take() {
            let _ = retention.join();
        }
        // A writer that is gone already needs no stopping.
        let _ = self.shared.jobs.send(Job::Stop);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
        self.shared.storage.close();
    }
}

fn load_topics(storage: &Storage) -> Result<BTreeMap<String, Arc<Topic>>, LogError> {
    let mut topics = BTreeMap::new();
    for (name, value) in storage.meta_entries(keys::TOPICS)? {
        let name =
            String::from_utf8(name).map_err(|error| LogError::Corrupt(format!("topic name: {error}")))?;
        let stored: StoredTopic = serde_json::from_slice(&value)
            .map_err(|error| LogError::Corrupt(format!("settings of topic {name:?}: {error}")))?;
        let reach: Result<Vec<_>, _> =
            (0..stored.partitions).map(|partition| storage.reach(stored.id, partition)).collect();
        let topic = Topic::new(&name, stored, &reach?);
        topics.insert(name, Arc::new(topic));
    }
    Ok(topics)
}

fn load_groups(
    storage: &Storage,
    topics: &Topics,
    jobs: &Jobs,
    config: &EmbeddedConfig,
) -> Result<Groups, LogError> {
    let mut groups = BTreeMap::new();
    for (key, value) in storage.meta_entries(keys::GROUPS)? {
        let corrupt = || LogError::Corrupt(format!("key of a group position {key:?}"));
        let (name, topic, partition) = keys::read_position(&key).ok_or_else(corrupt)?;
        let topic = topics.lock().get(&topic).cloned().ok_or_else(corrupt)?;
        let position = group::decode_position(&value)?;
        groups
            .entry((name, topic.name.clone()))
            .or_insert_with_key(|(name, _)| {
                Arc::new(Group::new(name, topic, jobs.clone(), config.drain_timeout))
            })
            .restore(partition, position);
    }
    Ok(groups)
}

fn start_retention(shared: &Arc<Shared>) -> std::io::Result<(Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = channel();
    let shared = Arc::clone(shared);
    let thread = std::thread::Builder::new().name("eventlog-retention".to_owned()).spawn(move || {
        while stopped.recv_timeout(shared.config.retention_interval) == Err(RecvTimeoutError::Timeout) {
            if let Err(error) = retention::run(&shared) {
                tracing::warn!(%error, "retention failed; it tries again");
            }
        }
    })?;
    Ok((stop, thread))
}

impl Shared {
    fn topic(&self, name: &str) -> Option<Arc<Topic>> {
        self.topics.lock().get(name).cloned()
    }

    /// Writes the topic's settings, then shows the topic to everybody.
    async fn store_topic(self: &Arc<Self>, topic: Arc<Topic>, settings: StoredTopic) -> Result<(), LogError> {
        let value = serde_json::to_vec(&settings).map_err(|error| LogError::Corrupt(error.to_string()))?;
        let changes = Changes { meta: vec![(keys::topic(&topic.name), value)], ..Changes::default() };
        let shared = Arc::clone(self);
        let on_durable = move || {
            topic.set_settings(settings);
            shared.topics.lock().insert(topic.name.clone(), topic);
        };
        self.jobs.change(changes, on_durable).await
    }

    /// Waits for room, hands the parts to the writer and waits for the disk.
    async fn write(&self, topic: Arc<Topic>, parts: Vec<Part>) -> Result<Vec<u64>, AppendError> {
        let bytes: usize = parts.iter().map(|part| part.body.len()).sum();
        let permits = bytes.min(self.config.max_waiting_bytes) as u32;
        let deadline = tokio::time::Instant::now() + self.config.append_timeout;
        let room = tokio::time::timeout_at(deadline, Arc::clone(&self.room).acquire_many_owned(permits))
            .await
            .map_err(|_| AppendError::Full)?
            .map_err(|_| AppendError::Unavailable("the log is closed".to_owned()))?;
        let (answer, answered) = oneshot::channel();
        self.jobs.send(Job::Append(Append { topic, parts, answer, room })).map_err(unavailable)?;
        tokio::time::timeout_at(deadline, answered)
            .await
            .map_err(|_| in_doubt("the disk did not answer in time"))?
            .map_err(|_| in_doubt("the log was closed"))?
            // What could not be written in full may be found there when the database is opened again.
            .map_err(|error| in_doubt(&error.to_string()))
    }
}

fn in_doubt(reason: &str) -> AppendError {
    AppendError::InDoubt { partition: None, reason: reason.to_owned() }
}

fn unavailable(error: LogError) -> AppendError {
    match error {
        LogError::Unavailable(reason) => AppendError::Unavailable(reason),
        error => AppendError::Unavailable(error.to_string()),
    }
}

#[async_trait]
impl EventLog for EmbeddedLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        topic::check_spec(spec)?;
        let shared = &self.shared;
        let _making = shared.making_topic.lock().await;
        let Some(topic) = shared.topic(&spec.name) else {
            let next_id = shared.topics.lock().values().map(|topic| topic.id + 1).max().unwrap_or(0);
            let settings = StoredTopic::new(next_id, spec);
            let reach = vec![Watermarks { low: 0, high: 0 }; spec.partitions as usize];
            return shared
                .store_topic(Arc::new(Topic::new(&spec.name, settings.clone(), &reach)), settings)
                .await;
        };
        if topic.partition_count() != spec.partitions {
            let reason = format!("it has {} partitions, not {}", topic.partition_count(), spec.partitions);
            return Err(LogError::TopicMismatch { topic: spec.name.clone(), reason });
        }
        let settings = StoredTopic::new(topic.id, spec);
        if topic.settings() == settings {
            return Ok(());
        }
        shared.store_topic(topic, settings).await
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        let Some(topic) = self.shared.topic(topic) else {
            let unknown = AppendError::UnknownTopic(topic.to_owned());
            return records.iter().map(|_| Err(unknown.clone())).collect();
        };
        let batch = Batch::encode(&topic, &records);
        let offsets =
            if batch.parts.is_empty() { Ok(Vec::new()) } else { self.shared.write(topic, batch.parts).await };
        batch.places.into_iter().map(|place| place?.appended(&offsets)).collect()
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, LogError> {
        let topic = self.shared.topic(topic).ok_or_else(|| LogError::UnknownTopic(topic.to_owned()))?;
        Ok(topic.partitions.iter().map(topic::Partition::watermarks).collect())
    }

    async fn join(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        if group.is_empty() || group.contains('\0') {
            return Err(LogError::Configuration(format!("{group:?} can't be the name of a consumer group")));
        }
        let shared = &self.shared;
        let topic = shared.topic(topic).ok_or_else(|| LogError::UnknownTopic(topic.to_owned()))?;
        let key = (group.to_owned(), topic.name.clone());
        let new = || Group::new(group, topic, shared.jobs.clone(), shared.config.drain_timeout);
        let group = {
            let mut groups = shared.groups.lock();
            let group = groups.entry(key).or_insert_with(|| Arc::new(new()));
            group.begin();
            Arc::clone(group)
        };
        Ok(Box::new(group.join(&shared.storage)))
    }

    async fn tail(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        let unknown = || LogError::UnknownTopic(topic.to_owned());
        let found = self.shared.topic(topic).ok_or_else(unknown)?;
        if partition >= found.partition_count() {
            return Err(LogError::no_partition(topic, partition, found.partition_count()));
        }
        Ok(Box::new(Tail::new(found, partition, Arc::clone(&self.shared.storage), from)))
    }

    async fn check(&self) -> Result<(), LogError> {
        // A write with its fsync, as only that shows that the disk takes any; it also opens a failed log again.
        let changes = Changes { meta: vec![(b"check".to_vec(), Vec::new())], ..Changes::default() };
        tokio::time::timeout(self.shared.config.append_timeout, self.shared.jobs.change(changes, || {}))
            .await
            .map_err(|_| LogError::Unavailable("the disk did not answer in time".to_owned()))?
    }
}

/// One append call, sorted by partition.
struct Batch {
    parts: Vec<Part>,
    /// Of each record, where it is in the parts.
    places: Vec<Result<Place, AppendError>>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    partition: u32,
    part: usize,
    index: u32,
}

impl Place {
    fn appended(self, offsets: &Result<Vec<u64>, AppendError>) -> Result<Appended, AppendError> {
        let offsets = offsets.as_ref().map_err(Clone::clone)?;
        Ok(Appended { partition: self.partition, offset: offsets[self.part] + u64::from(self.index) })
    }
}

impl Batch {
    fn encode(topic: &Topic, records: &[Record]) -> Self {
        let limit = topic.max_record_bytes();
        let partitions = topic.spread.partitions_of(records, topic.partition_count());
        let mut batch = Self { parts: Vec::new(), places: Vec::with_capacity(records.len()) };
        for (record, partition) in records.iter().zip(partitions) {
            let place = match record.size() {
                bytes if bytes > limit => Err(AppendError::TooLarge { bytes, limit }),
                _ => Ok(batch.add(record, partition)),
            };
            batch.places.push(place);
        }
        batch
    }

    fn add(&mut self, record: &Record, partition: u32) -> Place {
        let found = self.parts.iter().position(|part| part.partition == partition);
        let part = found.unwrap_or_else(|| {
            self.parts.push(Part { partition, count: 0, max_timestamp: i64::MIN, body: Vec::new() });
            self.parts.len() - 1
        });
        let open = &mut self.parts[part];
        let place = Place { partition, part, index: open.count };
        chunk::encode_record(record, &mut open.body);
        open.count += 1;
        open.max_timestamp = open.max_timestamp.max(record.timestamp);
        place
    }
}
