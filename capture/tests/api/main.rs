//! Capture's endpoints as trackers use them.
#![expect(clippy::unwrap_used, reason = "a test that can't go on is to fail")]

mod app;
mod enrichment;
mod privacy;
mod protocol;
mod recorded;
mod refusals;
