//! An event log in memory, with one partition a topic that is made when it is asked for. Its answers can be late or lost, its
//! reading can be held up, and it compacts when told to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tally_eventlog::{
    AppendError, Appended, EventLog, FetchLimits, GroupConsumer, LogError, LogRecord, Record, TailReader,
    TopicSpec, Watermarks,
};
use tokio::sync::watch;
use tokio::task::yield_now;

/// The log, as one process reaches it. Those made by `connect` share its records.
pub struct MemoryLog {
    shared: Arc<Shared>,
    /// While it is set, tails of this connection read nothing.
    held_up: Arc<AtomicBool>,
    /// One append in so many gets an error for an answer; half of those are in the log nevertheless.
    pub lost_answers: AtomicU32,
    /// Stirs the order in which those who wait go on.
    stir: AtomicU32,
}

struct Shared {
    records: Mutex<BTreeMap<u64, LogRecord>>,
    high: watch::Sender<u64>,
}

impl MemoryLog {
    pub fn new(seed: u32) -> Arc<Self> {
        let shared = Shared { records: Mutex::default(), high: watch::Sender::new(0) };
        Arc::new(Self::of(Arc::new(shared), seed))
    }

    fn of(shared: Arc<Shared>, seed: u32) -> Self {
        let held_up = Arc::new(AtomicBool::new(false));
        Self { shared, held_up, lost_answers: AtomicU32::new(0), stir: AtomicU32::new(seed | 1) }
    }

    /// Another process's way to the same log.
    pub fn connect(&self, seed: u32) -> Arc<Self> {
        Arc::new(Self::of(Arc::clone(&self.shared), seed))
    }

    pub fn hold_up(&self, held_up: bool) {
        self.held_up.store(held_up, Ordering::Release);
        self.shared.high.send_modify(|_| ());
    }

    /// What Kafka's compaction leaves: the newest record of each key, no tombstones, and always the last record.
    /// `up_to`: an offset that it stops at, as it goes by segments.
    pub fn compact(&self, up_to: u64) {
        let mut records = self.shared.records.lock();
        let newest: BTreeMap<Bytes, u64> =
            records.values().map(|record| (record.key.clone().unwrap(), record.offset)).collect();
        let last = records.keys().next_back().copied();
        records.retain(|offset, record| {
            let superseded = newest[record.key.as_ref().unwrap()] != *offset;
            *offset >= up_to || Some(*offset) == last || !(superseded || record.value.is_empty())
        });
    }

    pub fn records(&self) -> Vec<LogRecord> {
        self.shared.records.lock().values().cloned().collect()
    }

    pub fn high(&self) -> u64 {
        *self.shared.high.borrow()
    }

    /// A pseudo-random number, by xorshift.
    fn random(&self) -> u32 {
        let next = |mut x: u32| {
            x ^= x << 13;
            x ^= x >> 17;
            x ^ (x << 5)
        };
        let stirred = self.stir.fetch_update(Ordering::AcqRel, Ordering::Acquire, |x| Some(next(x)));
        stirred.unwrap_or_default() >> 8
    }

    async fn wait_a_little(&self) {
        for _ in 0..self.random() % 4 {
            yield_now().await;
        }
    }

    fn put(&self, record: Record) -> Appended {
        let mut records = self.shared.records.lock();
        let offset = self.high();
        let Record { key, value, timestamp } = record;
        records.insert(offset, LogRecord { offset, timestamp, key, value });
        self.shared.high.send_replace(offset + 1);
        Appended { partition: 0, offset }
    }

    fn faulty(&self, record: Record) -> Result<Appended, AppendError> {
        let lost_answers = self.lost_answers.load(Ordering::Relaxed);
        if lost_answers == 0 || !self.random().is_multiple_of(lost_answers) {
            return Ok(self.put(record));
        }
        if self.random().is_multiple_of(2) {
            self.put(record);
        }
        Err(AppendError::Unavailable("the answer got lost".to_owned()))
    }
}

#[async_trait]
impl EventLog for MemoryLog {
    async fn ensure_topic(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }

    async fn append(&self, _: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        self.wait_a_little().await;
        let results = records.into_iter().map(|record| self.faulty(record)).collect();
        self.wait_a_little().await;
        results
    }

    async fn watermarks(&self, _: &str) -> Result<Vec<Watermarks>, LogError> {
        self.wait_a_little().await;
        Ok(vec![Watermarks { low: 0, high: self.high() }])
    }

    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        Err(LogError::Unavailable("this log has no groups".to_owned()))
    }

    async fn tail(&self, _: &str, _: u32, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        let log = Self::of(Arc::clone(&self.shared), self.random());
        let log = Self { held_up: Arc::clone(&self.held_up), ..log };
        Ok(Box::new(MemoryTail { log, next: from }))
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}

struct MemoryTail {
    log: MemoryLog,
    next: u64,
}

#[async_trait]
impl TailReader for MemoryTail {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        let mut high = self.log.shared.high.subscribe();
        if self.next > *high.borrow() {
            let (requested, high) = (self.next, *high.borrow());
            return Err(LogError::OffsetOutOfRange { partition: 0, requested, low: 0, high });
        }
        let readable = |high: &u64| *high > self.next && !self.log.held_up.load(Ordering::Acquire);
        if tokio::time::timeout(limits.max_wait, high.wait_for(readable)).await.is_err() {
            return Ok(Vec::new());
        }
        self.log.wait_a_little().await;
        let most = 1 + self.log.random() as usize % limits.max_records;
        let records = self.log.shared.records.lock();
        let read: Vec<LogRecord> =
            records.range(self.next..).take(most).map(|(_, record)| record.clone()).collect();
        self.next = read.last().map_or(self.log.high(), |last| last.offset + 1);
        Ok(read)
    }

    fn next_offset(&self) -> u64 {
        self.next
    }
}
