//! Repositories as calls name them, `gl_repository` (`project-3`, `wiki-3`) or the project's path, and as answers do.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tally_directory::{Project, State};

use crate::parameters::Parameters;

/// Which of a project's repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RepositoryKind {
    /// Its code.
    Code,
    /// Its wiki's pages.
    Wiki,
}

impl RepositoryKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Code => "project",
            Self::Wiki => "wiki",
        }
    }

    /// What follows the project's path in the repository's.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Code => "",
            Self::Wiki => ".wiki",
        }
    }
}

/// What a call says of the repository it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RepositoryName {
    /// `gl_repository`.
    Id(RepositoryKind, i64),
    /// `project`, without a leading slash and without `.git`.
    Path(String),
}

impl RepositoryName {
    /// The repository's name in `gl_repository`, else in `project`; `None` if there is none or it is no name.
    pub(crate) fn of(parameters: &Parameters) -> Option<Self> {
        if parameters.is_given("gl_repository") {
            return Self::parse(&parameters.text("gl_repository")?);
        }
        let path = parameters.text("project")?;
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        (!path.is_empty()).then(|| Self::Path(path.to_owned()))
    }

    fn parse(gl_repository: &str) -> Option<Self> {
        let (kind, id) = gl_repository.split_once('-')?;
        let kind =
            [RepositoryKind::Code, RepositoryKind::Wiki].into_iter().find(|known| known.name() == kind)?;
        let is_number = id.bytes().all(|byte| byte.is_ascii_digit());
        id.parse().ok().filter(|_| is_number).map(|id| Self::Id(kind, id))
    }

    /// The repository, if the project is there.
    pub(crate) fn find(&self, state: &State) -> Option<Repository> {
        let (kind, project) = match self {
            Self::Id(kind, id) => (*kind, state.project(*id)?),
            Self::Path(path) => match state.project_at(path) {
                Some(project) => (RepositoryKind::Code, project),
                None => (
                    RepositoryKind::Wiki,
                    state.project_at(path.strip_suffix(RepositoryKind::Wiki.suffix())?)?,
                ),
            },
        };
        Some(Repository { kind, project: Arc::clone(project) })
    }
}

/// A repository of a project that is there.
#[derive(Clone, Debug)]
pub(crate) struct Repository {
    pub(crate) kind: RepositoryKind,
    pub(crate) project: Arc<Project>,
}

impl Repository {
    /// `project-3`.
    pub(crate) fn gl_repository(&self) -> String {
        format!("{}-{}", self.kind.name(), self.project.id)
    }

    /// The path that people clone it by, without `.git`.
    pub(crate) fn full_path(&self) -> String {
        format!("{}{}", self.project.path, self.kind.suffix())
    }

    /// Where its storage has it: GitLab's hashed storage, two levels of folders out of the digest of the project's id.
    pub(crate) fn relative_path(&self) -> String {
        let digest = hex::encode(Sha256::digest(self.project.id.to_string()));
        format!("@hashed/{}/{}/{digest}{}.git", &digest[..2], &digest[2..4], self.kind.suffix())
    }
}
