//! `/api/v4/projects/:id/product_analytics/request/{load,dry-run,meta,sql}`: GitLab's layer over Cube. Finds the project,
//! takes the query out of the request, and gives Cube's errors GitLab's status and form.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tally_cube::query::Body;
use tally_directory::{AccessLevel, Directory, Principal, Project, ProjectLookup, Scope};
use tally_service::api::{ApiError, Caller, MalformedBody, Routes, Security};
use tally_service::described;
use utoipa_axum::routes;

use super::answer::Envelope;
use super::service::{Failure, Tenant};
use crate::state::QueryState;
use crate::warehouse::WarehouseError;

/// The scopes that may read a project's analytics.
const SCOPES: &[Scope] = &[Scope::Api, Scope::ReadApi];

/// The least role in a project whose members may read its analytics. GitLab refuses guests.
const LEAST_ROLE: AccessLevel = AccessLevel::Reporter;

/// What is said of a project that isn't there, or not for this caller.
const NO_PROJECT: ApiError = ApiError::NotFound(Some("Project"));

/// A path's parameter, which may be no text.
type ProjectPath = Result<Path<String>, PathRejection>;

described! {
    /// The body of a request.
    struct AnalyticsRequest = json!({
        "type": "object",
        "required": ["query"],
        "properties": {
            "query": {
                "type": ["object", "array", "string"],
                "description": "Cube's query: measures, dimensions, timeDimensions, filters, segments, order, limit, ...",
                "example": {"measures": ["TrackedEvents.count"]},
            },
            "queryType": {"type": "string", "description": "`multi`, the default, or `regular`"},
            "cache": {
                "type": "string",
                "description": "`stale-if-slow`, the default, `stale-while-revalidate`, `must-revalidate` or `no-cache`",
            },
            "include_token": {
                "type": "boolean",
                "description": "Taken as GitLab takes it. What it hands on is not needed here",
            },
        },
    });
}

/// The endpoints with their documentation.
pub fn routes() -> Routes<QueryState> {
    Routes::new()
        .secured(Security::Token(SCOPES), routes!(get_load, post_load))
        .secured(Security::Token(SCOPES), routes!(get_dry_run, post_dry_run))
        .secured(Security::Token(SCOPES), routes!(get_sql, post_sql))
        .secured(Security::Token(SCOPES), routes!(get_meta, post_meta))
}

/// What a request holds. GitLab ignores other fields.
#[derive(Debug, Default, Deserialize)]
struct Sent {
    query: Option<Value>,
    #[serde(rename = "queryType")]
    query_type: Option<Value>,
    cache: Option<Value>,
    include_token: Option<Value>,
}

/// What is done with a query.
#[derive(Clone, Copy)]
enum Endpoint {
    Load,
    DryRun,
    Sql,
}

/// Query a project's analytics
///
/// Answers a query in Cube's form over the project's data. A refused query is answered in Cube's words. An answer that takes
/// long is `{"error": "Continue wait"}`: ask again.
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/product_analytics/request/load",
    tag = "product analytics",
    params(
        ("id" = String, Path, description = "The project's id or full path"),
        ("query" = String, Query, description = "The query, as JSON"),
        ("queryType" = Option<String>, Query, description = "`multi`, the default, or `regular`"),
        ("cache" = Option<String>, Query, description = "As in POST"),
    ),
    responses((status = 200, description = "The result", body = Object)),
)]
async fn get_load(state: State<QueryState>, caller: Caller, path: ProjectPath, sent: Parameters) -> Answer {
    by_get(&state, &caller, path, sent, Endpoint::Load).await
}

/// Query a project's analytics
///
/// As GET, with the query in the body.
#[utoipa::path(
    post,
    path = "/api/v4/projects/{id}/product_analytics/request/load",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    request_body = AnalyticsRequest,
    responses((status = 200, description = "The result", body = Object)),
)]
async fn post_load(state: State<QueryState>, caller: Caller, path: ProjectPath, request: Request) -> Answer {
    by_post(&state, &caller, path, request, Endpoint::Load).await
}

