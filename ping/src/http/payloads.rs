//! The stored payloads as JSON, byte for byte: the full one, the one without SQL and the one with the queries' texts; and
//! making a new generation of them.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use tally_directory::Scope;
use tally_query::service_ping::PayloadKind;
use tally_service::api::{ApiError, Caller, Routes, Security};
use utoipa_axum::routes;

use super::error::of_ping;
use super::state::HttpState;
use super::{features, tracking};
use crate::StoredPayload;

/// The scopes that may read the payloads, and the one that may have new ones made.
pub(super) const READING: &[Scope] = &[Scope::Api, Scope::ReadServicePing];
const MAKING: &[Scope] = &[Scope::Api];

/// What is answered where nothing is stored for the current cycle.
const NOTHING: &str = "{}";

/// The endpoints of this part.
pub(super) fn routes() -> Routes<HttpState> {
    Routes::new()
        .secured(Security::Administrator(READING), routes!(service_ping))
        .secured(Security::Administrator(READING), routes!(queries))
        .secured(Security::Administrator(READING), routes!(non_sql_metrics))
        .secured(Security::Administrator(MAKING), routes!(generate))
}

/// The Service Ping
///
/// The latest stored payload of the current reporting cycle, a week; `{}` without one. Asking is tracked as the event
/// `request_service_ping_via_rest`.
#[utoipa::path(
    get, path = "/api/v4/usage_data/service_ping", tag = "usage data",
    responses((status = 200, description = "The payload", body = Object)),
)]
async fn service_ping(State(state): State<HttpState>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_scope(READING)?;
    caller.require_admin()?;
    let (payload, ()) =
        futures::join!(state.ping.latest(PayloadKind::Full), tracking::track(&state, &caller));
    Ok(answer(payload.map_err(of_ping)?))
}

/// The Service Ping's queries
///
/// The same tree as the payload, with the text of the SQL in place of the values that are read by SQL of their own.
#[utoipa::path(
    get, path = "/api/v4/usage_data/queries", tag = "usage data",
    responses(
        (status = 200, description = "The payload with the queries' texts", body = Object),
        (status = 404, description = "The feature flag `usage_data_queries_api` is off",
            body = ref("#/components/schemas/EndpointError")),
    ),
)]
async fn queries(State(state): State<HttpState>, caller: Caller) -> Result<Response, ApiError> {
    flagged(&state, &caller, features::QUERIES, PayloadKind::Queries).await
}

/// The Service Ping without SQL
///
/// The same tree as the payload, with -3 in place of the values that are read by SQL of their own.
#[utoipa::path(
    get, path = "/api/v4/usage_data/non_sql_metrics", tag = "usage data",
    responses(
        (status = 200, description = "The payload without what takes SQL", body = Object),
        (status = 404, description = "The feature flag `usage_data_non_sql_metrics` is off",
            body = ref("#/components/schemas/EndpointError")),
    ),
)]
async fn non_sql_metrics(State(state): State<HttpState>, caller: Caller) -> Result<Response, ApiError> {
    flagged(&state, &caller, features::NON_SQL_METRICS, PayloadKind::NonSql).await
}

/// Make a Service Ping
///
/// Computes all payloads now and stores them; nothing is sent. Tally's own: GitLab makes them once a week only.
#[utoipa::path(
    post, path = "/api/v4/tally/service_ping", tag = "usage data",
    responses(
        (status = 201, description = "The payload", body = Object),
        (status = 400, description = "Making payloads is switched off",
            body = ref("#/components/schemas/EndpointError")),
    ),
)]
async fn generate(State(state): State<HttpState>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_scope(MAKING)?;
    caller.require_admin()?;
    let payload = state.ping.generate().await.map_err(of_ping)?;
    Ok((StatusCode::CREATED, answer(Some(payload))).into_response())
}

/// The payload of a kind whose endpoint a feature flag switches on.
async fn flagged(
    state: &HttpState,
    caller: &Caller,
    flag: &str,
    kind: PayloadKind,
) -> Result<Response, ApiError> {
    caller.require_scope(READING)?;
    caller.require_admin()?;
    if !state.access.directory.read().feature_flag(flag) {
        return Err(ApiError::NotFound(None));
    }
    Ok(answer(state.ping.latest(kind).await.map_err(of_ping)?))
}

fn answer(payload: Option<StoredPayload>) -> Response {
    let text = payload.map_or_else(|| NOTHING.to_owned(), |payload| payload.payload.to_string());
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}
