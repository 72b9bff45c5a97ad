//! The Internal API as its callers see it: calls in, answers, directory changes and log records out.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod accounts;
mod administrators;
mod alerts;
mod allowed;
mod bound;
mod documented;
mod kubernetes;
mod lfs;
mod minutes;
mod receive;
mod reconciliations;
mod shell;
mod shell_authentication;
mod subscriptions;
mod usage_metrics;
mod world;