/// Check a query
///
/// The query as it is understood, without running it.
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/product_analytics/request/dry-run",
    tag = "product analytics",
    params(
        ("id" = String, Path, description = "The project's id or full path"),
        ("query" = String, Query, description = "The query, as JSON"),
    ),
    responses((status = 200, description = "The normalized query", body = Object)),
)]
async fn get_dry_run(
    state: State<QueryState>,
    caller: Caller,
    path: ProjectPath,
    sent: Parameters,
) -> Answer {
    by_get(&state, &caller, path, sent, Endpoint::DryRun).await
}

/// Check a query
///
/// As GET, with the query in the body.
#[utoipa::path(
    post,
    path = "/api/v4/projects/{id}/product_analytics/request/dry-run",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    request_body = AnalyticsRequest,
    responses((status = 200, description = "The normalized query", body = Object)),
)]
async fn post_dry_run(
    state: State<QueryState>,
    caller: Caller,
    path: ProjectPath,
    request: Request,
) -> Answer {
    by_post(&state, &caller, path, request, Endpoint::DryRun).await
}

/// See a query's SQL
///
/// What the query is compiled to, with its parameters, and the pre-aggregations that answer it.
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/product_analytics/request/sql",
    tag = "product analytics",
    params(
        ("id" = String, Path, description = "The project's id or full path"),
        ("query" = String, Query, description = "The query, as JSON"),
    ),
    responses((status = 200, description = "The SQL", body = Object)),
)]
async fn get_sql(state: State<QueryState>, caller: Caller, path: ProjectPath, sent: Parameters) -> Answer {
    by_get(&state, &caller, path, sent, Endpoint::Sql).await
}

/// See a query's SQL
///
/// As GET, with the query in the body.
#[utoipa::path(
    post,
    path = "/api/v4/projects/{id}/product_analytics/request/sql",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    request_body = AnalyticsRequest,
    responses((status = 200, description = "The SQL", body = Object)),
)]
async fn post_sql(state: State<QueryState>, caller: Caller, path: ProjectPath, request: Request) -> Answer {
    by_post(&state, &caller, path, request, Endpoint::Sql).await
}

/// See the data model
///
/// The cubes that the project can ask, with their measures, dimensions and segments.
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/product_analytics/request/meta",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    responses((status = 200, description = "The model", body = Object)),
)]
async fn get_meta(state: State<QueryState>, caller: Caller, path: ProjectPath) -> Answer {
    let tenant = tenant(&state, &caller, path)?;
    Ok(Json(state.cube.meta(&tenant, false)).into_response())
}

/// See the data model
///
/// As GET; GitLab's own pages ask so. A body is ignored.
#[utoipa::path(
    post,
    path = "/api/v4/projects/{id}/product_analytics/request/meta",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    responses((status = 200, description = "The model", body = Object)),
)]
async fn post_meta(state: State<QueryState>, caller: Caller, path: ProjectPath) -> Answer {
    get_meta(state, caller, path).await
}

type Answer = Result<Response, ApiError>;
/// Of a parameter that is given twice the last counts, as in Rack.
type Parameters = Query<HashMap<String, String>>;

async fn by_get(
    state: &QueryState,
    caller: &Caller,
    path: ProjectPath,
    Query(mut sent): Parameters,
    endpoint: Endpoint,
) -> Answer {
    let tenant = tenant(state, caller, path)?;
    let mut take = |name| sent.remove(name).map(Value::from);
    let sent = Sent {
        query: take("query"),
        query_type: take("queryType"),
        cache: take("cache"),
        include_token: take("include_token"),
    };
    answer(state, &tenant, sent, endpoint).await
}

async fn by_post(
    state: &QueryState,
    caller: &Caller,
    path: ProjectPath,
    request: Request,
    endpoint: Endpoint,
) -> Answer {
    let tenant = tenant(state, caller, path)?;
    let body = state.bodies.read(request).await?;
    let text = if body.text().trim_ascii().is_empty() { "{}" } else { body.text() };
    let sent = serde_json::from_str(text).map_err(MalformedBody::from)?;
    answer(state, &tenant, sent, endpoint).await
}

