//! Reads one partition from an offset on: what a group member's reader and a reader without a group have in common.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::watch;

use super::chunk::Cursor;
use super::storage::{ChunkKey, Storage};
use super::topic::Topic;
use crate::error::LogError;
use crate::log::TailReader;
use crate::record::{FetchLimits, LogRecord};

pub(super) struct Tail {
    topic: Arc<Topic>,
    partition: u32,
    storage: Arc<Storage>,
    high: watch::Receiver<u64>,
    offset: u64,
    /// Inside the chunk that the last fetch stopped in.
    cursor: Option<Cursor>,
}

impl Tail {
    pub(super) fn new(topic: Arc<Topic>, partition: u32, storage: Arc<Storage>, offset: u64) -> Self {
        let high = topic.partition(partition).subscribe();
        Self { topic, partition, storage, high, offset, cursor: None }
    }

    pub(super) fn seek(&mut self, offset: u64) {
        self.offset = offset;
        self.cursor = None;
    }

    pub(super) fn high_watermark(&self) -> u64 {
        *self.high.borrow()
    }

    /// Waits until there is something to read, at most for `limits.max_wait`. `false`: there is nothing.
    async fn wait_for_records(&mut self, limits: FetchLimits) -> Result<bool, LogError> {
        let offset = self.offset;
        let arrived = tokio::time::timeout(limits.max_wait, self.high.wait_for(|high| *high > offset));
        match arrived.await {
            Ok(Ok(_)) => Ok(true),
            Ok(Err(_)) => Err(LogError::Unavailable("the log is closed".to_owned())),
            Err(_) => Ok(false),
        }
    }

    fn check_range(&self) -> Result<(), LogError> {
        let reach = self.topic.partition(self.partition).watermarks();
        if (reach.low..=reach.high).contains(&self.offset) {
            return Ok(());
        }
        Err(LogError::OffsetOutOfRange {
            partition: self.partition,
            requested: self.offset,
            low: reach.low,
            high: reach.high,
        })
    }
}

#[async_trait]
impl TailReader for Tail {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        self.check_range()?;
        if !self.wait_for_records(limits).await? {
            return Ok(Vec::new());
        }
        let scan = Scan {
            storage: Arc::clone(&self.storage),
            key: ChunkKey { topic: self.topic.id, partition: self.partition, base: self.offset },
            high: *self.high.borrow(),
            cursor: self.cursor.clone(),
        };
        let read = tokio::task::spawn_blocking(move || scan.read(limits)).await;
        let (records, cursor) = read.map_err(|error| LogError::Unavailable(error.to_string()))??;
        let Some(last) = records.last() else {
            // Retention may have overtaken the scan.
            self.check_range()?;
            return Err(LogError::Corrupt(format!("no chunk with offset {}", self.offset)));
        };
        self.offset = last.offset + 1;
        self.cursor = cursor;
        Ok(records)
    }

    fn next_offset(&self) -> u64 {
        self.offset
    }
}

/// One fetch's walk over the stored chunks.
struct Scan {
    storage: Arc<Storage>,
    /// `base` is the offset to read next.
    key: ChunkKey,
    /// Records from here on are not read.
    high: u64,
    cursor: Option<Cursor>,
}

impl Scan {
    fn read(mut self, limits: FetchLimits) -> Result<(Vec<LogRecord>, Option<Cursor>), LogError> {
        let mut records = Vec::new();
        let mut bytes = 0;
        while self.key.base < self.high {
            let Some(mut cursor) = self.next_cursor()? else { break };
            let full = fill(&mut cursor, limits, &mut records, &mut bytes)?;
            self.key.base = cursor.next_offset();
            if full {
                self.cursor = Some(cursor);
                break;
            }
        }
        Ok((records, self.cursor))
    }

    /// The chunk that holds the next record, at that record; `None` when retention has deleted it.
    fn next_cursor(&mut self) -> Result<Option<Cursor>, LogError> {
        let offset = self.key.base;
        if let Some(cursor) =
            self.cursor.take().filter(|cursor| cursor.next_offset() == offset && offset < cursor.end())
        {
            return Ok(Some(cursor));
        }
        if let Some(chunk) = self.storage.chunk(self.key)? {
            return Cursor::open(offset, &chunk).map(Some);
        }
        let Some(entry) = self.storage.last_entry_up_to(self.key)?.filter(|entry| offset < entry.end())
        else {
            return Ok(None);
        };
        let Some(chunk) = self.storage.chunk(ChunkKey { base: entry.base, ..self.key })? else {
            return Ok(None);
        };
        let mut cursor = Cursor::open(entry.base, &chunk)?;
        cursor.skip_to(offset)?;
        Ok(Some(cursor))
    }
}

/// Moves records from the chunk until it ends (`false`) or a limit is reached (`true`).
fn fill(
    cursor: &mut Cursor,
    limits: FetchLimits,
    records: &mut Vec<LogRecord>,
    bytes: &mut usize,
) -> Result<bool, LogError> {
    while let Some(size) = cursor.peek_size()? {
        let first = records.is_empty();
        if !first && (records.len() >= limits.max_records || *bytes + size > limits.max_bytes) {
            return Ok(true);
        }
        *bytes += size;
        records.extend(cursor.next()?);
    }
    Ok(false)
}
