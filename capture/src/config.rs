//! Capture's configuration, section `[capture]`: what a request may take, and what becomes of personal data.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tally_letters::LettersConfig;
use tally_service::api::BodyLimits;

use crate::forward::ForwardConfig;
use crate::snowplow::paths;

/// Settings of capture. Sizes are bytes, durations seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CaptureConfig {
    /// Further paths that take what `/com.snowplowanalytics.snowplow/tp2` takes, for a tracker's `postPath`: `/vendor/version`.
    pub post_paths: Vec<String>,
    /// Tracking keys (a tracker's app id) and the ids of their projects, beside those that the directory has.
    pub keys: BTreeMap<String, i64>,
    /// Events in one request.
    pub max_events: usize,
    /// Bytes of each text of an event, such as its page's URL; longer ones are cut.
    pub max_text_bytes: usize,
    /// Bytes of each JSON of an event, such as a custom event's properties; an event with a longer one is refused.
    pub max_json_bytes: usize,
    /// Seconds an event may lie back by its tracker's account; older ones are clamped.
    pub max_event_age_s: u32,
    /// Seconds it may lie ahead; later ones are clamped.
    pub max_event_lead_s: u32,
    /// Events that one key may send in `period_s` seconds; more are 429. 0 switches the limit off.
    pub events_per_key: u32,
    /// The period of `events_per_key`.
    pub period_s: u64,
    /// Agents that are remembered, so that each is parsed once.
    pub agents_remembered: usize,
    /// Seconds the log may take to acknowledge a request's records; longer is 503.
    pub append_timeout_s: u64,
    /// What is kept of people.
    pub privacy: PrivacyConfig,
    /// The collector's own cookie.
    pub cookie: CookieConfig,
    /// What a body may take.
    pub body: BodyLimits,
    /// How much of what is refused as a whole is kept.
    pub dead_letters: LettersConfig,
    /// Where tracked events are sent on to.
    pub forward: ForwardConfig,
}

/// What is kept of people.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// What is kept of IP addresses.
    pub ip_address: AddressPolicy,
    /// What is kept of the user ids that sites give.
    pub user_id: UserIdPolicy,
    /// The file whose first line is the secret of pseudonyms. With another secret everybody is somebody else.
    pub pseudonym_key_file: PathBuf,
}

/// What is kept of IP addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressPolicy {
    /// Nothing.
    #[default]
    Drop,
    /// The network: without the last octet of IPv4, without the last 80 bits of IPv6.
    Anonymise,
    /// All of it.
    Keep,
}

/// What is kept of user ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserIdPolicy {
    /// The id as it came.
    #[default]
    Keep,
    /// A keyed hash of it, another one in each project.
    Pseudonymise,
}

/// The collector's own cookie, by which visitors are known across the sites of one project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CookieConfig {
    /// Whether it is set and read.
    pub enabled: bool,
    /// Its name; Snowplow's collectors use `sp`.
    pub name: String,
    /// Seconds it lives.
    pub max_age_s: u64,
    /// The domain it is for; empty: the collector's host.
    pub domain: String,
}

impl Default for CookieConfig {
    fn default() -> Self {
        Self { enabled: false, name: "sp".to_owned(), max_age_s: 365 * 24 * 60 * 60, domain: String::new() }
    }
}

impl Default for CaptureConfig {
    fn default() -> Self {
        Self {
            post_paths: Vec::new(),
            keys: BTreeMap::new(),
            max_events: 500,
            max_text_bytes: 4 * 1024,
            max_json_bytes: 64 * 1024,
            max_event_age_s: 7 * 24 * 60 * 60,
            max_event_lead_s: 60 * 60,
            events_per_key: 600_000,
            period_s: 60,
            agents_remembered: 10_000,
            append_timeout_s: 30,
            privacy: PrivacyConfig::default(),
            cookie: CookieConfig::default(),
            body: BodyLimits { max_in_flight_bytes: 128 * 1024 * 1024, ..BodyLimits::default() },
            // Keys are no secrets: whoever reads one on a site could send for it.
            dead_letters: LettersConfig {
                max_bytes: 64 * 1024,
                bytes_per_sender: 1024 * 1024,
                bytes_per_period: 8 * 1024 * 1024,
                period_s: 3600,
            },
            forward: ForwardConfig::default(),
        }
    }
}

/// Why a configuration can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Such a service would refuse everything.
    #[error("capture.{0} is 0; expected at least 1")]
    Zero(&'static str),
    /// Trackers could not use it, or it is taken.
    #[error("capture.post_paths: {0:?} is no path of the form /vendor/version, or it is taken")]
    PostPath(String),
    /// A request within the limits would be refused for ever.
    #[error("capture.events_per_key is {0}; expected 0 or at least capture.max_events")]
    EventsPerKey(u32),
    /// Projects count from 1.
    #[error("capture.keys.{0} names project {1}, and projects count from 1")]
    Key(String, i64),
    /// A cookie of that name or domain would not be a header.
    #[error("capture.cookie.{0} has characters that a cookie can't have")]
    Cookie(&'static str),
    /// There is no secret to make pseudonyms with.
    #[error("capture.privacy.pseudonym_key_file {path:?}: {problem}")]
    PseudonymKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl CaptureConfig {
    /// Refuses values that could not work.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        let at_least_one = [
            ("max_events", self.max_events),
            ("max_text_bytes", self.max_text_bytes),
            ("max_json_bytes", self.max_json_bytes),
            ("agents_remembered", self.agents_remembered),
            ("body.max_body_bytes", self.body.max_body_bytes),
            ("body.max_decompressed_bytes", self.body.max_decompressed_bytes),
            ("body.max_in_flight_bytes", self.body.max_in_flight_bytes),
        ];
        if let Some((name, _)) = at_least_one.into_iter().find(|(_, value)| *value == 0) {
            return Err(InvalidConfig::Zero(name));
        }
        if self.events_per_key != 0 && (self.events_per_key as usize) < self.max_events {
            return Err(InvalidConfig::EventsPerKey(self.events_per_key));
        }
        if let Some((key, project_id)) = self.keys.iter().find(|(_, project_id)| **project_id < 1) {
            return Err(InvalidConfig::Key(key.clone(), *project_id));
        }
        paths::check(&self.post_paths)?;
        self.cookie.check()
    }
}

impl CookieConfig {
    fn check(&self) -> Result<(), InvalidConfig> {
        if self.name.is_empty() || !self.name.bytes().all(is_token) {
            return Err(InvalidConfig::Cookie("name"));
        }
        if !self.domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)) {
            return Err(InvalidConfig::Cookie("domain"));
        }
        Ok(())
    }
}

/// RFC 6265: a cookie's name is a token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work() {
        assert_eq!(CaptureConfig::default().check(), Ok(()));
    }

    #[test]
    fn values_that_can_not_work_are_named() {
        let with = |change: fn(&mut CaptureConfig)| {
            let mut config = CaptureConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(with(|c| c.max_events = 0), "capture.max_events is 0; expected at least 1");
        assert_eq!(
            with(|c| c.events_per_key = 499),
            "capture.events_per_key is 499; expected 0 or at least capture.max_events"
        );
        assert_eq!(
            with(|c| _ = c.keys.insert("a".to_owned(), 0)),
            "capture.keys.a names project 0, and projects count from 1"
        );
        assert_eq!(
            with(|c| c.cookie.name = "s p".to_owned()),
            "capture.cookie.name has characters that a cookie can't have"
        );
        assert_eq!(
            with(|c| c.cookie.domain = "a; Secure".to_owned()),
            "capture.cookie.domain has characters that a cookie can't have"
        );
    }
}
