//! The errors: [`StartError`] for a configuration that can't be, [`PingError`] for what is asked of a running ping.

use std::convert::Infallible;

use tally_directory::TransactError;

use crate::outgoing::SendError;
use crate::storage::StorageError;

/// Why the Service Ping can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// `ping.base_url` is no HTTP(S) address.
    #[error("ping.base_url: {0:?} is no http:// or https:// address")]
    BaseUrl(String),
    /// The HTTP client can't be made, as when the machine has no root certificates.
    #[error("can't prepare to send: {0}")]
    Client(String),
}

/// Why something asked of the Service Ping was not done.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// `usage_ping_generation_enabled` is off: no payload is made.
    #[error("the setting usage_ping_generation_enabled is off")]
    GenerationOff,
    /// `usage_ping_enabled` is off, in the configuration file or as a setting: nothing is sent.
    #[error("usage_ping_enabled is off: nothing is sent")]
    OptedOut,
    /// `include_optional_data_in_service_ping` was switched off while the payload was being prepared: nothing was sent.
    #[error("the settings have changed meanwhile: nothing was sent")]
    ConsentChanged,
    /// `ping.base_url` is empty: there is nobody to send to.
    #[error("ping.base_url is empty: there is nobody to send to")]
    NoReceiver,
    /// A payload could not be stored or read. An empty one is not stored.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The receiver did not take the payload; the try is stored as a failed one.
    #[error("the receiver did not take the payload: {0}")]
    NotTaken(SendError),
    /// The version check was not answered.
    #[error("the version check has no answer: {0}")]
    VersionCheck(SendError),
    /// The directory can't be written to.
    #[error("the directory is unavailable: {0}")]
    Directory(String),
}

impl From<TransactError<Infallible>> for PingError {
    fn from(error: TransactError<Infallible>) -> Self {
        match error {
            TransactError::Unavailable(reason) => Self::Directory(reason),
            TransactError::Refused(never) => match never {},
        }
    }
}
