//! The query service's own settings. Where ClickHouse and the directory are is the process's configuration, not this one.

use serde::{Deserialize, Serialize};
use tally_service::api::BodyLimits;

/// Settings of the query service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// The address people reach this instance at (`https://tally.example.com`), for the `Link` headers of listings.
    /// Empty: whatever `Host` the request named, over plain HTTP.
    pub external_url: String,
    /// What the Service Ping says about this instance.
    pub instance: InstanceConfig,
    /// What the body of a request may take.
    pub body: BodyLimits,
    /// What one query may cost in ClickHouse.
    pub limits: QueryLimits,
}

/// The identity fields of the Service Ping.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InstanceConfig {
    /// The instance's UUID: the same for its whole life.
    pub uuid: String,
    /// The instance's host name.
    pub hostname: String,
    /// The version it reports; empty for Tally's own.
    pub version: String,
    /// How it was installed, in GitLab's words (`omnibus-gitlab`, `gitlab-helm-chart`, `source`, ...).
    pub installation_type: String,
    /// `CE`, `EE Free`, `EE`, ... in GitLab's words.
    pub edition: String,
}

/// Bounds on each ClickHouse query, sent as its settings: ClickHouse itself ends a query that goes past one.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryLimits {
    /// Seconds a query may run (`max_execution_time`).
    pub max_seconds: u32,
    /// Bytes of memory a query may use (`max_memory_usage`).
    pub max_memory_bytes: u64,
    /// Rows a query may read (`max_rows_to_read`).
    pub max_rows_read: u64,
    /// Rows a query may return (`max_result_rows`).
    pub max_rows_returned: u64,
}

impl Default for InstanceConfig {
    fn default() -> Self {
        Self {
            uuid: "00000000-0000-0000-0000-000000000000".to_owned(),
            hostname: "localhost".to_owned(),
            version: String::new(),
            installation_type: "tally".to_owned(),
            edition: "CE".to_owned(),
        }
    }
}

impl InstanceConfig {
    /// The version to report.
    pub fn reported_version(&self) -> &str {
        if self.version.is_empty() { env!("CARGO_PKG_VERSION") } else { &self.version }
    }
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self {
            max_seconds: 30,
            max_memory_bytes: 1 << 30,
            max_rows_read: 2_000_000_000,
            max_rows_returned: 1_000_000,
        }
    }
}
