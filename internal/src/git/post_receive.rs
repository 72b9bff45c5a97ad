//! `POST /internal/post_receive`: a push into a repository is over. What it changed becomes push events.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use tally_directory::FeatureAccess;
use tally_schemas::contribution::{PushAction, RefType};
use tally_schemas::topics;
use tally_service::api::ApiError;
use utoipa::ToSchema;

use super::changes::{self, RefChange};
use super::pre_receive::beginning;
use super::pushes::{Push, records};
use crate::actor::Actor;
use crate::append::append;
use crate::auth::ShellCall;
use crate::bounded::AnyRefusal;
use crate::parameters::Parameters;
use crate::refusal::EndpointError;
use crate::repository::{Repository, RepositoryKind, RepositoryName};
use crate::request_identity::RequestIdentity;
use crate::state::InternalState;

/// Refs of one push that become events; a push of more is refused before anything is written.
const MAX_CHANGES: usize = 10_000;

/// Branches for which a merge request is proposed. As many as fit a terminal.
const MAX_PROPOSALS: usize = 10;

/// What a URL's query may hold as it is.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A push that is over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents the body, which is read parameter by parameter")]
struct PostReceiveCall {
    /// Who pushed, as `gl_id` calls them: `user-1` or `key-1`.
    identifier: Option<String>,
    /// The repository, such as `project-3`.
    gl_repository: String,
    /// The push's options, such as `ci.skip`.
    push_options: Option<Vec<String>>,
    /// A line for each ref: `old new ref`.
    changes: Option<String>,
}

/// What whoever pushed is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PostReceived {
    messages: Vec<Message>,
    reference_counter_decreased: bool,
}

/// One thing to tell.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
struct Message {
    r#type: MessageType,
    message: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum MessageType {
    Basic,
    Alert,
}

/// End a push
///
/// Each changed branch and tag becomes a push event of the actor. Lowers the repository's reference counter. A call that is tried
/// again with the same `X-Request-ID` brings the same events, which count once; at the same process it lowers the counter once.
#[utoipa::path(
    post, path = "/api/v4/internal/post_receive", tag = "git", request_body = PostReceiveCall,
    responses(
        (status = 200, description = "Noted", body = PostReceived),
        (status = 404, description = "No such repository", body = EndpointError),
        (status = 503, description = "It took too long", body = AnyRefusal),
    ),
)]
pub(super) async fn post_receive(
    State(state): State<InternalState>,
    headers: HeaderMap,
    ShellCall(parameters): ShellCall,
) -> Result<Json<PostReceived>, ApiError> {
    let directory = &state.0.access.directory;
    let now = state.0.access.clock.now();
    let (repository, actor) = {
        let folded = directory.read();
        let repository = RepositoryName::of(&parameters).and_then(|name| name.find(&folded));
        (repository.ok_or(ApiError::NotFound(None))?, Actor::find(&parameters, &folded))
    };
    let identity = RequestIdentity::of(&headers, "post_receive", &parameters);
    let changes = changes::read(&parameters).unwrap_or_default();
    if changes.len() > MAX_CHANGES {
        return Err(ApiError::BadParameters(format!("changes has more than {MAX_CHANGES} lines")));
    }
    let messages = messages(&parameters, &repository, &changes, &state.0.config.external_url);
    // Behind a deploy key is whoever added it; where nobody is, nobody has pushed.
    if let (Some(author), RepositoryKind::Code) = (&actor.user, repository.kind) {
        let push = Push { author_id: author.id, project_id: repository.project.id, received_at: now };
        let contributions =
            push.contributions(&changes, &state.0.contribution_ids, identity.as_ref(), &*state.0.randomness);
        if !contributions.is_empty() {
            append(&state.0, topics::CONTRIBUTIONS, records(&contributions, state.0.framings)).await?;
        }
    }
    // Last, so that a call which failed and comes again lowers the counter once.
    let call = identity.map(|identity| identity.id(changes.len()));
    let name = repository.gl_repository();
    let began = beginning(&headers, &name);
    let counted = state.0.references.lower(directory, name, call, began, now).await;
    if let Err(error) = &counted {
        tracing::warn!(%error, "a reference counter was not decreased");
    }
    Ok(Json(PostReceived { messages, reference_counter_decreased: counted.is_ok() }))
}

fn messages(
    parameters: &Parameters,
    repository: &Repository,
    changes: &[RefChange],
    external_url: &str,
) -> Vec<Message> {
    let options = parameters.texts("push_options");
    if options.iter().any(|option| option.starts_with("merge_request.")) {
        let options: Vec<String> = options.iter().map(|option| format!("'{option}'")).collect();
        let message = format!(
            "WARNINGS:\nError encountered with push options {}: merge requests can't be made here",
            options.join(" ")
        );
        return vec![Message { r#type: MessageType::Alert, message }];
    }
    let project = &repository.project;
    if repository.kind != RepositoryKind::Code || project.features.merge_requests == FeatureAccess::Disabled {
        return Vec::new();
    }
    let branches = changes.iter().filter_map(|change| match change.branch_or_tag() {
        Some((RefType::Branch, name)) if change.action() != PushAction::Removed => Some(name),
        _ => None,
    });
    let branches = branches.filter(|name| *name != project.default_branch).take(MAX_PROPOSALS);
    branches.map(|branch| proposal(branch, &project.path, external_url)).collect()
}

/// GitLab's invitation to make a merge request out of a branch.
fn proposal(branch: &str, project: &str, external_url: &str) -> Message {
    let url = format!(
        "{}/{project}/-/merge_requests/new?merge_request%5Bsource_branch%5D={}",
        external_url.trim_end_matches('/'),
        utf8_percent_encode(branch, UNRESERVED)
    );
    let message = format!("To create a merge request for {branch}, visit:\n  {url}");
    Message { r#type: MessageType::Basic, message }
}
