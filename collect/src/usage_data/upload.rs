//! A payload as a file in a form, as a browser sends it from the upload page. So many forms are read at a time.

use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use tally_service::api::{ApiError, MalformedBody};
use tokio::sync::OwnedSemaphorePermit;

use crate::collector::Collector;
use crate::refusal::Refusal;

/// What the file's field may be called.
const FIELD_NAMES: [&str; 2] = ["usage_data", "file"];

/// A file's text. Holds its place among the uploads until it is dropped.
pub(super) struct File {
    text: String,
    _place: OwnedSemaphorePermit,
}

impl File {
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Reads the form's file within the limits of a body.
pub(super) async fn read_file(collector: &Collector, request: Request) -> Result<File, Refusal> {
    let limits = &collector.0.config.body;
    let too_many =
        ApiError::Unavailable { reason: "too many uploads at once", retry_after_s: limits.retry_after_s };
    let place = std::sync::Arc::clone(&collector.0.uploads).try_acquire_owned().map_err(|_| too_many)?;
    let form = Multipart::from_request(request, &());
    let form = form.await.map_err(|error| malformed(&error.body_text()))?;
    let reading = find_file(form, limits.max_body_bytes);
    let text = tokio::time::timeout(Duration::from_secs(limits.body_timeout_s), reading)
        .await
        .map_err(|_| ApiError::RequestTimeout)??;
    Ok(File { text, _place: place })
}

async fn find_file(mut form: Multipart, max_bytes: usize) -> Result<String, Refusal> {
    loop {
        let field = form.next_field().await.map_err(|error| broken(&error, max_bytes))?;
        let Some(field) = field else { break };
        if field.name().is_some_and(|name| FIELD_NAMES.contains(&name)) {
            return read_field(field, max_bytes).await;
        }
    }
    Err(Refusal::UnknownShape("the form: expected a file in the field usage_data, found nothing".to_owned()))
}

async fn read_field(mut field: Field<'_>, max_bytes: usize) -> Result<String, Refusal> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| broken(&error, max_bytes))? {
        if bytes.len() + chunk.len() > max_bytes {
            return Err(ApiError::PayloadTooLarge { limit: max_bytes }.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|error| {
        malformed(&format!("invalid UTF-8 at byte {}", error.utf8_error().valid_up_to() + 1))
    })
}

fn broken(error: &MultipartError, max_bytes: usize) -> Refusal {
    if error.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE {
        return ApiError::PayloadTooLarge { limit: max_bytes }.into();
    }
    malformed(&error.body_text())
}

fn malformed(what: &str) -> Refusal {
    Refusal::Api(MalformedBody(what.to_owned()).into())
}
