//! The one thread that writes: it gathers whatever is waiting into one write with one fsync, then answers all of it.
//!
//! Offsets are given out here, and watermarks move here, after the disk has the records. After a failed write nothing
//! is acknowledged and the database is opened again before the next one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::chunk;
use super::storage::{Changes, ChunkKey, IndexEntry, Storage};
use super::topic::Topic;
use crate::error::LogError;

/// Plain bytes of records gathered into one write. More waits for the next.
const WRITE_BYTES: usize = 8 << 20;
/// A chunk is closed once its plain body is as long as this.
const CHUNK_BYTES: usize = 256 << 10;
/// After a failed reopening, the next attempt waits.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Something to write.
pub(super) enum Job {
    Append(Append),
    Change(Change),
    Stop,
}

/// Records of one append call.
pub(super) struct Append {
    pub(super) topic: Arc<Topic>,
    pub(super) parts: Vec<Part>,
    /// Gets the offset of the first record of each part.
    pub(super) answer: oneshot::Sender<Result<Vec<u64>, LogError>>,
    /// Room in the queue, given back with the answer.
    pub(super) room: OwnedSemaphorePermit,
}

/// Encoded records for one partition.
pub(super) struct Part {
    pub(super) partition: u32,
    pub(super) count: u32,
    pub(super) max_timestamp: i64,
    pub(super) body: Vec<u8>,
}

/// What to do once a change is durable.
pub(super) type OnDurable = Box<dyn FnOnce() + Send>;

/// Any other change.
pub(super) struct Change {
    pub(super) changes: Changes,
    /// Runs once the change is durable, before the answer, also when nobody waits for the answer any more.
    pub(super) on_durable: OnDurable,
    pub(super) answer: oneshot::Sender<Result<(), LogError>>,
}

/// The way to the writer.
#[derive(Clone)]
pub(super) struct Jobs(UnboundedSender<Job>);

impl Jobs {
    /// Whoever appends holds room in a bounded queue; the other jobs are few.
    pub(super) fn send(&self, job: Job) -> Result<(), LogError> {
        self.0.send(job).map_err(|_| closed())
    }

    /// Makes a change and waits until it is durable.
    pub(super) async fn change(
        &self,
        changes: Changes,
        on_durable: impl FnOnce() + Send + 'static,
    ) -> Result<(), LogError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Change(Change { changes, on_durable: Box::new(on_durable), answer }))?;
        answered.await.map_err(|_| closed())?
    }

    /// As `change`, for a thread of its own.
    pub(super) fn change_blocking(
        &self,
        changes: Changes,
        on_durable: impl FnOnce() + Send + 'static,
    ) -> Result<(), LogError> {
        let (answer, answered) = oneshot::channel();
        self.send(Job::Change(Change { changes, on_durable: Box::new(on_durable), answer }))?;
        answered.blocking_recv().map_err(|_| closed())?
    }
}

fn closed() -> LogError {
    LogError::Unavailable("the log is closed".to_owned())
}

/// All open topics, which the writer brings up to date after a reopening.
pub(super) type Topics = Arc<Mutex<BTreeMap<String, Arc<Topic>>>>;

/// Starts the writer thread.
pub(super) fn start(storage: Arc<Storage>, topics: Topics) -> std::io::Result<(Jobs, JoinHandle<()>)> {
    let (sender, jobs) = unbounded_channel();
    let writer = Writer { storage, topics, reopen_after: None };
    let thread =
        std::thread::Builder::new().name("eventlog-writer".to_owned()).spawn(move || writer.run(jobs))?;
    Ok((Jobs(sender), thread))
}

struct Writer {
    storage: Arc<Storage>,
    topics: Topics,
    /// Set after a failure: when to try opening the database again.
    reopen_after: Option<Instant>,
}

/// The jobs of one write.
#[derive(Default)]
struct Gathered {
    appends: Vec<Append>,
    changes: Vec<Change>,
    /// Plain bytes of the appends.
    bytes: usize,
    stop: bool,
}

impl Gathered {
    fn add(&mut self, job: Job) {
        match job {
            Job::Append(append) => {
                self.bytes += append.parts.iter().map(|part| part.body.len()).sum::<usize>();
                self.appends.push(append);
            }
            Job::Change(change) => self.changes.push(change),
            Job::Stop => self.stop = true,
        }
    }

    fn is_full(&self) -> bool {
        self.stop || self.bytes >= WRITE_BYTES
    }
}

