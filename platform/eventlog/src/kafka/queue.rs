//! Takes records out of the queue in which librdkafka keeps what it has fetched of one partition.

use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rdkafka::consumer::ConsumerContext;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};

use crate::record::{FetchLimits, LogRecord};

/// How far a partition's queue was read.
pub(super) struct QueueCursor {
    /// The next record to read.
    offset: u64,
    /// Taken from the queue already, but one too many for the last fetch.
    left_over: Option<LogRecord>,
    /// What stopped librdkafka from reading on; every fetch meets it until the next seek.
    failure: Option<KafkaError>,
    /// librdkafka has met the partition's end, and no record since. It says so only where it is told to.
    at_end: bool,
}

impl QueueCursor {
    pub(super) fn at(offset: u64) -> Self {
        Self { offset, left_over: None, failure: None, at_end: false }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn failure(&self) -> Option<&KafkaError> {
        self.failure.as_ref()
    }

    pub(super) fn at_end(&self) -> bool {
        self.at_end
    }

    /// What librdkafka has fetched already, within the limits.
    pub(super) fn drain<C: ConsumerContext>(
        &mut self,
        queue: &PartitionQueue<C>,
        limits: FetchLimits,
    ) -> Vec<LogRecord> {
        let mut gathered = Gathered::default();
        while gathered.records.len() < limits.max_records.max(1) && self.failure.is_none() {
            let record = match self.left_over.take() {
                Some(record) => Fetched::Owned(record),
                None => match queue.poll(Duration::ZERO) {
                    None => break,
                    Some(Ok(message)) => Fetched::Native(message),
                    Some(Err(KafkaError::PartitionEOF(_))) => {
                        self.at_end = true;
                        continue;
                    }
                    Some(Err(error)) => {
                        self.failure = Some(error);
                        break;
                    }
                },
            };
            // Left from before a seek.
            if record.offset() < self.offset {
                continue;
            }
            self.at_end = false;
            if !gathered.records.is_empty() && gathered.bytes.len() + record.size() > limits.max_bytes {
                self.left_over = Some(record.into_owned());
                break;
            }
            self.offset = record.offset() + 1;
            gathered.add(&record);
        }
        gathered.finish()
    }
}

/// A record on its way from librdkafka to the caller.
enum Fetched<'a> {
    Native(BorrowedMessage<'a>),
    Owned(LogRecord),
}

impl Fetched<'_> {
    fn offset(&self) -> u64 {
        match self {
            Self::Native(message) => message.offset() as u64,
            Self::Owned(record) => record.offset,
        }
    }

    fn timestamp(&self) -> i64 {
        match self {
            Self::Native(message) => message.timestamp().to_millis().unwrap_or_default(),
            Self::Owned(record) => record.timestamp,
        }
    }

    fn key(&self) -> Option<&[u8]> {
        match self {
            Self::Native(message) => message.key(),
            Self::Owned(record) => record.key.as_deref(),
        }
    }

    fn value(&self) -> &[u8] {
        match self {
            Self::Native(message) => message.payload().unwrap_or_default(),
            Self::Owned(record) => &record.value,
        }
    }

    fn size(&self) -> usize {
        self.key().map_or(0, <[u8]>::len) + self.value().len()
    }

    fn into_owned(self) -> LogRecord {
        match self {
            Self::Owned(record) => record,
            native @ Self::Native(_) => LogRecord {
                offset: native.offset(),
                timestamp: native.timestamp(),
                key: native.key().map(Bytes::copy_from_slice),
                value: Bytes::copy_from_slice(native.value()),
            },
        }
    }
}

/// The records of one fetch. Keys and values are copied behind each other and shared out at the end, which costs one
/// allocation instead of two a record.
#[derive(Default)]
struct Gathered {
    bytes: BytesMut,
    records: Vec<Slot>,
}

/// Where a record is in the bytes: the key, if any, then the value.
struct Slot {
    offset: u64,
    timestamp: i64,
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl Gathered {
    fn add(&mut self, record: &Fetched<'_>) {
        let key = record.key().map(|key| self.put(key));
        let value = self.put(record.value());
        self.records.push(Slot { offset: record.offset(), timestamp: record.timestamp(), key, value });
    }

    fn put(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }

    fn finish(self) -> Vec<LogRecord> {
        let bytes = self.bytes.freeze();
        let record = |slot: Slot| LogRecord {
            offset: slot.offset,
            timestamp: slot.timestamp,
            key: slot.key.map(|range| bytes.slice(range)),
            value: bytes.slice(slot.value),
        };
        self.records.into_iter().map(record).collect()
    }
}
