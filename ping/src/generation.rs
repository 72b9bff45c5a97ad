//! Makes payloads and stores them: computed once, serialised once.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use tally_query::service_ping::{Consent, PayloadKind};

use crate::error::PingError;
use crate::outgoing::SendError;
use crate::payload::StoredPayload;
use crate::ping::Shared;
use crate::storage::StorageError;

/// Why there is no payload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GenerationError {
    /// Nothing is in it.
    #[error("the {0} payload is blank")]
    Blank(PayloadKind),
    /// It could not be stored.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<GenerationError> for SendError {
    fn from(error: GenerationError) -> Self {
        match error {
            GenerationError::Blank(_) => Self::BlankPayload,
            GenerationError::Storage(error) => Self::NotGenerated(error.to_string()),
        }
    }
}

impl From<GenerationError> for PingError {
    fn from(error: GenerationError) -> Self {
        match error {
            GenerationError::Storage(error) => Self::Storage(error),
            blank @ GenerationError::Blank(_) => Self::Storage(StorageError(blank.to_string())),
        }
    }
}

impl Shared {
    /// The time under which a generation that begins now is stored, in whole milliseconds as the table has them.
    pub fn recording_time(&self) -> Timestamp {
        let now = self.now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    /// Computes one payload and stores it. A blank one is not stored.
    pub async fn generate_kind(
        &self,
        kind: PayloadKind,
        recorded_at: Timestamp,
        consent: Consent,
    ) -> Result<StoredPayload, GenerationError> {
        let started = Instant::now();
        let payload = self.parts.generator.generate(kind, recorded_at, consent).await;
        let seconds = started.elapsed().as_secs_f64();
        self.metrics.generation_seconds.with_label_values(&[kind.as_str()]).observe(seconds);
        if payload.document.is_empty() {
            return Err(GenerationError::Blank(kind));
        }
        let failed = payload.metadata.iter().filter(|metric| metric.error.is_some()).count();
        let text = serde_json::to_string(&payload.document).expect("a JSON object has a text");
        tracing::info!(%kind, %recorded_at, bytes = text.len(), failed, seconds, "computed a service ping payload");
        let stored =
            StoredPayload { recorded_at, kind, payload: Arc::from(text), metadata: payload.metadata };
        self.parts.storage.put_payload(&stored).await?;
        Ok(stored)
    }
}
