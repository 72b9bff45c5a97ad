//! What the process and the directory know without a query: who the instance is, what is switched on, and the records that
//! have no table of their own.

use std::collections::BTreeSet;

use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};
use tally_directory::State;
use tally_schemas::{DataCategory, TimeFrame};
use xxhash_rust::xxh3::xxh3_128;

use super::category;
use super::payload::Context;
use crate::config::InstanceConfig;

/// A fact that a metric reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fact {
    RecordedAt,
    RecordingFinishedAt,
    Uuid,
    UniqueInstanceId,
    Hostname,
    Version,
    InstallationType,
    Edition,
    /// Fixed for all instances of Tally.
    Always(bool),
    /// The kind of database that metrics are read from.
    DatabaseAdapter,
    OperatingSystem,
    DataCategories,
    RegistrationFeatures,
    PrometheusServer,
    FeatureFlags,
    FeatureFlag(&'static str),
    Agents,
    AgentsWithToken,
    Keys,
    DeployKeys,
    /// Users with a key of their own that was added in the frame.
    KeyUsers(TimeFrame),
    /// Users with a deploy key that was added in the frame.
    DeployKeyUsers(TimeFrame),
    /// Projects with an alert that was first seen in the frame.
    ProjectsWithAlerts(TimeFrame),
}

/// The facts that metrics ask for by `key_path`.
const BY_KEY_PATH: &[(&str, Fact)] = &[
    ("recorded_at", Fact::RecordedAt),
    ("recording_ce_finished_at", Fact::RecordingFinishedAt),
    ("recording_ee_finished_at", Fact::RecordingFinishedAt),
    ("uuid", Fact::Uuid),
    ("unique_instance_id", Fact::UniqueInstanceId),
    ("hostname", Fact::Hostname),
    ("version", Fact::Version),
    ("installation_type", Fact::InstallationType),
    ("edition", Fact::Edition),
    ("database.adapter", Fact::DatabaseAdapter),
    ("counts.kubernetes_agents", Fact::Agents),
    ("counts.kubernetes_agents_with_token", Fact::AgentsWithToken),
    ("counts.keys", Fact::Keys),
    ("counts.deploy_keys", Fact::DeployKeys),
    ("usage_activity_by_stage.create.keys", Fact::KeyUsers(TimeFrame::All)),
    ("usage_activity_by_stage_monthly.create.keys", Fact::KeyUsers(TimeFrame::TwentyEightDays)),
    ("usage_activity_by_stage.create.deploy_keys", Fact::DeployKeyUsers(TimeFrame::All)),
    ("usage_activity_by_stage_monthly.create.deploy_keys", Fact::DeployKeyUsers(TimeFrame::TwentyEightDays)),
    ("counts.projects_with_alerts_created", Fact::ProjectsWithAlerts(TimeFrame::All)),
    ("counts_monthly.projects_with_alerts_created", Fact::ProjectsWithAlerts(TimeFrame::TwentyEightDays)),
];

/// The facts that metrics ask for by `instrumentation_class`.
const BY_CLASS: &[(&str, Fact)] = &[
    ("ClickHouseConfiguredMetric", Fact::Always(true)),
    ("PrometheusMetricsEnabledMetric", Fact::Always(true)),
    // Tally answers at the root of its host only.
    ("RelativeUrlInstallMetric", Fact::Always(false)),
    ("PrometheusEnabledMetric", Fact::PrometheusServer),
    ("OperatingSystemMetric", Fact::OperatingSystem),
    ("CollectedDataCategoriesMetric", Fact::DataCategories),
    ("ServicePingFeaturesMetric", Fact::RegistrationFeatures),
    ("InstanceFeatureFlagsMetric", Fact::FeatureFlags),
    ("CertBasedClustersFfMetric", Fact::FeatureFlag("certificate_based_clusters")),
    ("ObservabilityFeaturesFfMetric", Fact::FeatureFlag("observability_features")),
];

/// An id of this instance that differs between copies of one database: of UUID and host name together. Opaque; a UUID of
/// version 8.
pub fn unique_instance_id(instance: &InstanceConfig) -> String {
    let hash = xxh3_128(format!("{}\n{}", instance.uuid, instance.hostname).as_bytes());
    let version = hash & !(0xf << 76) | (8 << 76);
    let digits = format!("{:032x}", version & !(0b11 << 62) | (0b10 << 62));
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}

impl Fact {
    /// The fact that this metric reports.
    pub fn of(key_path: &str, class: &str) -> Option<Self> {
        let by_key_path = BY_KEY_PATH.iter().find(|(name, _)| *name == key_path);
        let by_class = || BY_CLASS.iter().find(|(name, _)| *name == class);
        by_key_path.or_else(by_class).map(|(_, fact)| *fact)
    }

    /// Whether it is about records that the directory keeps.
    pub fn is_of_directory(self) -> bool {
        matches!(
            self,
            Self::Agents
                | Self::AgentsWithToken
                | Self::Keys
                | Self::DeployKeys
                | Self::KeyUsers(_)
                | Self::DeployKeyUsers(_)
                | Self::ProjectsWithAlerts(_)
                | Self::FeatureFlag(_)
                | Self::FeatureFlags
        )
    }

