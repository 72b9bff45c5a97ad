//! What a ping is computed for and what comes out: kind, context, payload, and what is told about each metric.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tally_directory::Directory;

use crate::config::{InstanceConfig, LicenseConfig};

/// Which of the payloads of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PayloadKind {
    /// Without SQL: metrics of the database hold -3.
    NonSql,
    /// Metrics of the database hold the text of their SQL.
    Queries,
    /// Every metric holds its value.
    Full,
}

impl PayloadKind {
    /// Every kind, in the order in which one generation makes them.
    pub const ALL: [Self; 3] = [Self::NonSql, Self::Queries, Self::Full];

    /// The kind's name, as in the table of payloads.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NonSql => "non_sql",
            Self::Queries => "queries",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for PayloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the customer agreed to. GitLab's application settings of the same names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consent {
    /// Whether payloads are sent; operational metrics stand in them then.
    pub usage_ping_enabled: bool,
    /// Whether optional metrics stand in the payload.
    pub include_optional_data: bool,
    /// Whether registration features are on.
    pub features_enabled: bool,
}

impl Default for Consent {
    fn default() -> Self {
        Self { usage_ping_enabled: true, include_optional_data: true, features_enabled: false }
    }
}

/// What a payload depends on besides definitions and tables.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Who the instance is.
    pub instance: &'a InstanceConfig,
    /// Its licence.
    pub license: &'a LicenseConfig,
    /// A Prometheus server; empty for none.
    pub prometheus_url: &'a str,
    /// Users, projects, settings and feature flags.
    pub directory: &'a Directory,
    /// What the customer agreed to.
    pub consent: Consent,
    /// When the payload is made: windows end before it.
    pub recorded_at: Timestamp,
}

/// A payload and what it took to compute.
#[derive(Clone, Debug, PartialEq)]
pub struct Payload {
    /// Identity fields, then every metric's value at its `key_path`.
    pub document: Map<String, Value>,
    /// One entry a metric, by `key_path`.
    pub metadata: Vec<MetricMetadata>,
    /// How many ClickHouse queries were sent.
    pub queries: usize,
}

/// What is told about a metric beside its value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricMetadata {
    /// The metric's `key_path`.
    pub name: String,
    /// Seconds; a metric's share of the query that it was read with.
    pub time_elapsed: f64,
    /// Why the value is a fallback although it has a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
