//! A dead letter: bytes that were refused or set aside, with the reason and where they came from, so that
//! they can be listed and replayed.

use uuid::Uuid;

use crate::DropReason;

/// One refused or set-aside piece of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// Names the letter in listings and replays.
    pub id: Uuid,
    /// Why it was set aside.
    pub reason: DropReason,
    /// What exactly was wrong, for a person to read.
    pub detail: String,
    /// Where the bytes came from.
    pub origin: Origin,
    /// When it was set aside, in milliseconds since the epoch.
    pub recorded_at: i64,
    /// The bytes as they came, as far as they are kept.
    pub payload: Vec<u8>,
    /// The one project that all of the payload is about, where that is known: its maintainers may read the letter.
    pub project_id: Option<i64>,
    /// The key of the log's record, without which a replayed one would go to another partition.
    pub key: Option<Vec<u8>>,
    /// How many bytes there were, where the payload is not all of them. Such a letter can't be replayed.
    pub whole_size: Option<u64>,
}

/// Where a dead letter's bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A request's body or a part of it, by the endpoint's path.
    Request {
        /// The route, without identifiers.
        endpoint: String,
        /// Whose request it was, where it had a token.
        user_id: Option<i64>,
        /// How the payload is to be read, as the request said; empty for JSON.
        content_type: String,
    },
    /// A record of the log.
    Log {
        /// The topic's name.
        topic: String,
        /// The partition's number.
        partition: u32,
        /// The record's offset in the partition.
        offset: u64,
    },
}
