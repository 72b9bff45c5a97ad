//! Requests to the receiver: [`Transport`] carries them, `http` over the network, within limits on addresses,
//! time and the answer's size.

mod http;

use async_trait::async_trait;
use bytes::Bytes;

pub use self::http::HttpTransport;

/// The largest answer that is read, in bytes.
pub const LARGEST_ANSWER: usize = 1 << 20;

/// A request to the receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The whole address.
    pub url: String,
    /// A JSON text to post; `None` for a GET.
    pub body: Option<Bytes>,
    /// The `Referer` header.
    pub referer: Option<String>,
}

/// The receiver's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body, at most [`LARGEST_ANSWER`] bytes.
    pub body: Bytes,
}

/// Carries requests; a trait so that a test can let them fail.
#[async_trait]
pub trait Transport: Send + Sync {
    /// Sends the request and reads the answer, whatever its status.
    async fn send(&self, request: Outgoing) -> Result<Answer, SendError>;
}

/// Why the receiver did not take what was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// There is nothing in the payload.
    #[error("the payload is blank")]
    BlankPayload,
    /// The receiver has no address that may be called.
    #[error("{0}: its address is private, loopback or link-local; ping.allow_private_addresses is off")]
    ForbiddenAddress(String),
    /// No connection, or it broke.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer in time")]
    TimedOut,
    /// The answer is larger than [`LARGEST_ANSWER`].
    #[error("the answer is larger than {LARGEST_ANSWER} bytes")]
    AnswerTooLarge,
    /// The answer's status is no 2xx.
    #[error("the answer has status {0}")]
    BadStatus(u16),
    /// The answer names no number for the payload.
    #[error("the answer has no usage_data_id")]
    MissingId,
    /// The answer can't be read.
    #[error("the answer can't be read: {0}")]
    BadAnswer(String),
    /// The payload could not be made or stored.
    #[error("{0}")]
    NotGenerated(String),
}

impl SendError {
    /// What the receiver is told of it: without what names this instance's own machines.
    pub fn told(&self) -> String {
        match self {
            Self::Unreachable(_) => "no answer".to_owned(),
            Self::NotGenerated(_) => "the payload could not be made or stored".to_owned(),
            other => other.to_string(),
        }
    }

    /// The reason as metrics name it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::BlankPayload => "blank_payload",
            Self::ForbiddenAddress(_) => "forbidden_address",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut => "timed_out",
            Self::AnswerTooLarge => "answer_too_large",
            Self::BadStatus(_) => "bad_status",
            Self::MissingId => "missing_id",
            Self::BadAnswer(_) => "bad_answer",
            Self::NotGenerated(_) => "not_generated",
        }
    }
}
