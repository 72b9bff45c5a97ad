//! Logs on standard error: human-readable lines for a terminal, one JSON object a line for collectors.

use std::io::IsTerminal;

use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

/// How to log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// `human` or `json`.
    pub format: LogFormat,
    /// A filter in tracing's syntax, such as `info` or `info,tally_ingest=debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

/// Logging could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter does not parse.
    #[error("log.filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Something else in the process has already taken over logging.
    #[error("logging: {0}")]
    AlreadyStarted(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the process's logs to standard error.
pub fn start(config: &LogConfig) -> Result<(), LogError> {
    use tracing_subscriber::util::SubscriberInitExt;

    let filter = EnvFilter::try_new(&config.filter)?;
    let colours = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        // A line that can't be written, on a full disk for one, is lost. Complaining of it there would panic.
        .log_internal_errors(false);
    match config.format {
        LogFormat::Human => builder.finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}
