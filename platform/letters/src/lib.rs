//! What a service refuses becomes a dead letter on the log, so that it can be looked at and sent again once the cause is
//! mended. Nobody waits for a letter and no answer depends on one; a budget keeps refused input from filling the disk. Which
//! input is refused, and why, is the service's business.

mod budget;
mod letters;

use serde::{Deserialize, Serialize};
use tally_schemas::DropReason;
use tally_service::api::ApiError;

pub use letters::{Letters, LettersParts, Refused, Sender};

/// How much refused input is kept. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LettersConfig {
    /// Bytes that are kept of one refused body; of a longer one the beginning is kept, and the letter says so.
    pub max_bytes: usize,
    /// Bytes of letters that one sender may cause in a period; what goes beyond is counted only. 0 keeps no letters.
    pub bytes_per_sender: u32,
    /// The same for all senders together.
    pub bytes_per_period: u32,
    /// Seconds of a period.
    pub period_s: u64,
}

impl Default for LettersConfig {
    fn default() -> Self {
        Self {
            max_bytes: 256 * 1024,
            bytes_per_sender: 4 * 1024 * 1024,
            bytes_per_period: 16 * 1024 * 1024,
            period_s: 3600,
        }
    }
}

/// Why input was refused with this error; `None` where it is not the input's fault, or where the client is asked to send it
/// again.
pub fn reason_of(error: &ApiError) -> Option<DropReason> {
    match error {
        ApiError::PayloadTooLarge { .. } => Some(DropReason::Oversized),
        ApiError::BadParameters(_)
        | ApiError::BadRequest(_)
        | ApiError::UnsupportedContentType(_)
        | ApiError::UnsupportedContentEncoding(_) => Some(DropReason::Invalid),
        _ => None,
    }
}