async fn answer(state: &QueryState, tenant: &Tenant, sent: Sent, endpoint: Endpoint) -> Answer {
    let query = sent.query.ok_or_else(|| ApiError::BadParameters("query is missing".to_owned()))?;
    if sent.include_token.as_ref().is_some_and(|value| !is_boolean(value)) {
        return Err(ApiError::BadParameters("include_token is invalid".to_owned()));
    }
    let is_multi = sent.query_type.is_none_or(|kind| kind == "multi");
    let envelope = if is_multi { Envelope::Multi } else { Envelope::Bare };
    let single = matches!(endpoint, Endpoint::Load) && envelope == Envelope::Bare;
    let body = Body { query: Some(query), cache: sent.cache, single };
    let answered = match endpoint {
        Endpoint::Load => state.cube.load(tenant, &body, envelope, true).await,
        Endpoint::DryRun => state.cube.dry_run(tenant, &body).map(|answer| answer.to_string().into_bytes()),
        Endpoint::Sql => state.cube.sql(tenant, &body).map(|answer| answer.to_string().into_bytes()),
    };
    Ok(match answered {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(failure) => refusal(&failure),
    })
}

/// As GitLab's parameters take booleans.
fn is_boolean(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) => true,
        Value::String(text) => {
            matches!(
                text.to_ascii_lowercase().as_str(),
                "" | "true" | "false" | "t" | "f" | "1" | "0" | "on" | "off"
            )
        }
        Value::Number(number) => matches!(number.as_i64(), Some(0 | 1)),
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// The project that the path names, if the caller may read its analytics. A path that is no text names none.
fn tenant(state: &QueryState, caller: &Caller, path: ProjectPath) -> Result<Tenant, ApiError> {
    caller.require_scope(SCOPES)?;
    let Path(project) = path.map_err(|_| NO_PROJECT)?;
    analysed_project(state, &caller.0, &project)
}

/// The project that `id` (a number or a full path) names, if the caller may read its analytics: an administrator or a
/// member, however public the project is. Where the directory keeps no projects nobody's membership is known, so only an
/// administrator may.
fn analysed_project(state: &QueryState, caller: &Principal, id: &str) -> Result<Tenant, ApiError> {
    let directory = &state.access.directory;
    let number: Option<i64> = id.parse().ok();
    let lookup = match number {
        Some(number) => directory.project(Some(caller), number),
        None => directory.project_at(Some(caller), id),
    };
    match lookup {
        ProjectLookup::Readable(project) if may_analyse(directory, caller, &project) => {
            Ok(Tenant::of(&project))
        }
        ProjectLookup::Readable(_) => Err(ApiError::AccessDenied),
        ProjectLookup::AsGiven if caller.admin => {
            let project = number.filter(|number| *number > 0).ok_or(NO_PROJECT)?;
            Ok(Tenant { project, funnels: Vec::new() })
        }
        ProjectLookup::AsGiven | ProjectLookup::Absent => Err(NO_PROJECT),
    }
}

fn may_analyse(directory: &Arc<Directory>, caller: &Principal, project: &Project) -> bool {
    caller.admin || directory.access_level(caller, project).is_some_and(|role| role >= LEAST_ROLE)
}

/// GitLab's mapping: no answer from the database is 502, a missing database 404, `Continue wait` passes, and every other
/// error of Cube is 400.
fn refusal(failure: &Failure) -> Response {
    let (status, message) = match failure {
        Failure::ContinueWait => return Json(json!({"error": failure.to_string()})).into_response(),
        Failure::Warehouse(error) => match &**error {
            WarehouseError::Unavailable(_) | WarehouseError::Undecodable(_) => {
                tracing::warn!(%error, "a cube query has no answer");
                (StatusCode::BAD_GATEWAY, "502 Bad Gateway".to_owned())
            }
            missing if missing.is_missing_table() => {
                (StatusCode::NOT_FOUND, "404 Clickhouse Database Not Found".to_owned())
            }
            _ => (StatusCode::BAD_REQUEST, failure.to_string()),
        },
        Failure::Refused(_) => (StatusCode::BAD_REQUEST, failure.to_string()),
    };
    (status, Json(json!({"message": message}))).into_response()
}
