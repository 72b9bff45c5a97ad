//! Why an administered record is refused: in the API's usual forms, or as GitLab's models do, field by field.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tally_directory::TransactError;
use tally_service::api::ApiError;
use utoipa::ToSchema;

/// A refusal of one command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// One of the forms that all endpoints have.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// 400: this field can't be as it was sent, `{"message":{"start_date":["can't be blank"]}}`.
    #[error("{field} {problem}")]
    Field { field: &'static str, problem: &'static str },
    /// 400: the command's own text, `{"message":{"error":"…"}}`.
    #[error("{0}")]
    Command(String),
}

/// An endpoint's refusal, as documents describe it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents an answer that ApiError writes")]
pub(crate) struct EndpointError {
    message: String,
}

/// A refusal by the check of parameters, as documents describe it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents an answer that ApiError writes")]
pub(crate) struct ParameterError {
    error: String,
}

/// What is wrong with a record, by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents an answer that Refusal writes")]
pub(crate) struct FieldErrors {
    message: BTreeMap<String, Vec<String>>,
}

/// What is wrong with a command as a whole.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents an answer that Refusal writes")]
pub(crate) struct CommandError {
    message: CommandMessage,
}

/// The text of a [`CommandError`].
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents an answer that Refusal writes")]
struct CommandMessage {
    error: String,
}

/// 400 of an endpoint whose records are checked field by field.
#[derive(ToSchema)]
#[schema(as = RecordRefusal)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents answers that ApiError and Refusal write")]
pub(crate) enum RecordRefusal {
    Parameters(ParameterError),
    Fields(FieldErrors),
}

/// 400 of an endpoint that refuses a command as a whole.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents answers that ApiError and Refusal write")]
pub(crate) enum CommandRefusal {
    Parameters(ParameterError),
    Endpoint(EndpointError),
    Command(CommandError),
}

impl Refusal {
    /// A field that must have a value has none.
    pub(crate) const fn blank(field: &'static str) -> Self {
        Self::Field { field, problem: "can't be blank" }
    }
}

impl From<TransactError<Self>> for Refusal {
    fn from(error: TransactError<Self>) -> Self {
        match error {
            TransactError::Refused(refusal) => refusal,
            TransactError::Unavailable(error) => {
                tracing::warn!(%error, "the directory did not take a command");
                Self::Api(ApiError::Unavailable {
                    reason: "the directory is not available",
                    retry_after_s: 1,
                })
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let message: Value = match self {
            Self::Api(error) => return error.into_response(),
            Self::Field { field, problem } => json!({field: [problem]}),
            Self::Command(text) => json!({"error": text}),
        };
        (StatusCode::BAD_REQUEST, Json(json!({"message": message}))).into_response()
    }
}
