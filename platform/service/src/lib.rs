//! What every Tally process has, whichever services it runs: configuration, logs, metrics, health, HTTP serving and the
//! form of API errors. Nothing here knows what an event is.

pub mod api;
pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod logging;
pub mod metrics;
pub mod outgoing;
pub mod randomness;
