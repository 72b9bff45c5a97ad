//! The file's form: what the YAML says, field by field, before any of it is checked against the rest.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::{AccessLevel, Scope, UserState, Visibility};

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    #[serde(default)]
    pub(crate) users: Vec<UserEntry>,
    #[serde(default)]
    pub(crate) tokens: Vec<TokenEntry>,
    /// Without this key Tally is not the keeper of projects and takes project ids as given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) projects: Option<Vec<ProjectEntry>>,
}

/// One person or service that acts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
}

/// An access token as the file keeps it: never its text, only the hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// What people call the token; unique in the file.
    pub name: String,
    /// The username of the token's user.
    pub user: String,
    /// SHA-256 of the token, 64 hexadecimal digits.
    pub sha256: String,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The day (UTC) on which it stops working, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Date>,
    /// Whether somebody took it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoked: bool,
}

/// A project and its readers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProjectEntry {
    pub(crate) id: i64,
    /// The full path, such as `group/subgroup/project`.
    pub(crate) path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) namespace_id: Option<i64>,
    #[serde(default)]
    pub(crate) visibility: Visibility,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) members: Vec<MemberEntry>,
}

/// A user's role in a project.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberEntry {
    /// The username.
    pub(crate) user: String,
    pub(crate) access_level: AccessLevel,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
fn is_false(value: &bool) -> bool {
    !value
}
