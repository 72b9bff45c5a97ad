//! Records of the log that can't be folded, and letters that a service wrote, as rows of the table `dead_letters`.

use std::collections::BTreeMap;

use tally_eventlog::LogRecord;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{CodecError, DeadLetter, DropReason};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::TableInsert;
use super::calendar::{Months, day_of};
use crate::row_binary::RowWriter;

pub const TABLE: &str = "dead_letters";
const COLUMNS: &[&str] =
    &["id", "reason", "detail", "endpoint", "topic", "partition", "offset", "recorded_at", "payload"];

/// The dead letters of one batch.
#[derive(Debug)]
pub struct DeadLetters {
    topic: &'static str,
    partition: u32,
    months: Months,
    rows: BTreeMap<u32, RowWriter>,
}

impl DeadLetters {
    pub fn new(topic: &'static str, partition: u32) -> Self {
        Self { topic, partition, months: Months::default(), rows: BTreeMap::new() }
    }

    /// Keeps a record. Its id and time come from the record alone, so that a replay keeps the same letter.
    pub fn add(&mut self, record: &LogRecord, reason: DropReason, detail: &str) {
        let origin = format!("{}:{}:{}", self.topic, self.partition, record.offset);
        self.add_letter(&DeadLetter {
            id: Uuid::from_u128(xxh3_128(origin.as_bytes())),
            reason,
            detail: detail.to_owned(),
            origin: Origin::Log {
                topic: self.topic.to_owned(),
                partition: self.partition,
                offset: record.offset,
            },
            recorded_at: record.timestamp,
            payload: record.value.to_vec(),
        });
    }

    /// Keeps a letter; a time that the table can't hold becomes its beginning.
    pub fn add_letter(&mut self, letter: &DeadLetter) {
        let (endpoint, topic, partition, offset) = match &letter.origin {
            Origin::Request { endpoint } => (endpoint.as_str(), "", 0, 0),
            Origin::Log { topic, partition, offset } => ("", topic.as_str(), *partition, *offset),
        };
        let day = day_of(letter.recorded_at);
        let month = self.months.month_of(day.unwrap_or_default());
        let rows = self.rows.entry(month).or_default();
        rows.uuid(letter.id);
        rows.string(letter.reason.as_str());
        rows.string(&letter.detail);
        rows.string(endpoint);
        rows.string(topic);
        rows.u32(partition);
        rows.u64(offset);
        rows.i64(if day.is_some() { letter.recorded_at } else { 0 });
        rows.byte_string(&letter.payload);
        rows.end_row();
    }

    pub fn finish(self) -> impl Iterator<Item = TableInsert> {
        self.rows.into_iter().map(|(month, rows)| rows.into_insert(TABLE, COLUMNS, month))
    }
}

/// The reason under which an unreadable record is set aside.
pub fn reason_of(error: &CodecError) -> DropReason {
    match error {
        CodecError::UnknownSchema(_) | CodecError::UnknownSchemaId(_) => DropReason::UnknownSchema,
        CodecError::Malformed(_) => DropReason::Undecodable,
    }
}
