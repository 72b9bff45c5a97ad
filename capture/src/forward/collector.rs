//! The call of the collector: one POST of the tracker protocol, to an address that may be called.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode, Url};
use tally_service::outgoing::{self, Forbidden};

use super::ForwardError;
use super::config::ForwardConfig;

/// Takes payloads of the tracker protocol; a trait so that a test can let it fail.
#[async_trait]
pub trait Collector: Send + Sync {
    /// Posts the payload. `Ok` once the collector has said that it has all of it.
    async fn send(&self, payload: Bytes) -> Result<(), SendError>;
}

/// Why the collector did not take a payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is larger than the collector takes.
    #[error("the payload is larger than the collector takes")]
    TooLarge,
    /// The answer's status is no 2xx.
    #[error("the answer has status {0}")]
    Status(u16),
    /// The collector has no address that may be called.
    #[error(
        "{0}: its address is private, loopback or link-local; capture.forward.allow_private_addresses is off"
    )]
    ForbiddenAddress(String),
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
}

impl SendError {
    /// All reasons, as metrics name them.
    pub(super) const REASONS: [&'static str; 5] =
        ["too_large", "status", "forbidden_address", "unreachable", "timed_out"];

    /// The reason as metrics name it.
    pub(super) fn reason(&self) -> &'static str {
        let [too_large, status, forbidden_address, unreachable, timed_out] = Self::REASONS;
        match self {
            Self::TooLarge => too_large,
            Self::Status(_) => status,
            Self::ForbiddenAddress(_) => forbidden_address,
            Self::Unreachable(_) => unreachable,
            Self::TimedOut => timed_out,
        }
    }
}

/// A collector over HTTP(S).
pub struct HttpCollector {
    client: Client,
    endpoint: Url,
    allow_private_addresses: bool,
}

impl HttpCollector {
    /// The configured collector.
    pub fn new(config: &ForwardConfig) -> Result<Self, ForwardError> {
        let client = outgoing::client(config.allow_private_addresses)
            .connect_timeout(Duration::from_secs(config.connect_timeout_s))
            .timeout(Duration::from_secs(config.timeout_s))
            .build()
            .map_err(|error| ForwardError::Client(outgoing::failure_text(&error)))?;
        let allow_private_addresses = config.allow_private_addresses;
        Ok(Self { client, endpoint: config.endpoint()?, allow_private_addresses })
    }
}

#[async_trait]
impl Collector for HttpCollector {
    async fn send(&self, payload: Bytes) -> Result<(), SendError> {
        if !self.allow_private_addresses {
            outgoing::check_literal(&self.endpoint)
                .map_err(|Forbidden(host)| SendError::ForbiddenAddress(host))?;
        }
        let request = self
            .client
            .post(self.endpoint.clone())
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .body(payload);
        // The answer's body says nothing, and is not read.
        let status = request.send().await.map_err(|error| failure(&error))?.status();
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::PAYLOAD_TOO_LARGE => Err(SendError::TooLarge),
            status => Err(SendError::Status(status.as_u16())),
        }
    }
}

fn failure(error: &reqwest::Error) -> SendError {
    if let Some(host) = outgoing::forbidden_host(error) {
        return SendError::ForbiddenAddress(host.to_owned());
    }
    if error.is_timeout() {
        SendError::TimedOut
    } else {
        SendError::Unreachable(outgoing::failure_text(error))
    }
}
