//! Records of the log that can't be folded, as rows of the table `dead_letters`.

use std::collections::BTreeMap;

use tally_eventlog::LogRecord;
use tally_schemas::{CodecError, DropReason};
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
        let day = day_of(record.timestamp);
        let month = self.months.month_of(day.unwrap_or_default());
        let rows = self.rows.entry(month).or_default();
        let origin = format!("{}:{}:{}", self.topic, self.partition, record.offset);
        rows.uuid(Uuid::from_u128(xxh3_128(origin.as_bytes())));
        rows.string(reason.as_str());
        rows.string(detail);
        rows.string("");
        rows.string(self.topic);
        rows.u32(self.partition);
        rows.u64(record.offset);
        rows.i64(if day.is_some() { record.timestamp } else { 0 });
        rows.byte_string(&record.value);
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
