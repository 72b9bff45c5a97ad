//! Every refusal of the collector, and the one place where it becomes a status and a body: JSON, or a page for a browser.

use axum::Json;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tally_service::api::ApiError;
use tally_store::{InsertError, StoreError};

use crate::pages;

/// Seconds that a client is asked to wait while ClickHouse does not answer.
const RETRY_AFTER_S: u64 = 5;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// As any service of Tally refuses.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// 422: the body is JSON and not what belongs here; the text says what was expected where.
    #[error("{0}")]
    UnknownShape(String),
}

impl Refusal {
    /// The answer for whoever asks: a page, or JSON.
    pub(crate) fn answer(self, wants_page: bool) -> Response {
        if !wants_page {
            return self.into_response();
        }
        let mut page = pages::refused(self.status(), &self.to_string());
        if let Some(seconds) = self.into_response().headers().get(RETRY_AFTER) {
            page.headers_mut().insert(RETRY_AFTER, seconds.clone());
        }
        page
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Api(error) => error.status(),
            Self::UnknownShape(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Api(error) => error.into_response(),
            Self::UnknownShape(text) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"error": text}))).into_response()
            }
        }
    }
}

/// ClickHouse did not do what it was asked. Where it is only away, a later try may work.
impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store has no answer");
        match error {
            StoreError::Outage(_) => Self::store_unavailable(),
            StoreError::Refused(_) => Self::Api(ApiError::Internal),
        }
    }
}

impl From<InsertError> for Refusal {
    fn from(error: InsertError) -> Self {
        tracing::warn!(%error, "what was received could not be stored");
        match error {
            InsertError::Outage { .. } | InsertError::Late { .. } => Self::store_unavailable(),
            InsertError::Rejected { .. } => Self::Api(ApiError::Internal),
        }
    }
}

impl Refusal {
    /// 503: the same request may work later.
    pub(crate) fn store_unavailable() -> Self {
        let reason = "the database does not answer";
        Self::Api(ApiError::Unavailable { reason, retry_after_s: RETRY_AFTER_S })
    }
}
