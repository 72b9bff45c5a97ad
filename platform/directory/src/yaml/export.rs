//! Writes a directory as a YAML text that imports as the same records, in a stable order: by kind, then by id.
//!
//! Alerts, reference counters and the directory's identity are not exported; they belong to the running instance.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::form::{AgentEntry, KeyEntry, MemberEntry, NamespaceEntry, ProjectEntry, TokenEntry, UserEntry};
use crate::state::{Cursor, State};
use crate::{
    AccessToken, Agent, Change, Directory, IdKind, Member, MemberSource, Namespace, Project, SshKey, User,
};

/// How many records are read out under one lock.
const PAGE: usize = 200;

impl Directory {
    /// Writes everything as YAML. The state is read a page at a time, so what changes meanwhile is exported as it was or
    /// as it becomes.
    pub fn export(&self, writer: impl Write) -> io::Result<()> {
        let mut sections = Sections { writer, section: None };
        let mut cursor = Cursor::default();
        loop {
            let state = self.read();
            let (changes, next) = state.changes_after(&cursor, PAGE);
            let entries: Vec<Entry> =
                changes.into_iter().filter_map(|change| entry(&state, change)).collect();
            let is_end = next == cursor;
            drop(state);
            entries.iter().try_for_each(|entry| sections.write(entry))?;
            if is_end {
                return sections.writer.flush();
            }
            // Members are exported where they are members, so the long way past them is not taken.
            cursor = next.past_members();
        }
    }
}

/// One record as it is exported.
enum Entry {
    IdsUsed(IdKind, i64),
    User(UserEntry),
    Namespace(NamespaceEntry),
    Project(ProjectEntry),
    Key(KeyEntry),
    Token(TokenEntry),
    Agent(AgentEntry),
    Subscription(crate::Subscription),
    MinutePack(crate::MinutePack),
    Reconciliation(crate::Reconciliation),
    Setting(String, serde_json::Value),
    FeatureFlag(String, bool),
}

fn entry(state: &State, change: Change) -> Option<Entry> {
    Some(match change {
        // An id that is in use says by itself that it was used.
        Change::IdsUsed { kind, up_to } if state.highest_id(kind) != Some(up_to) => {
            Entry::IdsUsed(kind, up_to)
        }
        Change::User(user) => Entry::User(user_entry(user)),
        Change::Namespace(namespace) => Entry::Namespace(namespace_entry(state, namespace)),
        Change::Project(project) => Entry::Project(project_entry(state, project)),
        Change::Key(key) => Entry::Key(key_entry(state, key)),
        Change::Token(token) => Entry::Token(token_entry(state, token)?),
        Change::Agent(agent) => Entry::Agent(agent_entry(agent)),
        Change::Subscription(subscription) => Entry::Subscription(subscription),
        Change::MinutePack(pack) => Entry::MinutePack(pack),
        Change::Reconciliation(next) => Entry::Reconciliation(next),
        Change::Setting { name, value } => Entry::Setting(name, value),
        Change::FeatureFlag { name, enabled } => Entry::FeatureFlag(name, enabled),
        _ => return None,
    })
}

fn user_entry(user: User) -> UserEntry {
    UserEntry {
        id: user.id,
        username: user.username,
        name: Some(user.name),
        admin: user.admin,
        state: user.state,
        two_factor: user.two_factor,
        recovery_codes: user.recovery_codes,
        avatar_url: user.avatar_url,
        public_email: user.public_email,
        private_profile: user.private_profile,
        locked: user.locked,
        external: user.external,
    }
}

fn namespace_entry(state: &State, namespace: Namespace) -> NamespaceEntry {
    NamespaceEntry {
        members: members(state, MemberSource::Namespace(namespace.id)),
        id: namespace.id,
        path: namespace.path,
        name: Some(namespace.name),
        kind: namespace.kind,
        parent_id: namespace.parent_id,
        ip_ranges: namespace.ip_ranges,
    }
}

