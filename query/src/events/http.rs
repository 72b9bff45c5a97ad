//! The three listings: `GET /api/v4/events`, `/users/:id/events` and `/projects/:id/events`.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Uri, header};
use tally_directory::{ProjectLookup, Scope};
use tally_service::api::{ApiError, Caller, OptionalCaller, Routes, Security};
use utoipa_axum::routes;

use super::execute::{Listing, execute};
use super::page::{KeysetPage, NumberedPage, Requested};
use super::parameters::{self, Parameters, Place};
use super::reader::Reader;
use super::render::{self, Author, Event};
use super::selection::{Selection, contributed_to};
use super::visibility::is_visible;
use crate::state::QueryState;

/// The scopes that may read users' events.
const USER_SCOPES: &[Scope] = &[Scope::Api, Scope::ReadUser, Scope::ReadApi];

/// The scopes that may read projects' events.
const PROJECT_SCOPES: &[Scope] = &[Scope::Api, Scope::ReadApi];

const NO_USER: ApiError = ApiError::NotFound(Some("User"));
const NO_PROJECT: ApiError = ApiError::NotFound(Some("Project"));

type Answer = Result<(HeaderMap, Json<Vec<Event>>), ApiError>;

/// The listings, documented.
pub(crate) fn routes() -> Routes<QueryState> {
    Routes::new()
        .secured(Security::Token(USER_SCOPES), routes!(own_events))
        .secured(Security::OptionalToken(USER_SCOPES), routes!(user_events))
        .secured(Security::OptionalToken(PROJECT_SCOPES), routes!(project_events))
}

/// What every listing takes; only for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the handlers read the parameters as GitLab does, not as serde would")]
struct ListingParameters {
    /// Only events of this action: created, updated, closed, reopened, pushed, commented, merged, joined, left,
    /// destroyed, expired or approved.
    #[param(required = false)]
    action: Option<String>,
    /// Only events on targets of this kind: issue, milestone, `merge_request`, note, project, snippet, user, wiki or design.
    #[param(required = false)]
    target_type: Option<String>,
    /// Only events before this day.
    #[param(required = false)]
    before: Option<String>,
    /// Only events after this day.
    #[param(required = false)]
    after: Option<String>,
    /// `asc` or `desc`, the default.
    #[param(required = false)]
    sort: Option<String>,
    /// From 1.
    #[param(required = false)]
    page: Option<i64>,
    /// 20 by default; more than 100 is 100.
    #[param(required = false)]
    per_page: Option<i64>,
    /// `keyset`: pages follow each other by cursor, at the same cost at any depth.
    #[param(required = false)]
    pagination: Option<String>,
    /// With `pagination=keyset`: where the page begins, out of the former page's `Link`.
    #[param(required = false)]
    cursor: Option<String>,
}

/// What the caller did; with `scope=all`, all events of all projects they are a member of.
#[utoipa::path(
    get,
    path = "/api/v4/events",
    tag = "Events",
    params(ListingParameters, ("scope" = Option<String>, Query, description = "`all`: of all projects one is a member of")),
    responses((status = 200, description = "A page of events", body = Vec<Event>))
)]
async fn own_events(
    State(state): State<QueryState>,
    caller: Caller,
    Query(sent): Query<HashMap<String, String>>,
    uri: Uri,
    request: HeaderMap,
) -> Answer {
    caller.require_scope(USER_SCOPES)?;
    let parameters = parameters::parse(&sent)?;
    let user_id = caller.0.user_id;
    let caller = OptionalCaller(Some(caller));
    let selection = if parameters.is_scope_all {
        let directory = state.access.directory.read();
        Selection::of_memberships(&Reader::new(&directory, caller.principal()))
    } else {
        select_of_user(&state, &caller, user_id).await?
    };
    let page = Requested { base: &base_url(&state.config.external_url, &request), uri: &uri };
    answer(&state, &caller, &selection, &parameters, page).await
}

/// What a user did, as far as the caller may see it.
#[utoipa::path(
    get,
    path = "/api/v4/users/{id}/events",
    tag = "Events",
    params(("id" = String, Path, description = "The user's id or name"), ListingParameters),
    responses((status = 200, description = "A page of events", body = Vec<Event>))
)]
async fn user_events(
    State(state): State<QueryState>,
    caller: OptionalCaller,
    user: Result<Path<String>, PathRejection>,
    Query(sent): Query<HashMap<String, String>>,
    uri: Uri,
    request: HeaderMap,
) -> Answer {
    caller.require_scope(USER_SCOPES)?;
    let parameters = parameters::parse(&sent)?;
    let Path(user) = user.map_err(|_| NO_USER)?;
    let (user_id, is_shown) = {
        let directory = state.access.directory.read();
        let user = directory.user_by_id_or_name(&user).ok_or(NO_USER)?;
        (user.id, Reader::new(&directory, caller.principal()).can_see_profile(user))
    };
    let selection =
        if is_shown { select_of_user(&state, &caller, user_id).await? } else { Selection::nothing() };
    let page = Requested { base: &base_url(&state.config.external_url, &request), uri: &uri };
    answer(&state, &caller, &selection, &parameters, page).await
}

