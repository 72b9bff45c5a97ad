//! The real transport: HTTP(S) through the proxies that the environment names, within limits on addresses, time and the
//! answer's size. Redirects are not followed: an answer comes from where the request was sent.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, REFERER};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};

use super::address::{Forbidden, GuardedResolver, check_literal};
use super::{Answer, LARGEST_ANSWER, Outgoing, SendError, Transport, proxy};
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
        let mut builder = Client::builder()
            .user_agent(concat!("tally/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .connect_timeout(Duration::from_secs(config.connect_timeout_s))
            .timeout(Duration::from_secs(config.timeout_s))
            .pool_max_idle_per_host(0);
        if !config.allow_private_addresses {
            let proxies = Arc::new(proxy::hosts(|name| std::env::var(name).ok()));
            builder = builder.dns_resolver(GuardedResolver { proxies });
        }
        let client = builder.build().map_err(|error| StartError::Client(chain(&error)))?;
        Ok(Self { client, allow_private_addresses: config.allow_private_addresses })
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, request: Outgoing) -> Result<Answer, SendError> {
        let url = Url::parse(&request.url).map_err(|error| SendError::Unreachable(error.to_string()))?;
        if !self.allow_private_addresses {
            check_literal(&url).map_err(|Forbidden(host)| SendError::ForbiddenAddress(host))?;
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
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(one) = cause {
        if let Some(Forbidden(host)) = one.downcast_ref() {
            return SendError::ForbiddenAddress(host.clone());
        }
        cause = one.source();
    }
    if error.is_timeout() { SendError::TimedOut } else { SendError::Unreachable(chain(error)) }
}

/// An error and its causes. The address is left out of it, as it may hold a password.
fn chain(error: &reqwest::Error) -> String {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(one) = cause {
        causes.push(one.to_string());
        cause = one.source();
    }
    let what = if error.is_connect() { "can't connect" } else { "the connection failed" };
    if causes.is_empty() { what.to_owned() } else { format!("{what}: {}", causes.join(": ")) }
}
