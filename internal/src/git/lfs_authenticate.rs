//! `POST /internal/lfs_authenticate`: what an actor needs to speak Git LFS over HTTP for half an hour.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use tally_service::api::ApiError;
use utoipa::ToSchema;
use uuid::Builder;

use super::note_use;
use crate::actor::Actor;
use crate::auth::{ShellCall, jwt};
use crate::bounded::AnyRefusal;
use crate::refusal::EndpointError;
use crate::repository::RepositoryName;
use crate::state::{Inner, InternalState};

/// How long the token is good, in seconds.
const EXPIRES_IN: i64 = 1800;

/// Another issuer than gitlab-shell, so that the token opens nothing but LFS.
const ISSUER: &str = "tally-lfs";

/// Who wants to speak Git LFS about which project.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct LfsCall {
    key_id: Option<i64>,
    user_id: Option<i64>,
    username: Option<String>,
    /// The project's full path.
    project: Option<String>,
    /// The repository, such as `project-3`; goes before `project`.
    gl_repository: Option<String>,
}

/// What to speak Git LFS with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct LfsAuthentication {
    username: String,
    /// A JWT over the shared secret (HS256).
    lfs_token: String,
    repository_http_path: String,
    /// Seconds.
    expires_in: i64,
}

/// Why nothing is handed out.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LfsRefused {
    /// 404: no project, or LFS is off.
    NoProject,
    /// 404: no actor.
    NoUser,
}

impl IntoResponse for LfsRefused {
    fn into_response(self) -> Response {
        match self {
            Self::NoProject => ApiError::NotFound(None).into_response(),
            Self::NoUser => {
                (StatusCode::NOT_FOUND, Json(json!({"message": "User not found!"}))).into_response()
            }
        }
    }
}

/// Authenticate for Git LFS
#[utoipa::path(
    post, path = "/api/v4/internal/lfs_authenticate", tag = "git", request_body = LfsCall,
    responses(
        (status = 200, description = "What to speak Git LFS with", body = LfsAuthentication),
        (status = 404, description = "No such project, no LFS there, or no such actor", body = EndpointError),
        (status = 503, description = "It took too long", body = AnyRefusal),
    ),
)]
pub(super) async fn lfs_authenticate(
    State(state): State<InternalState>,
    ShellCall(parameters): ShellCall,
) -> Result<Json<LfsAuthentication>, LfsRefused> {
    let (repository, actor) = {
        let directory = state.0.access.directory.read();
        let repository = RepositoryName::of(&parameters).and_then(|name| name.find(&directory));
        (repository, Actor::find(&parameters, &directory))
    };
    let repository =
        repository.filter(|repository| repository.project.lfs_enabled).ok_or(LfsRefused::NoProject)?;
    let username = lfs_username(&actor).ok_or(LfsRefused::NoUser)?;
    note_use(&state, &actor);
    Ok(Json(LfsAuthentication {
        lfs_token: lfs_token(&state.0, &username),
        username,
        repository_http_path: format!(
            "{}/{}.git",
            state.0.config.external_url.trim_end_matches('/'),
            repository.full_path()
        ),
        expires_in: EXPIRES_IN,
    }))
}

/// A deploy key acts for itself.
fn lfs_username(actor: &Actor) -> Option<String> {
    let deploy_key = actor.deploy_key().map(|key| format!("lfs+deploy-key-{}", key.id));
    deploy_key.or_else(|| actor.user.as_ref().map(|user| user.username.clone()))
}

fn lfs_token(state: &Inner, username: &str) -> String {
    let now = state.access.clock.now();
    let mut random = [0; 16];
    state.randomness.fill(&mut random);
    let claims = json!({
        "iss": ISSUER,
        "jti": Builder::from_random_bytes(random).into_uuid(),
        "iat": now.as_second(),
        "nbf": now.as_second() - 5,
        "exp": now.as_second() + EXPIRES_IN,
        "data": {"actor": username},
    });
    let secrets = state.shared_secret.secrets();
    let signing =
        secrets.first().expect("the caller showed one of the secrets, and a file never loses all of them");
    jwt::sign(&claims, signing.as_bytes())
}
