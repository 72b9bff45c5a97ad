//! Which ids are free. They count on from the highest that was ever used, so that a removed record's id doesn't come back
//! and mean another one.

use std::collections::BTreeMap;

use super::State;
use crate::IdKind;

impl State {
    /// The id after the highest that was ever used for this kind. Two ids in one command count on from it.
    pub fn next_id(&self, kind: IdKind) -> i64 {
        self.ids_used.get(&kind).map_or(1, |used| used + 1)
    }

    /// [`Self::next_id`] for users.
    pub fn next_user_id(&self) -> i64 {
        self.next_id(IdKind::User)
    }

    /// [`Self::next_id`] for keys.
    pub fn next_key_id(&self) -> i64 {
        self.next_id(IdKind::Key)
    }

    /// [`Self::next_id`] for tokens.
    pub fn next_token_id(&self) -> i64 {
        self.next_id(IdKind::Token)
    }

    /// [`Self::next_id`] for namespaces.
    pub fn next_namespace_id(&self) -> i64 {
        self.next_id(IdKind::Namespace)
    }

    /// [`Self::next_id`] for projects.
    pub fn next_project_id(&self) -> i64 {
        self.next_id(IdKind::Project)
    }

    /// [`Self::next_id`] for agents.
    pub fn next_agent_id(&self) -> i64 {
        self.next_id(IdKind::Agent)
    }

    /// [`Self::next_id`] for alerts.
    pub fn next_alert_id(&self) -> i64 {
        self.next_id(IdKind::Alert)
    }

    /// The highest id that a record of this kind has now; `None` without records, and for alerts, which lie in projects.
    pub(crate) fn highest_id(&self, kind: IdKind) -> Option<i64> {
        match kind {
            IdKind::User => last(&self.users),
            IdKind::Key => last(&self.keys),
            IdKind::Token => last(&self.tokens),
            IdKind::Namespace => last(&self.namespaces),
            IdKind::Project => last(&self.projects),
            IdKind::Agent => last(&self.agents),
            IdKind::Alert => None,
        }
    }

    pub(super) fn use_id(&mut self, kind: IdKind, id: i64) {
        if id >= self.next_id(kind) {
            self.ids_used.insert(kind, id);
        }
    }
}

fn last<T>(records: &BTreeMap<i64, T>) -> Option<i64> {
    records.last_key_value().map(|(id, _)| *id)
}
