//! The directory as several processes hold it: copies that follow one log and write to it at once.
//!
//! The log is one in memory, which can be made slow, forgetful and compacted at will; the two real ones are the subject of
//! `kafka` (real processes, killed at random) and `embedded`.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod broker;
mod commands;
mod compaction;
mod embedded;
mod kafka;
mod memory_log;
mod races;
mod snapshots;
