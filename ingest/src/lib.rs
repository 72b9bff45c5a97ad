//! HTTP to log: takes tracked events and contributions as GitLab's API does, and answers once the log has them.
//!
//! One direction of flow, one file a step: authenticate (tally-service) -> read and decompress the body -> parse ->
//! check -> encode -> append -> answer. What the events mean is decided by the processor.

mod config;
mod in_flight;
mod metrics;
mod randomness;
mod service;

pub use config::{IngestConfig, InvalidConfig};
pub use randomness::{Randomness, ThreadRandomness};
pub use service::{Dependencies, Ingest, StartError, router, serve};
