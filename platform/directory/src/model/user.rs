//! People and services that act.

use serde::{Deserialize, Serialize};

use super::is_false;
use crate::{SecretHash, UserState};

/// A user of the directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "what can be true of a user is independent of each other")]
pub struct User {
    /// Positive and unique.
    pub id: i64,
    /// Unique, case-sensitive.
    pub username: String,
    /// The display name.
    pub name: String,
    /// Whether the user may sign in.
    #[serde(default, skip_serializing_if = "UserState::is_active")]
    pub state: UserState,
    /// Whether the user administers the instance.
    #[serde(default, skip_serializing_if = "is_false")]
    pub admin: bool,
    /// Whether a second factor is asked for when the user signs in.
    #[serde(default, skip_serializing_if = "is_false")]
    pub two_factor: bool,
    /// What stands in for the second factor, each once; hashed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery_codes: Vec<SecretHash>,
    /// Where the user's picture is, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The address that everybody may see; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub public_email: String,
    /// Whether the profile and its events are shown to the user and administrators only.
    #[serde(default, skip_serializing_if = "is_false")]
    pub private_profile: bool,
    /// Whether signing in is barred for a while after too many failures.
    #[serde(default, skip_serializing_if = "is_false")]
    pub locked: bool,
    /// Whether internal projects are closed to the user unless they are a member.
    #[serde(default, skip_serializing_if = "is_false")]
    pub external: bool,
}
