//! The layers that every API stands on, on a small router: who may do what, how often, and what the audit log says.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod app;
mod audit;
mod authentication;
mod document;
mod limits;
