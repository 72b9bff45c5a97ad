//! The embedded engine, served by a process of its own, as its clients see it. Each file is one promise; `support` starts
//! the processes.
#![allow(clippy::unwrap_used, reason = "what fails in a helper fails the test")]

mod cancellation;
mod clients;
mod concurrency;
mod durability;
mod http;
mod inserts;
mod isolation;
mod migrations;
mod shutdown;
mod streaming;
mod support;

/// Not a test of its own: the process that the tests talk to is this binary, told by the environment to run an engine.
#[test]
fn engine_process() {
    support::run_engine_if_asked();
}
