//! Which project a path names, whether the caller may read or change its product analytics, and how a change is made.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use tally_directory::{
    AccessLevel, Change, ProductAnalytics, Project, ProjectLookup, Scope, State as DirectoryState,
    TransactError,
};
use tally_service::api::{ApiError, Caller};

use crate::state::QueryState;

/// The scopes that may read a project's analytics, and the one that may change them.
pub(super) const READING: &[Scope] = &[Scope::Api, Scope::ReadApi];
pub(super) const WRITING: &[Scope] = &[Scope::Api];

/// The least role of those who may query a project's analytics, and so see its funnels.
const READER: AccessLevel = AccessLevel::Reporter;
/// The least role of those who may set up a project's analytics, as in GitLab.
const WRITER: AccessLevel = AccessLevel::Maintainer;

const NO_PROJECT: ApiError = ApiError::NotFound(Some("Project"));

/// Seconds a client is asked to wait where the directory is away.
const RETRY_AFTER_S: u64 = 5;

/// The project, if the caller may read its analytics. `None` where the directory keeps no projects, so that nobody can have
/// set up anything; an administrator may ask nevertheless.
pub(super) fn readable(
    state: &QueryState,
    caller: &Caller,
    id: &str,
) -> Result<Option<Arc<Project>>, ApiError> {
    caller.require_scope(READING)?;
    find(state, caller, id, READER)
}

/// The project, if the caller may change its analytics.
pub(super) fn writable(state: &QueryState, caller: &Caller, id: &str) -> Result<Arc<Project>, ApiError> {
    caller.require_scope(WRITING)?;
    find(state, caller, id, WRITER)?.ok_or(NO_PROJECT)
}

/// The text of a path's parameter. One that is no text names nothing.
pub(super) fn named<T>(path: Result<Path<T>, PathRejection>) -> Result<T, ApiError> {
    path.map(|Path(names)| names).map_err(|_| NO_PROJECT)
}

fn find(
    state: &QueryState,
    caller: &Caller,
    id: &str,
    least_role: AccessLevel,
) -> Result<Option<Arc<Project>>, ApiError> {
    let directory = &state.access.directory;
    let principal = &*caller.0;
    let number: Option<i64> = id.parse().ok();
    let lookup = match number {
        Some(number) => directory.project(Some(principal), number),
        None => directory.project_at(Some(principal), id),
    };
    let is_allowed = |project: &Project| {
        principal.admin || directory.access_level(principal, project).is_some_and(|role| role >= least_role)
    };
    match lookup {
        ProjectLookup::Readable(project) if is_allowed(&project) => Ok(Some(project)),
        ProjectLookup::Readable(_) => Err(ApiError::AccessDenied),
        ProjectLookup::AsGiven if principal.admin && number.is_some_and(|number| number > 0) => Ok(None),
        ProjectLookup::AsGiven | ProjectLookup::Absent => Err(NO_PROJECT),
    }
}

/// Changes the product analytics of the project. `change` sees them as they are and may be asked again, if somebody else was
/// faster; what it leaves as it was is not written.
pub(super) async fn change<T: Send>(
    state: &QueryState,
    project_id: i64,
    change: impl Fn(&DirectoryState, &mut ProductAnalytics) -> Result<T, ApiError> + Send + Sync,
) -> Result<T, ApiError> {
    let decide = |directory: &DirectoryState| {
        let project = directory.project(project_id).ok_or(NO_PROJECT)?;
        let mut next = Project::clone(project);
        let answer = change(directory, &mut next.product_analytics)?;
        let changes = if **project == next { Vec::new() } else { vec![Change::Project(next)] };
        Ok((answer, changes))
    };
    state.access.directory.transact(state.access.clock.now(), decide).await.map_err(|error| match error {
        TransactError::Refused(refusal) => refusal,
        TransactError::Unavailable(error) => {
            tracing::warn!(error, "the directory did not take a change");
            ApiError::Unavailable { reason: "the directory is not available", retry_after_s: RETRY_AFTER_S }
        }
    })
}
