//! The Cube API over the data model of `tally-cube`, on two base paths: GitLab's (`gitlab`) and Cube's own (`rest`, whose
//! tokens are read by `token`). `service` has what both offer: the model of the project (`models`), the query parsed and
//! compiled by `tally-cube`, its rows out of `execute` (`cache`, `freshness` of the tables, and `flight` for queries under
//! way), put into an `answer` (`data`, and GitLab's `gaps`). `projections` keeps pre-aggregations in ClickHouse.

mod answer;
mod cache;
mod config;
mod data;
mod execute;
mod flight;
mod freshness;
mod gaps;
pub(crate) mod gitlab;
mod json;
mod models;
mod projections;
pub(crate) mod rest;
mod service;
mod tenant;
mod token;

pub use config::{CubeConfig, ModelFolder};
pub use projections::ensure_projections;
pub use service::{CubeService, CubeSetupError};
