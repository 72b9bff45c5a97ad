//! One record, or a list of them, by what names it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::State;
use crate::{
    AccessToken, Agent, Alert, Change, Member, MemberSource, MinutePack, Namespace, Project,
    REFERENCE_EXPIRY, Reconciliation, ReferenceCount, SecretHash, SshKey, Subscription, User,
};

impl State {
    /// The directory's id; `None` before the first change.
    pub fn identity(&self) -> Option<Uuid> {
        self.identity
    }

    /// The user with this id.
    pub fn user(&self, id: i64) -> Option<&Arc<User>> {
        self.users.get(&id)
    }

    /// The user with this login name.
    pub fn user_named(&self, username: &str) -> Option<&Arc<User>> {
        self.users.get(self.usernames.get(username)?)
    }

    /// Every user, by id.
    pub fn users(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// The key with this id.
    pub fn key(&self, id: i64) -> Option<&Arc<SshKey>> {
        self.keys.get(&id)
    }

    /// The key with this SHA-256 fingerprint: Base64 without padding, without `SHA256:`.
    pub fn key_by_fingerprint(&self, fingerprint: &str) -> Option<&Arc<SshKey>> {
        self.keys.get(self.key_fingerprints.get(fingerprint)?)
    }

    /// Every key, by id.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &Arc<SshKey>> {
        self.keys.values()
    }

    /// The user's keys, by id.
    pub fn keys_of(&self, user_id: i64) -> impl Iterator<Item = &Arc<SshKey>> {
        pick(&self.keys, self.keys_by_user.get(&user_id))
    }

    /// The token with this id.
    pub fn token(&self, id: i64) -> Option<&Arc<AccessToken>> {
        self.tokens.get(&id)
    }

    /// The token whose text has this hash, good or not. The comparison's time doesn't depend on where the two differ.
    pub fn token_by_hash(&self, hash: &SecretHash) -> Option<&Arc<AccessToken>> {
        self.tokens.get(self.token_hashes.get(hash)?).filter(|token| token.hash.matches(hash))
    }

    /// The user's token with this name.
    pub fn token_named(&self, user_id: i64, name: &str) -> Option<&Arc<AccessToken>> {
        self.tokens_of(user_id).find(|token| token.name == name)
    }

    /// Every token, by id.
    pub fn tokens(&self) -> impl ExactSizeIterator<Item = &Arc<AccessToken>> {
        self.tokens.values()
    }

    /// The user's tokens, by id.
    pub fn tokens_of(&self, user_id: i64) -> impl Iterator<Item = &Arc<AccessToken>> {
        pick(&self.tokens, self.tokens_by_user.get(&user_id))
    }

    /// The namespace with this id.
    pub fn namespace(&self, id: i64) -> Option<&Arc<Namespace>> {
        self.namespaces.get(&id)
    }

    /// The namespace at this full path.
    pub fn namespace_at(&self, path: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(self.namespace_paths.get(path)?)
    }

    /// Every namespace, by id.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// The project with this id.
    pub fn project(&self, id: i64) -> Option<&Arc<Project>> {
        self.projects.get(&id)
    }

    /// The project at this full path.
    pub fn project_at(&self, path: &str) -> Option<&Arc<Project>> {
        self.projects.get(self.project_paths.get(path)?)
    }

    /// The project whose trackers send this key.
    pub fn project_of_key(&self, instrumentation_key: &str) -> Option<&Arc<Project>> {
        self.projects.get(self.instrumentation_keys.get(instrumentation_key)?)
    }

    /// Every project, by id.
    pub fn projects(&self) -> impl ExactSizeIterator<Item = &Arc<Project>> {
        self.projects.values()
    }

    /// Whether the directory keeps projects. While it doesn't, ids of projects are taken as given.
    pub fn has_projects(&self) -> bool {
        !self.projects.is_empty()
    }

    /// The user's membership in exactly this project or namespace, expired or not.
    pub fn member(&self, user_id: i64, source: MemberSource) -> Option<Member> {
        self.members.get(user_id, source)
    }

    /// The user's memberships, expired ones, too.
    pub fn memberships_of(&self, user_id: i64) -> impl Iterator<Item = Member> {
        self.members.of_user(user_id)
    }

    /// The memberships in exactly this project or namespace, by user, expired ones, too.
    pub fn members_of(&self, source: MemberSource) -> impl Iterator<Item = Member> {
        self.members.users_of(source).filter_map(move |user_id| self.members.get(user_id, source))
    }

    /// The agent with this id.
    pub fn agent(&self, id: i64) -> Option<&Arc<Agent>> {
        self.agents.get(&id)
    }

