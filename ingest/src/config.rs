//! Ingest's configuration, section `[ingest]`. Every limit has a default that fits one small machine.

use serde::{Deserialize, Serialize};
use tally_letters::LettersConfig;
use tally_service::api::BodyLimits;

/// Limits and waits of the ingest service. Sizes are bytes, durations seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngestConfig {
    /// Bytes a request's body may have as sent, compressed or not; longer is 413.
    pub max_body_bytes: usize,
    /// Bytes a compressed body may become; longer is 413.
    pub max_decompressed_bytes: usize,
    /// Seconds a body may take to arrive; longer is 408.
    pub body_timeout_s: u64,
    /// Bytes of bodies, as sent and decompressed, held at once over all requests; beyond is 503.
    pub max_in_flight_bytes: usize,
    /// Events in one `track_events`. GitLab's limit is 50.
    pub max_events: usize,
    /// Contributions in one request.
    pub max_contributions: usize,
    /// Levels of arrays and objects in a body, the body itself being the first. At most 100.
    pub max_json_depth: usize,
    /// Bytes of an event's name.
    pub max_event_name_bytes: usize,
    /// Additional properties of one event.
    pub max_properties: usize,
    /// Bytes of an additional property's name.
    pub max_property_name_bytes: usize,
    /// Bytes of an additional property's value: of a string, or of the JSON text of an array or object.
    pub max_property_value_bytes: usize,
    /// Bytes of each text of a contribution, such as a note's body.
    pub max_contribution_text_bytes: usize,
    /// Seconds an event's `timestamp` may lie back, unless an administrator sends it; older is clamped.
    pub max_event_age_s: u32,
    /// Seconds an event's `timestamp` may lie ahead; later is clamped.
    pub max_event_lead_s: u32,
    /// Seconds the log may take to acknowledge a request's records; longer is 503.
    pub append_timeout_s: u64,
    /// Seconds a client is asked to wait after a 503.
    pub retry_after_s: u64,
    /// Number of this ingest process among those that run at once, 0 to 15. Keeps the ids of contributions apart.
    pub node: u8,
    /// How much of what is refused is kept.
    pub dead_letters: LettersConfig,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            max_decompressed_bytes: 8 * 1024 * 1024,
            body_timeout_s: 10,
            max_in_flight_bytes: 256 * 1024 * 1024,
            max_events: 50,
            max_contributions: 500,
            max_json_depth: 32,
            max_event_name_bytes: 255,
            max_properties: 64,
            max_property_name_bytes: 255,
            max_property_value_bytes: 8 * 1024,
            max_contribution_text_bytes: 64 * 1024,
            max_event_age_s: 7 * 24 * 60 * 60,
            max_event_lead_s: 60 * 60,
            append_timeout_s: 30,
            retry_after_s: 1,
            node: 0,
            dead_letters: LettersConfig::default(),
        }
    }
}

/// Why a configuration can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// The parser has a limit of its own beyond this.
    #[error("ingest.max_json_depth is {0}; expected 1 to {MAX_JSON_DEPTH}")]
    JsonDepth(usize),
    /// Contribution ids have four bits for it.
    #[error("ingest.node is {0}; expected 0 to {MAX_NODE}")]
    Node(u8),
    /// Such a service would refuse everything.
    #[error("ingest.{0} is 0; expected at least 1")]
    Zero(&'static str),
}

/// Below the 128 levels at which the JSON parser stops by itself.
const MAX_JSON_DEPTH: usize = 100;

/// The largest number that four bits hold.
const MAX_NODE: u8 = 15;

impl IngestConfig {
    /// What of it the reader of bodies goes by.
    pub(crate) fn body_limits(&self) -> BodyLimits {
        BodyLimits {
            max_body_bytes: self.max_body_bytes,
            max_decompressed_bytes: self.max_decompressed_bytes,
            body_timeout_s: self.body_timeout_s,
            max_in_flight_bytes: self.max_in_flight_bytes,
            max_json_depth: self.max_json_depth,
            retry_after_s: self.retry_after_s,
        }
    }

    /// Refuses values that could not work.
    pub fn check(&self) -> Result<(), InvalidConfig> {
        if !(1..=MAX_JSON_DEPTH).contains(&self.max_json_depth) {
            return Err(InvalidConfig::JsonDepth(self.max_json_depth));
        }
        if self.node > MAX_NODE {
            return Err(InvalidConfig::Node(self.node));
        }
        let at_least_one = [
            ("max_body_bytes", self.max_body_bytes),
            ("max_decompressed_bytes", self.max_decompressed_bytes),
            ("max_in_flight_bytes", self.max_in_flight_bytes),
            ("max_events", self.max_events),
            ("max_contributions", self.max_contributions),
            ("max_event_name_bytes", self.max_event_name_bytes),
        ];
        match at_least_one.into_iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(InvalidConfig::Zero(name)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work() {
        assert_eq!(IngestConfig::default().check(), Ok(()));
    }

    #[test]
    fn values_that_can_not_work_are_named() {
        let with = |change: fn(&mut IngestConfig)| {
            let mut config = IngestConfig::default();
            change(&mut config);
            config.check().unwrap_err().to_string()
        };
        assert_eq!(with(|c| c.max_json_depth = 101), "ingest.max_json_depth is 101; expected 1 to 100");
        assert_eq!(with(|c| c.node = 16), "ingest.node is 16; expected 0 to 15");
        assert_eq!(with(|c| c.max_events = 0), "ingest.max_events is 0; expected at least 1");
    }
}
