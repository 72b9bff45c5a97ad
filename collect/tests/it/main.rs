//! The collector against the embedded engine: the real tables, exact answers over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(clippy::float_cmp, reason = "the collector's numbers are rounded: the same number is the same text")]

mod app;
mod dev_ops_score;
#[path = "../../../tests/harness/engine.rs"]
mod engine;
mod reports;
mod routes;
mod scale;
mod upload;
mod usage_data;
mod version_check;