impl Writer {
    fn run(mut self, mut jobs: UnboundedReceiver<Job>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut gathered = Gathered::default();
            gathered.add(first);
            while !gathered.is_full() {
                let Ok(job) = jobs.try_recv() else { break };
                gathered.add(job);
            }
            let stop = gathered.stop;
            self.write(gathered);
            if stop {
                return;
            }
        }
    }

    fn write(&mut self, gathered: Gathered) {
        if let Err(error) = self.recover() {
            return refuse(&error, gathered);
        }
        let mut plan = Plan::default();
        let offsets = gathered.appends.iter().map(|append| plan.place(append)).collect();
        let (mut changes, reach) = plan.finish();
        let Gathered { appends, changes: further, .. } = gathered;
        let mut pending = Pending { appends, offsets, changes: Vec::with_capacity(further.len()) };
        for Change { changes: change, on_durable, answer } in further {
            changes.join(change);
            pending.changes.push((on_durable, answer));
        }
        match self.storage.write(changes) {
            Ok(()) => pending.acknowledge(&reach),
            Err(error) => {
                tracing::error!(%error, "write to the event log failed; nothing of it is acknowledged");
                self.reopen_after = Some(Instant::now());
                pending.refuse(&error);
            }
        }
    }

    /// Opens the database again if the last write failed.
    fn recover(&mut self) -> Result<(), LogError> {
        let Some(after) = self.reopen_after else { return Ok(()) };
        if Instant::now() < after {
            return Err(LogError::Unavailable(
                "the last write failed; waiting to open the log again".to_owned(),
            ));
        }
        self.reopen_after = Some(Instant::now() + REOPEN_PAUSE);
        self.reopen().map_err(|error| LogError::Unavailable(error.to_string()))?;
        self.reopen_after = None;
        tracing::info!("opened the event log again after a failed write");
        Ok(())
    }

    fn reopen(&self) -> Result<(), LogError> {
        self.storage.reopen()?;
        // The failed write may be there after all, although nobody was told so.
        for topic in self.topics.lock().values() {
            for (number, partition) in topic.partitions.iter().enumerate() {
                partition.raise_high(self.storage.reach(topic.id, number as u32)?.high);
            }
        }
        Ok(())
    }
}

/// What waits for the answer to one write.
struct Pending {
    appends: Vec<Append>,
    /// Of each append: the first offset of each part.
    offsets: Vec<Vec<u64>>,
    changes: Vec<(OnDurable, oneshot::Sender<Result<(), LogError>>)>,
}

impl Pending {
    // Nobody may wait for an answer any more, so a failed send means nothing.
    fn acknowledge(self, reach: &[(Arc<Topic>, u32, u64)]) {
        for (topic, partition, high) in reach {
            topic.partition(*partition).raise_high(*high);
        }
        for (append, offsets) in self.appends.into_iter().zip(self.offsets) {
            let _ = append.answer.send(Ok(offsets));
            drop(append.room);
        }
        for (on_durable, answer) in self.changes {
            on_durable();
            let _ = answer.send(Ok(()));
        }
    }

    fn refuse(self, error: &LogError) {
        for append in self.appends {
            let _ = append.answer.send(Err(error.clone()));
        }
        for (_, answer) in self.changes {
            let _ = answer.send(Err(error.clone()));
        }
    }
}

fn refuse(error: &LogError, gathered: Gathered) {
    let changes = gathered.changes.into_iter().map(|change| (change.on_durable, change.answer)).collect();
    Pending { appends: gathered.appends, offsets: Vec::new(), changes }.refuse(error);
}

/// The chunks of one write, while records are given their places in them.
#[derive(Default)]
struct Plan {
    partitions: BTreeMap<(u32, u32), Growing>,
    changes: Changes,
}

/// A partition's open chunk.
struct Growing {
    topic: Arc<Topic>,
    base: u64,
    count: u32,
    max_timestamp: i64,
    body: Vec<u8>,
}

impl Plan {
    fn place(&mut self, append: &Append) -> Vec<u64> {
        let topic = &append.topic;
        append.parts.iter().map(|part| self.place_part(topic, part)).collect()
    }

    fn place_part(&mut self, topic: &Arc<Topic>, part: &Part) -> u64 {
        let growing = self.partitions.entry((topic.id, part.partition)).or_insert_with(|| Growing {
            topic: Arc::clone(topic),
            base: topic.partition(part.partition).watermarks().high,
            count: 0,
            max_timestamp: i64::MIN,
            body: Vec::new(),
        });
        if growing.body.len() >= CHUNK_BYTES {
            growing.close(part.partition, &mut self.changes);
        }
        let offset = growing.base + u64::from(growing.count);
        growing.body.extend_from_slice(&part.body);
        growing.count += part.count;
        growing.max_timestamp = growing.max_timestamp.max(part.max_timestamp);
        offset
    }

    /// The changes, and how far each partition will reach.
    fn finish(mut self) -> (Changes, Vec<(Arc<Topic>, u32, u64)>) {
        let mut reach = Vec::with_capacity(self.partitions.len());
        for ((_, partition), mut growing) in self.partitions {
            growing.close(partition, &mut self.changes);
            reach.push((growing.topic, partition, growing.base));
        }
        (self.changes, reach)
    }
}

impl Growing {
    fn close(&mut self, partition: u32, changes: &mut Changes) {
        let key = ChunkKey { topic: self.topic.id, partition, base: self.base };
        let chunk = chunk::seal(&self.body, self.count);
        let bytes = chunk.len() as u32;
        let entry =
            IndexEntry { base: self.base, count: self.count, bytes, max_timestamp: self.max_timestamp };
        changes.chunks.push((key, entry, chunk));
        self.base = entry.end();
        self.count = 0;
        self.max_timestamp = i64::MIN;
        self.body.clear();
    }
}
