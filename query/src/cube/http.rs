//! `GET` and `POST /api/v4/projects/:id/product_analytics/request/load`: GitLab's layer over Cube. Finds the project, takes
//! the query out of the request, and gives Cube's errors GitLab's status and form.

use axum::Json;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use tally_directory::{ProjectLookup, Scope};
use tally_service::api::{ApiError, Caller};

use super::error::CubeError;
use crate::state::QueryState;
use crate::warehouse::WarehouseError;

/// The scopes that may read a project's analytics.
const SCOPES: &[Scope] = &[Scope::Api, Scope::ReadApi];

/// What a load request holds. GitLab ignores other fields.
#[derive(Debug, Deserialize)]
pub(crate) struct LoadRequest {
    query: Option<Value>,
    #[serde(rename = "queryType")]
    query_type: Option<String>,
}

/// `GET …/load?query=<JSON>&queryType=multi`.
pub(crate) async fn get_load(
    State(state): State<QueryState>,
    caller: Caller,
    Path(project): Path<String>,
    request: Result<Query<LoadParameters>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(parameters) = request.map_err(|error| ApiError::BadParameters(error.body_text()))?;
    let request = LoadRequest { query: parameters.query.map(Value::from), query_type: parameters.query_type };
    answer(&state, &caller, &project, request).await
}

/// The same as URL parameters: the query is text.
#[derive(Debug, Deserialize)]
pub(crate) struct LoadParameters {
    query: Option<String>,
    #[serde(rename = "queryType")]
    query_type: Option<String>,
}

/// `POST …/load` with a JSON body.
pub(crate) async fn post_load(
    State(state): State<QueryState>,
    caller: Caller,
    Path(project): Path<String>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request = serde_json::from_slice(&body).map_err(|error| {
        ApiError::BadParameters(format!("the body is not the JSON of a load request: {error}"))
    })?;
    answer(&state, &caller, &project, request).await
}

async fn answer(
    state: &QueryState,
    caller: &Caller,
    project: &str,
    request: LoadRequest,
) -> Result<Response, ApiError> {
    caller.require_scope(SCOPES)?;
    let tenant = readable_project(state, caller, project)?;
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

/// The id of the project that `id` (a number or a full path) names, if the caller may read it. Where the directory keeps
/// no projects nobody's membership is known, so only an administrator may read one.
fn readable_project(state: &QueryState, caller: &Caller, id: &str) -> Result<i64, ApiError> {
    const ABSENT: ApiError = ApiError::NotFound(Some("Project"));
    let directory = &state.access.directory;
    let number: Option<i64> = id.parse().ok();
    let lookup = match number {
        Some(number) => directory.project(Some(&caller.0), number),
        None => directory.project_at(Some(&caller.0), id),
    };
    match lookup {
        ProjectLookup::Readable(project) => Ok(project.id),
        ProjectLookup::AsGiven if caller.0.admin => number.filter(|number| *number > 0).ok_or(ABSENT),
        ProjectLookup::AsGiven | ProjectLookup::Absent => Err(ABSENT),
    }
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
