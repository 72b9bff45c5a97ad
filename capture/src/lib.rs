//! Capture: what Snowplow trackers send becomes page events of the log. `snowplow` reads the tracker protocol, `enrich`
//! adds what the request tells, `forward` sends tracked events on to a collector elsewhere.
//!
//! One direction of flow: read the body (tally-service) -> `snowplow` takes it apart -> `event` makes page events of it ->
//! `admit` encodes -> `append` -> answer. What the events mean is decided by the processor.

mod admit;
mod append;
mod budget;
mod config;
mod enrich;
mod event;
pub mod forward;
mod metrics;
mod service;
mod snowplow;

pub use config::{AddressPolicy, CaptureConfig, CookieConfig, InvalidConfig, PrivacyConfig, UserIdPolicy};
pub use service::{Capture, Dependencies, StartError, document, router};
