//! The query service: ClickHouse -> HTTP. Service Ping, metric definitions, Cube's load endpoint and the Events API over
//! the tables that the processor writes. Every answer is compiled to a [`statement::Statement`] and run by the
//! [`warehouse`]; what the endpoints share beyond that is in [`state`].

pub mod config;
pub mod cube;
pub mod events;
pub mod metric_definitions;
pub mod metrics;
pub mod server;
pub mod service_ping;
pub mod state;
pub mod statement;
pub mod warehouse;

pub use config::{InstanceConfig, QueryConfig, QueryLimits};
pub use server::{document, router, serve};
pub use state::{Deps, QueryState};
