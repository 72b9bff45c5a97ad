//! Cuts batches out of a partition: a contiguous range of offsets, folded while it is read.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::{FxHashMap, FxHashSet};
use tally_eventlog::{FetchLimits, LogError, LogRecord, PartitionReader};
use tally_evolution::Schemas;
use tally_schemas::DropReason;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::config::ProcessorConfig;
use crate::fold::{DeadLetters, Fold, Folded, Folder, TableInsert};
use crate::repetitions::Doubts;

/// How long to wait for a first record before looking around again.
const IDLE_WAIT: std::time::Duration = std::time::Duration::from_millis(250);

/// What dead letters of records that were left out say. The store's own words are logged; they would differ from try to try.
const REFUSED: &str = "the store refuses its rows";

/// A folded range of one partition.
#[derive(Debug)]
pub struct Batch {
    /// The range's offsets, the end excluded.
    pub offsets: Range<u64>,
    /// XXH3 of the records' values, one after the other: the same for a replay, another for another log that happens to
    /// use the same offsets.
    pub content_hash: u64,
    pub records: u64,
    /// No record of it has an older timestamp, nor was any of those that are left out received before.
    oldest_ms: i64,
    pub folded: Folded,
    /// Offsets of records that were left out, because the store refuses their rows.
    pub without: Vec<u64>,
    /// Their dead letters.
    pub letters: Vec<TableInsert>,
}

impl Batch {
    /// No record of it was received before. A replayed dead letter was, long before its record was appended.
    pub fn oldest_received_ms(&self) -> i64 {
        self.folded.received_at.map_or(self.oldest_ms, |(oldest, _)| oldest.min(self.oldest_ms))
    }
}

/// What was read of a partition.
pub enum Collected {
    /// All of its rows are known.
    Batch(Batch),
    /// The store must be asked about some of its records first.
    Doubtful(DoubtfulBatch),
}

/// A range of one partition whose fold is not finished.
pub struct DoubtfulBatch {
    /// All of it but its rows.
    batch: Batch,
    fold: Box<dyn Fold>,
}

impl DoubtfulBatch {
    /// Where the range begins.
    pub fn start(&self) -> u64 {
        self.batch.offsets.start
    }

    /// The records that may be repetitions.
    pub fn doubts(&self) -> Doubts {
        self.fold.doubts().expect("a doubtful batch has doubts until it is settled")
    }

    /// The batch without those records at `repeated` offsets.
    pub fn settle(mut self, repeated: &FxHashSet<u64>) -> Batch {
        self.fold.settle(repeated);
        self.finish()
    }

    fn finish(self) -> Batch {
        let Self { mut batch, fold } = self;
        batch.folded = fold.finish();
        if !batch.without.is_empty() {
            let drops = batch.folded.drops.entry(DropReason::RejectedByStore).or_default();
            *drops += batch.without.len() as u64;
        }
        batch
    }
}

/// A batch under construction.
pub struct Collector {
    topic: &'static str,
    schemas: Option<Arc<Schemas>>,
    fold: Box<dyn Fold>,
    without: Vec<u64>,
    letters: DeadLetters,
    /// Tells when those that are left out were received.
    left_out: Option<Box<dyn Fold>>,
    oldest_ms: i64,
    first_at: Option<Instant>,
    offsets: Option<Range<u64>>,
    content: Xxh3,
    records: usize,
    bytes: usize,
}

