//! One checked state of the directory, indexed for the request path. Built from a [`File`] as a whole or not at all.

use std::{path::Path, sync::Arc};

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use rustc_hash::FxHashMap;

use crate::{
    AccessLevel, AuthError, DirectoryError, Scope, TokenHash, UserState, Visibility,
    file::{File, ProjectEntry, TokenEntry, UserEntry},
};

/// A user of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Positive and unique.
    pub id: i64,
    /// Unique, case-sensitive.
    pub username: String,
    /// The display name.
    pub name: String,
    /// Whether the user administers the instance.
    pub admin: bool,
    /// Whether the user may sign in.
    pub state: UserState,
}

/// Whoever a request acts for: a token that was good when it was presented, and its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The token's name, unique in the directory; what logs go by.
    pub token_id: String,
    /// The user's id, positive.
    pub user_id: i64,
    /// The user's login name.
    pub username: String,
    /// The user's display name.
    pub name: String,
    /// Whether the user administers the instance.
    pub admin: bool,
    /// What the token may be used for.
    pub scopes: Vec<Scope>,
}

impl Principal {
    /// Whether the token has at least one of `scopes`.
    pub fn has_any_scope(&self, scopes: &[Scope]) -> bool {
        self.scopes.iter().any(|scope| scopes.contains(scope))
    }
}

/// A project of the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Project {
    /// Positive and unique.
    pub id: i64,
    /// The full path, unique.
    pub path: String,
    /// The namespace the project is in, if the file says.
    pub namespace_id: Option<i64>,
    /// Who can read it.
    pub visibility: Visibility,
    members: FxHashMap<i64, AccessLevel>,
}

impl Project {
    /// The user's role, `None` for those who are no members.
    pub fn access_level(&self, user_id: i64) -> Option<AccessLevel> {
        self.members.get(&user_id).copied()
    }

    /// Public: everybody. Internal: whoever is signed in. Private: members. Administrators: always.
    pub fn readable_by(&self, principal: Option<&Principal>) -> bool {
        match (self.visibility, principal) {
            (Visibility::Public, _) | (Visibility::Internal, Some(_)) => true,
            (Visibility::Internal | Visibility::Private, None) => false,
            (Visibility::Private, Some(principal)) => {
                principal.admin || self.members.contains_key(&principal.user_id)
            }
        }
    }
}

/// A token as the request path needs it.
#[derive(Debug)]
struct Token {
    hash: TokenHash,
    expires_at: Option<Date>,
    revoked: bool,
    blocked: bool,
    principal: Arc<Principal>,
}

/// All of the directory, indexed.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    users: FxHashMap<i64, Arc<User>>,
    users_by_name: FxHashMap<String, Arc<User>>,
    tokens: FxHashMap<TokenHash, Token>,
    /// `None` when the file has no `projects` key.
    projects: Option<FxHashMap<i64, Arc<Project>>>,
    projects_by_path: FxHashMap<String, Arc<Project>>,
    projects_by_namespace: FxHashMap<i64, Vec<Arc<Project>>>,
}

impl Snapshot {
    /// Checks a file as a whole. `path` is only named in errors.
    pub(crate) fn build(file: &File, path: &Path) -> Result<Self, DirectoryError> {
        let mut snapshot =
            Self { projects: file.projects.as_ref().map(|_| FxHashMap::default()), ..Self::default() };
        for (index, entry) in file.users.iter().enumerate() {
            snapshot.add_user(entry).map_err(|problem| problem.at(path, "users", index))?;
        }
        let mut token_names = FxHashMap::default();
        for (index, entry) in file.tokens.iter().enumerate() {
            if let Some(earlier) = token_names.insert(entry.name.as_str(), index) {
                let text = format!("tokens[{earlier}] has the name {:?}, too", entry.name);
                return Err(Problem::new("name", text).at(path, "tokens", index));
            }
            snapshot.add_token(entry).map_err(|problem| problem.at(path, "tokens", index))?;
        }
        for (index, entry) in file.projects.iter().flatten().enumerate() {
            snapshot.add_project(entry).map_err(|problem| problem.at(path, "projects", index))?;
        }
        Ok(snapshot)
    }

