//! A letter as the tables hold it, and the steps of its replays.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::cursor::Position;

/// The columns in the order in which `compile` selects them. Ids of 0 and empty texts mean none.
#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct LetterRow {
    pub letter: String,
    pub reason: String,
    pub detail: String,
    pub endpoint: String,
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    pub recorded_at_ms: i64,
    pub project_id: i64,
    pub user_id: i64,
    pub content_type: String,
    pub key_base64: String,
    pub kept_size: u64,
    pub whole_size: u64,
    pub payload_base64: String,
}

/// A step of a letter's replay, as `compile` selects it.
#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct ReplayRow {
    pub letter: String,
    pub attempt: u32,
    pub replay: String,
    pub step: String,
    pub at_ms: i64,
    pub by: String,
    pub detail: String,
    pub topic: String,
    pub partitions: Vec<u32>,
    pub offsets: Vec<u64>,
}

/// A letter that is a record of a replay.
#[derive(Debug, Clone, Row, Deserialize)]
pub(super) struct ReplayedRecordRow {
    pub letter: String,
    pub replay_of: String,
}

/// A dead letter and what became of it. Ids of 0 and empty texts mean none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    pub id: Uuid,
    /// The name of a drop reason.
    pub reason: String,
    pub detail: String,
    /// The route of the request that it came with; empty for a record of the log.
    pub endpoint: String,
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    /// Milliseconds since the epoch.
    pub recorded_at_ms: i64,
    pub project_id: i64,
    pub user_id: i64,
    pub content_type: String,
    pub key_base64: String,
    /// How many bytes are kept.
    pub kept_size: u64,
    /// How many there were, where not all are kept; else 0.
    pub whole_size: u64,
    /// The kept bytes, where they were asked for.
    pub payload_base64: String,
    /// In their order.
    pub replays: Vec<Replay>,
    /// The letter whose replay this letter's record is.
    pub replay_of: Option<Uuid>,
}

/// A step of a letter's replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The letter's replays are counted from 1.
    pub attempt: u32,
    pub replay_id: Uuid,
    /// `started`, `done` or `refused`.
    pub state: String,
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// Whose doing it was.
    pub by: String,
    pub detail: String,
    pub topic: String,
    /// Where its records lie, partition by partition with `offsets`.
    pub partitions: Vec<u32>,
    pub offsets: Vec<u64>,
}

impl Letter {
    pub(super) fn of(row: LetterRow) -> Option<Self> {
        Some(Self {
            id: row.letter.parse().ok()?,
            reason: row.reason,
            detail: row.detail,
            endpoint: row.endpoint,
            topic: row.topic,
            partition: row.partition,
            offset: row.offset,
            recorded_at_ms: row.recorded_at_ms,
            project_id: row.project_id,
            user_id: row.user_id,
            content_type: row.content_type,
            key_base64: row.key_base64,
            kept_size: row.kept_size,
            whole_size: row.whole_size,
            payload_base64: row.payload_base64,
            replays: Vec::new(),
            replay_of: None,
        })
    }

    /// Where it stands in listings.
    pub fn position(&self) -> Position {
        Position { recorded_at_ms: self.recorded_at_ms, id: self.id }
    }

    /// How many bytes came.
    pub fn size(&self) -> u64 {
        self.whole_size.max(self.kept_size)
    }

    /// How far its last replay has come; `None` without one.
    pub fn replay_state(&self) -> Option<&str> {
        self.replays.last().map(|replay| replay.state.as_str())
    }
}

impl Replay {
    pub(super) fn of(row: ReplayRow) -> Option<Self> {
        Some(Self {
            attempt: row.attempt,
            replay_id: row.replay.parse().ok()?,
            state: row.step,
            at_ms: row.at_ms,
            by: row.by,
            detail: row.detail,
            topic: row.topic,
            partitions: row.partitions,
            offsets: row.offsets,
        })
    }
}
