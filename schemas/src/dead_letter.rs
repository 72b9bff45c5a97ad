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
    /// The bytes as they came.
    pub payload: Vec<u8>,
}

/// Where a dead letter's bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A request's body or a part of it, by the endpoint's path.
    Request {
        /// The route, without identifiers.
        endpoint: String,
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
