//! `POST /internal/pre_receive`: a push into a repository begins.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::Serialize;
use serde_json::Map;
use tally_service::api::ApiError;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::ShellCall;
use crate::bounded::AnyRefusal;
use crate::refusal::EndpointError;
use crate::repository::RepositoryName;
use crate::request_identity::RequestIdentity;
use crate::state::InternalState;

/// Which repository is pushed into.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct PreReceiveCall {
    /// The repository, such as `project-3`.
    gl_repository: String,
}

/// What became of the counter.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PreReceived {
    reference_counter_increased: bool,
}

/// Begin a push
///
/// Raises the repository's reference counter, which forgets the push after ten minutes. A call that is tried again with the same
/// `X-Request-ID`, before the push is over, at the same process, raises it once.
#[utoipa::path(
    post, path = "/api/v4/internal/pre_receive", tag = "git", request_body = PreReceiveCall,
    responses(
        (status = 200, description = "Noted", body = PreReceived),
        (status = 404, description = "No such repository", body = EndpointError),
        (status = 503, description = "It took too long", body = AnyRefusal),
    ),
)]
pub(super) async fn pre_receive(
    State(state): State<InternalState>,
    headers: HeaderMap,
    ShellCall(parameters): ShellCall,
) -> Result<Json<PreReceived>, ApiError> {
    let directory = &state.0.access.directory;
    let name = RepositoryName::of(&parameters);
    let repository = name.and_then(|name| name.find(&directory.read())).ok_or(ApiError::NotFound(None))?;
    let now = state.0.access.clock.now();
    let name = repository.gl_repository();
    let call = beginning(&headers, &name);
    let counted = state.0.references.raise(directory, name, call, now).await;
    if let Err(error) = &counted {
        tracing::warn!(%error, "a reference counter was not increased");
    }
    Ok(Json(PreReceived { reference_counter_increased: counted.is_ok() }))
}

/// What identifies the call by which a push into the repository began, among those that belong to the same.
pub(super) fn beginning(headers: &HeaderMap, gl_repository: &str) -> Option<Uuid> {
    let parameters = Map::from_iter([("gl_repository".to_owned(), gl_repository.into())]).into();
    RequestIdentity::of(headers, "pre_receive", &parameters).map(|identity| identity.id(0))
}
