//! Namespaces: groups, which nest, and the personal namespaces of users.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Where projects lie.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Positive and unique.
    pub id: i64,
    /// The full path, such as `group/subgroup`. Unique.
    pub path: String,
    /// The display name.
    pub name: String,
    /// Whether it is a group's or a user's.
    #[serde(default)]
    pub kind: NamespaceKind,
    /// The namespace it lies in; `None` at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<i64>,
    /// Where its projects may be reached from; empty for everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_ranges: Vec<IpNet>,
}

/// Whose a namespace is. GitLab's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NamespaceKind {
    /// A user's own.
    User,
    /// A group's.
    #[default]
    Group,
}
