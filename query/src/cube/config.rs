//! Settings of the Cube API.

use serde::{Deserialize, Serialize};

/// `[query.cube]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CubeConfig {
    /// Folders of data models beside the built-in one.
    pub models: Vec<ModelFolder>,
    /// The secret that tokens for `/cubejs-api` are signed with.
    pub api_secret: String,
    /// A file with that secret, read again on reload. Without either no token is good.
    pub api_secret_file: String,
    /// Milliseconds after which a client is told to ask again (`Continue wait`) while its query goes on.
    pub continue_wait_ms: u64,
    /// Milliseconds after which a query ends that nobody asks for any more.
    pub abandoned_after_ms: u64,
    /// Milliseconds that a look at the tables' last change is remembered; so much older than the tables an answer may be.
    pub freshness_ms: u64,
    /// Milliseconds after which an answer is read again even if no table has changed.
    pub max_age_ms: u64,
    /// Bytes of answers kept; 0 keeps none.
    pub cache_bytes: usize,
    /// Bytes that the rows of one query may take.
    pub max_answer_bytes: usize,
    /// Queries that run at once; further ones wait.
    pub max_running: usize,
    /// Rows of an answer without a `limit`.
    pub default_limit: u64,
    /// Rows that a `limit` may ask for.
    pub max_limit: u64,
}

/// A folder of a data model in Cube's YAML.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFolder {
    pub path: String,
    /// The project whose own model it is; without one it is everybody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<i64>,
}

impl Default for CubeConfig {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            api_secret: String::new(),
            api_secret_file: String::new(),
            continue_wait_ms: 5_000,
            abandoned_after_ms: 30_000,
            freshness_ms: 200,
            max_age_ms: 120_000,
            cache_bytes: 64 << 20,
            max_answer_bytes: 64 << 20,
            max_running: 32,
            default_limit: 10_000,
            max_limit: 50_000,
        }
    }
}
