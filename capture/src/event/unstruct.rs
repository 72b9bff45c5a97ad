//! Self-describing events: GitLab's custom events and Snowplow's link clicks have columns of their own; of all others the
//! name is known, and their data are kept as they are.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tally_schemas::PageEvent;

use super::{EventBuilder, Refused};
use crate::snowplow::schema::{self, SchemaKey, SelfDescribing};

/// `com.gitlab/custom_event`, what GitLab's SDKs track.
#[derive(Deserialize)]
struct CustomEvent<'a> {
    #[serde(borrow, default)]
    name: Cow<'a, str>,
    #[serde(borrow, default)]
    props: Option<&'a RawValue>,
}

/// Takes in the event within `text`, an `unstruct_event`.
pub(super) fn add(builder: &EventBuilder, event: &mut PageEvent, text: &str) -> Result<(), Refused> {
    let malformed = |error: serde_json::Error| {
        Refused::invalid(format!("the self-describing event is malformed: {error}"))
    };
    let described = schema::unstruct(text).map_err(malformed)?;
    let key = SchemaKey::parse(&described.schema)
        .ok_or_else(|| Refused::invalid("the self-describing event names no schema"))?;
    match (key.vendor, key.name) {
        ("com.gitlab", "custom_event") => {
            let custom = serde_json::from_str(described.data.get()).map_err(malformed)?;
            add_custom(builder, event, &custom);
        }
        (_, name) => {
            event.event = builder.text(name);
            event.event_name.clone_from(&event.event);
            add_element(builder, event, &described, key).map_err(malformed)?;
        }
    }
    Ok(())
}

fn add_custom(builder: &EventBuilder, event: &mut PageEvent, custom: &CustomEvent<'_>) {
    "custom".clone_into(&mut event.event);
    event.event_name = builder.text(&custom.name);
    event.custom_event_name.clone_from(&event.event_name);
    event.custom_event_props = custom.props.map_or_else(String::new, object);
}

/// The JSON's text; nothing for an object without members.
pub(super) fn object(json: &RawValue) -> String {
    match serde_json::from_str::<Map<String, Value>>(json.get()) {
        Ok(members) if members.is_empty() => String::new(),
        _ => json.get().to_owned(),
    }
}

/// The element that a link click or an event of a form is about; everything that is not all in columns then is kept as a
/// whole.
fn add_element(
    builder: &EventBuilder,
    event: &mut PageEvent,
    described: &SelfDescribing<'_>,
    key: SchemaKey<'_>,
) -> Result<(), serde_json::Error> {
    let mut is_whole = false;
    if key.vendor == SchemaKey::SNOWPLOW {
        let data: Map<String, Value> = serde_json::from_str(described.data.get())?;
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        match key.name {
            "link_click" => {
                event.target_url = builder.text(text("targetUrl"));
                event.element_id = builder.text(text("elementId"));
                is_whole = data.iter().all(|(name, value)| {
                    matches!(name.as_str(), "targetUrl" | "elementId") || is_empty(value)
                });
            }
            "focus_form" | "change_form" => event.element_id = builder.text(text("elementId")),
            "submit_form" => event.element_id = builder.text(text("formId")),
            _ => {}
        }
    }
    if !is_whole {
        event.unstruct = serde_json::to_string(described)?;
    }
    Ok(())
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}
