//! The usage-data endpoints (contracts/gitlab-usage-data.md): `track_event` and `track_events`.

use axum::Json;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use tally_directory::Scope;
use tally_schemas::topics;
use tally_service::api::{ApiError, Caller};

use crate::admit::{self, admit};
use crate::append::append;
use crate::document::{TrackEvent, TrackEventForm, TrackEvents, Tracked};
use crate::parse::{self, EventParameters, Failures, Naming, Rules};
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
    let body = ingest.bodies.read(request).await?;
    let event = parse::event(body.text(), rules(ingest, &caller))?;
    refuse(event.failures, Naming::Single, ingest)?;
    track(ingest, &caller, vec![event.parameters], wants_verdicts).await
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
    let body = ingest.bodies.read(request).await?;
    let list = parse::events(body.text(), rules(ingest, &caller))?;
    refuse(list.failures, Naming::List, ingest)?;
    if list.count > ingest.config.max_events {
        let text = format!("Maximum {} events allowed in one request.", ingest.config.max_events);
        return Err(ApiError::BadRequest(text.into()));
    }
    track(ingest, &caller, list.events, wants_verdicts).await
}

pub(crate) fn rules<'c>(ingest: &'c Inner, caller: &Caller) -> Rules<'c> {
    Rules { limits: &ingest.config, administrator: caller.0.admin }
}

/// Nothing if nothing is wrong, or else the answer that says all of it.
pub(crate) fn refuse(failures: Failures, naming: Naming, ingest: &Inner) -> Result<(), ApiError> {
    if failures.is_empty() {
        return Ok(());
    }
    Err(ApiError::BadParameters(failures.message(naming, &ingest.config)))
}

/// Encodes, appends and answers. No events is a success without a trace.
async fn track(
    ingest: &Inner,
    caller: &Caller,
    events: Vec<EventParameters<'_>>,
    wants_verdicts: bool,
) -> Result<Response, ApiError> {
    let admitted = admit(ingest, &caller.0, ingest.access.clock.now(), events, wants_verdicts);
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
