//! What goes wrong with the ping or the directory, as answers.

use tally_directory::TransactError;
use tally_service::api::ApiError;

use crate::PingError;

/// Seconds a client is asked to wait where something is away.
const RETRY_AFTER_S: u64 = 5;

/// A change of the directory that did not happen.
pub(super) fn of_directory(error: TransactError<ApiError>) -> ApiError {
    match error {
        TransactError::Refused(refusal) => refusal,
        TransactError::Unavailable(error) => {
            tracing::warn!(error, "the directory did not take a change");
            ApiError::Unavailable { reason: "the directory is not available", retry_after_s: RETRY_AFTER_S }
        }
    }
}

/// The ping's failure. What the caller can't mend goes to the log.
pub(super) fn of_ping(error: PingError) -> ApiError {
    let away = |reason| ApiError::Unavailable { reason, retry_after_s: RETRY_AFTER_S };
    match error {
        PingError::GenerationOff
        | PingError::OptedOut
        | PingError::ConsentChanged
        | PingError::NoReceiver => ApiError::BadRequest(format!("400 Bad request - {error}").into()),
        PingError::Directory(error) => {
            tracing::warn!(error, "the directory did not take a change");
            away("the directory is not available")
        }
        PingError::Storage(error) => {
            tracing::warn!(%error, "payloads can't be stored or read");
            away("the store is not available")
        }
        PingError::NotTaken(_) | PingError::VersionCheck(_) => {
            tracing::warn!(%error, "the receiver does not answer");
            away("the receiver is not available")
        }
    }
}
