//! What the endpoints around the ping stand on, and their shared state.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use prometheus::{HistogramOpts, HistogramVec, IntGauge, Registry};
use tally_service::api::{Access, BodyLimits, BodyReader};
use tokio::sync::Mutex;

use crate::Ping;

/// The state of the router; cloning shares it.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

/// What [`HttpState`] points to.
pub struct Shared {
    pub(super) ping: Ping,
    pub(super) access: Access,
    pub(super) bodies: BodyReader,
    pub(super) request_seconds: HistogramVec,
    /// Held while a page gets the payload to show, so that two pages have one made and not two.
    pub(super) previewing: Mutex<()>,
}

impl HttpState {
    /// The endpoints around `ping`, on the directory and the clock that it has itself. Registers metrics; an error if the
    /// registry has them already.
    pub fn new(ping: Ping, body: BodyLimits, registry: &Registry) -> Result<Self, prometheus::Error> {
        let held_bytes = IntGauge::new(
            "tally_ping_in_flight_bytes",
            "Bytes of bodies held by requests to the endpoints around the Service Ping",
        )?;
        let help = "Seconds from a request's headers to its response's, by endpoint and status";
        let options = HistogramOpts::new("tally_ping_request_seconds", help);
        let request_seconds = HistogramVec::new(options, &["endpoint", "status"])?;
        registry.register(Box::new(held_bytes.clone()))?;
        registry.register(Box::new(request_seconds.clone()))?;
        let parts = &ping.0.parts;
        let access = Access { directory: Arc::clone(&parts.directory), clock: Arc::clone(&parts.clock) };
        Ok(Self(Arc::new(Shared {
            access,
            ping,
            bodies: BodyReader::new(body, held_bytes),
            request_seconds,
            previewing: Mutex::new(()),
        })))
    }
}

impl Deref for HttpState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl FromRef<HttpState> for Access {
    fn from_ref(state: &HttpState) -> Self {
        state.access.clone()
    }
}