impl Collector {
    /// An empty batch.
    pub fn new(folder: &dyn Folder, partition: u32) -> Self {
        Self {
            topic: folder.topic(),
            schemas: folder.schemas(),
            fold: folder.start(partition),
            without: Vec::new(),
            letters: folder.letters(partition),
            left_out: None,
            oldest_ms: i64::MAX,
            first_at: None,
            offsets: None,
            content: Xxh3::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// Leaves the records at these offsets, in ascending order, out of the fold: they become dead letters.
    pub fn leaving_out(mut self, folder: &dyn Folder, partition: u32, offsets: Vec<u64>) -> Self {
        self.left_out = (!offsets.is_empty()).then(|| folder.start(partition));
        self.without = offsets;
        self
    }

    /// Reads until the batch is full, or its time is over but not before `earliest`, or for a moment if nothing comes at all.
    /// `None` when it is still empty then.
    pub async fn collect(
        mut self,
        reader: &mut dyn PartitionReader,
        config: &ProcessorConfig,
        earliest: Instant,
    ) -> Result<Option<Collected>, LogError> {
        while self.records < config.batch_max_records && self.bytes < config.batch_max_bytes {
            let closes_at = self.first_at.map(|first_at| earliest.max(first_at + config.batch_max_wait()));
            let wait = closes_at.map_or(IDLE_WAIT, |closes_at| closes_at.duration_since(Instant::now()));
            let records = reader.fetch(config.fetch_limits(self.records, self.bytes, wait)).await?;
            if records.is_empty() {
                break;
            }
            self.add(&records).await?;
            if closes_at.is_some_and(|closes_at| closes_at <= Instant::now()) {
                break;
            }
        }
        Ok(self.finish())
    }

    /// Reads exactly `range` again. `None` when the log no longer holds any of it.
    pub async fn replay(
        mut self,
        reader: &mut dyn PartitionReader,
        range: &Range<u64>,
        config: &ProcessorConfig,
    ) -> Result<Option<Collected>, LogError> {
        reader.seek(range.start).await?;
        loop {
            let limits: FetchLimits = config.fetch_limits(0, 0, IDLE_WAIT);
            let mut records = reader.fetch(limits).await?;
            let past_the_end = records.iter().position(|record| record.offset >= range.end);
            let reached_end =
                past_the_end.is_some() || records.last().is_some_and(|last| last.offset + 1 == range.end);
            records.truncate(past_the_end.unwrap_or(records.len()));
            self.add(&records).await?;
            if reached_end {
                reader.seek(range.end).await?;
                self.offsets = self.offsets.map(|_| range.clone());
                return Ok(self.finish());
            }
        }
    }

    /// Takes in the range's next records. Its hash is that of the records as they lie on the log, whoever can read them.
    async fn add(&mut self, records: &[LogRecord]) -> Result<(), LogError> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return Ok(()) };
        let mut translated = translated(self.schemas.as_deref(), self.topic, records).await?;
        self.first_at.get_or_insert_with(Instant::now);
        let start = self.offsets.as_ref().map_or(first.offset, |offsets| offsets.start);
        self.offsets = Some(start..last.offset + 1);
        self.records += records.len();
        for record in records {
            self.bytes += record.size();
            self.oldest_ms = self.oldest_ms.min(record.timestamp);
            self.content.update(&record.value);
            let is_left_out = self.without.binary_search(&record.offset).is_ok();
            if is_left_out {
                self.letters.add(record, DropReason::RejectedByStore, REFUSED);
            }
            let fold = if is_left_out { self.left_out.as_mut() } else { Some(&mut self.fold) };
            let Some(fold) = fold else { continue };
            match translated.remove(&record.offset) {
                Some(value) => fold.add(&LogRecord { value, ..record.clone() }),
                None => fold.add(record),
            }
        }
        Ok(())
    }

    fn finish(self) -> Option<Collected> {
        let batch = Batch {
            offsets: self.offsets?,
            content_hash: self.content.digest(),
            records: self.records as u64,
            oldest_ms: self.oldest_ms.min(oldest_of(self.left_out)),
            folded: Folded::default(),
            without: self.without,
            letters: self.letters.finish().collect(),
        };
        let read = DoubtfulBatch { batch, fold: self.fold };
        let has_doubts = read.fold.doubts().is_some();
        Some(if has_doubts { Collected::Doubtful(read) } else { Collected::Batch(read.finish()) })
    }
}

/// When the first of the fold's records was received.
fn oldest_of(fold: Option<Box<dyn Fold>>) -> i64 {
    let received_at = fold.and_then(|mut fold| {
        fold.settle(&FxHashSet::default());
        fold.finish().received_at
    });
    received_at.map_or(i64::MAX, |(oldest, _)| oldest)
}

/// The values of records that another version wrote, as this one writes them, by offset.
pub async fn translated(
    schemas: Option<&Schemas>,
    topic: &str,
    records: &[LogRecord],
) -> Result<FxHashMap<u64, Bytes>, LogError> {
    match schemas {
        Some(schemas) => schemas.translate(topic, records).await,
        None => Ok(FxHashMap::default()),
    }
}
