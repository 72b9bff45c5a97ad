//! The query service: ClickHouse -> HTTP. Metric definitions, Cube's load endpoint and the Events API over
//! the tables that the processor writes. Every answer is compiled to a [`tally_store::Statement`] and run by the
//! [`warehouse`]; what the endpoints share beyond that is in [`state`]. The Service Ping's payload is computed here, too; when
//! that happens and who gets to see it is the affair of another crate.

pub mod config;
pub mod cube;
pub mod dead_letters;
pub mod dictionary;
pub mod events;
pub mod funnels;
pub mod metric_definitions;
pub mod metrics;
pub mod server;
pub mod service_ping;
pub mod state;
pub mod warehouse;

pub use config::{InstanceConfig, LicenseConfig, QueryConfig, QueryLimits};
pub use server::{document, router, serve};
pub use state::{Deps, QueryState};
