//! What is held against a wall clock, in a test binary of its own: nothing else runs beside it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(dead_code, reason = "the harness is that of the other tests, and these need a part of it")]

#[path = "../it/app.rs"]
mod app;
#[path = "../it/corpus.rs"]
mod corpus;
#[path = "../../../tests/harness/engine.rs"]
mod engine;
mod service_ping_year;
