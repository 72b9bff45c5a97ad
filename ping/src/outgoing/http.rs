//! The real transport: HTTP(S) through the proxies that the environment names, within limits on addresses, time and the
//! answer's size. Redirects are not followed: an answer comes from where the request was sent.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, REFERER};
use reqwest::{Client, Response, Url};

use tally_service::outgoing::{self, Forbidden};

use super::{Answer, LARGEST_ANSWER, Outgoing, SendError, Transport};
use crate::config::PingConfig;
use crate::error::StartError;

/// Sends over HTTP(S).
pub struct HttpTransport {
    client: Client,
    allow_private_addresses: bool,
}

impl HttpTransport {
    /// A transport within the configuration's limits, through the proxies that the environment names.
    pub fn new(config: &PingConfig) -> Result<Self, StartError> {
        let client = outgoing::client(config.allow_private_addresses)
            .connect_timeout(Duration::from_secs(config.connect_timeout_s))
            .timeout(Duration::from_secs(config.timeout_s))
            .pool_max_idle_per_host(0)
            .build()
            .map_err(|error| StartError::Client(outgoing::failure_text(&error)))?;
        Ok(Self { client, allow_private_addresses: config.allow_private_addresses })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Outgoing) -> Result<Answer, SendError> {
        let url = Url::parse(&request.url).map_err(|error| SendError::Unreachable(error.to_string()))?;
        if !self.allow_private_addresses {
            outgoing::check_literal(&url).map_err(|Forbidden(host)| SendError::ForbiddenAddress(host))?;
        }
        let mut builder = match request.body {
            Some(body) => self.client.post(url).header(CONTENT_TYPE, "application/json").body(body),
            None => self.client.get(url),
        };
        if let Some(referer) = request.referer {
            builder = builder.header(REFERER, referer);
        }
        let response = builder.send().await.map_err(|error| failure(&error))?;
        let status = response.status().as_u16();
        Ok(Answer { status, body: read(response).await? })
    }
}

/// The body, as long as it stays within the limit.
async fn read(mut response: Response) -> Result<Bytes, SendError> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > LARGEST_ANSWER {
            return Err(SendError::AnswerTooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
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
