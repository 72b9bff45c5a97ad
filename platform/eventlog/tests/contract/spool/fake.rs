//! A log in memory that refuses, hangs, loses answers or records, and writes late: in a way that it draws for each call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use parking_lot::Mutex;
use tally_eventlog::spool::Upstream;
use tally_eventlog::{
    AppendError, Appended, EventLog, FetchLimits, GroupConsumer, LogError, LogRecord, Record, RoundRobin,
    TailReader, TopicSpec, Watermarks,
};

/// How long after its answer a record may still get into the log.
pub const LATE: Duration = Duration::from_millis(25);

/// What is wrong with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Nobody is there.
    Down,
    /// Nothing is ever answered.
    Frozen,
    /// One call in two goes wrong, each in its own way.
    Flaky,
}

/// What becomes of one append.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    Done,
    Unavailable,
    Full,
    /// The record is there, its answer is not.
    AnswerLost,
    /// Neither is there.
    RecordLost,
    /// The record comes after it was given up.
    Late,
    /// There is no answer at all, whether or not the record is there.
    Hangs {
        written: bool,
    },
    /// The log will never take this record.
    Rejected,
}

pub struct FaultyLog {
    partitions: Mutex<Vec<Vec<LogRecord>>>,
    late: Mutex<Vec<(Instant, u32, Record)>>,
    spread: RoundRobin,
    fault: Mutex<Fault>,
    /// Records with this in them are refused for good.
    pub poison: Mutex<Option<&'static str>>,
    random: Mutex<Random>,
}

/// By xorshift.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }
}

impl FaultyLog {
    pub fn new(partitions: usize, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            partitions: Mutex::new(vec![Vec::new(); partitions]),
            late: Mutex::default(),
            spread: RoundRobin::default(),
            fault: Mutex::new(Fault::None),
            poison: Mutex::default(),
            random: Mutex::new(Random::new(seed)),
        })
    }

    pub fn set(&self, fault: Fault) {
        *self.fault.lock() = fault;
    }

    /// The values of all records, by partition.
    pub fn values(&self) -> Vec<Vec<String>> {
        self.land();
        let text = |record: &LogRecord| String::from_utf8(record.value.to_vec()).expect("text");
        self.partitions.lock().iter().map(|records| records.iter().map(text).collect()).collect()
    }

    fn draw(&self, record: &Record) -> Outcome {
        let text = std::str::from_utf8(&record.value).unwrap_or_default();
        if self.poison.lock().is_some_and(|poison| text.contains(poison)) {
            return Outcome::Rejected;
        }
        match *self.fault.lock() {
            Fault::None => Outcome::Done,
            Fault::Down => Outcome::Unavailable,
            Fault::Frozen => Outcome::Hangs { written: self.random.lock().below(2) == 0 },
            Fault::Flaky => match self.random.lock().below(20) {
                0 => Outcome::Unavailable,
                1 => Outcome::Full,
                2 | 3 => Outcome::AnswerLost,
                4 | 5 => Outcome::RecordLost,
                6 | 7 => Outcome::Late,
                8 => Outcome::Hangs { written: true },
                9 => Outcome::Hangs { written: false },
                _ => Outcome::Done,
            },
        }
    }

    /// Puts records into the log whose time has come. Everything that looks at the log does so first.
    fn land(&self) {
        let now = Instant::now();
        let mut late = self.late.lock();
        let landed: Vec<_> = late.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, partition, record) in landed {
            self.put(partition, record);
        }
    }

    fn put(&self, partition: u32, record: Record) -> Appended {
        let mut partitions = self.partitions.lock();
        let records = &mut partitions[partition as usize];
        let offset = records.len() as u64;
        let Record { key, value, timestamp } = record;
        records.push(LogRecord { offset, timestamp, key, value });
        Appended { partition, offset }
    }

    /// `true` as a second answer: no answer.
    fn append_one(
        &self,
        partition: u32,
        record: Record,
        outcome: Outcome,
    ) -> (Result<Appended, AppendError>, bool) {
        let in_doubt = AppendError::InDoubt { partition: Some(partition), reason: "drawn".to_owned() };
        match outcome {
            Outcome::Done => (Ok(self.put(partition, record)), false),
            Outcome::Unavailable => (Err(AppendError::Unavailable("drawn".to_owned())), false),
            Outcome::Full => (Err(AppendError::Full), false),
            Outcome::AnswerLost => {
                self.put(partition, record);
                (Err(in_doubt), false)
            }
            Outcome::RecordLost => (Err(in_doubt), false),
            Outcome::Late => {
                let after = LATE.mul_f64(self.random.lock().below(1000) as f64 / 1000.0);
                self.late.lock().push((Instant::now() + after, partition, record));
                (Err(in_doubt), false)
            }
            Outcome::Hangs { written } => {
                if written {
                    self.put(partition, record);
                }
                (Err(in_doubt), true)
            }
            Outcome::Rejected => (Err(AppendError::Rejected("drawn".to_owned())), false),
        }
    }

    /// A call has one fate as a whole or one for each record.
    async fn append_all(
        &self,
        records: Vec<Record>,
        partitions: Vec<u32>,
    ) -> Vec<Result<Appended, AppendError>> {
        self.land();
        tokio::task::yield_now().await;
        let is_drawn_once = self.random.lock().below(2) == 0;
        let whole = records.first().map(|record| self.draw(record));
        let (mut results, mut hangs) = (Vec::new(), false);
        for (record, partition) in records.into_iter().zip(partitions) {
            let outcome = match self.draw(&record) {
                Outcome::Rejected => Outcome::Rejected,
                drawn => whole.filter(|_| is_drawn_once).unwrap_or(drawn),
            };
            let (result, is_silent) = self.append_one(partition, record, outcome);
            results.push(result);
            hangs |= is_silent;
        }
        if hangs {
            std::future::pending::<()>().await;
        }
        results
    }

    async fn answer(&self) -> Result<(), LogError> {
        self.land();
        let fault = *self.fault.lock();
        match fault {
            Fault::None | Fault::Flaky => Ok(()),
            Fault::Down => Err(LogError::Unavailable("down".to_owned())),
            Fault::Frozen => std::future::pending().await,
        }
    }
}

