//! Kubernetes agents.

use serde::{Deserialize, Serialize};

use crate::SecretHash;

/// An agent that a project has registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agent {
    /// Positive and unique.
    pub id: i64,
    /// What its project calls it.
    pub name: String,
    /// Its project, where its configuration lies.
    pub project_id: i64,
    /// The tokens it may present, hashed. No two agents share one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_hashes: Vec<SecretHash>,
}
