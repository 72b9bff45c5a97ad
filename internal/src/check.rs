//! `GET /internal/check`: which GitLab this is, and whether what it stands on answers.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tally_service::api::{Routes, Security};
use tokio::time::timeout;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::auth::ShellCall;
use crate::bounded::Refused;
use crate::state::InternalState;

/// How long the log may take to answer.
const LOG_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// The endpoint of this part.
pub(crate) fn routes() -> Routes<InternalState> {
    Routes::new().secured(Security::SharedSecret, routes!(check))
}

/// Which GitLab this is.
#[derive(Debug, Serialize, ToSchema)]
struct Checked {
    api_version: &'static str,
    gitlab_version: String,
    gitlab_rev: String,
    /// Whether the state that all processes share answers: for Tally, the log.
    redis: bool,
}

/// Check the connection
#[utoipa::path(
    get, path = "/api/v4/internal/check", tag = "git",
    responses(
        (status = 200, description = "Which GitLab this is", body = Checked),
        (status = 503, description = "It took too long", body = Refused),
    ),
)]
async fn check(State(state): State<InternalState>, _: ShellCall) -> Json<Checked> {
    let config = &state.0.config;
    let version = if config.version.is_empty() { env!("CARGO_PKG_VERSION") } else { &config.version };
    Json(Checked {
        api_version: "v4",
        gitlab_version: version.to_owned(),
        gitlab_rev: config.revision.clone(),
        redis: matches!(timeout(LOG_ANSWERS_WITHIN, state.0.log.ready()).await, Ok(Ok(()))),
    })
}
