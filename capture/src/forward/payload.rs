//! A tracked event as Snowplow's tracker protocol has it: the structured event that GitLab's own tracking makes of an internal
//! event, with GitLab's two contexts.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tally_schemas::{PropertyValue, TrackedEvent};

const PAYLOAD_SCHEMA: &str = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";
const CONTEXTS_SCHEMA: &str = "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1";
const STANDARD_CONTEXT_SCHEMA: &str = "iglu:com.gitlab/gitlab_standard/jsonschema/1-1-1";
const SERVICE_PING_CONTEXT_SCHEMA: &str = "iglu:com.gitlab/gitlab_service_ping/jsonschema/1-0-1";

/// The category of internal events in GitLab.
const CATEGORY: &str = "InternalEventTracking";

/// The additional properties that a structured event has fields for.
const FIELDS: [&str; 3] = ["label", "property", "value"];

/// An event by the protocol's parameter names; all values are texts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct SnowplowEvent {
    e: &'static str,
    /// Snowplow's pipeline tells repetitions by it.
    pub eid: String,
    p: &'static str,
    tv: &'static str,
    tna: &'static str,
    aid: String,
    dtm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    stm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<String>,
    se_ca: &'static str,
    se_ac: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    se_la: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    se_pr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    se_va: Option<String>,
    co: String,
}

impl SnowplowEvent {
    pub fn of(event: &TrackedEvent<'_>, app_id: &str) -> Self {
        let field = |name: &str| event.property(name)?.text().map(Cow::into_owned);
        Self {
            e: "se",
            eid: event.event_id.to_string(),
            p: "srv",
            tv: concat!("tally-", env!("CARGO_PKG_VERSION")),
            tna: "gl",
            aid: app_id.to_owned(),
            dtm: event.timestamp.to_string(),
            stm: None,
            uid: event.user_id.map(|id| id.to_string()),
            se_ca: CATEGORY,
            se_ac: event.name.clone().into_owned(),
            se_la: field("label"),
            se_pr: field("property"),
            // A number, or the field can't be there.
            se_va: field("value").filter(|text| text.parse::<f64>().is_ok_and(f64::is_finite)),
            co: contexts(event).to_string(),
        }
    }

    /// Its size in a payload without the time of sending, in bytes.
    pub fn size(&self) -> usize {
        serde_json::to_vec(self).expect("texts become JSON").len()
    }
}

/// The payload of these events, sent at `now`.
pub(super) fn payload(events: &[SnowplowEvent], now: Timestamp) -> Vec<u8> {
    #[derive(Serialize)]
    struct Payload {
        schema: &'static str,
        data: Vec<SnowplowEvent>,
    }
    let stm = now.as_millisecond().to_string();
    let data = events.iter().map(|event| SnowplowEvent { stm: Some(stm.clone()), ..event.clone() }).collect();
    serde_json::to_vec(&Payload { schema: PAYLOAD_SCHEMA, data }).expect("texts become JSON")
}

fn contexts(event: &TrackedEvent<'_>) -> Value {
    let others = event.additional_properties.iter().filter(|(name, _)| !FIELDS.contains(&&**name));
    let extra: Map<String, Value> =
        others.map(|(name, value)| (name.clone().into_owned(), json_of(value))).collect();
    let standard = json!({
        "environment": "self-managed",
        "source": "tally",
        "user_id": event.user_id,
        "project_id": event.project_id,
        "namespace_id": event.namespace_id,
        "context_generated_at": time_text(event.received_at),
        "extra": extra,
    });
    let service_ping = json!({"data_source": "redis_hll", "event_name": event.name});
    json!({
        "schema": CONTEXTS_SCHEMA,
        "data": [
            {"schema": STANDARD_CONTEXT_SCHEMA, "data": standard},
            {"schema": SERVICE_PING_CONTEXT_SCHEMA, "data": service_ping},
        ],
    })
}

fn json_of(value: &PropertyValue<'_>) -> Value {
    match value {
        PropertyValue::Null => Value::Null,
        PropertyValue::Boolean(value) => (*value).into(),
        PropertyValue::Long(value) => (*value).into(),
        PropertyValue::Double(value) => (*value).into(),
        PropertyValue::String(text) => (**text).into(),
        PropertyValue::Json(text) => serde_json::from_str(text).unwrap_or_else(|_| (**text).into()),
    }
}

/// RFC 3339; empty for an instant that no calendar has.
fn time_text(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds).map(|time| time.to_string()).unwrap_or_default()
}
