//! The directory as a service asks it: one shared, checked snapshot that a reload replaces as a whole.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::RwLock;

use crate::{AuthError, DirectoryError, Principal, Project, User, file::File, snapshot::Snapshot};

/// What the directory knows about a project id, as seen by one reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProjectLookup {
    /// The directory keeps no projects: ids are taken as given and nothing else is known of them.
    AsGiven,
    /// The project is there and the reader may read it.
    Readable(Arc<Project>),
    /// There is no such project, or none for this reader. The two must not be told apart.
    Absent,
}

/// Users, tokens and projects in memory, read from one file.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    current: RwLock<Arc<Snapshot>>,
}

impl Directory {
    /// Reads and checks the file.
    pub fn load(path: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        let path = path.into();
        let snapshot = Snapshot::build(&read(&path)?, &path)?;
        Ok(Self { path, current: RwLock::new(Arc::new(snapshot)) })
    }

    /// Checks a file's text without a file; `path` is only named in errors and used by [`Self::reload`].
    pub fn from_yaml(text: &str, path: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        let path = path.into();
        let snapshot = Snapshot::build(&parse(text, &path)?, &path)?;
        Ok(Self { path, current: RwLock::new(Arc::new(snapshot)) })
    }

    /// The file the directory came from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the file again. On an error the former state stays in force.
    pub fn reload(&self) -> Result<(), DirectoryError> {
        let snapshot = Arc::new(Snapshot::build(&read(&self.path)?, &self.path)?);
        *self.current.write() = snapshot;
        Ok(())
    }

    /// Whose token this is, if it is good at `now`.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, AuthError> {
        self.snapshot().authenticate(token, now)
    }

    /// The user with this id.
    pub fn user(&self, id: i64) -> Option<Arc<User>> {
        self.snapshot().user(id).cloned()
    }

    /// The user with this login name.
    pub fn user_named(&self, username: &str) -> Option<Arc<User>> {
        self.snapshot().user_named(username).cloned()
    }

    /// The project with this id as `principal` sees it; `None` is somebody who is not signed in.
    pub fn project(&self, principal: Option<&Principal>, id: i64) -> ProjectLookup {
        match self.snapshot().projects() {
            None => ProjectLookup::AsGiven,
            Some(projects) => lookup(projects.get(&id), principal),
        }
    }

    /// The project at this full path, as [`Self::project`]. Where no projects are kept, a path names nothing.
    pub fn project_at(&self, principal: Option<&Principal>, path: &str) -> ProjectLookup {
        lookup(self.snapshot().project_at(path), principal)
    }

    /// Whether `principal` may say that something happened in this namespace: one of its projects is theirs to read.
    /// Where no projects are kept, nothing is known against it.
    pub fn may_name_namespace(&self, principal: Option<&Principal>, id: i64) -> bool {
        let snapshot = self.snapshot();
        snapshot.projects().is_none()
            || snapshot.projects_in(id).iter().any(|project| project.readable_by(principal))
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read())
    }
}

fn lookup(project: Option<&Arc<Project>>, principal: Option<&Principal>) -> ProjectLookup {
    match project.filter(|project| project.readable_by(principal)) {
        Some(project) => ProjectLookup::Readable(Arc::clone(project)),
        None => ProjectLookup::Absent,
    }
}

fn read(path: &Path) -> Result<File, DirectoryError> {
    let text =
        fs::read_to_string(path).map_err(|source| DirectoryError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// Understands a file's text; an empty text is an empty directory.
pub(crate) fn parse(text: &str, path: &Path) -> Result<File, DirectoryError> {
    let file: Option<File> = serde_yaml_ng::from_str(text)
        .map_err(|source| DirectoryError::Syntax { path: path.to_owned(), source })?;
    Ok(file.unwrap_or_default())
}
