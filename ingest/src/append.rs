//! Hands a request's records to the log and waits until all of them are durable.

use std::time::{Duration, Instant};

use tally_eventlog::{AppendError, Record};
use tally_service::api::ApiError;
use tokio::time::timeout;

use crate::service::Inner;

/// What a client is told that can't be told more.
const IN_DOUBT: &str =
    "the event log did not confirm the events, and may have them: repeat them under the same ids";

/// Appends all records; `Ok` only if every one is durable.
///
/// After an error some of the request's records may be there, and a retriable one says so: a client that repeats the
/// request then sends them twice, and they count once if it chose their `event_id`.
pub(crate) async fn append(
    ingest: &Inner,
    topic: &'static str,
    records: Vec<Record>,
) -> Result<(), ApiError> {
    let started = Instant::now();
    let limit = Duration::from_secs(ingest.config.append_timeout_s);
    let late = |_| {
        let reason = format!("no acknowledgement within {} s", limit.as_secs());
        vec![Err(AppendError::InDoubt { partition: None, reason })]
    };
    let results = timeout(limit, ingest.log.accept(topic, records)).await.unwrap_or_else(late);
    ingest.metrics.append_seconds.observe(started.elapsed().as_secs_f64());
    let is_any_taken = results.iter().any(Result::is_ok);
    let Some(error) = worst(results.into_iter().filter_map(Result::err)) else { return Ok(()) };
    ingest.metrics.append_failures.inc();
    tracing::warn!(topic, %error, "the log did not take a request's records");
    Err(answer(&error, is_any_taken, ingest.config.retry_after_s))
}

/// The error that decides the answer: one that a retry can't mend, if there is one, or else one that leaves it open what
/// has become of a record.
fn worst(errors: impl Iterator<Item = AppendError>) -> Option<AppendError> {
    errors.min_by_key(|error| (error.is_retriable(), !matches!(error, AppendError::InDoubt { .. })))
}

fn answer(error: &AppendError, is_any_taken: bool, retry_after_s: u64) -> ApiError {
    match error {
        AppendError::TooLarge { limit, .. } => ApiError::PayloadTooLarge { limit: *limit },
        AppendError::InDoubt { .. } => ApiError::Unavailable { reason: IN_DOUBT, retry_after_s },
        error if error.is_retriable() => {
            let reason = if is_any_taken { IN_DOUBT } else { "the event log is not available" };
            ApiError::Unavailable { reason, retry_after_s }
        }
        _ => ApiError::Internal,
    }
}
