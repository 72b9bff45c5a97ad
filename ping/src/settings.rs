//! The application settings of the Service Ping, by GitLab's names, in the directory. What counts are the effective values:
//! the configuration file may forbid sending, and some settings hold only together with others.

use serde::Serialize;
use serde_json::Value;
use tally_directory::{Change, State};
use tally_query::service_ping::Consent;

const USAGE_PING_ENABLED: &str = "usage_ping_enabled";
const USAGE_PING_GENERATION_ENABLED: &str = "usage_ping_generation_enabled";
const INCLUDE_OPTIONAL_DATA: &str = "include_optional_data_in_service_ping";
const USAGE_PING_FEATURES_ENABLED: &str = "usage_ping_features_enabled";
const VERSION_CHECK_ENABLED: &str = "version_check_enabled";

/// The settings' effective values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[allow(clippy::struct_excessive_bools, reason = "GitLab's settings are that many switches")]
pub struct Settings {
    /// Whether payloads are sent. Never while the configuration file forbids it.
    pub usage_ping_enabled: bool,
    /// Whether payloads are computed and stored.
    pub usage_ping_generation_enabled: bool,
    /// Whether optional metrics stand in payloads.
    pub include_optional_data_in_service_ping: bool,
    /// Whether registration features are on. Only while payloads are sent.
    pub usage_ping_features_enabled: bool,
    /// Whether the receiver is asked if this version is up to date.
    pub version_check_enabled: bool,
}

/// New values for some of the settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsChange {
    /// See [`Settings::usage_ping_enabled`]. `true` has no effect while the configuration file forbids it.
    pub usage_ping_enabled: Option<bool>,
    /// See [`Settings::usage_ping_generation_enabled`].
    pub usage_ping_generation_enabled: Option<bool>,
    /// See [`Settings::include_optional_data_in_service_ping`].
    pub include_optional_data_in_service_ping: Option<bool>,
    /// See [`Settings::usage_ping_features_enabled`]. `true` has no effect while payloads aren't sent.
    pub usage_ping_features_enabled: Option<bool>,
    /// See [`Settings::version_check_enabled`].
    pub version_check_enabled: Option<bool>,
}

impl Settings {
    /// The effective values, where the configuration file allows sending or not.
    pub(crate) fn effective(state: &State, file_allows: bool) -> Self {
        let usage_ping_enabled = file_allows && stored(state, USAGE_PING_ENABLED, true);
        Self {
            usage_ping_enabled,
            usage_ping_generation_enabled: stored(state, USAGE_PING_GENERATION_ENABLED, true),
            include_optional_data_in_service_ping: stored(state, INCLUDE_OPTIONAL_DATA, true),
            usage_ping_features_enabled: usage_ping_enabled
                && stored(state, USAGE_PING_FEATURES_ENABLED, false),
            version_check_enabled: stored(state, VERSION_CHECK_ENABLED, true),
        }
    }

    /// Whether anything about payloads may leave the instance.
    pub(crate) fn allow_sending(self) -> bool {
        self.usage_ping_enabled && self.usage_ping_generation_enabled
    }

    /// What a payload may hold.
    pub(crate) fn consent(self) -> Consent {
        Consent {
            usage_ping_enabled: self.usage_ping_enabled,
            include_optional_data: self.include_optional_data_in_service_ping,
            features_enabled: self.usage_ping_features_enabled,
        }
    }
}

impl SettingsChange {
    /// What has to be written for it. Switching the ping off switches registration features off; what the configuration
    /// file forbids is not written, so that it does not come on by itself once the file allows it.
    pub(crate) fn changes(self, state: &State, file_allows: bool) -> Vec<Change> {
        let usage_ping = self.usage_ping_enabled.filter(|on| file_allows || !on);
        let is_sent = file_allows && usage_ping.unwrap_or_else(|| stored(state, USAGE_PING_ENABLED, true));
        let features = if is_sent { self.usage_ping_features_enabled } else { Some(false) };
        let features = features.filter(|on| *on || stored(state, USAGE_PING_FEATURES_ENABLED, false));
        [
            (USAGE_PING_ENABLED, usage_ping),
            (USAGE_PING_GENERATION_ENABLED, self.usage_ping_generation_enabled),
            (INCLUDE_OPTIONAL_DATA, self.include_optional_data_in_service_ping),
            (USAGE_PING_FEATURES_ENABLED, features),
            (VERSION_CHECK_ENABLED, self.version_check_enabled),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .filter(|(name, value)| state.setting(name) != Some(&Value::Bool(*value)))
        .map(|(name, value)| Change::Setting { name: name.to_owned(), value: Value::Bool(value) })
        .collect()
    }
}

/// A setting's stored value. What is no boolean, as an imported file may have it, counts as off: whoever wrote `"false"` must
/// not be taken to have agreed.
fn stored(state: &State, name: &str, default: bool) -> bool {
    state.setting(name).map_or(default, |value| value == &Value::Bool(true))
}
