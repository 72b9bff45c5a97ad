//! Everything the directory holds, in memory and indexed. `apply` folds changes into it, `chunks` reads it out as
//! changes again; the other files here answer questions.
//!
//! The fold is deterministic and looks at no clock. A change's effect depends on the change alone, so changes that are
//! applied again, in their order, over a later state end in that later state. Snapshots rely on it: they are read out
//! while changes go on, and the log's tail is applied over them.

mod access;
mod apply;
mod chunks;
mod ids;
mod index;
mod lookup;
mod memberships;
mod tree;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

pub use self::chunks::Cursor;
use self::index::Index;
use self::memberships::Memberships;
use crate::{
    AccessToken, Agent, Alert, IdKind, MinutePack, Namespace, Project, Reconciliation, ReferenceCount,
    SecretHash, SshKey, Subscription, User,
};

/// The directory's state after some prefix of its log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    identity: Option<Uuid>,
    ids_used: BTreeMap<IdKind, i64>,
    users: BTreeMap<i64, Arc<User>>,
    usernames: Index<String>,
    keys: BTreeMap<i64, Arc<SshKey>>,
    key_fingerprints: Index<String>,
    keys_by_user: BTreeMap<i64, BTreeSet<i64>>,
    tokens: BTreeMap<i64, Arc<AccessToken>>,
    token_hashes: Index<SecretHash>,
    tokens_by_user: BTreeMap<i64, BTreeSet<i64>>,
    namespaces: BTreeMap<i64, Arc<Namespace>>,
    namespace_paths: Index<String>,
    namespaces_by_parent: BTreeMap<i64, BTreeSet<i64>>,
    projects: BTreeMap<i64, Arc<Project>>,
    project_paths: Index<String>,
    instrumentation_keys: Index<String>,
    projects_by_namespace: BTreeMap<i64, BTreeSet<i64>>,
    members: Memberships,
    agents: BTreeMap<i64, Arc<Agent>>,
    agent_tokens: Index<SecretHash>,
    agents_by_project: BTreeMap<i64, BTreeSet<i64>>,
    subscriptions: BTreeMap<i64, Arc<Subscription>>,
    packs: BTreeMap<String, Arc<MinutePack>>,
    packs_by_namespace: BTreeMap<i64, BTreeSet<String>>,
    reconciliations: BTreeMap<i64, Reconciliation>,
    alerts: BTreeMap<i64, BTreeMap<String, Arc<Alert>>>,
    references: BTreeMap<String, BTreeMap<Uuid, ReferenceCount>>,
    settings: BTreeMap<String, Value>,
    feature_flags: BTreeMap<String, bool>,
}
