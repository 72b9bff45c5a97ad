//! The other end of the Service Ping: receives payloads, stores them, answers with the DevOps score, and tells instances
//! whether their version is up to date. Nobody needs a token here; what keeps strangers from harm is limits.

mod collector;
mod config;
mod metrics;
mod pages;
mod refusal;
mod server;

pub use collector::{Collector, Dependencies, StartError};
pub use config::CollectConfig;
pub use server::{document, router, serve};
