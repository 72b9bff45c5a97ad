//! Ingest as its clients see it: requests in, answers and log records out.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test as the test itself does")]

mod app;
mod authentication;
mod bad_input;
mod contract;
mod contributions;
mod dead_letters;
mod durability;
mod extensions;
mod increments;
mod overload;
mod serving;
