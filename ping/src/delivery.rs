//! The requests of one try: the payload, then what belongs beside it.

use bytes::Bytes;
use jiff::Timestamp;

use crate::answer::{self, Taken};
use crate::outgoing::{Outgoing, SendError};
use crate::payload::StoredPayload;
use crate::ping::Shared;
use crate::reports;

const PAYLOADS: &str = "/usage_data";
const METADATA: &str = "/usage_ping_metadata";
const ERRORS: &str = "/usage_ping_errors";

impl Shared {
    /// Posts the payload's stored bytes. Whether the receiver took it is in its answer.
    pub async fn deliver(&self, receiver: &str, payload: &StoredPayload) -> Result<Taken, SendError> {
        if payload.is_blank() {
            return Err(SendError::BlankPayload);
        }
        let body = Bytes::copy_from_slice(payload.payload.as_bytes());
        answer::read(&self.parts.transport.send(post(receiver, PAYLOADS, body)).await?)
    }

    /// Tells the receiver how long the metrics of a payload took that it has taken. A failure changes nothing about that.
    pub async fn deliver_metadata(&self, payload: &StoredPayload) {
        let body = reports::metadata(&self.parts.instance, payload);
        self.deliver_beside(METADATA, body, "metadata").await;
    }

    /// Tells the receiver why a try failed, as far as it can be reached.
    pub async fn deliver_error(&self, error: &SendError, began: Timestamp) {
        let now = self.now();
        let elapsed = now.duration_since(began).as_secs_f64();
        let body = reports::error(&self.parts.instance, &error.told(), now, elapsed);
        self.deliver_beside(ERRORS, body, "error_report").await;
    }

    /// Sends what belongs beside a payload, unless nothing may be sent by now.
    async fn deliver_beside(&self, path: &str, body: Bytes, reason: &'static str) {
        let Some(receiver) = self.receiver_if_allowed() else { return };
        let outcome = self.parts.transport.send(post(&receiver, path, body)).await;
        let error = match outcome {
            Ok(answer) if (200..300).contains(&answer.status) => return,
            Ok(answer) => SendError::BadStatus(answer.status),
            Err(error) => error,
        };
        self.metrics.failures.with_label_values(&[reason]).inc();
        tracing::warn!(path, %error, "the receiver did not take what belongs beside a payload");
    }
}

fn post(receiver: &str, path: &str, body: Bytes) -> Outgoing {
    Outgoing { url: format!("{receiver}{path}"), body: Some(body), referer: None }
}
