//! `GET /api/v4/tally/dead_letters` and `/api/v4/tally/dead_letters/:id`.

use std::collections::HashMap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Uri};
use tally_directory::Scope;
use tally_service::api::{ApiError, Caller, Routes, Security};
use utoipa_axum::routes;
use uuid::Uuid;

use super::execute::{self, Wanted};
use super::parameters;
use super::render::{self, LetterEntity};
use super::row::Letter;
use super::selection::Readable;
use crate::events::http::base_url;
use crate::events::page::{KeysetPage, Requested};
use crate::state::QueryState;

/// The scopes that may read letters.
const READING: &[Scope] = &[Scope::Api, Scope::ReadApi];

const NO_LETTER: ApiError = ApiError::NotFound(Some("Dead Letter"));

/// The endpoints, documented.
pub(crate) fn routes() -> Routes<QueryState> {
    Routes::new()
        .secured(Security::Token(READING), routes!(list))
        .secured(Security::Token(READING), routes!(show))
}

/// What the listing takes; only for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the handlers read the parameters as GitLab does, not as serde would")]
struct ListingParameters {
    /// Only letters of this reason, such as undecodable or invalid.
    #[param(required = false)]
    reason: Option<String>,
    /// Only letters from this moment on, in RFC 3339.
    #[param(required = false)]
    since: Option<String>,
    /// Only letters before this moment.
    #[param(required = false)]
    until: Option<String>,
    /// Only letters of this project.
    #[param(required = false)]
    project_id: Option<i64>,
    /// `true`: with the bytes, in base64.
    #[param(required = false)]
    payload: Option<bool>,
    /// 20 by default; more than 100 is 100, and with payloads more than 20 is 20.
    #[param(required = false)]
    per_page: Option<i64>,
    /// Where the page begins, out of the former page's `Link`.
    #[param(required = false)]
    cursor: Option<String>,
}

/// List dead letters
///
/// What was refused or set aside, the newest first: of the projects that the caller maintains; for administrators all, those
/// of no project included.
#[utoipa::path(
    get,
    path = "/api/v4/tally/dead_letters",
    operation_id = "list_dead_letters",
    tag = "dead letters",
    params(ListingParameters),
    responses((status = 200, description = "A page of letters", body = Vec<LetterEntity>)),
)]
async fn list(
    State(state): State<QueryState>,
    caller: Caller,
    Query(sent): Query<HashMap<String, String>>,
    uri: Uri,
    request: HeaderMap,
) -> Result<(HeaderMap, Json<Vec<LetterEntity>>), ApiError> {
    caller.require_scope(READING)?;
    let parameters = parameters::parse(&sent)?;
    let readable = readable(&state, &caller, parameters.project_id)?;
    let size = parameters.per_page;
    let (after, with_payload) = (parameters.after, parameters.with_payload);
    let wanted = Wanted { after, limit: size + 1, with_payload };
    let mut letters = execute::list(&state.warehouse, &readable, &parameters.filter, wanted).await?;
    let has_next = letters.len() as u64 > size;
    letters.truncate(size as usize);
    let next = letters.last().filter(|_| has_next).map(|letter| letter.position().to_cursor());
    let requested = Requested { base: &base_url(&state.config.external_url, &request), uri: &uri };
    let headers = KeysetPage { size, next }.headers(requested);
    let letters = letters.into_iter().map(|letter| render::letter(letter, with_payload));
    Ok((headers, Json(letters.collect())))
}

/// Show a dead letter
#[utoipa::path(
    get,
    path = "/api/v4/tally/dead_letters/{id}",
    operation_id = "show_dead_letter",
    tag = "dead letters",
    params(
        ("id" = String, Path, description = "The letter's id"),
        ("payload" = Option<bool>, Query, description = "`true`: with the bytes, in base64"),
    ),
    responses((status = 200, description = "The letter", body = LetterEntity)),
)]
async fn show(
    State(state): State<QueryState>,
    caller: Caller,
    id: Result<Path<String>, PathRejection>,
    Query(sent): Query<HashMap<String, String>>,
) -> Result<Json<LetterEntity>, ApiError> {
    caller.require_scope(READING)?;
    let with_payload = parameters::with_payload(&sent)?;
    let id: Uuid = id.ok().and_then(|Path(id)| id.parse().ok()).ok_or(NO_LETTER)?;
    let readable = readable(&state, &caller, None)?;
    let letter: Option<Letter> = execute::find(&state.warehouse, &readable, &[id]).await?.pop();
    Ok(Json(render::letter(letter.ok_or(NO_LETTER)?, with_payload)))
}

fn readable(state: &QueryState, caller: &Caller, project_id: Option<i64>) -> Result<Readable, ApiError> {
    let directory = state.access.directory.read();
    let readable = Readable::by(&caller.0, &directory);
    match project_id {
        None => Ok(readable),
        Some(project_id) => readable.of_project(project_id, &caller.0, &directory),
    }
}
