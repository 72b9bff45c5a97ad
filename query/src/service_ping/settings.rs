//! Metrics that report an application setting, which the directory keeps by GitLab's name.

use serde_json::Value;
use tally_directory::State;

use super::reason::Reason;
use super::source::Source;

/// Which setting a class of GitLab's reports.
const SETTINGS: &[(&str, &str)] = &[
    ("AkismetEnabledMetric", "akismet_enabled"),
    ("SpamcheckEnabledMetric", "spam_check_endpoint_enabled"),
    ("SnowplowEnabledMetric", "snowplow_enabled"),
    ("DormantUserSettingEnabledMetric", "deactivate_dormant_users"),
    ("DormantUserPeriodSettingMetric", "deactivate_dormant_users_period"),
    ("GitlabDedicatedMetric", "gitlab_dedicated_instance"),
    ("GitlabEnvironmentToolkitMetric", "gitlab_environment_toolkit_instance"),
];

/// Of which settings it reports whether they have a value.
const PRESENT: &[(&str, &str)] = &[
    ("GroupRunnerTokenExpirationEnabledMetric", "group_runner_token_expiration_interval"),
    ("ProjectRunnerTokenExpirationEnabledMetric", "project_runner_token_expiration_interval"),
    ("InstanceRunnerTokenExpirationEnabledMetric", "runner_token_expiration_interval"),
];

/// The setting that metrics of this class report.
pub(super) fn of(class: &str) -> Option<Source> {
    let named =
        |table: &[(&str, &'static str)]| table.iter().find(|(name, _)| *name == class).map(|(_, name)| *name);
    named(SETTINGS)
        .map(|name| Source::Setting(name.to_owned()))
        .or_else(|| named(PRESENT).map(Source::SettingPresent))
}

/// The setting behind a method of GitLab's settings: the method without its question mark, except where it has a name of
/// its own.
pub(super) fn named_by(method: &str) -> &str {
    match method.trim_end_matches('?') {
        "allow_signup" => "signup_enabled",
        setting => setting,
    }
}

/// The setting's value.
pub(super) fn value(state: &State, name: &str) -> Result<Value, Reason> {
    state.setting(name).cloned().ok_or(Reason::SettingNotSet)
}
