//! HTTP to log: takes tracked events and contributions as GitLab's API does, and answers once the log has them.
//!
//! One direction of flow, one file a step: authenticate, read and decompress the body (both tally-service) -> parse ->
//! check -> encode -> append -> answer. What is refused on the way becomes a dead letter (`refused`). What the events mean
//! is decided by the processor.

mod admit;
mod append;
mod config;
mod contributions;
mod document;
mod endpoint;
mod increment;
mod metrics;
mod parse;
mod refused;
mod service;
mod track;
mod verdict;

pub use config::{IngestConfig, InvalidConfig};
pub use endpoint::{RefusedBody, StillRefused};
pub use service::{Dependencies, Ingest, StartError, document, router, serve};
