//! What a text means for a state: each of its records as a change, if the state has it otherwise.

use jiff::Timestamp;
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::Value;

use super::check::check;
use super::form::{
    AgentEntry, File, KeyEntry, MemberEntry, NamespaceEntry, ProjectEntry, TokenEntry, UserEntry,
};
use crate::error::FieldProblem;
use crate::state::State;
use crate::{
    AccessToken, Agent, Change, IdKind, Member, MemberSource, MinutePack, Namespace, Project, Reconciliation,
    SecretHash, SshKey, Subscription, User,
};

/// A file with what its records need to know of each other.
pub(super) struct Import<'a> {
    file: &'a File,
    now: Timestamp,
    user_ids: FxHashMap<&'a str, i64>,
    users: FxHashSet<i64>,
    namespaces: FxHashSet<i64>,
    projects: FxHashSet<i64>,
    keys: FxHashSet<i64>,
    tokens: FxHashSet<i64>,
    agents: FxHashSet<i64>,
    /// After those that the file gives.
    free_ids: FreeIds,
}

/// One record of a file, and where it stands.
#[derive(Clone, Copy)]
pub(super) enum Item<'a> {
    IdsUsed(IdKind, i64),
    User(usize, &'a UserEntry),
    Namespace(usize, &'a NamespaceEntry),
    Project(usize, &'a ProjectEntry),
    NamespaceMember(usize, usize, i64, &'a MemberEntry),
    ProjectMember(usize, usize, i64, &'a MemberEntry),
    Key(usize, &'a KeyEntry),
    Token(usize, &'a TokenEntry),
    Agent(usize, &'a AgentEntry),
    Subscription(usize, &'a Subscription),
    MinutePack(usize, &'a MinutePack),
    Reconciliation(usize, &'a Reconciliation),
    Setting(&'a str, &'a Value),
    FeatureFlag(&'a str, bool),
}

/// Ids for records that come without one.
#[derive(Clone, Copy)]
pub(super) struct FreeIds {
    key: i64,
    token: i64,
}

impl<'a> Import<'a> {
    /// `now` is when records were made that don't say so.
    pub(super) fn of(file: &'a File, now: Timestamp) -> Self {
        let keys: FxHashSet<i64> = file.keys.iter().filter_map(|key| key.id).collect();
        let tokens: FxHashSet<i64> = file.tokens.iter().filter_map(|token| token.id).collect();
        let after = |given: &FxHashSet<i64>, kind| {
            let highest = given.iter().chain(file.ids_used.get(&kind)).max();
            highest.map_or(1, |id| id.saturating_add(1))
        };
        Self {
            file,
            now,
            user_ids: file.users.iter().map(|user| (user.username.as_str(), user.id)).collect(),
            users: file.users.iter().map(|user| user.id).collect(),
            namespaces: file.namespaces.iter().map(|namespace| namespace.id).collect(),
            projects: file.projects.iter().map(|project| project.id).collect(),
            agents: file.agents.iter().map(|agent| agent.id).collect(),
            free_ids: FreeIds { key: after(&keys, IdKind::Key), token: after(&tokens, IdKind::Token) },
            keys,
            tokens,
        }
    }

    /// Everything that is wrong with the file, by itself or on this state.
    pub(super) fn problems(&self, state: &State) -> Vec<FieldProblem> {
        let mut problems = check(self.file);
        let mut ids = self.free_ids(state);
        problems.extend(self.items().filter_map(|item| self.change(state, item, &mut ids).err()));
        // A hash that is none is found twice.
        let mut named = FxHashSet::default();
        problems.retain(|problem| named.insert(problem.field.clone()));
        problems
    }

    /// The file's records, first those that others name.
    pub(super) fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let file = self.file;
        let users = file.users.iter().enumerate().map(|(at, user)| Item::User(at, user));
        let namespaces = file.namespaces.iter().enumerate();
        let projects = file.projects.iter().enumerate();
        let namespace_members = namespaces.clone().flat_map(|(at, namespace)| {
            let members = namespace.members.iter().enumerate();
            members.map(move |(place, member)| Item::NamespaceMember(at, place, namespace.id, member))
        });
        let project_members = projects.clone().flat_map(|(at, project)| {
            let members = project.members.iter().enumerate();
            members.map(move |(place, member)| Item::ProjectMember(at, place, project.id, member))
        });
        let ids_used = file.ids_used.iter().map(|(kind, up_to)| Item::IdsUsed(*kind, *up_to));
        ids_used
            .chain(users)
            .chain(namespaces.map(|(at, namespace)| Item::Namespace(at, namespace)))
            .chain(projects.map(|(at, project)| Item::Project(at, project)))
            .chain(namespace_members)
            .chain(project_members)
            .chain(file.keys.iter().enumerate().map(|(at, key)| Item::Key(at, key)))
            .chain(file.tokens.iter().enumerate().map(|(at, token)| Item::Token(at, token)))
            .chain(file.agents.iter().enumerate().map(|(at, agent)| Item::Agent(at, agent)))
            .chain(file.subscriptions.iter().enumerate().map(|(at, bought)| Item::Subscription(at, bought)))
            .chain(file.minute_packs.iter().enumerate().map(|(at, pack)| Item::MinutePack(at, pack)))
            .chain(file.reconciliations.iter().enumerate().map(|(at, next)| Item::Reconciliation(at, next)))
            .chain(file.settings.iter().map(|(name, value)| Item::Setting(name, value)))
            .chain(file.feature_flags.iter().map(|(name, enabled)| Item::FeatureFlag(name, *enabled)))
    }

    /// Ids that neither the state nor the file has.
    pub(super) fn free_ids(&self, state: &State) -> FreeIds {
        FreeIds {
            key: self.free_ids.key.max(state.next_key_id()),
            token: self.free_ids.token.max(state.next_token_id()),
        }
    }

    /// The change that a record is, `None` if the state has the record as it is, or why it can't be.
    pub(super) fn change(
        &self,
        state: &State,
        item: Item<'_>,
        ids: &mut FreeIds,
    ) -> Result<Option<Change>, FieldProblem> {
        match item {
            Item::IdsUsed(kind, up_to) => {
                Ok((state.next_id(kind) <= up_to).then_some(Change::IdsUsed { kind, up_to }))
            }
            Item::User(at, entry) => self.user(state, at, entry),
            Item::Namespace(at, entry) => self.namespace(state, at, entry),
            Item::Project(at, entry) => self.project(state, at, entry),
            Item::NamespaceMember(at, place, id, entry) => {
                let field = || format!("namespaces[{at}].members[{place}].user");
                self.member(state, field, MemberSource::Namespace(id), entry)
            }
            Item::ProjectMember(at, place, id, entry) => {
                let field = || format!("projects[{at}].members[{place}].user");
                self.member(state, field, MemberSource::Project(id), entry)
            }
            Item::Key(at, entry) => self.key(state, at, entry, ids),
            Item::Token(at, entry) => self.token(state, at, entry, ids),
            Item::Agent(at, entry) => self.agent(state, at, entry),
            Item::Subscription(at, bought) => {
                self.known_namespace(
                    state,
                    || format!("subscriptions[{at}].namespace_id"),
                    bought.namespace_id,
                )?;
                let held = state.subscription(bought.namespace_id).is_some_and(|held| **held == *bought);
                Ok((!held).then(|| Change::Subscription(bought.clone())))
            }
            Item::MinutePack(at, pack) => {
                self.known_namespace(
                    state,
                    || format!("minute_packs[{at}].namespace_id"),
                    pack.namespace_id,
                )?;
                let held = state.pack(&pack.purchase_xid).is_some_and(|held| **held == *pack);
                Ok((!held).then(|| Change::MinutePack(pack.clone())))
            }
            Item::Reconciliation(at, next) => {
                self.known_namespace(
                    state,
                    || format!("reconciliations[{at}].namespace_id"),
                    next.namespace_id,
                )?;
                let held = state.reconciliation(next.namespace_id) == Some(next);
                Ok((!held).then_some(Change::Reconciliation(*next)))
            }
            Item::Setting(name, value) => {
                let held = state.setting(name).unwrap_or(&Value::Null) == value;
                Ok((!held).then(|| Change::Setting { name: name.to_owned(), value: value.clone() }))
            }
            Item::FeatureFlag(name, enabled) => {
                let held = state.feature_flags().any(|(known, on)| known == name && on == enabled);
                Ok((!held).then(|| Change::FeatureFlag { name: name.to_owned(), enabled }))
            }
        }
    }

    fn user(&self, state: &State, at: usize, entry: &UserEntry) -> Result<Option<Change>, FieldProblem> {
        let namesake = state.user_named(&entry.username);
        if namesake.is_some_and(|user| user.id != entry.id && !self.users.contains(&user.id)) {
            let text = format!("{:?} is another user's name, too", entry.username);
            return Err(problem(format!("users[{at}].username"), text));
        }
        let user = User {
            id: entry.id,
            username: entry.username.clone(),
            name: entry.name.clone().unwrap_or_else(|| entry.username.clone()),
            state: entry.state,
            admin: entry.admin,
            two_factor: entry.two_factor,
            recovery_codes: entry.recovery_codes.clone(),
            avatar_url: entry.avatar_url.clone(),
            public_email: entry.public_email.clone(),
            private_profile: entry.private_profile,
            locked: entry.locked,
            external: entry.external,
        };
        Ok((state.user(user.id).is_none_or(|held| **held != user)).then_some(Change::User(user)))
    }

    fn namespace(
        &self,
        state: &State,
        at: usize,
        entry: &NamespaceEntry,
    ) -> Result<Option<Change>, FieldProblem> {
        let namesake = state.namespace_at(&entry.path);
        if namesake.is_some_and(|other| other.id != entry.id && !self.namespaces.contains(&other.id)) {
            let text = format!("{:?} is another namespace's path, too", entry.path);
            return Err(problem(format!("namespaces[{at}].path"), text));
        }
        if let Some(parent_id) = entry.parent_id {
            let field = || format!("namespaces[{at}].parent_id");
            self.known_namespace(state, field, parent_id)?;
            // The file's own circles are found without a state; this one goes through a namespace that it doesn't name.
            if !self.namespaces.contains(&parent_id)
                && state.ancestors(parent_id).any(|above| above.id == entry.id)
            {
                return Err(problem(field(), "the namespace lies in itself"));
            }
        }
        let namespace = Namespace {
            id: entry.id,
            path: entry.path.clone(),
            name: entry.name.clone().unwrap_or_else(|| last_part(&entry.path)),
            kind: entry.kind,
            parent_id: entry.parent_id,
            ip_ranges: entry.ip_ranges.clone(),
        };
        let held = state.namespace(namespace.id).is_some_and(|held| **held == namespace);
        Ok((!held).then_some(Change::Namespace(namespace)))
    }

    fn project(
        &self,
        state: &State,
        at: usize,
        entry: &ProjectEntry,
    ) -> Result<Option<Change>, FieldProblem> {
        let namesake = state.project_at(&entry.path);
        if namesake.is_some_and(|other| other.id != entry.id && !self.projects.contains(&other.id)) {
            let text = format!("{:?} is another project's path, too", entry.path);
            return Err(problem(format!("projects[{at}].path"), text));
        }
        let key = entry.product_analytics.instrumentation_key.as_deref();
        let holder = key.and_then(|key| state.project_of_key(key));
        if holder.is_some_and(|other| other.id != entry.id && !self.projects.contains(&other.id)) {
            let field = format!("projects[{at}].product_analytics.instrumentation_key");
            return Err(problem(field, "another project has the same key"));
        }
        let project = Project {
            id: entry.id,
            path: entry.path.clone(),
            name: entry.name.clone().unwrap_or_else(|| last_part(&entry.path)),
            namespace_id: entry.namespace_id,
            visibility: entry.visibility,
            archived: entry.archived,
            lfs_enabled: entry.lfs_enabled,
            default_branch: entry.default_branch.clone(),
            protected_refs: entry.protected_refs.clone(),
            features: entry.features,
            product_analytics: entry.product_analytics.clone(),
        };
        let held = state.project(project.id).is_some_and(|held| **held == project);
        Ok((!held).then_some(Change::Project(project)))
    }

    fn member(
        &self,
        state: &State,
        field: impl FnOnce() -> String,
        source: MemberSource,
        entry: &MemberEntry,
    ) -> Result<Option<Change>, FieldProblem> {
        let user_id = self.known_user(state, field, &entry.user)?;
        let MemberEntry { access_level, expires_at, .. } = *entry;
        let member = Member { user_id, source, access_level, expires_at };
        Ok((state.member(user_id, source) != Some(member)).then_some(Change::Member(member)))
    }

    fn key(
        &self,
        state: &State,
        at: usize,
        entry: &KeyEntry,
        ids: &mut FreeIds,
    ) -> Result<Option<Change>, FieldProblem> {
        let field = |name: &str| format!("keys[{at}].{name}");
        let user = entry.user.as_ref();
        let user_id = user.map(|user| self.known_user(state, || field("user"), user)).transpose()?;
        for (place, access) in entry.deploy_projects.iter().enumerate() {
            let field = || format!("keys[{at}].deploy_projects[{place}].project_id");
            self.known_project(state, field, access.project_id)?;
        }
        let fingerprint_sha256 = SshKey::fingerprint(&entry.key)
            .ok_or_else(|| problem(field("key"), "expected a type and a Base64 body"))?;
        let same = state.key_by_fingerprint(&fingerprint_sha256);
        let is_free = |other: &SshKey| Some(other.id) == entry.id || self.keys.contains(&other.id);
        if entry.id.is_some() && same.is_some_and(|other| !is_free(other)) {
            return Err(problem(field("key"), "another key is the same"));
        }
        let former = entry.id.map_or(same, |id| state.key(id));
        let key = SshKey {
            id: entry.id.or(former.map(|key| key.id)).unwrap_or_else(|| take(&mut ids.key)),
            user_id,
            title: entry.title.clone(),
            key: entry.key.split_ascii_whitespace().take(2).collect::<Vec<_>>().join(" "),
            fingerprint_sha256,
            usage_type: entry.usage_type,
            expires_at: entry.expires_at,
            created_at: entry.created_at.or(former.map(|key| key.created_at)).unwrap_or(self.now),
            last_used_at: entry.last_used_at.or(former.and_then(|key| key.last_used_at)),
            deploy: entry.deploy,
            deploy_projects: entry.deploy_projects.clone(),
            active: entry.active,
        };
        Ok((former.is_none_or(|held| **held != key)).then_some(Change::Key(key)))
    }

    fn token(
        &self,
        state: &State,
        at: usize,
        entry: &TokenEntry,
        ids: &mut FreeIds,
    ) -> Result<Option<Change>, FieldProblem> {
        let field = |name: &str| format!("tokens[{at}].{name}");
        let user_id = self.known_user(state, || field("user"), &entry.user)?;
        let hash = SecretHash::from_hex(&entry.sha256)
            .ok_or_else(|| problem(field("sha256"), "expected 64 hexadecimal digits"))?;
        let namesake = state.token_named(user_id, &entry.name);
        let former = entry.id.map_or(namesake, |id| state.token(id));
        let id = entry.id.or(former.map(|token| token.id)).unwrap_or_else(|| take(&mut ids.token));
        let is_other = |other: i64| other != id && !self.tokens.contains(&other);
        if namesake.is_some_and(|other| is_other(other.id)) {
            return Err(problem(field("name"), format!("the user has another token named {:?}", entry.name)));
        }
        if state.token_by_hash(&hash).is_some_and(|other| is_other(other.id)) {
            return Err(problem(field("sha256"), "another token has the same hash"));
        }
        let token = AccessToken {
            id,
            user_id,
            name: entry.name.clone(),
            hash,
            scopes: entry.scopes.clone(),
            expires_at: entry.expires_at,
            revoked: entry.revoked,
            created_at: entry.created_at.or(former.map(|token| token.created_at)).unwrap_or(self.now),
        };
        Ok((former.is_none_or(|held| **held != token)).then_some(Change::Token(token)))
    }

    fn agent(&self, state: &State, at: usize, entry: &AgentEntry) -> Result<Option<Change>, FieldProblem> {
        self.known_project(state, || format!("agents[{at}].project_id"), entry.project_id)?;
        for (place, hash) in entry.token_hashes.iter().enumerate() {
            let holder = state.agent_by_token(hash);
            if holder.is_some_and(|other| other.id != entry.id && !self.agents.contains(&other.id)) {
                return Err(problem(
                    format!("agents[{at}].token_hashes[{place}]"),
                    "another agent has the same token",
                ));
            }
        }
        let agent = Agent {
            id: entry.id,
            name: entry.name.clone(),
            project_id: entry.project_id,
            token_hashes: entry.token_hashes.clone(),
        };
        Ok((state.agent(agent.id).is_none_or(|held| **held != agent)).then_some(Change::Agent(agent)))
    }

    /// The id of the user with this name, as the file has it or else the state.
    fn known_user(
        &self,
        state: &State,
        field: impl FnOnce() -> String,
        username: &str,
    ) -> Result<i64, FieldProblem> {
        let in_file = self.user_ids.get(username).copied();
        // A user who gets another name by the file no longer has the one that the state knows.
        let in_state = || Some(state.user_named(username)?.id).filter(|id| !self.users.contains(id));
        in_file.or_else(in_state).ok_or_else(|| problem(field(), format!("no user is named {username:?}")))
    }

    fn known_namespace(
        &self,
        state: &State,
        field: impl FnOnce() -> String,
        id: i64,
    ) -> Result<(), FieldProblem> {
        let is_known = self.namespaces.contains(&id) || state.namespace(id).is_some();
        if is_known { Ok(()) } else { Err(problem(field(), format!("no namespace has the id {id}"))) }
    }

    fn known_project(
        &self,
        state: &State,
        field: impl FnOnce() -> String,
        id: i64,
    ) -> Result<(), FieldProblem> {
        let is_known = self.projects.contains(&id) || state.project(id).is_some();
        if is_known { Ok(()) } else { Err(problem(field(), format!("no project has the id {id}"))) }
    }
}

fn problem(field: String, text: impl Into<String>) -> FieldProblem {
    FieldProblem { field, problem: text.into() }
}

fn take(next: &mut i64) -> i64 {
    let id = *next;
    *next += 1;
    id
}

fn last_part(path: &str) -> String {
    path.rsplit('/').next().unwrap_or(path).to_owned()
}
