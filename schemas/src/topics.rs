//! The names of the log's topics.

/// Tracked events, one Avro `TrackedEvent` a record.
pub const EVENTS: &str = "tally.events";
/// Contribution events for the Events API, one Avro `Contribution` a record.
pub const CONTRIBUTIONS: &str = "tally.contributions";
/// Whatever was refused or set aside, one Avro `DeadLetter` a record.
pub const DEAD_LETTERS: &str = "tally.dead_letters";
/// What the directory holds, one transaction a record. One partition, compacted.
pub const DIRECTORY: &str = "tally.directory";
/// Page events of product analytics, one Avro `PageEvent` a record.
pub const PAGE_EVENTS: &str = "tally.page_events";
/// The schemas that records are written with, in Avro's JSON form, by their fingerprints. One partition, compacted.
pub const SCHEMAS: &str = "tally.schemas";
