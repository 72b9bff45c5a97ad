//! Where the agent server finds the repository with an agent's configuration, or any public project's.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use serde::Serialize;
use serde_json::{Map, Value};
use tally_directory::{FeatureAccess, Project, Visibility};
use tally_service::api::ApiError;
use tally_service::api::parameter::Reader;
use utoipa::ToSchema;

use super::agent_server::AgentCall;
use crate::config::GitalyConfig;
use crate::parameters::Parameters;
use crate::refusal::EndpointError;
use crate::repository::{Repository, RepositoryKind};
use crate::state::InternalState;

/// An agent, and how to reach its project's repository.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgentInfo {
    project_id: i64,
    agent_id: i64,
    agent_name: String,
    gitaly_info: GitalyInfo,
    gitaly_repository: GitalyRepository,
    default_branch: String,
}

/// How to reach a project's repository.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProjectInfo {
    project_id: i64,
    gitaly_info: GitalyInfo,
    gitaly_repository: GitalyRepository,
    default_branch: String,
}

/// The server of Git repositories.
#[derive(Debug, Serialize, ToSchema)]
struct GitalyInfo {
    address: String,
    token: Option<String>,
    /// Gitaly's feature flags; Tally sets none.
    features: Map<String, Value>,
}

/// A repository as Gitaly names it.
#[derive(Debug, Serialize, ToSchema)]
struct GitalyRepository {
    storage_name: String,
    relative_path: String,
    gl_repository: String,
    gl_project_path: String,
}

impl GitalyInfo {
    fn new(gitaly: &GitalyConfig) -> Self {
        let token = Some(gitaly.token.clone()).filter(|token| !token.is_empty());
        Self { address: gitaly.address.clone(), token, features: Map::new() }
    }
}

impl GitalyRepository {
    fn new(gitaly: &GitalyConfig, project: &Arc<Project>) -> Self {
        let repository = Repository { kind: RepositoryKind::Code, project: Arc::clone(project) };
        Self {
            storage_name: gitaly.storage_name.clone(),
            relative_path: repository.relative_path(),
            gl_repository: repository.gl_repository(),
            gl_project_path: project.path.clone(),
        }
    }
}

/// Describe the agent
///
/// The agent whose token is shown, and where its project's repository is.
#[utoipa::path(
    get, path = "/api/v4/internal/kubernetes/agent_info", tag = "kubernetes",
    responses(
        (status = 200, description = "The agent", body = AgentInfo),
        (status = 404, description = "The agent's project is gone", body = EndpointError),
    ),
)]
pub(super) async fn agent_info(
    State(state): State<InternalState>,
    AgentCall(agent): AgentCall,
) -> Result<Json<AgentInfo>, ApiError> {
    let directory = state.0.access.directory.read();
    let project = directory.project(agent.project_id).ok_or(ApiError::NotFound(Some("Project")))?;
    let gitaly = &state.0.config.gitaly;
    Ok(Json(AgentInfo {
        project_id: project.id,
        agent_id: agent.id,
        agent_name: agent.name.clone(),
        gitaly_info: GitalyInfo::new(gitaly),
        gitaly_repository: GitalyRepository::new(gitaly, project),
        default_branch: project.default_branch.clone(),
    }))
}

/// Describe a public project
///
/// Where the repository of a public project is; any other project is not found.
#[utoipa::path(
    get, path = "/api/v4/internal/kubernetes/project_info", tag = "kubernetes",
    params(("id" = String, Query, description = "The project's id or full path")),
    responses(
        (status = 200, description = "The project", body = ProjectInfo),
        (status = 404, description = "No such project, or none that is public", body = EndpointError),
    ),
)]
pub(super) async fn project_info(
    State(state): State<InternalState>,
    AgentCall(_): AgentCall,
    request: Request,
) -> Result<Json<ProjectInfo>, ApiError> {
    let sent = Parameters::of_query(request.uri())?.into_fields();
    let mut read = Reader::new(&sent);
    let named = read.required("id", Reader::text);
    let named = read.finish(named)?.unwrap_or_default();
    let directory = state.0.access.directory.read();
    let is_id = named.bytes().all(|byte| byte.is_ascii_digit());
    let project = if is_id {
        named.parse().ok().and_then(|id| directory.project(id))
    } else {
        directory.project_at(&named)
    };
    let project = project.filter(|project| is_open(project)).ok_or(ApiError::NotFound(None))?;
    let gitaly = &state.0.config.gitaly;
    Ok(Json(ProjectInfo {
        project_id: project.id,
        gitaly_info: GitalyInfo::new(gitaly),
        gitaly_repository: GitalyRepository::new(gitaly, project),
        default_branch: project.default_branch.clone(),
    }))
}

/// Whether everybody may download its code.
fn is_open(project: &Project) -> bool {
    project.visibility == Visibility::Public && project.features.repository == FeatureAccess::Enabled
}
