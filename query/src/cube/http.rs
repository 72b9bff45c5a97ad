//! `GET` and `POST /api/v4/projects/:id/product_analytics/request/load`: GitLab's layer over Cube. Finds the project, takes
//! the query out of the request, and gives Cube's errors GitLab's status and form.

use std::collections::HashMap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tally_directory::{AccessLevel, Directory, Principal, Project, ProjectLookup, Scope};
use tally_service::api::{ApiError, Caller, MalformedBody};
use tally_service::described;

use super::error::CubeError;
use crate::state::QueryState;
use crate::warehouse::WarehouseError;

/// The scopes that may read a project's analytics.
pub(crate) const SCOPES: &[Scope] = &[Scope::Api, Scope::ReadApi];

/// The least role in a project whose members may read its analytics. GitLab refuses guests.
const LEAST_ROLE: AccessLevel = AccessLevel::Reporter;

/// What is said of a project that isn't there, or not for this caller.
const NO_PROJECT: ApiError = ApiError::NotFound(Some("Project"));

described! {
    /// The body of a load request.
    struct Load = json!({
        "type": "object",
        "required": ["query"],
        "properties": {
            "query": {
                "type": ["object", "string"],
                "description": "Cube's query: measures, dimensions, timeDimensions, filters, segments, order, limit, ...",
                "example": {"measures": ["TrackedEvents.count"]},
            },
            "queryType": {"type": "string", "description": "`multi`, the default, or `regular`"},
        },
    });
}

/// What a load request holds. GitLab ignores other fields.
#[derive(Debug, Deserialize)]
pub(crate) struct LoadRequest {
    query: Option<Value>,
    #[serde(rename = "queryType")]
    query_type: Option<String>,
}

/// Query a project's analytics
///
/// Answers a query in Cube's form over the project's events. A refused query is answered in Cube's words.
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/product_analytics/request/load",
    tag = "product analytics",
    params(
        ("id" = String, Path, description = "The project's id or full path"),
        ("query" = String, Query, description = "The query, as JSON"),
        ("queryType" = Option<String>, Query, description = "`multi`, the default, or `regular`"),
    ),
    responses((status = 200, description = "The result", body = Object)),
)]
// Of a parameter that is given twice the last counts, as in Rack.
pub(crate) async fn get_load(
    State(state): State<QueryState>,
    caller: Caller,
    project: Result<Path<String>, PathRejection>,
    Query(mut sent): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    let tenant = tenant(&state, &caller, project)?;
    let request =
        LoadRequest { query: sent.remove("query").map(Value::from), query_type: sent.remove("queryType") };
    answer(&state, tenant, request).await
}

/// Query a project's analytics
///
/// As GET, with the query in the body.
#[utoipa::path(
    post,
    path = "/api/v4/projects/{id}/product_analytics/request/load",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    request_body = Load,
    responses((status = 200, description = "The result", body = Object)),
)]
pub(crate) async fn post_load(
    State(state): State<QueryState>,
    caller: Caller,
    project: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiError> {
    let tenant = tenant(&state, &caller, project)?;
    let body = state.bodies.read(request).await?;
    let text = if body.text().trim_ascii().is_empty() { "{}" } else { body.text() };
    let request = serde_json::from_str(text).map_err(MalformedBody::from)?;
    answer(&state, tenant, request).await
}

/// The id of the project that the path names, if the caller may read its analytics. A path that is no text names none.
fn tenant(
    state: &QueryState,
    caller: &Caller,
    project: Result<Path<String>, PathRejection>,
) -> Result<i64, ApiError> {
    caller.require_scope(SCOPES)?;
    let Path(project) = project.map_err(|_| NO_PROJECT)?;
    analysed_project(state, &caller.0, &project)
}

async fn answer(state: &QueryState, tenant: i64, request: LoadRequest) -> Result<Response, ApiError> {
    let query = request.query.ok_or_else(|| ApiError::BadParameters("query is missing".to_owned()))?;
    let is_multi = request.query_type.as_deref().is_none_or(|kind| kind == "multi");
    let loaded = match query_object(query) {
        Ok(query) => {
            super::load(&state.model, &state.warehouse, tenant, &query, state.access.clock.now()).await
        }
        Err(error) => Err(error),
    };
    Ok(match loaded {
        Ok(loaded) if is_multi => Json(loaded.into_multi()).into_response(),
        Ok(loaded) => Json(loaded.result).into_response(),
        Err(error) => refusal(&error),
    })
}

/// The id of the project that `id` (a number or a full path) names, if the caller may read its analytics: an
/// administrator or a member, however public the project is. Where the directory keeps no projects nobody's membership
/// is known, so only an administrator may.
fn analysed_project(state: &QueryState, caller: &Principal, id: &str) -> Result<i64, ApiError> {
    let directory = &state.access.directory;
    let number: Option<i64> = id.parse().ok();
    let lookup = match number {
        Some(number) => directory.project(Some(caller), number),
        None => directory.project_at(Some(caller), id),
    };
    match lookup {
        ProjectLookup::Readable(project) if may_analyse(directory, caller, &project) => Ok(project.id),
        ProjectLookup::Readable(_) => Err(ApiError::AccessDenied),
        ProjectLookup::AsGiven if caller.admin => number.filter(|number| *number > 0).ok_or(NO_PROJECT),
        ProjectLookup::AsGiven | ProjectLookup::Absent => Err(NO_PROJECT),
    }
}

fn may_analyse(directory: &Directory, caller: &Principal, project: &Project) -> bool {
    caller.admin || directory.access_level(caller, project).is_some_and(|role| role >= LEAST_ROLE)
}

/// The query as an object. Cube takes its JSON text, too, and calls the text `undefined` no query at all.
fn query_object(query: Value) -> Result<Value, CubeError> {
    match query {
        Value::Null => Err(CubeError::Missing),
        Value::String(text) if text.is_empty() || text == "undefined" => Err(CubeError::Missing),
        Value::String(text) => {
            serde_json::from_str(&text).map_err(|error| CubeError::NotJson(error.to_string()))
        }
        other => Ok(other),
    }
}

/// GitLab's mapping: no answer from the database is 502, a missing database 404, every other error of Cube 400.
fn refusal(error: &CubeError) -> Response {
    let (status, message) = match error {
        CubeError::Warehouse(WarehouseError::Unavailable(_) | WarehouseError::Undecodable(_)) => {
            tracing::warn!(%error, "a cube query has no answer");
            (StatusCode::BAD_GATEWAY, "502 Bad Gateway".to_owned())
        }
        CubeError::Warehouse(missing) if missing.is_missing_table() => {
            (StatusCode::NOT_FOUND, "404 Clickhouse Database Not Found".to_owned())
        }
        other => (StatusCode::BAD_REQUEST, other.to_string()),
    };
    (status, Json(serde_json::json!({"message": message}))).into_response()
}
