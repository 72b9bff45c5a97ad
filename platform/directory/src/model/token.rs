//! Personal access tokens.

use jiff::{Timestamp, civil::Date};
use serde::{Deserialize, Serialize};

use super::is_false;
use crate::{Scope, SecretHash};

/// An access token as the directory keeps it: never its text, only the hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Positive and unique.
    pub id: i64,
    /// Whose it is.
    pub user_id: i64,
    /// What people call it; unique among its user's tokens.
    pub name: String,
    /// SHA-256 of its text. Unique.
    pub hash: SecretHash,
    /// What it may be used for.
    pub scopes: Vec<Scope>,
    /// The day (UTC) on which it stops working, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Date>,
    /// Whether somebody took it back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub revoked: bool,
    /// When it was made.
    pub created_at: Timestamp,
}
