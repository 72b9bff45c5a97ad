//! GitLab's Internal API (contracts/gitlab-internal.md): what gitlab-shell, Workhorse, Gitaly's hooks, the agent server
//! and the billing portal ask of a GitLab. Reads answer from the directory's fold; commands are directory transactions
//! or appends to the log, answered once they are durable.
//!
//! Served on a port of its own: [`router`] must never be merged into the public one.

mod administrator;
mod auth;
mod bounded;
mod config;
mod declared;
mod kubernetes;
mod metrics;
mod minutes;
mod namespaces;
mod parameters;
mod reconciliations;
mod refusal;
mod service;
mod state;
mod subscriptions;

pub use config::{GitalyConfig, InternalConfig};
pub use service::{router, serve};
pub use state::{Dependencies, InternalState, StartError};
