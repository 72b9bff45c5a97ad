//! The Service Ping's own settings. What an administrator may change while Tally runs is in `settings`.

use serde::{Deserialize, Serialize};

/// Settings of the Service Ping's scheduler and of what it sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PingConfig {
    /// Whether payloads may be sent at all. `false` here wins over the application setting of the same name and can't be
    /// changed over HTTP; payloads are still computed and stored.
    pub usage_ping_enabled: bool,
    /// Where payloads go (`https://version.example.com`): the receiver's address before `/usage_data`. Empty: they are
    /// computed and stored every week, and nothing is sent.
    pub base_url: String,
    /// The organization that payloads are stored under.
    pub organization_id: i64,
    /// Seconds that one request to the receiver may take, its answer included.
    pub timeout_s: u64,
    /// Seconds that a connection to the receiver may take.
    pub connect_timeout_s: u64,
    /// The most seconds to wait at random before payloads are computed, so that instances don't all come at once.
    pub splay_s: u64,
    /// Seconds between two looks at the schedule.
    pub poll_s: u64,
    /// Whether the receiver may have a private, loopback or link-local address. The proxy that the environment names may
    /// in any case.
    pub allow_private_addresses: bool,
}

impl Default for PingConfig {
    fn default() -> Self {
        Self {
            usage_ping_enabled: true,
            base_url: String::new(),
            organization_id: 1,
            timeout_s: 30,
            connect_timeout_s: 5,
            splay_s: 60,
            poll_s: 20,
            allow_private_addresses: false,
        }
    }
}
