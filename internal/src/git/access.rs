//! Who may run which Git command on which repository: GitLab's `GitAccess`, in its order and with its texts.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;
use tally_directory::{AccessLevel, FeatureAccess, Project, SshKey, State, User, UserState};
use tally_schemas::contribution::{PushAction, RefType};

use super::changes::{self, RefChange};
use crate::actor::{Actor, is_expired};
use crate::parameters::Parameters;
use crate::repository::{Repository, RepositoryKind, RepositoryName};

/// Why a command may not be run. The text is shown to whoever ran it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Denied {
    /// 401, because callers don't show the text of a 403.
    #[error("{0}")]
    Forbidden(Cow<'static, str>),
    /// 404: there is no such project, or none that the actor can read.
    #[error("The project you were looking for could not be found or you don't have permission to view it.")]
    NotFound,
    /// 422: the push would have created the project, but it can't be.
    #[error("Could not create project: {0}")]
    NotCreated(&'static str),
    /// 503: the directory did not take the project.
    #[error("The project could not be created now. Try again later.")]
    Unavailable,
}

const NO_DOWNLOAD: Denied =
    Denied::Forbidden(Cow::Borrowed("You are not allowed to download code from this project."));
const NO_PUSH: Denied = Denied::Forbidden(Cow::Borrowed("You are not allowed to push code to this project."));
const NO_UPLOAD: Denied =
    Denied::Forbidden(Cow::Borrowed("You are not allowed to upload code for this project."));
const NO_DEPLOY_PUSH: Denied =
    Denied::Forbidden(Cow::Borrowed("This deploy key does not have write access to this project."));
const NO_WIKI_DOWNLOAD: Denied =
    Denied::Forbidden(Cow::Borrowed("You are not allowed to download files from this wiki."));
const NO_WIKI_PUSH: Denied =
    Denied::Forbidden(Cow::Borrowed("You are not allowed to write to this project's wiki."));
const PROTECTED_BRANCH: &str = "You are not allowed to push code to protected branches on this project.";
const PROTECTED_BRANCH_REMOVAL: &str = "You are not allowed to delete protected branches from this project. Only a \
                                        project maintainer or owner can delete a protected branch.";
const PROTECTED_TAG: &str = "You are not allowed to create this tag as it is protected.";
const PROTECTED_TAG_CHANGE: &str = "Protected tags cannot be updated.";
const PROTECTED_TAG_REMOVAL: &str = "You are not allowed to delete protected tags from this project. Only a project \
                                     maintainer or owner can delete a protected tag.";

/// What a Git command does to the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Download,
    Push,
}

/// Where a command comes from, as `check_ip` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    At(IpAddr),
    /// What was said is no address, and lies in no range.
    Unreadable,
}

impl Address {
    fn read(text: &str) -> Self {
        text.trim().parse().map_or(Self::Unreadable, |address: IpAddr| Self::At(address.to_canonical()))
    }

    fn lies_in(self, ranges: &[IpNet]) -> bool {
        matches!(self, Self::At(address) if ranges.iter().any(|range| range.contains(&address)))
    }
}

/// A Git command that somebody wants to run.
pub(super) struct GitCommand {
    pub(super) actor: Actor,
    pub(super) name: Option<RepositoryName>,
    pub(super) command: Option<Command>,
    /// `None` while the changes are not known.
    pub(super) changes: Option<Vec<RefChange>>,
    protocol: Option<String>,
    address: Option<Address>,
    /// The text with which a deactivated user is sent away.
    deactivated: String,
    now: Timestamp,
}

impl GitCommand {
    pub(super) fn read(parameters: &Parameters, state: &State, external_url: &str, now: Timestamp) -> Self {
        let command = parameters.text("action").and_then(|action| match &*action {
            "git-upload-pack" | "git-upload-archive" => Some(Command::Download),
            "git-receive-pack" => Some(Command::Push),
            _ => None,
        });
        let address = parameters.text("check_ip").filter(|text| !text.is_empty());
        Self {
            actor: Actor::find(parameters, state),
            name: RepositoryName::of(parameters),
            command,
            changes: changes::read(parameters),
            protocol: parameters.text("protocol").map(Cow::into_owned).filter(|text| !text.is_empty()),
            address: address.map(|text| Address::read(&text)),
            deactivated: format!(
                "Your account has been deactivated by your administrator. Please log back in from a web browser to \
                 reactivate your account at {external_url}"
            ),
            now,
        }
    }

