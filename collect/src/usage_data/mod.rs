//! `POST /usage_data`: a payload arrives, as the body or as a file in a form; it is checked, stored once, and answered with
//! its number and the `DevOps` score. One file a step.

mod check;
mod number;
mod score;
mod upload;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tally_service::described;

pub(crate) use score::per_active_user_fields;

use crate::body;
use crate::collector::Collector;
use crate::pages;
use crate::refusal::Refusal;
use crate::storage::StoredPing;
use check::Payload;
use score::Score;

described! {
    /// A Service Ping payload, of which these fields are looked at.
    struct ServicePing = json!({
        "type": "object",
        "required": ["uuid", "recorded_at", "version", "hostname"],
        "properties": {
            "uuid": {"type": "string", "format": "uuid"},
            "recorded_at": {"type": "string", "format": "date-time"},
            "version": {"type": "string"},
            "hostname": {"type": "string"},
            "installation_type": {"type": "string"},
            "edition": {"type": "string"},
            "active_user_count": {"type": "number"},
            "counts": {"type": "object"},
            "counts_monthly": {"type": "object"},
        },
    });

    /// A form with a payload in a file.
    struct UploadForm = json!({
        "type": "object",
        "required": ["usage_data"],
        "properties": {"usage_data": {"type": "string", "format": "binary"}},
    });

    /// The number of a payload, and the `DevOps` score under both of its names.
    struct Receipt = score::receipt_schema();

    /// Why a payload is refused.
    struct UnknownShape = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    });
}

/// A payload that is stored, as it is answered.
struct Received {
    payload: Payload,
    usage_data_id: u64,
    score: Score,
}

/// A Service Ping
///
/// Takes a payload, as the body or as the file `usage_data` of a form. The same payload again gets the same number and
/// is not stored twice.
#[utoipa::path(
    post,
    path = "/usage_data",
    tag = "collector",
    request_body(content((ServicePing = "application/json"), (UploadForm = "multipart/form-data"))),
    responses(
        (status = 201, description = "The payload is stored", body = Receipt),
        (status = 422, description = "Not a Service Ping payload", body = UnknownShape),
    ),
)]
pub(crate) async fn post_usage_data(State(collector): State<Collector>, request: Request) -> Response {
    let wants_page = pages::wanted(request.headers());
    match receive(&collector, request).await {
        Ok(received) => received.answer(wants_page),
        Err(refusal) => {
            collector.0.metrics.payloads.with_label_values(&["refused"]).inc();
            refusal.answer(wants_page)
        }
    }
}

/// Manual upload
///
/// A page with a form that takes a payload's file.
#[utoipa::path(
    get,
    path = "/usage_data/new",
    tag = "collector",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
)]
pub(crate) async fn new_usage_data(State(collector): State<Collector>) -> Response {
    pages::upload(collector.0.config.body.max_body_bytes)
}

/// A manual upload
///
/// As `POST /usage_data`; what the form on this page sends.
#[utoipa::path(
    post,
    path = "/usage_data/new",
    tag = "collector",
    request_body(content((UploadForm = "multipart/form-data"), (ServicePing = "application/json"))),
    responses(
        (status = 201, description = "The payload is stored", body = Receipt),
        (status = 422, description = "Not a Service Ping payload", body = UnknownShape),
    ),
)]
pub(crate) async fn upload_usage_data(collector: State<Collector>, request: Request) -> Response {
    post_usage_data(collector, request).await
}

async fn receive(collector: &Collector, request: Request) -> Result<Received, Refusal> {
    if is_form(request.headers()) {
        let file = upload::read_file(collector, request).await?;
        return take(collector, file.text()).await;
    }
    let body = body::read_json(&collector.0.bodies, request).await?;
    take(collector, body.text()).await
}

fn is_form(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    body::media_type(content_type).eq_ignore_ascii_case("multipart/form-data")
}

/// Checks and stores a payload's text.
async fn take(collector: &Collector, text: &str) -> Result<Received, Refusal> {
    let inner = &collector.0;
    let now = inner.clock.now();
    let object = body::check_json(text, inner.config.body.max_json_depth)?;
    let payload = Payload::check(object, now)?;
    let usage_data_id = number::usage_data_id(payload.uuid, payload.recorded_at);
    let is_repeated = inner.storage.has_ping(payload.uuid, payload.recorded_at).await?;
    if !is_repeated {
        let row = StoredPing {
            uuid: payload.uuid,
            recorded_at: payload.recorded_at,
            usage_data_id,
            received_at: now,
            hostname: &payload.hostname,
            version: &payload.version,
            edition: &payload.edition,
            installation_type: &payload.installation_type,
            use_per_active_user: &payload.use_per_active_user,
            payload: text,
        };
        inner.storage.insert(&[row], number::token(payload.uuid, payload.recorded_at)).await?;
    }
    inner.metrics.payloads.with_label_values(&[if is_repeated { "repeated" } else { "stored" }]).inc();
    let score = Score::of(collector, &payload, now).await;
    Ok(Received { payload, usage_data_id, score })
}

impl Received {
    fn answer(&self, wants_page: bool) -> Response {
        if wants_page {
            return pages::received(&pages::Receipt {
                usage_data_id: self.usage_data_id,
                uuid: &self.payload.uuid.to_string(),
                recorded_at: &self.payload.recorded_at.to_string(),
                is_compared: self.score.is_compared(),
                rows: &self.score.rows(),
            });
        }
        let score = self.score.document(self.usage_data_id);
        // Older instances look for the score's former name, newer ones for either.
        let receipt: Value = json!({"dev_ops_score": score, "conv_index": score});
        (StatusCode::CREATED, Json(receipt)).into_response()
    }
}
