//! The usage-data endpoints (contracts/gitlab-usage-data.md): `track_event` and `track_events`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use tally_directory::{Principal, Scope};
use tally_schemas::topics;
use tally_service::api::{ApiError, Caller};

use crate::admit::{self, Admitted, admit};
use crate::append::append;
use crate::document::{TrackEvent, TrackEventForm, TrackEvents, Tracked};
use crate::endpoint::Endpoint;
use crate::parse::{self, Failures, Naming, Rules};
use crate::refused;
use crate::service::{Ingest, Inner};
use crate::verdict::Verdicts;

/// What may track events.
pub(crate) const TRACKING: &[Scope] = &[Scope::Api, Scope::AiWorkflows];

/// Track an event
///
/// Answered once the event is durable.
#[utoipa::path(
    post,
    path = "/api/v4/usage_data/track_event",
    tag = "usage data",
    params(("Prefer" = Option<String>, Header, description = "`return=representation` asks for a verdict")),
    request_body(content(
        (TrackEvent = "application/json"),
        (TrackEventForm = "application/x-www-form-urlencoded"),
    )),
    responses((status = 200, description = "The event is kept", body = Tracked)),
)]
pub(crate) async fn track_event(
    State(ingest): State<Ingest>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_scope(TRACKING)?;
    let ingest = &*ingest.0;
    let wants_verdicts = admit::prefers_representation(request.headers());
    let body = refused::read(ingest, &caller, Endpoint::TrackEvent, request).await?;
    let now = ingest.access.clock.now();
    let outcome = match prepare_one(ingest, &caller.0, now, body.text(), wants_verdicts) {
        Ok(admitted) => track(ingest, admitted, wants_verdicts).await,
        Err(error) => Err(error),
    };
    refused::keep_refused(ingest, &caller, Endpoint::TrackEvent, &body, outcome)
}

/// Track up to 50 events
///
/// All or nothing: one event that is not well-formed refuses the request. Answered once the events are durable.
#[utoipa::path(
    post,
    path = "/api/v4/usage_data/track_events",
    tag = "usage data",
    params(("Prefer" = Option<String>, Header, description = "`return=representation` asks for verdicts")),
    request_body = TrackEvents,
    responses((status = 200, description = "The events are kept", body = Tracked)),
)]
pub(crate) async fn track_events(
    State(ingest): State<Ingest>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    caller.require_scope(TRACKING)?;
    let ingest = &*ingest.0;
    let wants_verdicts = admit::prefers_representation(request.headers());
    let body = refused::read(ingest, &caller, Endpoint::TrackEvents, request).await?;
    let now = ingest.access.clock.now();
    let outcome = match prepare_list(ingest, &caller.0, now, body.text(), wants_verdicts) {
        Ok(admitted) => track(ingest, admitted, wants_verdicts).await,
        Err(error) => Err(error),
    };
    refused::keep_refused(ingest, &caller, Endpoint::TrackEvents, &body, outcome)
}

/// The records of a body of `track_event` that was received at `now`.
pub(crate) fn prepare_one(
    ingest: &Inner,
    principal: &Principal,
    now: Timestamp,
    text: &str,
    wants_verdicts: bool,
) -> Result<Admitted, ApiError> {
    let event = parse::event(text, rules(ingest, principal))?;
    refuse(event.failures, Naming::Single, ingest)?;
    Ok(admit(ingest, principal, now, vec![event.parameters], wants_verdicts))
}

/// The records of a body of `track_events` that was received at `now`.
pub(crate) fn prepare_list(
    ingest: &Inner,
    principal: &Principal,
    now: Timestamp,
    text: &str,
    wants_verdicts: bool,
) -> Result<Admitted, ApiError> {
    let list = parse::events(text, rules(ingest, principal))?;
    refuse(list.failures, Naming::List, ingest)?;
    if list.count > ingest.config.max_events {
        let text = format!("Maximum {} events allowed in one request.", ingest.config.max_events);
        return Err(ApiError::BadRequest(text.into()));
    }
    Ok(admit(ingest, principal, now, list.events, wants_verdicts))
}

pub(crate) fn rules<'c>(ingest: &'c Inner, principal: &Principal) -> Rules<'c> {
    Rules { limits: &ingest.config, administrator: principal.admin }
}

/// Nothing if nothing is wrong, or else the answer that says all of it.
pub(crate) fn refuse(failures: Failures, naming: Naming, ingest: &Inner) -> Result<(), ApiError> {
    if failures.is_empty() {
        return Ok(());
    }
    Err(ApiError::BadParameters(failures.message(naming, &ingest.config)))
}

/// Appends and answers. No events is a success without a trace.
async fn track(ingest: &Inner, admitted: Admitted, wants_verdicts: bool) -> Result<Response, ApiError> {
    let count = admitted.records.len();
    if count > 0 {
        append(ingest, topics::EVENTS, admitted.records).await?;
        ingest.metrics.events.inc_by(count as u64);
        ingest.metrics.undeclared_properties.inc_by(admitted.undeclared_properties as u64);
    }
    if !wants_verdicts {
        return Ok(Json(200).into_response());
    }
    let mut response = Json(Verdicts { events: admitted.verdicts }).into_response();
    let applied = HeaderValue::from_static("return=representation");
    response.headers_mut().insert("preference-applied", applied);
    Ok(response)
}