    /// The day on which memberships have to be in force.
    pub(super) fn today(&self) -> Date {
        TimeZone::UTC.to_datetime(self.now).date()
    }

    /// The repository, if the command may be run on it now.
    pub(super) fn check(&self, state: &State) -> Result<Repository, Denied> {
        self.check_protocol(state)?;
        self.check_actor()?;
        let command =
            self.command.ok_or_else(|| forbidden("The command you're trying to execute is not allowed."))?;
        let repository = self.name.as_ref().and_then(|name| name.find(state)).ok_or(Denied::NotFound)?;
        let access = Access::of(&self.actor, &repository.project, state, self.today());
        if !access.can_read {
            return Err(Denied::NotFound);
        }
        self.check_address(state, repository.project.namespace_id)?;
        match command {
            Command::Download => access.check_download(&repository)?,
            Command::Push => {
                access.check_push(&repository)?;
                self.changes
                    .iter()
                    .flatten()
                    .try_for_each(|change| access.check_change(&repository, change))?;
            }
        }
        Ok(repository)
    }

    fn check_protocol(&self, state: &State) -> Result<(), Denied> {
        let Some(protocol) = self.protocol.as_deref() else { return Ok(()) };
        let only = state.setting("enabled_git_access_protocol").and_then(Value::as_str).unwrap_or_default();
        let is_allowed = match protocol {
            "web" => true,
            "ssh" | "http" => only.is_empty() || only == protocol,
            _ => false,
        };
        if is_allowed {
            return Ok(());
        }
        Err(Denied::Forbidden(format!("Git access over {} is not allowed", protocol.to_uppercase()).into()))
    }

    fn check_actor(&self) -> Result<(), Denied> {
        if self.actor.key.as_deref().is_some_and(|key| is_expired(key, self.now)) {
            return Err(forbidden("Your SSH key has expired."));
        }
        match self.actor.acting_user().map(|user| user.state) {
            None | Some(UserState::Active) => Ok(()),
            Some(UserState::Blocked) => Err(forbidden("Your account has been blocked.")),
            Some(UserState::Deactivated) => Err(Denied::Forbidden(self.deactivated.clone().into())),
        }
    }

    /// Every namespace above that has ranges has to have the address in one of them.
    pub(super) fn check_address(&self, state: &State, namespace_id: Option<i64>) -> Result<(), Denied> {
        let (Some(address), Some(namespace_id)) = (self.address, namespace_id) else { return Ok(()) };
        let is_within = state
            .ancestors(namespace_id)
            .all(|namespace| namespace.ip_ranges.is_empty() || address.lies_in(&namespace.ip_ranges));
        if is_within {
            Ok(())
        } else {
            Err(forbidden("You are not allowed to access this project from your IP address."))
        }
    }
}

const fn forbidden(text: &'static str) -> Denied {
    Denied::Forbidden(Cow::Borrowed(text))
}

/// What an actor may do in one project.
struct Access<'a> {
    can_read: bool,
    /// The user's role; administrators have every project.
    level: Option<AccessLevel>,
    user: Option<&'a User>,
    deploy_key: Option<DeployKey>,
}

/// What a deploy key opens in the project.
#[derive(Clone, Copy)]
enum DeployKey {
    Nothing,
    Reading,
    Writing,
}

impl<'a> Access<'a> {
    fn of(actor: &'a Actor, project: &Project, state: &State, today: Date) -> Self {
        let user = actor.acting_user();
        let deploy_key = actor.deploy_key().map(|key| deploy_access(key, project.id));
        let level = user.and_then(|user| {
            if user.admin { Some(AccessLevel::Owner) } else { state.access_level(user.id, project, today) }
        });
        let can_read = matches!(deploy_key, Some(DeployKey::Reading | DeployKey::Writing))
            || state.can_read_project(user, project, today);
        Self { can_read, level, user, deploy_key }
    }

