//! The real transport.

use async_trait::async_trait;

use super::{Answer, Outgoing, SendError, Transport};
use crate::config::PingConfig;
use crate::error::StartError;

/// Sends over HTTP(S).
pub struct HttpTransport {}

impl HttpTransport {
    /// A transport within the configuration's limits, through the proxies that the environment names.
    pub fn new(_config: &PingConfig) -> Result<Self, StartError> {
        unimplemented!()
    }
}

#[async_trait]
impl Transport for HttpTransport {
    async fn send(&self, _request: Outgoing) -> Result<Answer, SendError> {
        unimplemented!()
    }
}
