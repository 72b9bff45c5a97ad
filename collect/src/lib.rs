//! The other end of the Service Ping: receives payloads, stores them, answers with the DevOps score, and tells instances
//! whether their version is up to date. Nobody needs a token here; what keeps strangers from harm is limits.

mod body;
mod collector;
mod config;
mod metrics;
mod pages;
mod refusal;
mod reports;
mod server;
mod storage;
mod usage_data;
mod version;

pub use collector::{Collector, Dependencies, ReleasesError, StartError};
pub use config::CollectConfig;
pub use server::{document, router, serve};
