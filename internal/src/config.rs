//! The Internal API's configuration, section `[internal]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tally_letters::LettersConfig;
use tally_service::api::BodyLimits;

/// Secrets, addresses and bounds of the Internal API. Durations are seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InternalConfig {
    /// The file with the secret shared with gitlab-shell, one a line: each is accepted, the first signs. Empty: every
    /// call that needs it is refused.
    pub shared_secret_file: PathBuf,
    /// The same for the agent server.
    pub kas_secret_file: PathBuf,
    /// Seconds a call may take; longer is 503.
    pub call_timeout_s: u64,
    /// The address people reach this instance at, for LFS URLs and the comments of SSH keys.
    pub external_url: String,
    /// What `check` calls this GitLab's version; empty: Tally's own.
    pub version: String,
    /// What `check` calls its revision.
    pub revision: String,
    /// Where Git repositories are said to be.
    pub gitaly: GitalyConfig,
    /// What bodies may take.
    pub body: BodyLimits,
    /// How much of refused usage reports is kept.
    pub dead_letters: LettersConfig,
}

impl Default for InternalConfig {
    fn default() -> Self {
        Self {
            shared_secret_file: PathBuf::new(),
            kas_secret_file: PathBuf::new(),
            call_timeout_s: 50,
            external_url: "http://localhost".to_owned(),
            version: String::new(),
            revision: "unknown".to_owned(),
            gitaly: GitalyConfig::default(),
            body: BodyLimits::default(),
            dead_letters: LettersConfig::default(),
        }
    }
}

/// What answers tell of Gitaly, the server of Git repositories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GitalyConfig {
    /// Its address, such as `unix:/run/gitaly.socket` or `tcp://gitaly:8075`.
    pub address: String,
    /// The storage that repositories are in.
    pub storage_name: String,
    /// The token that callers show Gitaly; empty: none.
    pub token: String,
}

impl Default for GitalyConfig {
    fn default() -> Self {
        Self {
            address: "unix:/var/run/gitaly/gitaly.socket".to_owned(),
            storage_name: "default".to_owned(),
            token: String::new(),
        }
    }
}
