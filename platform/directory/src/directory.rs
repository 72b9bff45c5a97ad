//! The directory as a service asks it and writes to it: one state behind a lock, and what stands behind that.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::backend::Backend;
use crate::error::{TransactError, Unavailable};
use crate::{AccessLevel, AuthError, Change, DirectoryError, Principal, Project, User, state::State};

/// How many changes are made in one go where there may be any number.
pub(crate) const CHANGES_PER_TRANSACTION: usize = 1_000;

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

/// The state, locked for reading. Not to be held across an await: writers wait for it, and new readers for them.
pub type StateGuard<'a> = RwLockReadGuard<'a, State>;

/// Users, tokens, projects and all else of the directory.
#[derive(Debug)]
pub struct Directory {
    pub(crate) state: Arc<RwLock<State>>,
    pub(crate) backend: Backend,
}

impl Directory {
    /// An empty directory that nothing stands behind.
    pub fn in_memory() -> Self {
        Self::of(State::default())
    }

    /// A directory in memory with what a YAML text says; `path` is only named in errors.
    pub fn from_yaml(text: &str, path: impl AsRef<Path>) -> Result<Self, DirectoryError> {
        crate::yaml::state(text, path.as_ref()).map(Self::of)
    }

    fn of(state: State) -> Self {
        Self { state: Arc::new(RwLock::new(state)), backend: Backend::Memory(Mutex::new(())) }
    }

    /// The state as of now.
    pub fn read(&self) -> StateGuard<'_> {
        self.state.read()
    }

    /// Decides on the state and makes the changes durable, all of them or none. `decide` may be asked again on a later
    /// state when another writer was faster; its last answer is returned, once the state has its changes. Without changes
    /// nothing is written.
    pub async fn transact<T: Send, E: Send>(
        &self,
        now: Timestamp,
        mut decide: impl FnMut(&State) -> Result<(T, Vec<Change>), E> + Send,
    ) -> Result<T, TransactError<E>> {
        let mut answer = None;
        let mut decide = |state: &State| match decide(state) {
            Ok((value, changes)) => {
                answer = Some(Ok(value));
                changes
            }
            Err(refusal) => {
                answer = Some(Err(refusal));
                Vec::new()
            }
        };
        match &self.backend {
            Backend::Memory(writer) => {
                let _writer = writer.lock();
                let changes = decide(&self.state.read());
                self.apply(changes);
            }
            Backend::Log(log) => log.transact(now, &mut decide).await?,
        }
        answer.expect("a backend that succeeds has asked").map_err(TransactError::Refused)
    }

    /// Makes changes durable that hold whatever was written before them: [`Change::ReferenceCount`] only.
    pub async fn record(&self, now: Timestamp, changes: Vec<Change>) -> Result<(), Unavailable> {
        match &self.backend {
            Backend::Memory(writer) => {
                let _writer = writer.lock();
                self.apply(changes);
                Ok(())
            }
            Backend::Log(log) => log.record(now, changes).await,
        }
    }

    /// Takes reference counts away that have expired, as nothing else does where their writer is gone.
    pub(crate) async fn forget_expired_references(&self, now: Timestamp) -> Result<(), Unavailable> {
        loop {
            let forget = |state: &State| {
                let expired = state.expired_references(now, CHANGES_PER_TRANSACTION);
                Ok::<_, Infallible>((expired.is_empty(), expired))
            };
            match self.transact(now, forget).await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(TransactError::Unavailable(reason)) => return Err(Unavailable(reason)),
            }
        }
    }

    fn apply(&self, changes: Vec<Change>) {
        let mut state = self.state.write();
        for change in changes {
            state.apply(change);
        }
    }

    /// Whose token this is, if it is good at `now`.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Arc<Principal>, AuthError> {
        self.read().authenticate(token, now).map(Arc::new)
    }

    /// The user with this id.
    pub fn user(&self, id: i64) -> Option<Arc<User>> {
        self.read().user(id).cloned()
    }

    /// The user with this login name.
    pub fn user_named(&self, username: &str) -> Option<Arc<User>> {
        self.read().user_named(username).cloned()
    }

    /// The project with this id as `principal` sees it; `None` is somebody who is not signed in.
    pub fn project(&self, principal: Option<&Principal>, id: i64) -> ProjectLookup {
        let state = self.read();
        if state.has_projects() {
            lookup(&state, state.project(id), principal)
        } else {
            ProjectLookup::AsGiven
        }
    }

    /// The project at this full path, as [`Self::project`]. Where no projects are kept, a path names nothing.
    pub fn project_at(&self, principal: Option<&Principal>, path: &str) -> ProjectLookup {
        let state = self.read();
        lookup(&state, state.project_at(path), principal)
    }

    /// The id of the project whose trackers send this key.
    pub fn project_of_key(&self, instrumentation_key: &str) -> Option<i64> {
        self.read().project_of_key(instrumentation_key).map(|project| project.id)
    }

    /// Whether the project is there and `principal` can read it.
    pub fn can_read_project(&self, principal: Option<&Principal>, id: i64) -> bool {
        let state = self.read();
        state.project(id).is_some_and(|project| can_read(&state, principal, project))
    }

    /// The principal's role in the project, `None` for those who are no members.
    pub fn access_level(&self, principal: &Principal, project: &Project) -> Option<AccessLevel> {
        self.read().access_level(principal.user_id, project, principal.today)
    }

    /// Whether `principal` may say that something happened in this namespace: one of its projects is theirs to read.
    /// Where no projects are kept, nothing is known against it.
    pub fn may_name_namespace(&self, principal: Option<&Principal>, id: i64) -> bool {
        let state = self.read();
        !state.has_projects() || state.projects_in(id).any(|project| can_read(&state, principal, project))
    }
}

fn lookup(state: &State, project: Option<&Arc<Project>>, principal: Option<&Principal>) -> ProjectLookup {
    match project.filter(|project| can_read(state, principal, project)) {
        Some(project) => ProjectLookup::Readable(Arc::clone(project)),
        None => ProjectLookup::Absent,
    }
}

/// A principal whose user is gone reads what everybody reads.
fn can_read(state: &State, principal: Option<&Principal>, project: &Project) -> bool {
    let signed_in = principal.and_then(|principal| Some((state.user(principal.user_id)?, principal.today)));
    let (user, today) = signed_in.unzip();
    state.can_read_project(user.map(|user| &**user), project, today.unwrap_or_default())
}
