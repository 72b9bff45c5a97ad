//! `GET /api/v4/events`: the token user's own events.

use std::collections::HashMap;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Uri, header};
use axum::response::IntoResponse;
use serde_json::Value;
use tally_directory::{Principal, ProjectLookup, Scope};
use tally_service::api::{ApiError, Caller};

use super::page::Page;
use super::render::{self, Author};
use super::row::ContributionRow;
use super::{parameters, row};
use crate::state::QueryState;

/// The scopes that may read one's own events.
const SCOPES: &[Scope] = &[Scope::Api, Scope::ReadUser, Scope::ReadApi];

pub(crate) async fn own_events(
    State(state): State<QueryState>,
    caller: Caller,
    Query(sent): Query<HashMap<String, String>>,
    uri: Uri,
    request: HeaderMap,
) -> Result<impl IntoResponse, ApiError> {
    caller.require_scope(SCOPES)?;
    let parameters = parameters::parse(&sent)?;
    let listing = row::execute(&state.warehouse, &parameters, caller.0.user_id).await?;
    let page = Page {
        number: parameters.page,
        size: parameters.per_page,
        has_next: listing.has_next,
        total: listing.total,
    };
    let base = base_url(&state.config.external_url, &request);
    let author = author(&state, caller.0.user_id, &base);
    // GitLab counts before it checks what may be seen, so a page can hold fewer events than asked for.
    let visible = listing.rows.iter().filter(|row| is_visible(&state, &caller.0, row));
    let events: Vec<Value> = visible.map(|row| render::event(row, author.as_ref())).collect();
    Ok((page.headers(&base, &uri), Json(events)))
}

/// Events without project are their author's own; those of a project are visible to its readers.
fn is_visible(state: &QueryState, reader: &Principal, row: &ContributionRow) -> bool {
    row.project_id == 0
        || !matches!(state.access.directory.project(Some(reader), row.project_id), ProjectLookup::Absent)
}

fn author(state: &QueryState, id: i64, base: &str) -> Option<Author> {
    let user = state.access.directory.user(id)?;
    Some(Author {
        id: user.id,
        username: user.username.clone(),
        name: user.name.clone(),
        state: user.state.as_str(),
        web_url: format!("{base}/{}", user.username),
    })
}

/// The instance's address: as configured, else as the client addressed it.
fn base_url(configured: &str, request: &HeaderMap) -> String {
    if !configured.is_empty() {
        return configured.trim_end_matches('/').to_owned();
    }
    let host = request.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}")
}
