//! What a topic is to be like, and how far its partitions reach.

use std::time::Duration;

/// A topic to create, or to find as described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSpec {
    /// Letters, digits, `.`, `_` and `-`, up to 249 of them (Kafka's rule).
    pub name: String,
    /// Number of partitions, at least 1. A topic that exists keeps its number; asking for another one is an error,
    /// because keys would change their partition.
    pub partitions: u32,
    /// How old, by their timestamps, records may get; `None` keeps them for good.
    pub retention: Option<Duration>,
    /// Keep the newest record of each key (Kafka's `cleanup.policy=compact`). The embedded log keeps all of them, whatever
    /// its limit on bytes is.
    pub compacted: bool,
    /// The longest record taken, key and value together, in bytes.
    pub max_record_bytes: usize,
}

/// How far one partition reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Offset of the oldest record kept.
    pub low: u64,
    /// Offset that the next record will get.
    pub high: u64,
}
