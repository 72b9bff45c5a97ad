//! `/projects/:id/product_analytics/funnels`: GitLab's listing for those who may query; putting and removing one, which GitLab
//! does by files in the repository, for maintainers.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use tally_directory::{Funnel, FunnelStep, ProductAnalytics, cube_name};
use tally_service::api::{ApiError, Caller, MalformedBody, Routes, Security};
use tally_service::described;
use utoipa_axum::routes;

use super::key;
use super::listing::FunnelEntry;
use super::project::{READING, WRITING, change, named, readable, writable};
use crate::state::QueryState;

const NO_FUNNEL: ApiError = ApiError::NotFound(Some("Funnel"));

/// The endpoints, documented.
pub(crate) fn routes() -> Routes<QueryState> {
    Routes::new()
        .secured(Security::Token(READING), routes!(list))
        .secured(Security::Token(WRITING), routes!(put, remove))
        .secured(Security::Token(READING), routes!(key::read))
        .secured(Security::Token(WRITING), routes!(key::put, key::remove))
}

described! {
    /// A funnel's definition.
    struct FunnelDefinition = json!({
        "type": "object",
        "required": ["seconds_to_convert", "steps"],
        "properties": {
            "name": {"type": "string", "description": "What people call it; the path's name where it is left out"},
            "seconds_to_convert": {"type": "integer", "description": "How long a visitor has from the first step to the last, at most 90 days"},
            "steps": {
                "type": "array",
                "description": "1 to 32, in their order",
                "items": {
                    "type": "object",
                    "required": ["name", "action", "target"],
                    "properties": {
                        "name": {"type": "string", "description": "Unique in the funnel"},
                        "action": {"type": "string", "enum": ["pageview", "event"]},
                        "target": {"type": "string", "description": "The path of a page, or the name of an event"},
                    },
                },
            },
        },
        "example": {
            "seconds_to_convert": 3600,
            "steps": [
                {"name": "view", "action": "pageview", "target": "/products"},
                {"name": "buy", "action": "event", "target": "purchase"},
            ],
        },
    });
}

/// A funnel's definition as it is sent.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SentFunnel {
    name: Option<String>,
    seconds_to_convert: u64,
    steps: Vec<FunnelStep>,
}

/// List a project's funnels
///
/// Each is a cube of its own in the project's data model, and part of the cube `FunnelEvents`.
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/product_analytics/funnels",
    tag = "product analytics",
    params(("id" = String, Path, description = "The project's id or full path")),
    responses((status = 200, description = "The funnels", body = Vec<FunnelEntry>)),
)]
async fn list(
    State(state): State<QueryState>,
    caller: Caller,
    project: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<FunnelEntry>>, ApiError> {
    let project = readable(&state, &caller, &named(project)?)?;
    let entries = project.iter().flat_map(|project| {
        project.product_analytics.funnels.iter().map(|funnel| FunnelEntry::of(project.id, funnel))
    });
    Ok(Json(entries.collect()))
}

/// Define a funnel
///
/// Makes it, or puts it in the place of the one that has the name. Queries see it at once.
#[utoipa::path(
    put,
    path = "/api/v4/projects/{id}/product_analytics/funnels/{name}",
    tag = "product analytics",
    params(
        ("id" = String, Path, description = "The project's id or full path"),
        ("name" = String, Path, description = "The funnel's name"),
    ),
    request_body = FunnelDefinition,
    responses((status = 200, description = "The funnel", body = FunnelEntry)),
)]
async fn put(
    State(state): State<QueryState>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Json<FunnelEntry>, ApiError> {
    let (project, name) = named(path)?;
    let project_id = writable(&state, &caller, &project)?.id;
    let body = state.bodies.read(request).await?;
    let sent = serde_json::from_str(body.text()).map_err(MalformedBody::from)?;
    let funnel = checked(name, sent)?;
    change(&state, project_id, |_, analytics| place(analytics, &funnel)).await?;
    let (user_id, token_id) = (caller.0.user_id, caller.0.token_id);
    tracing::info!(user_id, token_id, project_id, funnel = funnel.cube_name(), "a funnel was defined");
    Ok(Json(FunnelEntry::of(project_id, &funnel)))
}

/// Remove a funnel
#[utoipa::path(
    delete,
    path = "/api/v4/projects/{id}/product_analytics/funnels/{name}",
    tag = "product analytics",
    params(
        ("id" = String, Path, description = "The project's id or full path"),
        ("name" = String, Path, description = "The funnel's name"),
    ),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(state): State<QueryState>,
    caller: Caller,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<StatusCode, ApiError> {
    let (project, name) = named(path)?;
    let project_id = writable(&state, &caller, &project)?.id;
    let name = cube_name(&name);
    change(&state, project_id, |_, analytics| {
        let before = analytics.funnels.len();
        analytics.funnels.retain(|funnel| funnel.cube_name() != name);
        if analytics.funnels.len() < before { Ok(()) } else { Err(NO_FUNNEL) }
    })
    .await?;
    let (user_id, token_id) = (caller.0.user_id, caller.0.token_id);
    tracing::info!(user_id, token_id, project_id, funnel = name, "a funnel was removed");
    Ok(StatusCode::NO_CONTENT)
}

/// The funnel that was sent for this name of the path; every problem is named.
fn checked(path_name: String, sent: SentFunnel) -> Result<Funnel, ApiError> {
    let place = cube_name(&path_name);
    let SentFunnel { name, seconds_to_convert, steps } = sent;
    let funnel = Funnel { name: name.unwrap_or(path_name), seconds_to_convert, steps };
    let mut problems: Vec<String> =
        funnel.problems().into_iter().map(|(field, problem)| format!("{field}: {problem}")).collect();
    if funnel.cube_name() != place {
        problems.push(format!("name: {:?} does not stand for {place:?}, the path's name", funnel.name));
    }
    if problems.is_empty() { Ok(funnel) } else { Err(ApiError::BadRequest(problems.join(", ").into())) }
}

/// Puts the funnel in the place of its namesake, or at the end.
fn place(analytics: &mut ProductAnalytics, funnel: &Funnel) -> Result<(), ApiError> {
    let name = funnel.cube_name();
    let funnels = &mut analytics.funnels;
    match funnels.iter().position(|other| other.cube_name() == name) {
        Some(index) => funnels[index].clone_from(funnel),
        None if funnels.len() < ProductAnalytics::MAX_FUNNELS => funnels.push(funnel.clone()),
        None => {
            let text = format!("a project has at most {} funnels", ProductAnalytics::MAX_FUNNELS);
            return Err(ApiError::BadRequest(text.into()));
        }
    }
    Ok(())
}