fn project_entry(state: &State, project: Project) -> ProjectEntry {
    ProjectEntry {
        members: members(state, MemberSource::Project(project.id)),
        id: project.id,
        path: project.path,
        name: Some(project.name),
        namespace_id: project.namespace_id,
        visibility: project.visibility,
        archived: project.archived,
        lfs_enabled: project.lfs_enabled,
        default_branch: project.default_branch,
        protected_refs: project.protected_refs,
        features: project.features,
        product_analytics: project.product_analytics,
    }
}

fn members(state: &State, source: MemberSource) -> Vec<MemberEntry> {
    let entry = |member: Member| {
        let user = state.user(member.user_id)?.username.clone();
        Some(MemberEntry { user, access_level: member.access_level, expires_at: member.expires_at })
    };
    state.members_of(source).filter_map(entry).collect()
}

fn key_entry(state: &State, key: SshKey) -> KeyEntry {
    KeyEntry {
        id: Some(key.id),
        user: key.user_id.and_then(|id| username(state, id)),
        title: key.title,
        key: key.key,
        usage_type: key.usage_type,
        expires_at: key.expires_at,
        created_at: Some(key.created_at),
        last_used_at: key.last_used_at,
        deploy: key.deploy,
        deploy_projects: key.deploy_projects,
        active: key.active,
    }
}

fn token_entry(state: &State, token: AccessToken) -> Option<TokenEntry> {
    Some(TokenEntry {
        id: Some(token.id),
        name: token.name,
        user: username(state, token.user_id)?,
        sha256: token.hash.to_hex(),
        scopes: token.scopes,
        expires_at: token.expires_at,
        revoked: token.revoked,
        created_at: Some(token.created_at),
    })
}

fn agent_entry(agent: Agent) -> AgentEntry {
    AgentEntry {
        id: agent.id,
        name: agent.name,
        project_id: agent.project_id,
        token_hashes: agent.token_hashes,
    }
}

fn username(state: &State, id: i64) -> Option<String> {
    state.user(id).map(|user| user.username.clone())
}

/// Writes entries below their section's key, which is written once.
struct Sections<W> {
    writer: W,
    section: Option<&'static str>,
}

impl<W: Write> Sections<W> {
    fn write(&mut self, entry: &Entry) -> io::Result<()> {
        match entry {
            Entry::IdsUsed(kind, up_to) => self.pair("ids_used", kind, up_to),
            Entry::User(entry) => self.item("users", entry),
            Entry::Namespace(entry) => self.item("namespaces", entry),
            Entry::Project(entry) => self.item("projects", entry),
            Entry::Key(entry) => self.item("keys", entry),
            Entry::Token(entry) => self.item("tokens", entry),
            Entry::Agent(entry) => self.item("agents", entry),
            Entry::Subscription(entry) => self.item("subscriptions", entry),
            Entry::MinutePack(entry) => self.item("minute_packs", entry),
            Entry::Reconciliation(entry) => self.item("reconciliations", entry),
            Entry::Setting(name, value) => self.pair("settings", name, value),
            Entry::FeatureFlag(name, enabled) => self.pair("feature_flags", name, enabled),
        }
    }

    fn begin(&mut self, section: &'static str) -> io::Result<()> {
        if self.section.replace(section) == Some(section) {
            return Ok(());
        }
        writeln!(self.writer, "{section}:")
    }

    fn item(&mut self, section: &'static str, entry: &impl Serialize) -> io::Result<()> {
        self.begin(section)?;
        let yaml = serde_yaml_ng::to_string(&[entry]).map_err(io::Error::other)?;
        self.writer.write_all(yaml.as_bytes())
    }

    fn pair(
        &mut self,
        section: &'static str,
        key: &(impl Serialize + Ord),
        value: &impl Serialize,
    ) -> io::Result<()> {
        self.begin(section)?;
        let yaml = serde_yaml_ng::to_string(&BTreeMap::from([(key, value)])).map_err(io::Error::other)?;
        for line in yaml.lines() {
            writeln!(self.writer, "{}{line}", if line.is_empty() { "" } else { "  " })?;
        }
        Ok(())
    }
}
