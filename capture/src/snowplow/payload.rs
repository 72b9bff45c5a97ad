//! The body of a POST: Snowplow's `payload_data`, a self-describing JSON whose data are the events.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::snowplow::schema::SchemaKey;

/// Why a body is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MalformedPayload {
    /// No JSON of the form.
    #[error("the body is no payload of a tracker: {0}")]
    Json(String),
    /// Self-describing, but something else.
    #[error("the body's schema is {0:?}; expected payload_data of com.snowplowanalytics.snowplow, version 1")]
    Schema(String),
    /// More events than a request may have.
    #[error("the body has {count} events; {limit} are allowed")]
    TooMany {
        /// How many it has.
        count: usize,
        /// How many it may have.
        limit: usize,
    },
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    schema: Cow<'a, str>,
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

/// The events' JSON texts, not yet looked at: one that is broken spoils no other.
pub(crate) fn events(body: &str, limit: usize) -> Result<Vec<&str>, MalformedPayload> {
    let envelope: Envelope<'_> =
        serde_json::from_str(body).map_err(|error| MalformedPayload::Json(error.to_string()))?;
    let is_payload = SchemaKey::parse(&envelope.schema).is_some_and(|schema| {
        schema.vendor == SchemaKey::SNOWPLOW
            && schema.name == "payload_data"
            && schema.version.starts_with("1-")
    });
    if !is_payload {
        return Err(MalformedPayload::Schema(envelope.schema.chars().take(100).collect()));
    }
    match envelope.data.len() {
        count if count > limit => Err(MalformedPayload::TooMany { count, limit }),
        _ => Ok(envelope.data.into_iter().map(RawValue::get).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_1_is_read_and_nothing_else() {
        let body = |schema: &str| format!(r#"{{"schema":"{schema}","data":[{{"e":"pv"}}, 7]}}"#);
        for version in ["1-0-0", "1-0-4", "1-2-0"] {
            let body =
                body(&format!("iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/{version}"));
            assert_eq!(events(&body, 2), Ok(vec![r#"{"e":"pv"}"#, "7"]));
            assert_eq!(events(&body, 1), Err(MalformedPayload::TooMany { count: 2, limit: 1 }));
        }
        for schema in [
            "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/2-0-0",
            "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0",
            "iglu:com.acme/payload_data/jsonschema/1-0-0",
            "payload_data",
        ] {
            assert_eq!(events(&body(schema), 2), Err(MalformedPayload::Schema(schema.to_owned())));
        }
        for body in ["", "[]", "{}", r#"{"schema":1,"data":[]}"#, r#"{"schema":"x","data":{}}"#] {
            assert!(matches!(events(body, 2), Err(MalformedPayload::Json(_))), "{body}");
        }
    }
}
