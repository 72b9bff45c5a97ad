//! The query service against the embedded engine: the real tables, known rows, exact answers over HTTP.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod access;
mod app;
mod corpus;
mod cube;
mod cube_cache;
mod cube_models;
mod cube_rest;
mod dead_letters;
mod dictionary;
#[path = "../../../tests/harness/engine.rs"]
mod engine;
mod events;
mod funnels;
mod goldens;
mod granularities;
mod metric_definitions;
mod scale;
mod service_ping;
mod service_ping_corpus;
mod service_ping_sources;
