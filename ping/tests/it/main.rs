//! The scheduler under a held clock with faults injected, its storage on the embedded engine, and its transport against
//! a server on this machine.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod consent;
mod directory_away;
#[path = "../../../tests/harness/engine.rs"]
mod engine;
mod faults;
mod slot;
mod storage;
mod transport;
mod version_check;
mod world;
mod year;
