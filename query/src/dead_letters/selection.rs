//! Whose letters a reader may see: those of the projects that the reader maintains. Letters show what was sent, by whomever,
//! so less than a maintainer's role is not enough. The projects go into every statement as a bound array.

use tally_directory::{AccessLevel, Principal, State};
use tally_service::api::ApiError;

/// The least role of those who may read a project's letters.
const READER: AccessLevel = AccessLevel::Maintainer;

/// A set of letters by their projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    /// All, those without a project among them: for administrators, and for the command line.
    All,
    /// Of these projects, by id.
    Projects(Vec<i64>),
}

impl Readable {
    /// What the caller may read at all.
    pub(super) fn by(principal: &Principal, directory: &State) -> Self {
        if principal.admin {
            return Self::All;
        }
        let may_read = |id: &i64| {
            let project = directory.project(*id);
            let role = |project| directory.access_level(principal.user_id, project, principal.today);
            project.is_some_and(|project| role(project) >= Some(READER))
        };
        let of_member = directory.projects_of_member(principal.user_id, principal.today);
        Self::Projects(of_member.into_iter().filter(may_read).collect())
    }

    /// The letters of one project out of these. [`ApiError::Forbidden`] for those who can see the project and not its letters,
    /// [`ApiError::NotFound`] for all others.
    pub(super) fn of_project(
        self,
        project_id: i64,
        principal: &Principal,
        directory: &State,
    ) -> Result<Self, ApiError> {
        let may_read = match &self {
            Self::All => true,
            Self::Projects(ids) => ids.contains(&project_id),
        };
        if may_read {
            return Ok(Self::Projects(vec![project_id]));
        }
        let user = directory.user(principal.user_id).map(|user| &**user);
        let project = directory.project(project_id);
        let can_see =
            project.is_some_and(|project| directory.can_read_project(user, project, principal.today));
        Err(if can_see { ApiError::Forbidden } else { ApiError::NotFound(Some("Project")) })
    }
}
