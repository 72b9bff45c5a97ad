//! The pages for administrators: what will be sent, when and to whom, and the payload as a file. Looking sends nothing; where no
//! payload of the current cycle is stored, looking has one made.

use std::collections::HashMap;

use askama::Template as _;
use axum::extract::{Query, State};
use axum::http::{HeaderName, header};
use axum::response::{Html, IntoResponse, Response};
use tally_service::api::{ApiError, Caller, Routes, Security};
use utoipa_axum::routes;

use super::error::of_ping;
use super::page::{self, Page};
use super::payloads::READING;
use super::state::HttpState;
use crate::{PingError, StoredPayload};

/// Neither page may be kept by a browser or a proxy, and no address with a token in it may be passed on.
const PRIVATE: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
];

/// The parameter that a browser, which sends no headers of one's choice, has the token in.
const PRIVATE_TOKEN: &str = "private_token";

/// The endpoints of this part.
pub(super) fn routes() -> Routes<HttpState> {
    Routes::new()
        .secured(Security::Administrator(READING), routes!(preview))
        .secured(Security::Administrator(READING), routes!(download))
}

/// The Service Ping before it is sent
///
/// A page with the settings, when the ping will be sent and to whom, the payload, what became of the last ones, the version
/// check and the DevOps score.
#[utoipa::path(
    get, path = "/admin/application_settings/service_usage_data", tag = "administration",
    responses((status = 200, description = "The page", body = String, content_type = "text/html")),
)]
async fn preview(
    State(state): State<HttpState>,
    caller: Caller,
    Query(sent): Query<HashMap<String, String>>,
) -> Result<Response, ApiError> {
    caller.require_scope(READING)?;
    caller.require_admin()?;
    let token = sent.get(PRIVATE_TOKEN).cloned().unwrap_or_default();
    let page = Page::of(&state, token).await.render().map_err(|error| {
        tracing::error!(%error, "the page of the service ping can't be rendered");
        ApiError::Internal
    })?;
    let policy = [(header::CONTENT_SECURITY_POLICY, page::content_security_policy())];
    Ok((PRIVATE, policy, Html(page)).into_response())
}

/// The payload as a file
///
/// The bytes that are sent. `https://<receiver>/usage_data/new` takes the file by hand.
#[utoipa::path(
    get, path = "/admin/application_settings/usage_data.json", tag = "administration",
    responses(
        (status = 200, description = "The payload", body = Object),
        (status = 404, description = "There is none, and making payloads is switched off",
            body = ref("#/components/schemas/EndpointError")),
    ),
)]
async fn download(State(state): State<HttpState>, caller: Caller) -> Result<Response, ApiError> {
    caller.require_scope(READING)?;
    caller.require_admin()?;
    let payload = match current(&state).await {
        Ok(payload) => payload,
        Err(PingError::GenerationOff) => return Err(ApiError::NotFound(None)),
        Err(error) => return Err(of_ping(error)),
    };
    let name = payload.recorded_at.strftime("service-ping-%Y-%m-%d.json");
    let headers = [
        (header::CONTENT_TYPE, "application/json".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((PRIVATE, headers, payload.payload.to_string()).into_response())
}

/// The full payload of the current cycle; one that is made now if there is none.
pub(super) async fn current(state: &HttpState) -> Result<StoredPayload, PingError> {
    let _previewing = state.previewing.lock().await;
    state.ping.preview().await
}
