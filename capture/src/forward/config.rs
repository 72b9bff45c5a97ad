//! The configuration of forwarding, section `[capture.forward]`.

use reqwest::Url;
use serde::{Deserialize, Serialize};

/// Settings of forwarding. Sizes are bytes, durations seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForwardConfig {
    /// The collector's address, such as `https://collector.example.com`; empty: nothing is forwarded.
    pub collector_url: String,
    /// The consumer group whose positions say what has been forwarded. A new one begins with the oldest events of the log.
    pub group: String,
    /// What events name as their application.
    pub app_id: String,
    /// Events in one request.
    pub max_events: usize,
    /// Bytes of the events of one request; one that is longer goes alone.
    pub max_bytes: usize,
    /// Seconds for a request.
    pub timeout_s: u64,
    /// Seconds for a connection.
    pub connect_timeout_s: u64,
    /// Seconds at most between two tries.
    pub max_pause_s: u64,
    /// Whether the collector may have a private, loopback or link-local address.
    pub allow_private_addresses: bool,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        Self {
            collector_url: String::new(),
            group: "tally-forwarder".to_owned(),
            app_id: "tally".to_owned(),
            max_events: 50,
            max_bytes: 500_000,
            timeout_s: 30,
            connect_timeout_s: 5,
            max_pause_s: 60,
            allow_private_addresses: false,
        }
    }
}

/// Why a configuration of forwarding can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidForwardConfig {
    /// It is no address that HTTP knows, or has parts that the address of a collector doesn't have.
    #[error("capture.forward.collector_url: {0:?} is no http or https address without query and fragment")]
    Url(String),
    /// Nothing could be forwarded.
    #[error("capture.forward.{0} is 0; expected at least 1")]
    Zero(&'static str),
    /// A group needs a name.
    #[error("capture.forward.group is empty")]
    Group,
}

impl ForwardConfig {
    /// Refuses values that could not work.
    pub fn check(&self) -> Result<(), InvalidForwardConfig> {
        self.endpoint()?;
        if self.group.is_empty() {
            return Err(InvalidForwardConfig::Group);
        }
        let at_least_one = [
            ("max_events", self.max_events as u64),
            ("timeout_s", self.timeout_s),
            ("connect_timeout_s", self.connect_timeout_s),
            ("max_pause_s", self.max_pause_s),
        ];
        match at_least_one.into_iter().find(|(_, value)| *value == 0) {
            Some((name, _)) => Err(InvalidForwardConfig::Zero(name)),
            None => Ok(()),
        }
    }

    /// Where events are posted: the collector's path of the tracker protocol.
    pub(super) fn endpoint(&self) -> Result<Url, InvalidForwardConfig> {
        let invalid = || InvalidForwardConfig::Url(self.collector_url.clone());
        let base = Url::parse(&self.collector_url).map_err(|_| invalid())?;
        let is_plain = matches!(base.scheme(), "http" | "https")
            && base.has_host()
            && base.query().is_none()
            && base.fragment().is_none();
        if !is_plain {
            return Err(invalid());
        }
        let path = format!("{}/com.snowplowanalytics.snowplow/tp2", base.path().trim_end_matches('/'));
        let mut endpoint = base;
        endpoint.set_path(&path);
        Ok(endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> ForwardConfig {
        ForwardConfig { collector_url: url.to_owned(), ..ForwardConfig::default() }
    }

    #[test]
    fn events_go_to_the_collectors_path() {
        for (url, expected) in [
            ("https://c.example.com", "https://c.example.com/com.snowplowanalytics.snowplow/tp2"),
            (
                "http://c.example.com:8080/a/",
                "http://c.example.com:8080/a/com.snowplowanalytics.snowplow/tp2",
            ),
        ] {
            assert_eq!(of(url).endpoint().unwrap().as_str(), expected);
        }
    }

    #[test]
    fn values_that_can_not_work_are_named() {
        for url in ["c.example.com", "ftp://c.example.com", "https://c.example.com?x=1", "mailto:a@b"] {
            assert_eq!(of(url).check(), Err(InvalidForwardConfig::Url(url.to_owned())));
        }
        let mut config = of("https://c.example.com");
        assert_eq!(config.check(), Ok(()));
        config.max_events = 0;
        assert_eq!(config.check(), Err(InvalidForwardConfig::Zero("max_events")));
    }
}
