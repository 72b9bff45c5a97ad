//! Who reads, as the directory knows them now: an administrator, a user, or somebody who is not signed in.

use jiff::civil::Date;
use tally_directory::{AccessLevel, Principal, Project, State, User};

/// A reader before one state of the directory.
#[derive(Clone, Copy)]
pub(super) struct Reader<'s> {
    pub state: &'s State,
    user: Option<&'s User>,
    today: Date,
}

impl<'s> Reader<'s> {
    /// The user behind `principal`; nobody, if that user is gone.
    pub(super) fn new(state: &'s State, principal: Option<&Principal>) -> Self {
        let user = principal.and_then(|principal| state.user(principal.user_id)).map(|user| &**user);
        let today = principal.map(|principal| principal.today).unwrap_or_default();
        Self { state, user, today }
    }

    /// Who sees everything.
    pub(super) fn is_admin(&self) -> bool {
        self.user.is_some_and(|user| user.admin)
    }

    /// Whether the reader is this user. 0 is nobody.
    pub(super) fn is(&self, user_id: i64) -> bool {
        self.user.is_some_and(|user| user.id == user_id)
    }

    /// The reader's id.
    pub(super) fn id(&self) -> Option<i64> {
        self.user.map(|user| user.id)
    }

    /// Whether the reader can read the project at all.
    pub(super) fn can_read(&self, project: &Project) -> bool {
        self.state.can_read_project(self.user, project, self.today)
    }

    /// The reader's role in the project.
    pub(super) fn level(&self, project: &Project) -> Option<AccessLevel> {
        self.state.access_level(self.user?.id, project, self.today)
    }

    /// The projects that the reader is a member of, sorted.
    pub(super) fn own_projects(&self) -> Vec<i64> {
        self.user.map(|user| self.state.projects_of_member(user.id, self.today)).unwrap_or_default()
    }

    /// Whether the reader may see the profile of `user`, and with it what they did.
    pub(super) fn can_see_profile(&self, user: &User) -> bool {
        !user.private_profile || self.is(user.id) || self.is_admin()
    }
}
