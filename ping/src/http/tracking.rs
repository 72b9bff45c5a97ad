//! Asking for the Service Ping is itself tracked: one event by the caller on the log. It never makes the request fail.

use std::borrow::Cow;
use std::time::Duration;

use axum::body::Bytes;
use tally_eventlog::{AppendError, Record};
use tally_schemas::{Increment, TrackedEvent, topics};
use tally_service::api::Caller;
use tokio::time::timeout;
use uuid::Builder;

use super::state::HttpState;

/// GitLab's event for a ping that is asked for over HTTP.
const EVENT: &str = "request_service_ping_via_rest";

/// Random bytes in a `UUIDv7`, next to its 48 bits of time.
const RANDOM_BYTES: usize = 10;

/// How long the answer may wait for the log.
const LOG_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// Tracks that the caller asked.
pub(super) async fn track(state: &HttpState, caller: &Caller) {
    let appending = state.ping.0.parts.log.append(topics::EVENTS, vec![record(state, caller)]);
    let problem = match timeout(LOG_ANSWERS_WITHIN, appending).await {
        Ok(results) => results.into_iter().find_map(Result::err).map(|error: AppendError| error.to_string()),
        Err(_) => Some("the log does not answer".to_owned()),
    };
    if let Some(error) = problem {
        tracing::warn!(event = EVENT, error, "a request for the service ping was not tracked");
    }
}

fn record(state: &HttpState, caller: &Caller) -> Record {
    let parts = &state.ping.0.parts;
    let now = parts.clock.now().as_millisecond();
    let mut random = [0; RANDOM_BYTES];
    parts.randomness.fill(&mut random);
    let event = TrackedEvent {
        event_id: Builder::from_unix_timestamp_millis(u64::try_from(now).unwrap_or(0), &random).into_uuid(),
        name: Cow::Borrowed(EVENT),
        timestamp: now,
        received_at: now,
        user_id: Some(caller.0.user_id),
        project_id: None,
        namespace_id: None,
        additional_properties: Vec::new(),
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: false,
        increment: Increment::Event,
    };
    let mut value = Vec::new();
    event.encode_framed(parts.framings.tracked_event, &mut value);
    Record { key: None, value: Bytes::from(value), timestamp: now }
}
