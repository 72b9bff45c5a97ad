//! Snowplow's tracker protocol: where trackers send to, the form of their requests, and the endpoints' answers.

pub(crate) mod cookie;
pub(crate) mod cors;
pub(crate) mod endpoints;
pub(crate) mod parameters;
pub(crate) mod paths;
pub(crate) mod payload;
pub(crate) mod schema;
