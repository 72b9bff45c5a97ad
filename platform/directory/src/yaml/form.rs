//! The form of the YAML text, field by field, before any of it is checked against the rest. People write it, so users are
//! named by username, and what is usual may be left out.

use std::collections::BTreeMap;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    AccessLevel, DeployAccess, Features, IdKind, KeyUsage, MinutePack, NamespaceKind, ProductAnalytics,
    Project, Reconciliation, Scope, SecretHash, Subscription, UserState, Visibility,
};

/// The whole text.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct File {
    /// The highest ids that were ever handed out, where their records are gone.
    pub(crate) ids_used: BTreeMap<IdKind, i64>,
    pub(crate) users: Vec<UserEntry>,
    pub(crate) namespaces: Vec<NamespaceEntry>,
    /// Without any, ids of projects are taken as given.
    pub(crate) projects: Vec<ProjectEntry>,
    pub(crate) keys: Vec<KeyEntry>,
    pub(crate) tokens: Vec<TokenEntry>,
    pub(crate) agents: Vec<AgentEntry>,
    pub(crate) subscriptions: Vec<Subscription>,
    pub(crate) minute_packs: Vec<MinutePack>,
    pub(crate) reconciliations: Vec<Reconciliation>,
    pub(crate) settings: BTreeMap<String, Value>,
    pub(crate) feature_flags: BTreeMap<String, bool>,
}

/// One person or service that acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "what can be true of a user is independent of each other")]
pub(crate) struct UserEntry {
    pub(crate) id: i64,
    pub(crate) username: String,
    /// The display name; the username where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) admin: bool,
    #[serde(default)]
    pub(crate) state: UserState,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) two_factor: bool,
    /// SHA-256 each, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) recovery_codes: Vec<SecretHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) avatar_url: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) public_email: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) private_profile: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) locked: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) external: bool,
}

/// An access token: never its text, only the hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenEntry {
    /// Its id; the next free one where it is left out and the user has no token of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<i64>,
    /// What people call the token; unique among its user's.
    pub(crate) name: String,
    /// The username of the token's user.
    pub(crate) user: String,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub(crate) sha256: String,
    /// What it may be used for.
    pub(crate) scopes: Vec<Scope>,
    /// The day (UTC) on which it stops working, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Date>,
    /// Whether somebody took it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) revoked: bool,
    /// When it was made; as of the import where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<Timestamp>,
}

/// A group or a user's namespace, and its members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NamespaceEntry {
    pub(crate) id: i64,
    /// The full path, such as `group/subgroup`.
    pub(crate) path: String,
    /// The display name; the last part of the path where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default)]
    pub(crate) kind: NamespaceKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent_id: Option<i64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ip_ranges: Vec<IpNet>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<MemberEntry>,
}

/// A project and its members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectEntry {
    pub(crate) id: i64,
    /// The full path, such as `group/subgroup/project`.
    pub(crate) path: String,
    /// The display name; the last part of the path where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_id: Option<i64>,
    #[serde(default)]
    pub(crate) visibility: Visibility,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) archived: bool,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub(crate) lfs_enabled: bool,
    #[serde(default = "Project::usual_branch")]
    pub(crate) default_branch: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) protected_refs: Vec<String>,
    #[serde(default, skip_serializing_if = "Features::are_all_enabled")]
    pub(crate) features: Features,
    #[serde(default, skip_serializing_if = "ProductAnalytics::is_empty")]
    pub(crate) product_analytics: ProductAnalytics,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<MemberEntry>,
}

/// A user's role in the project or namespace it stands in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberEntry {
    /// The username.
    pub(crate) user: String,
    pub(crate) access_level: AccessLevel,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Date>,
}

/// An SSH key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyEntry {
    /// Its id; the next free one where it is left out and the key is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<i64>,
    /// The username.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    #[serde(default)]
    pub(crate) title: String,
    /// As in a `.pub` file, with or without a comment.
    pub(crate) key: String,
    #[serde(default)]
    pub(crate) usage_type: KeyUsage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last_used_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) deploy: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) deploy_projects: Vec<DeployAccess>,
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub(crate) active: bool,
}

/// A Kubernetes agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgentEntry {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) project_id: i64,
    /// SHA-256 each, 64 hexadecimal digits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) token_hashes: Vec<SecretHash>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
