//! The processor against the embedded engine and the embedded log: what page events become in the real tables.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

#[path = "../../../tests/harness/engine.rs"]
mod engine;
mod evolution;
mod poison;
mod recount;
mod repetitions;
mod retries;
mod sessions;
mod side_by_side;
mod tables;
