//! Whom a command is for: the user of a key, or a user by id. Such commands answer 200 whatever comes of them, and say in
//! `success` what did.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tally_directory::{State, TransactError, User};
use tally_service::api::ApiError;
use utoipa::ToSchema;

use crate::actor::Actor;
use crate::parameters::Parameters;

/// The form in which [`Unable`] is answered, for the document.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents an answer that Unable writes")]
pub(super) struct Failed {
    success: bool,
    message: String,
}

/// Why a command does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unable {
    /// For a reason that whoever ran it is told.
    Because(String),
    /// The directory did not take it.
    Unavailable,
}

impl Unable {
    pub(super) fn because(text: impl Into<String>) -> Self {
        Self::Because(text.into())
    }
}

impl From<TransactError<Self>> for Unable {
    fn from(error: TransactError<Self>) -> Self {
        match error {
            TransactError::Refused(refused) => refused,
            TransactError::Unavailable(error) => {
                tracing::warn!(error, "the directory did not take a command");
                Self::Unavailable
            }
        }
    }
}

impl IntoResponse for Unable {
    fn into_response(self) -> Response {
        match self {
            Self::Because(message) => Json(json!({"success": false, "message": message})).into_response(),
            Self::Unavailable => {
                ApiError::Unavailable { reason: "the directory is not available", retry_after_s: 1 }
                    .into_response()
            }
        }
    }
}

/// The user whom the command is for; `deploy_key` is the answer to a deploy key, which is nobody's.
pub(super) fn subject<'s>(
    parameters: &Parameters,
    state: &'s State,
    deploy_key: &'static str,
) -> Result<&'s User, Unable> {
    let actor = Actor::find(parameters, state);
    if actor.deploy_key().is_some() {
        return Err(Unable::because(deploy_key));
    }
    let user = actor.user.as_ref().and_then(|user| state.user(user.id));
    let by_key =
        parameters.is_given("key_id") || !["user_id", "username"].iter().any(|by| parameters.is_given(by));
    user.map(|user| &**user).ok_or_else(|| {
        Unable::because(match (by_key, actor.key) {
            (true, None) => "Could not find the given key",
            (true, Some(_)) => "Could not find a user for the given key",
            (false, _) => "Could not find the given user",
        })
    })
}
