//! Why a metric has no value of its own: a closed set, each with the number that stands in the payload instead.

use serde_json::{Value, json};

/// GitLab's fallback for a value that could not be computed.
const NOT_COMPUTED: i64 = -1;

/// GitLab's fallback for a HyperLogLog estimate that failed.
const ESTIMATE_FAILED: i64 = -2;

/// GitLab's value for a metric of SQL in the payload without SQL.
pub(super) const NOT_SQL: i64 = -3;

/// GitLab's value for a metric whose instrumentation was removed.
const REMOVED: i64 = -1000;

/// Why a fallback stands in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// What the metric counts is in the product's own database, and Tally has no part of it.
    NoData,
    /// Tally knows how many there are, but not since when.
    NoTimes,
    /// The metric is about a part of the product's installation that Tally doesn't see.
    NoInstallation,
    /// No counter belongs to the metric's legacy names.
    NoCounters,
    /// The application setting was never set.
    SettingNotSet,
    /// No licence is configured.
    NoLicense,
    /// The licence doesn't say.
    NoLicenseField,
    /// No Prometheus server is configured.
    NoPrometheus,
    /// The definition has no `options.query`.
    NoPromQl,
    /// GitLab itself no longer computes it.
    RemovedInstrumentation,
    /// There is nothing yet to compute it from: the query answered null.
    NoRows,
    /// The query failed.
    QueryFailed,
    /// The estimate of distinct identifiers failed.
    EstimateFailed,
    /// The answer isn't of the definition's `value_type`.
    WrongType,
    /// Prometheus didn't answer with one number.
    PrometheusFailed,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 15] = [
        Self::NoData,
        Self::NoTimes,
        Self::NoInstallation,
        Self::NoCounters,
        Self::SettingNotSet,
        Self::NoLicense,
        Self::NoLicenseField,
        Self::NoPrometheus,
        Self::NoPromQl,
        Self::RemovedInstrumentation,
        Self::NoRows,
        Self::QueryFailed,
        Self::EstimateFailed,
        Self::WrongType,
        Self::PrometheusFailed,
    ];

    /// The reason in words, as the end of "no value, because …".
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoData => {
                "what it counts is in the product's own database, of which Tally keeps no such part"
            }
            Self::NoTimes => "Tally knows how many there are, but not since when",
            Self::NoInstallation => {
                "it is about a part of the product's installation that Tally does not see"
            }
            Self::NoCounters => "no counter belongs to its legacy names",
            Self::SettingNotSet => "the application setting was never set",
            Self::NoLicense => "no licence is configured (query.license)",
            Self::NoLicenseField => "the licence does not say",
            Self::NoPrometheus => "no Prometheus server is configured (query.prometheus_url)",
            Self::NoPromQl => "its definition has no options.query in PromQL",
            Self::RemovedInstrumentation => "GitLab has removed what computed it",
            Self::NoRows => "there is nothing yet to compute it from",
            Self::QueryFailed => "its query failed",
            Self::EstimateFailed => "the estimate of distinct identifiers failed",
            Self::WrongType => "the answer is not of the definition's value_type",
            Self::PrometheusFailed => "Prometheus did not answer with one number",
        }
    }

    /// Whether there is a source, which failed this time.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::QueryFailed | Self::EstimateFailed | Self::WrongType | Self::PrometheusFailed)
    }

    /// What stands at `key_path` instead of a value.
    pub fn fallback(self, key_path: &str) -> Value {
        match self {
            Self::RemovedInstrumentation => REMOVED.into(),
            Self::EstimateFailed => ESTIMATE_FAILED.into(),
            _ if key_path.ends_with("_histogram") => json!({ NOT_COMPUTED.to_string(): NOT_COMPUTED }),
            _ => NOT_COMPUTED.into(),
        }
    }
}

/// A metric's value is missing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Missing {
    pub reason: Reason,
    /// What a database said, for failures.
    pub detail: String,
}

impl Missing {
    pub fn failed(reason: Reason, detail: impl Into<String>) -> Self {
        Self { reason, detail: detail.into() }
    }

    /// The failure as the metadata tells it; `None` where there was nothing that could fail.
    pub fn error(&self) -> Option<String> {
        let Self { reason, detail } = self;
        let colon = if detail.is_empty() { "" } else { ": " };
        reason.is_failure().then(|| format!("{}{colon}{detail}", reason.as_str()))
    }
}

impl From<Reason> for Missing {
    fn from(reason: Reason) -> Self {
        Self { reason, detail: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_documented_fallback() {
        for (reason, key_path, fallback) in [
            (Reason::NoData, "counts.boards", json!(-1)),
            (Reason::QueryFailed, "counts.issues", json!(-1)),
            (Reason::EstimateFailed, "redis_hll_counters.a_weekly", json!(-2)),
            (Reason::RemovedInstrumentation, "a.projects_imported.total", json!(-1000)),
            (Reason::NoData, "a.projects_with_enabled_alert_integrations_histogram", json!({"-1": -1})),
        ] {
            assert_eq!(reason.fallback(key_path), fallback, "{reason:?} at {key_path}");
        }
    }

    #[test]
    fn only_failures_are_errors_in_the_metadata() {
        let failures: Vec<_> = Reason::ALL.into_iter().filter(|reason| reason.is_failure()).collect();
        assert_eq!(failures.len(), 4);
        assert_eq!(Missing::from(Reason::NoData).error(), None);
        let error = Missing::failed(Reason::QueryFailed, "Code: 159").error();
        assert_eq!(error.as_deref(), Some("its query failed: Code: 159"));
    }
}