    fn is_at_least(&self, level: AccessLevel) -> bool {
        self.level.is_some_and(|own| own >= level)
    }

    /// Whether a part of the project is there for this actor, who can read the project.
    fn has(&self, feature: FeatureAccess) -> bool {
        match feature {
            FeatureAccess::Disabled => false,
            FeatureAccess::Private => {
                self.level.is_some()
                    || matches!(self.deploy_key, Some(DeployKey::Reading | DeployKey::Writing))
            }
            FeatureAccess::Enabled => true,
        }
    }

    fn check_download(&self, repository: &Repository) -> Result<(), Denied> {
        let features = &repository.project.features;
        match repository.kind {
            RepositoryKind::Code if !self.has(features.repository) => Err(NO_DOWNLOAD),
            RepositoryKind::Wiki if !self.has(features.wiki) => Err(NO_WIKI_DOWNLOAD),
            RepositoryKind::Code | RepositoryKind::Wiki => Ok(()),
        }
    }

    fn check_push(&self, repository: &Repository) -> Result<(), Denied> {
        let project = &repository.project;
        let (feature, denied) = match repository.kind {
            RepositoryKind::Code => (project.features.repository, NO_PUSH),
            RepositoryKind::Wiki => (project.features.wiki, NO_WIKI_PUSH),
        };
        let is_open = self.has(feature) && !project.archived;
        let may_write = match (self.deploy_key, self.user) {
            (Some(DeployKey::Writing), _) => repository.kind == RepositoryKind::Code,
            (Some(DeployKey::Nothing | DeployKey::Reading), _) => return Err(NO_DEPLOY_PUSH),
            (None, Some(_)) => self.is_at_least(AccessLevel::Developer),
            (None, None) => return Err(NO_UPLOAD),
        };
        if is_open && may_write { Ok(()) } else { Err(denied) }
    }

    /// Protected refs are for maintainers.
    fn check_change(&self, repository: &Repository, change: &RefChange) -> Result<(), Denied> {
        let is_free = repository.kind == RepositoryKind::Wiki
            || self.is_at_least(AccessLevel::Maintainer)
            || !is_protected(&repository.project, change);
        if is_free {
            return Ok(());
        }
        let is_tag = matches!(change.branch_or_tag(), Some((RefType::Tag, _)));
        Err(forbidden(match (is_tag, change.action()) {
            (false, PushAction::Removed) => PROTECTED_BRANCH_REMOVAL,
            (false, PushAction::Created | PushAction::Pushed) => PROTECTED_BRANCH,
            (true, PushAction::Created) => PROTECTED_TAG,
            (true, PushAction::Pushed) => PROTECTED_TAG_CHANGE,
            (true, PushAction::Removed) => PROTECTED_TAG_REMOVAL,
        }))
    }
}

fn deploy_access(key: &SshKey, project_id: i64) -> DeployKey {
    match key.deploy_projects.iter().find(|access| access.project_id == project_id) {
        None => DeployKey::Nothing,
        Some(access) if access.can_push => DeployKey::Writing,
        Some(_) => DeployKey::Reading,
    }
}

/// A pattern names a ref by its whole name, or a branch or tag by its short one.
fn is_protected(project: &Project, change: &RefChange) -> bool {
    let short = change.branch_or_tag().map(|(_, name)| name);
    project
        .protected_refs
        .iter()
        .any(|pattern| matches(pattern, &change.name) || short.is_some_and(|short| matches(pattern, short)))
}

/// `*` stands for any text, slashes included, as in GitLab.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// A project that stands in for one that was found: what a command may do to it is asked again.
pub(super) fn code_of(project: Project) -> Repository {
    Repository { kind: RepositoryKind::Code, project: Arc::new(project) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("main", "main", true),
            ("main", "main2", false),
            ("main", "amain", false),
            ("*", "", true),
            ("*", "a/b", true),
            ("release/*", "release/1/2", true),
            ("release/*", "release", false),
            ("*-stable", "1-stable", true),
            ("*-stable", "1-stable-2", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("ab*ba", "aba", false),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