    /// The fact as it is; `finished_at` is when the payload's values were computed.
    pub fn value(self, context: &Context<'_>, finished_at: Timestamp) -> Value {
        let instance = context.instance;
        match self {
            Self::RecordedAt => instant(context.recorded_at).into(),
            Self::RecordingFinishedAt => instant(finished_at).into(),
            Self::Uuid => instance.uuid.clone().into(),
            Self::UniqueInstanceId => unique_instance_id(instance).into(),
            Self::Hostname => instance.hostname.clone().into(),
            Self::Version => instance.reported_version().into(),
            Self::InstallationType => instance.installation_type.clone().into(),
            Self::Edition => instance.edition.clone().into(),
            Self::Always(value) => value.into(),
            Self::DatabaseAdapter => "clickhouse".into(),
            Self::OperatingSystem => operating_system().into(),
            Self::DataCategories => permitted(context).into(),
            Self::RegistrationFeatures => {
                (context.consent.usage_ping_enabled && context.consent.features_enabled).into()
            }
            Self::PrometheusServer => (!context.prometheus_url.is_empty()).into(),
            of_directory => of_directory.read(&context.directory.read(), context.recorded_at),
        }
    }

    fn read(self, state: &State, now: Timestamp) -> Value {
        match self {
            Self::FeatureFlags => state.feature_flags().map(|(name, enabled)| flag(name, enabled)).collect(),
            Self::FeatureFlag(name) => state.feature_flag(name).into(),
            Self::Agents => state.agents().len().into(),
            Self::AgentsWithToken => {
                state.agents().filter(|agent| !agent.token_hashes.is_empty()).count().into()
            }
            // As in GitLab, a deploy key is a key, too.
            Self::Keys => state.keys().len().into(),
            Self::DeployKeys => state.keys().filter(|key| key.deploy).count().into(),
            Self::KeyUsers(frame) => key_users(state, false, frame, now).into(),
            Self::DeployKeyUsers(frame) => key_users(state, true, frame, now).into(),
            Self::ProjectsWithAlerts(frame) => {
                let was_seen = |id| state.alerts_of(id).any(|alert| is_within(alert.first_seen, frame, now));
                state.projects().filter(|project| was_seen(project.id)).count().into()
            }
            _ => Value::Null,
        }
    }
}

fn key_users(state: &State, deploy: bool, frame: TimeFrame, now: Timestamp) -> usize {
    let keys = state.keys().filter(|key| key.deploy == deploy && is_within(key.created_at, frame, now));
    keys.filter_map(|key| key.user_id).collect::<BTreeSet<_>>().len()
}

/// GitLab's window of database metrics: up to two days ago.
fn is_within(instant: Timestamp, frame: TimeFrame, now: Timestamp) -> bool {
    let days = match frame {
        TimeFrame::SevenDays => 9,
        TimeFrame::TwentyEightDays => 30,
        TimeFrame::All | TimeFrame::None => return true,
    };
    let ago = |days: i64| now.saturating_sub((24 * days).hours()).unwrap_or(now);
    (ago(days)..=ago(2)).contains(&instant)
}

/// ISO 8601 with milliseconds, UTC.
pub(super) fn instant(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// A flag in the form of GitLab's `instance_feature_flags`; Tally's have no actors and no types of their own.
fn flag(name: &str, enabled: bool) -> Value {
    let status = if enabled { "on" } else { "off" };
    json!({ "name": name, "status": status, "type": "ops", "actor_counts": {} })
}

fn permitted(context: &Context<'_>) -> Vec<&'static str> {
    category::ALL
        .into_iter()
        .filter(|category| category::is_permitted(*category, context))
        .map(DataCategory::as_str)
        .collect()
}

/// The distribution and its version, as `ubuntu-22.04`; the kind of system where none is named.
fn operating_system() -> String {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned()).filter(|value| !value.is_empty())
    };
    match (field("ID"), field("VERSION_ID")) {
        (Some(id), Some(version)) => format!("{id}-{version}"),
        (Some(id), None) => id,
        (None, _) => std::env::consts::OS.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_one_database_on_two_hosts_have_two_ids() {
        let on =
            |hostname: &str| InstanceConfig { hostname: hostname.to_owned(), ..InstanceConfig::default() };
        let (first, second) = (unique_instance_id(&on("a.example")), unique_instance_id(&on("b.example")));
        assert_ne!(first, second);
        assert_eq!(first, unique_instance_id(&on("a.example")));
        assert_eq!((first.len(), &first[14..15]), (36, "8"));
        assert!("89ab".contains(&first[19..20]), "{first}");
    }

    #[test]
    fn a_key_counts_in_the_window_of_its_creation() {
        let now: Timestamp = "2026-11-18T10:30:00Z".parse().unwrap();
        for (instant, month) in [
            ("2026-10-19T10:29:59Z", false),
            ("2026-10-19T10:30:00Z", true),
            ("2026-11-16T10:30:00Z", true),
            ("2026-11-16T10:30:01Z", false),
        ] {
            let within = is_within(instant.parse().unwrap(), TimeFrame::TwentyEightDays, now);
            assert_eq!(within, month, "{instant}");
        }
    }
}
