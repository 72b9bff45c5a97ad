//! Alerts that agents report.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What happened in a project's cluster. The same alert again is counted, not kept twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Positive and unique.
    pub id: i64,
    /// The project it is about.
    pub project_id: i64,
    /// The agent that reported it last.
    pub agent_id: i64,
    /// What makes it the same alert; unique in its project.
    pub fingerprint: String,
    /// The alert as the agent sent it last.
    pub payload: Value,
    /// When it was first reported.
    pub first_seen: Timestamp,
    /// When it was last reported.
    pub last_seen: Timestamp,
    /// How often it was reported.
    pub count: u64,
}
