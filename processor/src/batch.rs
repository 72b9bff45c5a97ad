//! Cuts batches out of a partition: a contiguous range of offsets, folded while it is read.

use std::ops::Range;

use rustc_hash::FxHashSet;
use tally_eventlog::{FetchLimits, LogError, LogRecord, PartitionReader};
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::config::ProcessorConfig;
use crate::fold::{Fold, Folded, Folder};
use crate::repetitions::Doubt;

/// How long to wait for a first record before looking around again.
const IDLE_WAIT: std::time::Duration = std::time::Duration::from_millis(250);

/// A folded range of one partition.
#[derive(Debug)]
pub struct Batch {
    /// The range's offsets, the end excluded.
    pub offsets: Range<u64>,
    /// XXH3 of the records' values, one after the other: the same for a replay, another for another log that happens to
    /// use the same offsets.
    pub content_hash: u64,
    pub records: u64,
    pub folded: Folded,
}

/// What was read of a partition.
pub enum Collected {
    /// All of its rows are known.
    Batch(Batch),
    /// The store must be asked about some of its events first.
    Doubtful(DoubtfulBatch),
}

/// A range of one partition whose fold is not finished.
pub struct DoubtfulBatch {
    pub offsets: Range<u64>,
    content_hash: u64,
    records: u64,
    fold: Box<dyn Fold>,
}

impl DoubtfulBatch {
    /// The events that may be repetitions.
    pub fn doubts(&self) -> Vec<Doubt> {
        self.fold.doubts()
    }

    /// The batch without those events at `repeated` offsets.
    pub fn settle(mut self, repeated: &FxHashSet<u64>) -> Batch {
        self.fold.settle(repeated);
        let Self { offsets, content_hash, records, fold } = self;
        Batch { offsets, content_hash, records, folded: fold.finish() }
    }
}

/// A batch under construction.
pub struct Collector {
    fold: Box<dyn Fold>,
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
            fold: folder.start(partition),
            first_at: None,
            offsets: None,
            content: Xxh3::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// Reads until the batch is full, or its time is over, or for a moment if nothing comes at all. `None` when it is
    /// still empty then.
    pub async fn collect(
        mut self,
        reader: &mut dyn PartitionReader,
        config: &ProcessorConfig,
    ) -> Result<Option<Collected>, LogError> {
        while self.records < config.batch_max_records && self.bytes < config.batch_max_bytes {
            let wait = match self.first_at {
                None => IDLE_WAIT,
                Some(first_at) => config.batch_max_wait().saturating_sub(first_at.elapsed()),
            };
            let records = reader.fetch(config.fetch_limits(self.records, self.bytes, wait)).await?;
            if records.is_empty() {
                break;
            }
            self.add(&records);
            if self.first_at.is_some_and(|first_at| first_at.elapsed() >= config.batch_max_wait()) {
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
            self.add(&records);
            if reached_end {
                reader.seek(range.end).await?;
                self.offsets = self.offsets.map(|_| range.clone());
                return Ok(self.finish());
            }
        }
    }

    fn add(&mut self, records: &[LogRecord]) {
        let (Some(first), Some(last)) = (records.first(), records.last()) else { return };
        self.first_at.get_or_insert_with(Instant::now);
        let start = self.offsets.as_ref().map_or(first.offset, |offsets| offsets.start);
        self.offsets = Some(start..last.offset + 1);
        self.records += records.len();
        for record in records {
            self.bytes += record.size();
            self.content.update(&record.value);
            self.fold.add(record);
        }
    }

    fn finish(self) -> Option<Collected> {
        let (offsets, content_hash) = (self.offsets?, self.content.digest());
        let (records, fold) = (self.records as u64, self.fold);
        Some(if fold.doubts().is_empty() {
            Collected::Batch(Batch { offsets, content_hash, records, folded: fold.finish() })
        } else {
            Collected::Doubtful(DoubtfulBatch { offsets, content_hash, records, fold })
        })
    }
}
