//! Hands a request's records to the log and waits until all of them are durable.

use std::time::{Duration, Instant};

use tally_eventlog::{AppendError, Record};
use tally_service::api::ApiError;
use tokio::time::timeout;

use crate::service::Inner;

/// Appends all records; `Ok` only if every one is durable. After an error some of them may be in the log
/// nevertheless, and a tracker that repeats its request has those there twice, under the same ids.
pub(crate) async fn append(
    capture: &Inner,
    topic: &'static str,
    records: Vec<Record>,
) -> Result<(), ApiError> {
    if records.is_empty() {
        return Ok(());
    }
    let started = Instant::now();
    let limit = Duration::from_secs(capture.config.append_timeout_s);
    let late = |_| {
        let reason = format!("no acknowledgement within {} s", limit.as_secs());
        vec![Err(AppendError::InDoubt { partition: None, reason })]
    };
    let results = timeout(limit, capture.log.accept(topic, records)).await.unwrap_or_else(late);
    capture.metrics.append_seconds.observe(started.elapsed().as_secs_f64());
    // Where some may be taken later the request is to come again, whatever becomes of the others.
    let error = results.into_iter().filter_map(Result::err).max_by_key(AppendError::is_retriable);
    let Some(error) = error else { return Ok(()) };
    capture.metrics.append_failures.inc();
    tracing::warn!(topic, %error, "the log did not take a tracker's records");
    Err(match error {
        AppendError::TooLarge { limit, .. } => ApiError::PayloadTooLarge { limit },
        _ => ApiError::Unavailable {
            reason: "the event log is not available",
            retry_after_s: capture.config.body.retry_after_s,
        },
    })
}
