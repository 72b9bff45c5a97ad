//! Hands a request's records to the log and waits until all of them are durable.

use std::time::{Duration, Instant};

use tally_eventlog::{AppendError, Record};
use tally_service::api::ApiError;
use tokio::time::timeout;

use crate::service::Inner;

/// Appends all records; `Ok` only if the log acknowledged every one.
///
/// After an error some of them may be in the log nevertheless: a client that repeats the request has those there twice,
/// under the same `event_id` if it chose one.
pub(crate) async fn append(
    ingest: &Inner,
    topic: &'static str,
    records: Vec<Record>,
) -> Result<(), ApiError> {
    let started = Instant::now();
    let limit = Duration::from_secs(ingest.config.append_timeout_s);
    let results = timeout(limit, ingest.log.accept(topic, records)).await;
    ingest.metrics.append_seconds.observe(started.elapsed().as_secs_f64());
    let error = match results {
        Ok(results) => match worst(results.into_iter().filter_map(Result::err)) {
            None => return Ok(()),
            Some(error) => error,
        },
        Err(_) => AppendError::Unavailable(format!("no acknowledgement within {} s", limit.as_secs())),
    };
    ingest.metrics.append_failures.inc();
    tracing::warn!(topic, %error, "the log did not take a request's records");
    Err(answer(&error, ingest.config.retry_after_s))
}

/// The error that decides the answer: one that a retry can't mend, if there is one.
fn worst(errors: impl Iterator<Item = AppendError>) -> Option<AppendError> {
    errors.min_by_key(AppendError::is_retriable)
}

fn answer(error: &AppendError, retry_after_s: u64) -> ApiError {
    match error {
        AppendError::TooLarge { limit, .. } => ApiError::PayloadTooLarge { limit: *limit },
        error if error.is_retriable() => {
            ApiError::Unavailable { reason: "the event log is not available", retry_after_s }
        }
        _ => ApiError::Internal,
    }
}
