//! What instances report beside their payloads: `POST /usage_ping_metadata` and `POST /usage_ping_errors`. Both are stored and
//! answered with an empty object.

use std::fmt;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Deserializer as _;
use serde::de::{Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tally_service::described;

use crate::body::{self, Fields, kind_of};
use crate::collector::Collector;
use crate::refusal::Refusal;
use crate::storage::{ErrorReport, MetadataReport};

/// Bytes of an identity field.
const MAX_TEXT_BYTES: usize = 255;

/// Bytes of an error's message.
const MAX_MESSAGE_BYTES: usize = 64 * 1024;

described! {
    /// How long each metric of a payload took.
    struct Metadata = json!({
        "type": "object",
        "required": ["metadata"],
        "properties": {"metadata": {
            "type": "object",
            "required": ["uuid", "metrics"],
            "properties": {
                "uuid": {"type": "string", "format": "uuid"},
                "unique_instance_id": {"type": "string"},
                "metrics": {"type": "array", "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "time_elapsed": {"type": "number"},
                        "error": {"type": "string"},
                    },
                }},
            },
        }},
    });

    /// A submission that failed.
    struct SubmissionError = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["uuid", "message"],
            "properties": {
                "uuid": {"type": "string", "format": "uuid"},
                "unique_instance_id": {"type": "string"},
                "hostname": {"type": "string"},
                "version": {"type": "string"},
                "time": {"type": "string"},
                "message": {"type": "string"},
                "elapsed": {"type": "number"},
            },
        }},
    });

    /// An empty object.
    struct Noted = json!({"type": "object"});

    /// Why a report is refused.
    struct ReportRefusal = json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "string"}},
    });
}

/// Times per metric
///
/// How long an instance took for each metric of a payload.
#[utoipa::path(
    post,
    path = "/usage_ping_metadata",
    tag = "collector",
    request_body = Metadata,
    responses(
        (status = 201, description = "Stored", body = Noted),
        (status = 422, description = "Not such a report", body = ReportRefusal),
    ),
)]
pub(crate) async fn post_metadata(
    State(collector): State<Collector>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    let inner = &collector.0;
    let body = body::read_json(&inner.reports, request).await?;
    let object = body::check_json(body.text(), inner.config.body.max_json_depth)?;
    let report = only_field(object, "metadata", &["metadata"])?;
    let mut fields = Fields::of(report, "metadata", &["uuid", "unique_instance_id", "metrics"])?;
    let uuid = fields.uuid("uuid");
    let unique_instance_id = fields.optional_text("unique_instance_id", MAX_TEXT_BYTES);
    let metrics = fields.get("metrics").filter(|metrics| kind_of(metrics.get()) == "an array");
    if metrics.is_none() {
        fields.problem("metrics", "an array");
    }
    fields.finish()?;
    let metrics = metrics.map_or_else(String::new, |metrics| metrics.get().to_owned());
    check_metrics(&metrics)?;
    let row = MetadataReport { uuid, received_at: inner.clock.now(), unique_instance_id, metrics };
    inner.storage.insert(&[row], token("usage_ping_metadata", body.text())).await?;
    Ok((StatusCode::CREATED, Json(json!({}))))
}

/// A failed submission
///
/// What went wrong when an instance generated or sent a payload.
#[utoipa::path(
    post,
    path = "/usage_ping_errors",
    tag = "collector",
    request_body = SubmissionError,
    responses(
        (status = 201, description = "Stored", body = Noted),
        (status = 422, description = "Not such a report", body = ReportRefusal),
    ),
)]
pub(crate) async fn post_errors(
    State(collector): State<Collector>,
    request: Request,
) -> Result<(StatusCode, Json<Value>), Refusal> {
    const FIELDS: &[&str] =
        &["uuid", "unique_instance_id", "hostname", "version", "time", "message", "elapsed"];
    let inner = &collector.0;
    let body = body::read_json(&inner.reports, request).await?;
    let object = body::check_json(body.text(), inner.config.body.max_json_depth)?;
    let mut fields = Fields::of(only_field(object, "error", &["error"])?, "error", FIELDS)?;
    let row = ErrorReport {
        uuid: fields.uuid("uuid"),
        received_at: inner.clock.now(),
        unique_instance_id: fields.optional_text("unique_instance_id", MAX_TEXT_BYTES),
        hostname: fields.optional_text("hostname", MAX_TEXT_BYTES),
        version: fields.optional_text("version", MAX_TEXT_BYTES),
        time: fields.optional_text("time", MAX_TEXT_BYTES),
        elapsed: fields.optional_number("elapsed").unwrap_or(0.0),
        message: fields.text("message", MAX_MESSAGE_BYTES),
    };
    fields.finish()?;
    inner.storage.insert(&[row], token("usage_ping_errors", body.text())).await?;
    Ok((StatusCode::CREATED, Json(json!({}))))
}

/// The object that a body holds under its one name.
fn only_field<'a>(
    body: &'a RawValue,
    name: &'static str,
    names: &'static [&'static str],
) -> Result<&'a RawValue, Refusal> {
    let mut fields = Fields::of(body, "", names)?;
    let object = fields.optional_object(name);
    if object.is_none() && fields.get(name).is_none() {
        fields.problem(name, "an object");
    }
    fields.finish()?;
    object.ok_or_else(|| Refusal::UnknownShape(format!("{name}: expected an object")))
}

/// Checks an array of metrics one by one: a list of all would take many times what a body of `[1,1,1…` does.
fn check_metrics(metrics: &str) -> Result<(), Refusal> {
    let mut refusal = None;
    let checked = serde_json::Deserializer::from_str(metrics).deserialize_seq(MetricsCheck(&mut refusal));
    match (checked, refusal) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(refusal)) => Err(refusal),
        (Err(error), None) => Err(Refusal::UnknownShape(error.to_string())),
    }
}

/// Stops at the first metric that is none, and leaves there what is wrong with it.
struct MetricsCheck<'r>(&'r mut Option<Refusal>);

impl<'de> Visitor<'de> for MetricsCheck<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut metrics: A) -> Result<(), A::Error> {
        while let Some(metric) = metrics.next_element::<&RawValue>()? {
            if let Err(refusal) = check_metric(metric) {
                *self.0 = Some(refusal);
                return Err(A::Error::custom("no metric"));
            }
        }
        Ok(())
    }
}

/// A metric is an object with a name and, where it tells them, seconds and an error.
fn check_metric(metric: &RawValue) -> Result<(), Refusal> {
    let mut fields = Fields::of(metric, "metadata.metrics[]", &["name", "time_elapsed", "error"])?;
    fields.text("name", MAX_TEXT_BYTES);
    fields.optional_number("time_elapsed");
    fields.optional_text("error", MAX_MESSAGE_BYTES);
    fields.finish()
}

/// The same report again, as after an answer that was lost, is stored once.
fn token(kind: &str, body: &str) -> String {
    let hash = Sha256::digest(body);
    let (head, _) = hash.split_at(16);
    let head: [u8; 16] = head.try_into().expect("a SHA-256 has 32 bytes");
    format!("{kind}:{:032x}", u128::from_be_bytes(head))
}
