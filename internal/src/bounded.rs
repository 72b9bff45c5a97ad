//! The bound on every call: whatever takes longer, or breaks, answers in the form that gitlab-shell shows its user.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::FutureExt as _;
use serde_json::json;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::state::InternalState;

/// GitLab's text for an outcome it can't name.
const UNKNOWN: &str = "Unknown check result";

/// The form of a refusal that gitlab-shell shows its user.
#[derive(ToSchema)]
#[expect(dead_code, reason = "documents what the function below writes")]
pub(crate) struct Refused {
    status: bool,
    message: String,
}

/// A refusal before there is an answer to show anybody: the caller is none, or the service can't.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "documents an answer that ApiError writes")]
pub(crate) struct PlainRefusal {
    message: String,
}

/// Either form.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents answers that ApiError and the function below write")]
pub(crate) enum AnyRefusal {
    Shown(Refused),
    Plain(PlainRefusal),
}

/// `{"status":false,"message":…}`
pub(crate) fn refusal(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"status": false, "message": message}))).into_response()
}

/// Answers 503 in place of a call that takes too long, 500 in place of one that breaks, and counts each.
pub(crate) async fn bound(
    State(state): State<InternalState>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let limit = Duration::from_secs(state.0.config.call_timeout_s);
    let call = AssertUnwindSafe(next.run(request)).catch_unwind();
    let response = match timeout(limit, call).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, UNKNOWN),
        Err(_) => {
            tracing::warn!(path = path.as_str(), seconds = limit.as_secs(), "a call took too long");
            let message = format!("The request timed out after {} seconds.", limit.as_secs());
            refusal(StatusCode::SERVICE_UNAVAILABLE, &message)
        }
    };
    let status = response.status();
    state.0.metrics.requests.with_label_values(&[path.as_str(), status.as_str()]).inc();
    response
}
