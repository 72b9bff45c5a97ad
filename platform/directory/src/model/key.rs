//! SSH keys: a user's own, and deploy keys, which belong to projects.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{is_false, yes};

/// A public SSH key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKey {
    /// Positive and unique among keys of both kinds.
    pub id: i64,
    /// Its user; a deploy key may have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<i64>,
    /// What its user calls it.
    pub title: String,
    /// Type and Base64 body, such as `ssh-ed25519 AAAA…`, without a comment.
    pub key: String,
    /// SHA-256 of the decoded body, in Base64 without padding and without `SHA256:`. Unique.
    pub fingerprint_sha256: String,
    /// What it may be used for.
    #[serde(default)]
    pub usage_type: KeyUsage,
    /// When it stops working, if ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last used, if it ever was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Whether it is a deploy key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub deploy: bool,
    /// The projects a deploy key opens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deploy_projects: Vec<DeployAccess>,
    /// Whether it works at all.
    #[serde(default = "yes", skip_serializing_if = "Clone::clone")]
    pub active: bool,
}

/// What a deploy key may do in one project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeployAccess {
    /// The project.
    pub project_id: i64,
    /// Whether it may push, too; it may always read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub can_push: bool,
}

/// What a key may be used for. GitLab's names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyUsage {
    /// To sign in.
    Auth,
    /// To sign commits.
    Signing,
    /// For both.
    #[default]
    AuthAndSigning,
}

impl KeyUsage {
    /// The name as it stands in files and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Signing => "signing",
            Self::AuthAndSigning => "auth_and_signing",
        }
    }
}

impl SshKey {
    /// The fingerprint of a key as it stands in a `.pub` file, or of its Base64 body alone: SHA-256 of the decoded body,
    /// in Base64 without padding. `None` if there is no body or it is not Base64.
    pub fn fingerprint(key: &str) -> Option<String> {
        let mut words = key.split_ascii_whitespace();
        let first = words.next()?;
        let body = STANDARD.decode(words.next().unwrap_or(first)).ok().filter(|body| !body.is_empty())?;
        Some(STANDARD_NO_PAD.encode(Sha256::digest(body)))
    }
}
