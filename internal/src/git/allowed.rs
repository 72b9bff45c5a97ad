//! `POST /internal/allowed`: may this actor run this Git command on this repository, and where is it?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use tally_directory::TransactError;
use utoipa::ToSchema;

use super::access::{Denied, GitCommand};
use super::{note_use, project_creation};
use crate::actor::Actor;
use crate::auth::ShellCall;
use crate::bounded::{AnyRefusal, Refused, refusal};
use crate::config::GitalyConfig;
use crate::repository::Repository;
use crate::state::InternalState;

/// Lets clones leave out what they don't need, and fetch what they then miss.
const UPLOAD_PACK_OPTIONS: [&str; 2] = ["uploadpack.allowFilter=true", "uploadpack.allowAnySHA1InWant=true"];

/// A Git command that somebody wants to run.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct GitCommandCall {
    key_id: Option<i64>,
    user_id: Option<i64>,
    username: Option<String>,
    /// The project's full path.
    project: Option<String>,
    /// The repository, such as `project-3`; goes before `project`.
    gl_repository: Option<String>,
    /// `ssh`, `http` or `web`.
    protocol: Option<String>,
    /// `git-upload-pack`, `git-upload-archive` or `git-receive-pack`.
    action: Option<String>,
    /// `_any`, or a line for each ref: `old new ref`.
    changes: Option<String>,
    /// The address the command comes from.
    check_ip: Option<String>,
}

/// The command may be run.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Allowed {
    status: bool,
    gl_repository: String,
    gl_project_path: String,
    /// `user-1`, or `key-1` for a deploy key; empty for somebody who isn't known.
    gl_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_key_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gl_key_id: Option<i64>,
    git_config_options: Vec<String>,
    gitaly: Gitaly,
    gl_console_messages: Vec<String>,
}

/// How to reach the repository.
#[derive(Debug, Serialize, ToSchema)]
struct Gitaly {
    repository: StoredRepository,
    address: String,
    token: Option<String>,
}

/// The repository as Gitaly names it.
#[derive(Debug, Serialize, ToSchema)]
struct StoredRepository {
    storage_name: String,
    relative_path: String,
    git_object_directory: String,
    git_alternate_object_directories: Vec<String>,
    gl_repository: String,
    gl_project_path: String,
}

impl Gitaly {
    fn new(config: &GitalyConfig, repository: &Repository) -> Self {
        Self {
            repository: StoredRepository {
                storage_name: config.storage_name.clone(),
                relative_path: repository.relative_path(),
                git_object_directory: String::new(),
                git_alternate_object_directories: Vec::new(),
                gl_repository: repository.gl_repository(),
                gl_project_path: repository.full_path(),
            },
            address: config.address.clone(),
            token: Some(config.token.clone()).filter(|token| !token.is_empty()),
        }
    }
}

impl Allowed {
    fn new(repository: &Repository, actor: &Actor, gitaly: &GitalyConfig, max_push_mb: u64) -> Self {
        let user = actor.acting_user();
        let deploy_key = actor.deploy_key();
        let mut options = UPLOAD_PACK_OPTIONS.map(str::to_owned).to_vec();
        if max_push_mb > 0 {
            options.push(format!("receive.maxInputSize={}", max_push_mb.saturating_mul(1024 * 1024)));
        }
        Self {
            status: true,
            gl_repository: repository.gl_repository(),
            gl_project_path: repository.full_path(),
            gl_id: match (deploy_key, user) {
                (Some(key), _) => format!("key-{}", key.id),
                (None, Some(user)) => format!("user-{}", user.id),
                (None, None) => String::new(),
            },
            gl_username: user.map(|user| user.username.clone()),
            gl_key_type: actor.key.as_ref().map(|key| if key.deploy { "deploy_key" } else { "key" }),
            gl_key_id: actor.key.as_ref().map(|key| key.id),
            git_config_options: options,
            gitaly: Gitaly::new(gitaly, repository),
            gl_console_messages: Vec::new(),
        }
    }
}

impl IntoResponse for Denied {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Forbidden(_) => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::NotCreated(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        refusal(status, &self.to_string())
    }
}

/// May a Git command run
///
/// Tells where the repository is if it may. A push to a path in a namespace of the user's where no project is yet creates
/// one.
#[utoipa::path(
    post, path = "/api/v4/internal/allowed", tag = "git", request_body = GitCommandCall,
    responses(
        (status = 200, description = "The command may run", body = Allowed),
        (status = 401, description = "It may not, or the caller is none", body = AnyRefusal),
        (status = 404, description = "No such project, or none that the actor can read", body = Refused),
        (status = 422, description = "The push can't create a project", body = Refused),
        (status = 500, description = "It is not known whether it may", body = Refused),
        (status = 503, description = "It took too long to tell", body = AnyRefusal),
    ),
)]
pub(super) async fn allowed(
    State(state): State<InternalState>,
    ShellCall(parameters): ShellCall,
) -> Result<Json<Allowed>, Denied> {
    let directory = &state.0.access.directory;
    let config = &state.0.config;
    let now = state.0.access.clock.now();
    let (command, decided) = {
        let folded = directory.read();
        let command = GitCommand::read(&parameters, &folded, &config.external_url, now);
        let decided = command.check(&folded);
        (command, decided)
    };
    let repository = match decided {
        Err(Denied::NotFound) if project_creation::is_meant(&command) => {
            let created = directory.transact(now, |state| project_creation::decide(&command, state));
            created.await.map_err(|error| match error {
                TransactError::Refused(denied) => denied,
                TransactError::Unavailable(error) => {
                    tracing::warn!(error, "a project was not created");
                    Denied::Unavailable
                }
            })
        }
        decided => decided,
    };
    note_use(&state, &command.actor);
    let max_push_mb = directory.read().setting("receive_max_input_size").and_then(Value::as_u64).unwrap_or(0);
    Ok(Json(Allowed::new(&repository?, &command.actor, &config.gitaly, max_push_mb)))
}