/// What happened in a project, as far as the caller may see it.
#[utoipa::path(
    get,
    path = "/api/v4/projects/{id}/events",
    tag = "Events",
    params(("id" = String, Path, description = "The project's id or URL-encoded path"), ListingParameters),
    responses((status = 200, description = "A page of events", body = Vec<Event>))
)]
async fn project_events(
    State(state): State<QueryState>,
    caller: OptionalCaller,
    project: Result<Path<String>, PathRejection>,
    Query(sent): Query<HashMap<String, String>>,
    uri: Uri,
    request: HeaderMap,
) -> Answer {
    caller.require_scope(PROJECT_SCOPES)?;
    let parameters = parameters::parse(&sent)?;
    let Path(project) = project.map_err(|_| NO_PROJECT)?;
    let project_id = readable_project(&state, &caller, &project)?;
    let selection = {
        let directory = state.access.directory.read();
        Selection::of_project(&Reader::new(&directory, caller.principal()), project_id)
    };
    let page = Requested { base: &base_url(&state.config.external_url, &request), uri: &uri };
    answer(&state, &caller, &selection, &parameters, page).await
}

/// The id of the project that `id` (a number or a full path) names, if the caller can read it. While the directory keeps
/// no projects, whoever is signed in may ask for any number.
fn readable_project(state: &QueryState, caller: &OptionalCaller, id: &str) -> Result<i64, ApiError> {
    let directory = &state.access.directory;
    let number: Option<i64> = id.parse().ok();
    let lookup = match number {
        Some(number) => directory.project(caller.principal(), number),
        None => directory.project_at(caller.principal(), id),
    };
    match lookup {
        ProjectLookup::Readable(project) => Ok(project.id),
        ProjectLookup::AsGiven if caller.principal().is_some() => {
            number.filter(|number| *number > 0).ok_or(NO_PROJECT)
        }
        ProjectLookup::AsGiven | ProjectLookup::Absent => Err(NO_PROJECT),
    }
}

async fn select_of_user(
    state: &QueryState,
    caller: &OptionalCaller,
    user_id: i64,
) -> Result<Selection, ApiError> {
    let needs_projects = {
        let directory = state.access.directory.read();
        directory.has_projects() && !Reader::new(&directory, caller.principal()).is_admin()
    };
    let projects = if needs_projects { contributed_to(&state.warehouse, user_id).await? } else { Vec::new() };
    let directory = state.access.directory.read();
    Ok(Selection::of_user(&Reader::new(&directory, caller.principal()), user_id, &projects))
}

/// Reads the page, leaves out what the caller may not see of it, and renders the rest. GitLab counts before that, so a
/// page can hold fewer events than asked for.
async fn answer(
    state: &QueryState,
    caller: &OptionalCaller,
    selection: &Selection,
    parameters: &Parameters,
    requested: Requested<'_>,
) -> Answer {
    let listing = execute(&state.warehouse, selection, parameters, state.access.clock.now()).await?;
    let headers = headers(&listing, parameters, requested);
    let directory = state.access.directory.read();
    let reader = Reader::new(&directory, caller.principal());
    let mut authors: BTreeMap<i64, Option<Author>> = BTreeMap::new();
    let visible = listing.rows.iter().filter(|row| is_visible(&reader, row));
    let events = visible.map(|row| {
        let known = || directory.user(row.author_id).map(|user| Author::of(user, requested.base));
        render::event(row, authors.entry(row.author_id).or_insert_with(known).as_ref())
    });
    Ok((headers, Json(events.collect())))
}

fn headers(listing: &Listing, parameters: &Parameters, requested: Requested<'_>) -> HeaderMap {
    let size = parameters.per_page;
    match parameters.place {
        Place::Page(number) => {
            let (has_next, total) = (listing.has_next, listing.total);
            NumberedPage { number, size, has_next, total }.headers(requested)
        }
        Place::After(_) => {
            let last = listing.rows.last().filter(|_| listing.has_next);
            let next = last.map(|row| row.position().to_cursor(parameters.ascending));
            KeysetPage { size, next }.headers(requested)
        }
    }
}

/// The instance's address: as configured, else as the client addressed it.
pub(crate) fn base_url(configured: &str, request: &HeaderMap) -> String {
    if !configured.is_empty() {
        return configured.trim_end_matches('/').to_owned();
    }
    let host = request.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}
