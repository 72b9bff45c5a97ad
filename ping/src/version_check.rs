//! The version check: asks the receiver whether this version is up to date, and tells it the version and the host name,
//! nothing else.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tally_query::InstanceConfig;

use crate::outgoing::{Outgoing, SendError, Transport};

/// How much an update matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Up to date.
    Success,
    /// An update is available.
    Warning,
    /// A security release is out.
    Danger,
}

/// What the receiver says about this version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionStatus {
    /// The newest patch of each of the supported minor versions.
    #[serde(default)]
    pub latest_stable_versions: Vec<String>,
    /// The newest version.
    pub latest_version: String,
    /// How much an update matters.
    pub severity: Severity,
    /// Whether this version has a critical vulnerability.
    #[serde(default)]
    pub critical_vulnerability: bool,
    /// More about it, in the receiver's words.
    #[serde(default)]
    pub details: String,
}

impl Severity {
    /// GitLab's words for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Success => "up-to-date",
            Self::Warning => "update available",
            Self::Danger => "update asap",
        }
    }
}

impl fmt::Display for VersionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; the latest version is {}", self.severity.text(), self.latest_version)?;
        if !self.details.is_empty() {
            write!(f, " ({})", self.details)?;
        }
        Ok(())
    }
}

/// Asks `{base}/check.json`. The version travels as URL-safe Base64, as GitLab's does; the host name in the Referer.
pub(crate) async fn check(
    transport: &dyn Transport,
    base: &str,
    instance: &InstanceConfig,
) -> Result<VersionStatus, SendError> {
    let info = URL_SAFE.encode(json!({ "version": instance.reported_version() }).to_string());
    let request = Outgoing {
        url: format!("{base}/check.json?gitlab_info={}", info.replace('=', "%3D")),
        body: None,
        referer: Some(format!("https://{}/", instance.hostname)),
    };
    let answer = transport.send(request).await?;
    if !(200..300).contains(&answer.status) {
        return Err(SendError::BadStatus(answer.status));
    }
    serde_json::from_slice(&answer.body).map_err(|error| SendError::BadAnswer(error.to_string()))
}
