//! GitLab's Internal API (contracts/gitlab-internal.md): what gitlab-shell, Workhorse, Gitaly's hooks, the agent server
//! and the billing portal ask of a GitLab. Reads answer from the directory's fold; commands are directory transactions
//! or appends to the log, answered once they are durable.
//!
//! Served on a port of its own: [`router`] must never be merged into the public one.

mod accounts;
mod actor;
mod administrator;
mod append;
mod auth;
mod bounded;
mod check;
mod config;
mod declared;
mod git;
mod kubernetes;
mod metrics;
mod minutes;
mod namespaces;
mod parameters;
mod reconciliations;
mod refusal;
mod repository;
mod request_identity;
mod service;
mod state;
mod subscriptions;

pub use config::{GitalyConfig, InternalConfig};
pub use service::{document, router, serve};
pub use state::{Dependencies, InternalState, StartError};
