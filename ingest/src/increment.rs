//! The usage-data endpoints of older clients (contracts/gitlab-usage-data.md, "Legacy"): `increment_counter` and
//! `increment_unique_users`. Names are the internal events' and the legacy ones; which counters they stand for, and that a
//! name is unknown, is for the processor to say.

use axum::Json;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tally_directory::{Principal, Scope};
use tally_eventlog::Record;
use tally_schemas::{Increment, TrackedEvent, topics};
use tally_service::api::{ApiError, Caller};

use crate::admit::{RANDOM_BYTES_PER_ID, new_event_id};
use crate::append::append;
use crate::document::{IncrementEvent, IncrementEventForm, Incremented};
use crate::endpoint::Endpoint;
use crate::parse::{self, EventParameters};
use crate::refused;
use crate::service::{Ingest, Inner};
use crate::track::{refuse, rules};

/// What may increment.
pub(crate) const INCREMENTING: &[Scope] = &[Scope::Api];

/// Add one to an event's total
///
/// For older clients; others track events. Answered once the increment is durable.
#[utoipa::path(
    post,
    path = "/api/v4/usage_data/increment_counter",
    tag = "usage data",
    request_body(content(
        (IncrementEvent = "application/json"),
        (IncrementEventForm = "application/x-www-form-urlencoded"),
    )),
    responses((status = 200, description = "The increment is kept", body = Incremented)),
)]
pub(crate) async fn increment_counter(
    State(ingest): State<Ingest>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    increment(&ingest.0, &caller, request, Endpoint::IncrementCounter, Increment::Total).await
}

/// Add the token's user to an event's unique users
///
/// For older clients; others track events. Answered once the increment is durable.
#[utoipa::path(
    post,
    path = "/api/v4/usage_data/increment_unique_users",
    tag = "usage data",
    request_body(content(
        (IncrementEvent = "application/json"),
        (IncrementEventForm = "application/x-www-form-urlencoded"),
    )),
    responses((status = 200, description = "The increment is kept", body = Incremented)),
)]
pub(crate) async fn increment_unique_users(
    State(ingest): State<Ingest>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    increment(&ingest.0, &caller, request, Endpoint::IncrementUniqueUsers, Increment::UniqueUsers).await
}

/// The answer's body is the number 200, as of all of GitLab's endpoints that end with a status alone.
async fn increment(
    ingest: &Inner,
    caller: &Caller,
    request: Request,
    endpoint: Endpoint,
    increment: Increment,
) -> Result<Response, ApiError> {
    caller.require_scope(INCREMENTING)?;
    let body = refused::read(ingest, caller, endpoint, request).await?;
    let now = ingest.access.clock.now();
    let outcome = match prepare(ingest, &caller.0, now, body.text(), increment) {
        Ok(record) => append(ingest, topics::EVENTS, vec![record]).await,
        Err(error) => Err(error),
    };
    refused::keep_refused(ingest, caller, endpoint, &body, outcome)?;
    ingest.metrics.events.inc();
    Ok(Json(200).into_response())
}

/// The record of a body that was received at `now`.
pub(crate) fn prepare(
    ingest: &Inner,
    principal: &Principal,
    now: Timestamp,
    text: &str,
    increment: Increment,
) -> Result<Record, ApiError> {
    let event = parse::event(text, rules(ingest, principal))?;
    // The other parameters of tracking are none here, and so can't be wrong.
    refuse(event.failures.of_event(), parse::Naming::Single, ingest)?;
    Ok(record(ingest, principal, now, event.parameters, increment))
}

/// The caller's increment, now and nowhere: the projects' readers don't see it.
fn record(
    ingest: &Inner,
    principal: &Principal,
    now: Timestamp,
    parameters: EventParameters<'_>,
    increment: Increment,
) -> Record {
    let now = now.as_millisecond();
    let mut random = [0; RANDOM_BYTES_PER_ID];
    ingest.randomness.fill(&mut random);
    let event = TrackedEvent {
        event_id: new_event_id(now, &random),
        name: parameters.event,
        timestamp: now,
        received_at: now,
        user_id: Some(principal.user_id),
        project_id: None,
        namespace_id: None,
        additional_properties: Vec::new(),
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: false,
        increment,
    };
    let mut value = Vec::new();
    event.encode_framed(ingest.framings.tracked_event, &mut value);
    Record { key: None, value: value.into(), timestamp: now }
}
