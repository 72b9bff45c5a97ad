//! The fold: what each change does to the state and its indexes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::State;
use crate::{
    AccessToken, Agent, Alert, Change, IdKind, MemberSource, MinutePack, Namespace, Project, ReferenceCount,
    SshKey, User,
};

impl State {
    /// Folds one change in.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Identity { id } => self.identity = Some(id),
            Change::IdsUsed { kind, up_to } => self.use_id(kind, up_to),
            Change::User(user) => self.put_user(user),
            Change::Key(key) => self.put_key(key),
            Change::Token(token) => self.put_token(token),
            Change::Namespace(namespace) => self.put_namespace(namespace),
            Change::Project(project) => self.put_project(project),
            Change::Member(member) => self.members.insert(member),
            Change::Agent(agent) => self.put_agent(agent),
            Change::Subscription(subscription) => {
                self.subscriptions.insert(subscription.namespace_id, Arc::new(subscription));
            }
            Change::MinutePack(pack) => self.put_pack(pack),
            Change::Reconciliation(next) => {
                self.reconciliations.insert(next.namespace_id, next);
            }
            Change::Alert(alert) => self.put_alert(alert),
            Change::ReferenceCount(count) => self.put_reference_count(count),
            Change::Setting { name, value } if value.is_null() => {
                self.settings.remove(&name);
            }
            Change::Setting { name, value } => {
                self.settings.insert(name, value);
            }
            Change::FeatureFlag { name, enabled } => {
                self.feature_flags.insert(name, enabled);
            }
            Change::RemoveUser { id } => self.remove_user(id),
            Change::RemoveKey { id } => self.remove_key(id),
            Change::RemoveToken { id } => self.remove_token(id),
            Change::RemoveNamespace { id } => self.remove_namespace(id),
            Change::RemoveProject { id } => self.remove_project(id),
            Change::RemoveMember { user_id, source } => self.members.remove(user_id, source),
            Change::RemoveAgent { id } => self.remove_agent(id),
            Change::RemoveReconciliation { namespace_id } => {
                self.reconciliations.remove(&namespace_id);
            }
        }
    }

    fn put_user(&mut self, user: User) {
        self.use_id(IdKind::User, user.id);
        if let Some(former) = self.users.get(&user.id)
            && former.username != user.username
        {
            self.usernames.remove(&former.username, user.id);
        }
        self.usernames.insert(&user.username, user.id);
        self.users.insert(user.id, Arc::new(user));
    }

    fn remove_user(&mut self, id: i64) {
        if let Some(user) = self.users.remove(&id) {
            self.usernames.remove(&user.username, id);
        }
        self.members.remove_user(id);
        for key in self.keys_by_user.get(&id).cloned().unwrap_or_default() {
            self.remove_key(key);
        }
        for token in self.tokens_by_user.get(&id).cloned().unwrap_or_default() {
            self.remove_token(token);
        }
    }

    fn put_key(&mut self, key: SshKey) {
        self.use_id(IdKind::Key, key.id);
        self.remove_key(key.id);
        self.key_fingerprints.insert(&key.fingerprint_sha256, key.id);
        if let Some(user_id) = key.user_id {
            self.keys_by_user.entry(user_id).or_default().insert(key.id);
        }
        self.keys.insert(key.id, Arc::new(key));
    }

    fn remove_key(&mut self, id: i64) {
        let Some(key) = self.keys.remove(&id) else { return };
        self.key_fingerprints.remove(&key.fingerprint_sha256, id);
        if let Some(user_id) = key.user_id {
            leave(&mut self.keys_by_user, &user_id, &id);
        }
    }

    fn put_token(&mut self, token: AccessToken) {
        self.use_id(IdKind::Token, token.id);
        self.remove_token(token.id);
        self.token_hashes.insert(&token.hash, token.id);
        self.tokens_by_user.entry(token.user_id).or_default().insert(token.id);
        self.tokens.insert(token.id, Arc::new(token));
    }

    fn remove_token(&mut self, id: i64) {
        let Some(token) = self.tokens.remove(&id) else { return };
        self.token_hashes.remove(&token.hash, id);
        leave(&mut self.tokens_by_user, &token.user_id, &id);
    }

    fn put_namespace(&mut self, namespace: Namespace) {
        self.use_id(IdKind::Namespace, namespace.id);
        self.unlist_namespace(namespace.id);
        self.namespace_paths.insert(&namespace.path, namespace.id);
        if let Some(parent_id) = namespace.parent_id {
            self.namespaces_by_parent.entry(parent_id).or_default().insert(namespace.id);
        }
        self.namespaces.insert(namespace.id, Arc::new(namespace));
    }

    fn unlist_namespace(&mut self, id: i64) {
        let Some(namespace) = self.namespaces.remove(&id) else { return };
        self.namespace_paths.remove(&namespace.path, id);
        if let Some(parent_id) = namespace.parent_id {
            leave(&mut self.namespaces_by_parent, &parent_id, &id);
        }
    }

    fn remove_namespace(&mut self, id: i64) {
        self.unlist_namespace(id);
        self.members.remove_source(MemberSource::Namespace(id));
        self.subscriptions.remove(&id);
        self.reconciliations.remove(&id);
        for purchase_xid in self.packs_by_namespace.remove(&id).unwrap_or_default() {
            self.packs.remove(&purchase_xid);
        }
    }

    fn put_project(&mut self, project: Project) {
        self.use_id(IdKind::Project, project.id);
        self.unlist_project(project.id);
        self.project_paths.insert(&project.path, project.id);
        if let Some(key) = &project.product_analytics.instrumentation_key {
            self.instrumentation_keys.insert(key, project.id);
        }
        if let Some(namespace_id) = project.namespace_id {
            self.projects_by_namespace.entry(namespace_id).or_default().insert(project.id);
        }
        self.projects.insert(project.id, Arc::new(project));
    }

    fn unlist_project(&mut self, id: i64) {
        let Some(project) = self.projects.remove(&id) else { return };
        self.project_paths.remove(&project.path, id);
        if let Some(key) = &project.product_analytics.instrumentation_key {
            self.instrumentation_keys.remove(key, id);
        }
        if let Some(namespace_id) = project.namespace_id {
            leave(&mut self.projects_by_namespace, &namespace_id, &id);
        }
    }

    fn remove_project(&mut self, id: i64) {
        self.unlist_project(id);
        self.members.remove_source(MemberSource::Project(id));
        self.alerts.remove(&id);
        for agent in self.agents_by_project.get(&id).cloned().unwrap_or_default() {
            self.remove_agent(agent);
        }
    }

    fn put_agent(&mut self, agent: Agent) {
        self.use_id(IdKind::Agent, agent.id);
        self.remove_agent(agent.id);
        for hash in &agent.token_hashes {
            self.agent_tokens.insert(hash, agent.id);
        }
        self.agents_by_project.entry(agent.project_id).or_default().insert(agent.id);
        self.agents.insert(agent.id, Arc::new(agent));
    }

    fn remove_agent(&mut self, id: i64) {
        let Some(agent) = self.agents.remove(&id) else { return };
        for hash in &agent.token_hashes {
            self.agent_tokens.remove(hash, id);
        }
        leave(&mut self.agents_by_project, &agent.project_id, &id);
    }

    fn put_pack(&mut self, pack: MinutePack) {
        if let Some(former) = self.packs.get(&pack.purchase_xid) {
            leave(&mut self.packs_by_namespace, &former.namespace_id, &pack.purchase_xid);
        }
        self.packs_by_namespace.entry(pack.namespace_id).or_default().insert(pack.purchase_xid.clone());
        self.packs.insert(pack.purchase_xid.clone(), Arc::new(pack));
    }

    fn put_alert(&mut self, alert: Alert) {
        self.use_id(IdKind::Alert, alert.id);
        self.alerts.entry(alert.project_id).or_default().insert(alert.fingerprint.clone(), Arc::new(alert));
    }

    fn put_reference_count(&mut self, count: ReferenceCount) {
        if count.count != 0 {
            let counts = self.references.entry(count.repository.clone()).or_default();
            counts.insert(count.writer, count);
        } else if let Some(counts) = self.references.get_mut(&count.repository) {
            counts.remove(&count.writer);
            if counts.is_empty() {
                self.references.remove(&count.repository);
            }
        }
    }
}

/// Takes `id` out of the group `key`, and the group away with its last.
fn leave<K: Ord, I: Ord>(groups: &mut BTreeMap<K, BTreeSet<I>>, key: &K, id: &I) {
    if let Some(group) = groups.get_mut(key) {
        group.remove(id);
        if group.is_empty() {
            groups.remove(key);
        }
    }
}