    /// The agent that has a token with this hash. Compares as [`Self::token_by_hash`] does.
    pub fn agent_by_token(&self, hash: &SecretHash) -> Option<&Arc<Agent>> {
        let agent = self.agents.get(self.agent_tokens.get(hash)?)?;
        agent.token_hashes.iter().any(|own| own.matches(hash)).then_some(agent)
    }

    /// Every agent, by id.
    pub fn agents(&self) -> impl ExactSizeIterator<Item = &Arc<Agent>> {
        self.agents.values()
    }

    /// The project's agents, by id.
    pub fn agents_of(&self, project_id: i64) -> impl Iterator<Item = &Arc<Agent>> {
        pick(&self.agents, self.agents_by_project.get(&project_id))
    }

    /// The namespace's subscription.
    pub fn subscription(&self, namespace_id: i64) -> Option<&Arc<Subscription>> {
        self.subscriptions.get(&namespace_id)
    }

    /// Every subscription, by namespace.
    pub fn subscriptions(&self) -> impl ExactSizeIterator<Item = &Arc<Subscription>> {
        self.subscriptions.values()
    }

    /// The pack of minutes with this purchase id.
    pub fn pack(&self, purchase_xid: &str) -> Option<&Arc<MinutePack>> {
        self.packs.get(purchase_xid)
    }

    /// Every pack of minutes, by purchase id.
    pub fn packs(&self) -> impl ExactSizeIterator<Item = &Arc<MinutePack>> {
        self.packs.values()
    }

    /// The namespace's packs of minutes, by purchase id.
    pub fn packs_of(&self, namespace_id: i64) -> impl Iterator<Item = &Arc<MinutePack>> {
        pick(&self.packs, self.packs_by_namespace.get(&namespace_id))
    }

    /// The namespace's next reconciliation.
    pub fn reconciliation(&self, namespace_id: i64) -> Option<&Reconciliation> {
        self.reconciliations.get(&namespace_id)
    }

    /// Every reconciliation, by namespace.
    pub fn reconciliations(&self) -> impl ExactSizeIterator<Item = &Reconciliation> {
        self.reconciliations.values()
    }

    /// The project's alert with this fingerprint.
    pub fn alert(&self, project_id: i64, fingerprint: &str) -> Option<&Arc<Alert>> {
        self.alerts.get(&project_id)?.get(fingerprint)
    }

    /// The project's alerts, by fingerprint.
    pub fn alerts_of(&self, project_id: i64) -> impl Iterator<Item = &Arc<Alert>> {
        self.alerts.get(&project_id).into_iter().flat_map(BTreeMap::values)
    }

    /// How many pushes are under way in the repository: every writer's count that has not expired, never less than 0.
    pub fn references(&self, repository: &str, now: Timestamp) -> i64 {
        let counts = self.references.get(repository).into_iter().flat_map(BTreeMap::values);
        let current = counts.filter(|count| now.duration_since(count.at) < REFERENCE_EXPIRY);
        current.map(|count| count.count).sum::<i64>().max(0)
    }

    /// One writer's own count for the repository, if it has not expired.
    pub fn reference_count(&self, repository: &str, writer: Uuid, now: Timestamp) -> i64 {
        let count = self.references.get(repository).and_then(|counts| counts.get(&writer));
        count.filter(|count| now.duration_since(count.at) < REFERENCE_EXPIRY).map_or(0, |count| count.count)
    }

    /// Changes that take away counts that have expired, `limit` at most. The fold looks at no clock and keeps them.
    pub fn expired_references(&self, now: Timestamp, limit: usize) -> Vec<Change> {
        let counts = self.references.values().flat_map(BTreeMap::values);
        let expired = counts.filter(|count| now.duration_since(count.at) >= REFERENCE_EXPIRY);
        let removal =
            |count: &ReferenceCount| Change::ReferenceCount(ReferenceCount { count: 0, ..count.clone() });
        expired.take(limit).map(removal).collect()
    }

    /// The application setting with this name.
    pub fn setting(&self, name: &str) -> Option<&Value> {
        self.settings.get(name)
    }

    /// Every setting, by name.
    pub fn settings(&self) -> impl ExactSizeIterator<Item = (&String, &Value)> {
        self.settings.iter()
    }

    /// Whether the feature is on; one that nobody has named is off.
    pub fn feature_flag(&self, name: &str) -> bool {
        self.feature_flags.get(name).copied().unwrap_or_default()
    }

    /// Every feature flag that was ever written, by name.
    pub fn feature_flags(&self) -> impl ExactSizeIterator<Item = (&String, bool)> {
        self.feature_flags.iter().map(|(name, enabled)| (name, *enabled))
    }
}

/// The records of one group of an index.
fn pick<'a, K: Ord, T>(
    records: &'a BTreeMap<K, T>,
    group: Option<&'a BTreeSet<K>>,
) -> impl Iterator<Item = &'a T> {
    group.into_iter().flatten().filter_map(|key| records.get(key))
}