    pub(crate) fn authenticate(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, AuthError> {
        let hash = TokenHash::of(token);
        let found =
            self.tokens.get(&hash).filter(|found| found.hash.matches(&hash)).ok_or(AuthError::Unknown)?;
        if found.revoked {
            return Err(AuthError::Revoked);
        }
        // As in GitLab, a token no longer works on the day it expires at.
        let today = TimeZone::UTC.to_datetime(now).date();
        if found.expires_at.is_some_and(|day| day <= today) {
            return Err(AuthError::Expired);
        }
        if found.blocked {
            return Err(AuthError::Blocked);
        }
        Ok(Arc::clone(&found.principal))
    }

    pub(crate) fn user(&self, id: i64) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    pub(crate) fn user_named(&self, username: &str) -> Option<&Arc<User>> {
        self.users_by_name.get(username)
    }

    /// `None` when the directory keeps no projects.
    pub(crate) fn projects(&self) -> Option<&FxHashMap<i64, Arc<Project>>> {
        self.projects.as_ref()
    }

    pub(crate) fn project_at(&self, path: &str) -> Option<&Arc<Project>> {
        self.projects_by_path.get(path)
    }

    pub(crate) fn projects_in(&self, namespace_id: i64) -> &[Arc<Project>] {
        self.projects_by_namespace.get(&namespace_id).map_or(&[], Vec::as_slice)
    }

    fn add_user(&mut self, entry: &UserEntry) -> Result<(), Problem> {
        check_id("id", entry.id)?;
        check_not_empty("username", &entry.username)?;
        let user = Arc::new(User {
            id: entry.id,
            username: entry.username.clone(),
            name: entry.name.clone().unwrap_or_else(|| entry.username.clone()),
            admin: entry.admin,
            state: entry.state,
        });
        if self.users.insert(user.id, Arc::clone(&user)).is_some() {
            return Err(Problem::new("id", format!("{} is another user's id, too", user.id)));
        }
        if self.users_by_name.insert(user.username.clone(), user).is_some() {
            return Err(Problem::new(
                "username",
                format!("{:?} is another user's name, too", entry.username),
            ));
        }
        Ok(())
    }

    fn add_token(&mut self, entry: &TokenEntry) -> Result<(), Problem> {
        check_not_empty("name", &entry.name)?;
        let user = self.known_user("user", &entry.user)?;
        let hash = TokenHash::from_hex(&entry.sha256)
            .ok_or_else(|| Problem::new("sha256", "expected 64 hexadecimal digits".to_owned()))?;
        if entry.scopes.is_empty() {
            return Err(Problem::new("scopes", "expected at least one scope".to_owned()));
        }
        let token = Token {
            hash,
            expires_at: entry.expires_at,
            revoked: entry.revoked,
            blocked: user.state == UserState::Blocked,
            principal: Arc::new(Principal {
                token_id: entry.name.clone(),
                user_id: user.id,
                username: user.username.clone(),
                name: user.name.clone(),
                admin: user.admin,
                scopes: entry.scopes.clone(),
            }),
        };
        if self.tokens.insert(hash, token).is_some() {
            return Err(Problem::new("sha256", "another token has the same hash".to_owned()));
        }
        Ok(())
    }

    fn add_project(&mut self, entry: &ProjectEntry) -> Result<(), Problem> {
        check_id("id", entry.id)?;
        check_not_empty("path", &entry.path)?;
        if let Some(namespace_id) = entry.namespace_id {
            check_id("namespace_id", namespace_id)?;
        }
        let mut members = FxHashMap::default();
        for (index, member) in entry.members.iter().enumerate() {
            let user = self.known_user(&format!("members[{index}].user"), &member.user)?;
            if members.insert(user.id, member.access_level).is_some() {
                let field = format!("members[{index}].user");
                return Err(Problem { field, text: format!("{:?} is a member already", member.user) });
            }
        }
        let project = Arc::new(Project {
            id: entry.id,
            path: entry.path.clone(),
            namespace_id: entry.namespace_id,
            visibility: entry.visibility,
            members,
        });
        if let Some(namespace_id) = project.namespace_id {
            self.projects_by_namespace.entry(namespace_id).or_default().push(Arc::clone(&project));
        }
        let projects = self.projects.get_or_insert_default();
        if projects.insert(project.id, Arc::clone(&project)).is_some() {
            return Err(Problem::new("id", format!("{} is another project's id, too", project.id)));
        }
        if self.projects_by_path.insert(entry.path.clone(), project).is_some() {
            return Err(Problem::new("path", format!("{:?} is another project's path, too", entry.path)));
        }
        Ok(())
    }

    fn known_user(&self, field: &str, username: &str) -> Result<Arc<User>, Problem> {
        self.users_by_name
            .get(username)
            .cloned()
            .ok_or_else(|| Problem::new(field, format!("no user is named {username:?}")))
    }
}

/// What is wrong with one field of one entry.
struct Problem {
    field: String,
    text: String,
}

impl Problem {
    fn new(field: &str, text: String) -> Self {
        Self { field: field.to_owned(), text }
    }

    fn at(self, path: &Path, list: &str, index: usize) -> DirectoryError {
        let field = format!("{list}[{index}].{}", self.field);
        DirectoryError::Field { path: path.to_owned(), field, problem: self.text }
    }
}

fn check_id(field: &str, id: i64) -> Result<(), Problem> {
    if id > 0 { Ok(()) } else { Err(Problem::new(field, format!("expected a positive number, got {id}"))) }
}

fn check_not_empty(field: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() { Err(Problem::new(field, "must not be empty".to_owned())) } else { Ok(()) }
}
