//! The query service's own settings. Where ClickHouse and the directory are is the process's configuration, not this one.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tally_service::api::BodyLimits;

use crate::cube::CubeConfig;

/// Settings of the query service.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueryConfig {
    /// The address people reach this instance at (`https://tally.example.com`), for the `Link` headers of listings.
    /// Empty: whatever `Host` the request named, over plain HTTP.
    pub external_url: String,
    /// What the Service Ping says about this instance.
    pub instance: InstanceConfig,
    /// The licence that the Service Ping reports.
    pub license: LicenseConfig,
    /// A Prometheus server (`http://prometheus:9090`) that answers the ping's metrics of data source prometheus. Empty: none.
    pub prometheus_url: String,
    /// What the body of a request may take.
    pub body: BodyLimits,
    /// What one query may cost in ClickHouse.
    pub limits: QueryLimits,
    /// The Cube API.
    pub cube: CubeConfig,
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

/// A licence, as the Service Ping's `license_*` fields show it. Without a `plan` there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LicenseConfig {
    /// `premium`, `ultimate`, ...; empty for no licence.
    pub plan: String,
    /// The licence's number; 0 when it has none.
    pub id: u64,
    /// The first day it holds, `YYYY-MM-DD`; empty when unknown.
    pub starts_at: String,
    /// The day it ends, `YYYY-MM-DD`; empty for never.
    pub expires_at: String,
    /// How many users it is for; 0 when it doesn't say.
    pub user_count: u64,
    /// Whether it is a trial's.
    pub trial: bool,
    /// The day the trial ends, `YYYY-MM-DD`; empty for none.
    pub trial_ends_on: String,
    /// The subscription it belongs to; empty for none.
    pub subscription_id: String,
    /// The licence key's SHA-256 in hexadecimal digits; empty when unknown.
    pub sha256: String,
    /// Whom it is for, such as `Name`, `Company`, `Email`.
    pub licensee: BTreeMap<String, String>,
    /// Add-ons and how many seats of each.
    pub add_ons: BTreeMap<String, u64>,
}

impl LicenseConfig {
    /// Whether there is a licence.
    pub fn is_present(&self) -> bool {
        !self.plan.is_empty()
    }

    /// Whether there is a licence that is paid for and has not ended before `day`.
    pub fn is_paid_on(&self, day: Date) -> bool {
        let has_ended = self.expires_at.parse().is_ok_and(|last: Date| last < day);
        self.is_present() && !self.trial && self.plan != "free" && !has_ended
    }
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
