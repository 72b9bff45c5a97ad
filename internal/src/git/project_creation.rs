//! A push to a path where no project is yet creates it, for those who may create projects there.

use jiff::civil::Date;
use tally_directory::{
    AccessLevel, Change, Features, Member, MemberSource, NamespaceKind, ProductAnalytics, Project, State,
    User, Visibility,
};

use super::access::{Command, Denied, GitCommand, code_of};
use crate::repository::{Repository, RepositoryName};

/// Bytes that a project's path may have.
const MAX_PATH_BYTES: usize = 255;

const BAD_PATH: &str = "Path can contain only letters, digits, '_', '-' and '.'. Cannot start with '-', end in '.git' or \
                        end in '.atom'";
const RESERVED_PATH: &str = "Path is a reserved name";
const LONG_PATH: &str = "Path is too long (maximum is 255 characters)";

/// Names that are parts of a project's own URLs. GitLab's.
const RESERVED: [&str; 18] = [
    "-",
    "badges",
    "blame",
    "blob",
    "builds",
    "commits",
    "create",
    "create_dir",
    "edit",
    "files",
    "find_file",
    "new",
    "preview",
    "raw",
    "refs",
    "tree",
    "update",
    "wikis",
];

/// Whether the command would create its project, if that is not there: a push whose changes are not known yet.
pub(super) fn is_meant(command: &GitCommand) -> bool {
    command.command == Some(Command::Push)
        && command.changes.is_none()
        && command.actor.acting_user().is_some()
        && matches!(command.name, Some(RepositoryName::Path(_)))
}

/// Decides whether the project can be created; the changes make it. A project that is there by now is taken as it is.
pub(super) fn decide(command: &GitCommand, state: &State) -> Result<(Repository, Vec<Change>), Denied> {
    match command.check(state) {
        Err(Denied::NotFound) => {}
        decided => return decided.map(|repository| (repository, Vec::new())),
    }
    let (Some(RepositoryName::Path(full_path)), Some(user)) = (&command.name, command.actor.acting_user())
    else {
        return Err(Denied::NotFound);
    };
    // Somebody else's project is not there for this user, and is not to be replaced.
    let (namespace_path, path) = full_path.rsplit_once('/').ok_or(Denied::NotFound)?;
    let namespace = state.namespace_at(namespace_path).ok_or(Denied::NotFound)?;
    if state.project_at(full_path).is_some() || !may_create(state, user, namespace.id, command.today()) {
        return Err(Denied::NotFound);
    }
    command.check_address(state, Some(namespace.id))?;
    check_path(path)?;
    if state.namespace_at(full_path).is_some() {
        return Err(Denied::NotCreated("Path has already been taken"));
    }
    let project = Project {
        id: state.next_project_id(),
        path: full_path.clone(),
        name: path.to_owned(),
        namespace_id: Some(namespace.id),
        visibility: Visibility::Private,
        archived: false,
        lfs_enabled: true,
        default_branch: Project::usual_branch(),
        protected_refs: Vec::new(),
        features: Features::default(),
        product_analytics: ProductAnalytics::default(),
    };
    let owner = Member {
        user_id: user.id,
        source: MemberSource::Project(project.id),
        access_level: AccessLevel::Owner,
        expires_at: None,
    };
    let changes = vec![Change::Project(project.clone()), Change::Member(owner)];
    Ok((code_of(project), changes))
}

/// Everybody in their own namespace, developers and up in a group.
fn may_create(state: &State, user: &User, namespace_id: i64, today: Date) -> bool {
    let Some(namespace) = state.namespace(namespace_id) else { return false };
    let level = state.namespace_access_level(user.id, namespace_id, today);
    let is_own = namespace.kind == NamespaceKind::User && namespace.path == user.username;
    user.admin || is_own || level.is_some_and(|level| level >= AccessLevel::Developer)
}

fn check_path(path: &str) -> Result<(), Denied> {
    let is_fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let has_bad_end = matches!(path.rsplit_once('.'), Some((_, "git" | "atom")));
    if path.len() > MAX_PATH_BYTES {
        Err(Denied::NotCreated(LONG_PATH))
    } else if RESERVED.contains(&path) {
        Err(Denied::NotCreated(RESERVED_PATH))
    } else if path.is_empty() || !path.bytes().all(is_fine) || path.starts_with('-') || has_bad_end {
        Err(Denied::NotCreated(BAD_PATH))
    } else {
        Ok(())
    }
}
