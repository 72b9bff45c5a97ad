//! The Internal API as its callers see it: calls in, answers, directory changes and log records out.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod administrators;
mod alerts;
mod kubernetes;
mod minutes;
mod reconciliations;
mod subscriptions;
mod usage_metrics;
mod world;
