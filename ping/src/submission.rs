//! One try to send a payload, as it is stored and shown.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A try to send a payload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// Which payload: the one made at this time.
    pub recorded_at: Timestamp,
    /// Which try it was, from 1.
    pub attempt: u8,
    /// When it began.
    pub attempted_at: Timestamp,
    /// The number the receiver gave the payload; `None` for a try that failed.
    pub usage_data_id: Option<u64>,
    /// What the receiver answered about the instance's DevOps score; `None` when it said nothing.
    pub dev_ops_score: Option<DevOpsScore>,
    /// Why the try failed.
    pub error: Option<String>,
}

/// The receiver's DevOps score, as it answered it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DevOpsScore(pub Map<String, Value>);

/// What the DevOps score says about one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureScore {
    /// The feature's name in the answer's keys, such as `merge_requests`.
    pub feature: &'static str,
    /// What the leading instances have, per active user.
    pub leader: f64,
    /// What this instance has, per active user.
    pub instance: f64,
    /// How far this instance is on the way to the leaders, in percent.
    pub percentage: f64,
}

/// The features of the DevOps score, in the order of the contract.
pub const FEATURES: [&str; 10] = [
    "issues",
    "notes",
    "milestones",
    "boards",
    "merge_requests",
    "ci_pipelines",
    "environments",
    "deployments",
    "projects_prometheus_active",
    "service_desk_issues",
];

impl DevOpsScore {
    /// The score of each feature that the receiver named in full.
    pub fn features(&self) -> Vec<FeatureScore> {
        let number = |part: &str, feature: &str| self.0.get(&format!("{part}_{feature}"))?.as_f64();
        let score = |feature: &'static str| {
            let leader = number("leader", feature)?;
            let instance = number("instance", feature)?;
            Some(FeatureScore { feature, leader, instance, percentage: number("percentage", feature)? })
        };
        FEATURES.into_iter().filter_map(score).collect()
    }
}

impl fmt::Display for Submission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "payload of {}, try {} at {}: ", self.recorded_at, self.attempt, self.attempted_at)?;
        match (self.usage_data_id, &self.error) {
            (Some(id), _) => write!(f, "taken as {id}"),
            (None, Some(error)) => write!(f, "failed: {error}"),
            (None, None) => f.write_str("failed"),
        }
    }
}