#[async_trait]
impl EventLog for FaultyLog {
    async fn ensure_topic(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }

    async fn append(&self, _: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        self.offer("", &records).await
    }

    async fn watermarks(&self, _: &str) -> Result<Vec<Watermarks>, LogError> {
        self.answer().await?;
        let reach = |records: &Vec<LogRecord>| Watermarks { low: 0, high: records.len() as u64 };
        Ok(self.partitions.lock().iter().map(reach).collect())
    }

    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        Err(LogError::Unavailable("this log has no groups".to_owned()))
    }

    async fn tail(&self, _: &str, partition: u32, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        self.answer().await?;
        let records = self.partitions.lock()[partition as usize][from as usize..].to_vec();
        Ok(Box::new(Snapshot { records, next: from }))
    }

    async fn check(&self) -> Result<(), LogError> {
        self.answer().await
    }
}

#[async_trait]
impl Upstream for FaultyLog {
    async fn offer(&self, _: &str, records: &[Record]) -> Vec<Result<Appended, AppendError>> {
        let count = self.partitions.lock().len() as u32;
        let partitions = self.spread.partitions_of(records, count);
        self.append_all(records.to_vec(), partitions).await
    }

    async fn append_to(
        &self,
        _: &str,
        partition: u32,
        records: &[Record],
    ) -> Vec<Result<Appended, AppendError>> {
        let partitions = vec![partition; records.len()];
        self.append_all(records.to_vec(), partitions).await
    }

    async fn offset_at(&self, _: &str, partition: u32, timestamp: i64) -> Result<u64, LogError> {
        self.answer().await?;
        let partitions = self.partitions.lock();
        let records = &partitions[partition as usize];
        let found = records.iter().position(|record| record.timestamp >= timestamp);
        Ok(found.unwrap_or(records.len()) as u64)
    }
}

/// A partition as it was.
struct Snapshot {
    records: Vec<LogRecord>,
    next: u64,
}

#[async_trait]
impl TailReader for Snapshot {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        let count = self.records.len().min(limits.max_records).min(7);
        self.next += count as u64;
        Ok(self.records.drain(..count).collect())
    }

    fn next_offset(&self) -> u64 {
        self.next
    }
}
