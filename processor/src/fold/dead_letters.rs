//! Records of the log that can't be folded, and letters that a service wrote, as rows of the table `dead_letters`.

use std::collections::BTreeMap;

use tally_eventlog::LogRecord;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{
    CodecError, Contribution, DeadLetter, DropReason, Framing, PageEvent, TrackedEvent, topics,
};
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::calendar::{Months, day_of};
use super::{RawTable, TableInsert};
use crate::row_binary::RowWriter;

pub const TABLE: &str = "dead_letters";
/// A letter names the record that it is about, which another topic's letter may be about, too.
pub const RAW: RawTable = RawTable { name: TABLE, of_topic: None, has_timestamp: false };
const COLUMNS: &[&str] = &[
    "id",
    "reason",
    "detail",
    "endpoint",
    "topic",
    "partition",
    "offset",
    "recorded_at",
    "payload",
    "project_id",
    "key",
    "user_id",
    "content_type",
    "whole_size",
];

/// What is said of a record of the directory, whatever is wrong with it: an error's text may quote it.
const OF_DIRECTORY: &str =
    "a record of the directory; its bytes, which may hold hashes of secrets, stay in the log alone";

/// Characters of a detail that are kept.
const MAX_DETAIL_CHARS: usize = 2_000;

/// The dead letters of one batch.
#[derive(Debug)]
pub struct DeadLetters {
    topic: &'static str,
    partition: u32,
    framing: Framing,
    months: Months,
    rows: BTreeMap<u32, RowWriter>,
}

impl DeadLetters {
    pub fn new(topic: &'static str, partition: u32) -> Self {
        Self {
            topic,
            partition,
            framing: Framing::default(),
            months: Months::default(),
            rows: BTreeMap::new(),
        }
    }

    /// How the topic's records name their schema, so that those that can be read tell their project.
    pub fn set_framing(&mut self, framing: Framing) {
        self.framing = framing;
    }

    /// Keeps a record. All of the letter comes from the record alone, so that a replay keeps the same one.
    pub fn add(&mut self, record: &LogRecord, reason: DropReason, detail: &str) {
        let origin = format!("{}:{}:{}", self.topic, self.partition, record.offset);
        let is_secret = self.topic == topics::DIRECTORY;
        let detail = if is_secret { OF_DIRECTORY } else { detail };
        self.add_letter(&DeadLetter {
            id: Uuid::from_u128(xxh3_128(origin.as_bytes())),
            reason,
            detail: detail.chars().take(MAX_DETAIL_CHARS).collect(),
            origin: Origin::Log {
                topic: self.topic.to_owned(),
                partition: self.partition,
                offset: record.offset,
            },
            recorded_at: record.timestamp,
            payload: if is_secret { Vec::new() } else { record.value.to_vec() },
            project_id: self.project_of(&record.value),
            key: record.key.as_ref().filter(|_| !is_secret).map(|key| key.to_vec()),
            whole_size: is_secret.then_some(record.value.len() as u64),
        });
    }

    /// The project that a record is about, where it can be read.
    fn project_of(&self, bytes: &[u8]) -> Option<i64> {
        match self.topic {
            topics::EVENTS => TrackedEvent::decode_framed(self.framing, bytes).ok()?.project_id,
            topics::PAGE_EVENTS => Some(PageEvent::decode_framed(self.framing, bytes).ok()?.project_id),
            topics::CONTRIBUTIONS => Contribution::decode_framed(self.framing, bytes).ok()?.project_id,
            _ => None,
        }
    }

    /// Keeps a letter; a time that the table can't hold becomes its beginning.
    pub fn add_letter(&mut self, letter: &DeadLetter) {
        let day = day_of(letter.recorded_at);
        let month = self.months.month_of(day.unwrap_or_default());
        let rows = self.rows.entry(month).or_default();
        rows.uuid(letter.id);
        rows.string(letter.reason.as_str());
        rows.string(&letter.detail);
        match &letter.origin {
            Origin::Request { endpoint, .. } => put_place(rows, endpoint, "", 0, 0),
            Origin::Log { topic, partition, offset } => put_place(rows, "", topic, *partition, *offset),
        }
        rows.i64(if day.is_some() { letter.recorded_at } else { 0 });
        rows.byte_string(&letter.payload);
        rows.i64(letter.project_id.unwrap_or_default());
        rows.byte_string(letter.key.as_deref().unwrap_or_default());
        let (user_id, content_type) = match &letter.origin {
            Origin::Request { user_id, content_type, .. } => (*user_id, content_type.as_str()),
            Origin::Log { .. } => (None, ""),
        };
        rows.i64(user_id.unwrap_or_default());
        rows.string(content_type);
        rows.u64(letter.whole_size.unwrap_or_default());
        rows.end_row();
    }

    pub fn finish(self) -> impl Iterator<Item = TableInsert> {
        self.rows.into_iter().map(|(month, rows)| rows.into_insert(TABLE, COLUMNS, month))
    }
}

fn put_place(rows: &mut RowWriter, endpoint: &str, topic: &str, partition: u32, offset: u64) {
    rows.string(endpoint);
    rows.string(topic);
    rows.u32(partition);
    rows.u64(offset);
}

/// The reason under which an unreadable record is set aside.
pub fn reason_of(error: &CodecError) -> DropReason {
    match error {
        CodecError::UnknownSchema(_) | CodecError::UnknownSchemaId(_) => DropReason::UnknownSchema,
        CodecError::Malformed(_) => DropReason::Undecodable,
    }
}
