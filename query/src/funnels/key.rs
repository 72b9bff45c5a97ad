//! `/projects/:id/product_analytics/instrumentation_key`: the key that the project's trackers send as their application's id.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use tally_directory::ProductAnalytics;
use tally_service::api::{ApiError, Caller, MalformedBody};
use utoipa::ToSchema;

use super::project::{change, named, readable, writable};
use crate::state::QueryState;

/// A project's key.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct InstrumentationKey {
    /// Null while the project has none.
    instrumentation_key: Option<String>,
}

/// The key to be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewInstrumentationKey {
    /// 1 to 255 printable ASCII characters that are no other project's key.
    instrumentation_key: String,
}

/// Read a project's instrumentation key
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/product_analytics/instrumentation_key",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    responses((status = 200, description = "The key", body = InstrumentationKey)),
)]
pub(super) async fn read(
    State(state): State<QueryState>,
    caller: Caller,
    project: Result<Path<String>, PathRejection>,
) -> Result<Json<InstrumentationKey>, ApiError> {
    let project = readable(&state, &caller, &named(project)?)?;
    let instrumentation_key =
        project.and_then(|project| project.product_analytics.instrumentation_key.clone());
    Ok(Json(InstrumentationKey { instrumentation_key }))
}

/// Set a project's instrumentation key
///
/// Events that come with the former key are no longer the project's.
#[utoipa::path(
    put,
    path = "/api/v4/projects/{id}/product_analytics/instrumentation_key",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    request_body = NewInstrumentationKey,
    responses((status = 200, description = "The key", body = InstrumentationKey)),
)]
pub(super) async fn put(
    State(state): State<QueryState>,
    caller: Caller,
    project: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Json<InstrumentationKey>, ApiError> {
    let project_id = writable(&state, &caller, &named(project)?)?.id;
    let body = state.bodies.read(request).await?;
    let sent: NewInstrumentationKey = serde_json::from_str(body.text()).map_err(MalformedBody::from)?;
    let key = sent.instrumentation_key;
    let refused = |problem: String| ApiError::BadRequest(format!("instrumentation_key: {problem}").into());
    ProductAnalytics::check_key(&key).map_err(refused)?;
    change(&state, project_id, |directory, analytics| {
        if directory.project_of_key(&key).is_some_and(|holder| holder.id != project_id) {
            return Err(refused("another project has the same key".to_owned()));
        }
        analytics.instrumentation_key = Some(key.clone());
        Ok(())
    })
    .await?;
    let (user_id, token_id) = (caller.0.user_id, caller.0.token_id);
    tracing::info!(user_id, token_id, project_id, "a project's instrumentation key was set");
    Ok(Json(InstrumentationKey { instrumentation_key: Some(key) }))
}

/// Remove a project's instrumentation key
///
/// Events that come with it are no longer the project's.
#[utoipa::path(
    delete,
    path = "/api/v4/projects/{id}/product_analytics/instrumentation_key",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    responses((status = 204, description = "The project has none")),
)]
pub(super) async fn remove(
    State(state): State<QueryState>,
    caller: Caller,
    project: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let project_id = writable(&state, &caller, &named(project)?)?.id;
    change(&state, project_id, |_, analytics| {
        analytics.instrumentation_key = None;
        Ok(())
    })
    .await?;
    let (user_id, token_id) = (caller.0.user_id, caller.0.token_id);
    tracing::info!(user_id, token_id, project_id, "a project's instrumentation key was removed");
    Ok(StatusCode::NO_CONTENT)
}
