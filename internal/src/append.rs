//! Hands a call's records to the log and waits until all of them are durable.

use tally_eventlog::{AppendError, Record};
use tally_service::api::ApiError;

use crate::state::Inner;

/// Appends all records; `Ok` only if every one is durable. After an error the log may have some of them.
pub(crate) async fn append(state: &Inner, topic: &'static str, records: Vec<Record>) -> Result<(), ApiError> {
    let results = state.log.accept(topic, records).await;
    // An error that a retry can't mend decides.
    let Some(error) = results.into_iter().filter_map(Result::err).min_by_key(AppendError::is_retriable)
    else {
        return Ok(());
    };
    tracing::warn!(topic, %error, "the log did not take a call's records");
    let retry_after_s = state.config.body.retry_after_s;
    let reason = "the event log is not available";
    Err(if error.is_retriable() {
        ApiError::Unavailable { reason, retry_after_s }
    } else {
        ApiError::Internal
    })
}
