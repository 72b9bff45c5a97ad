//! The parser against a naive model that works on a tree of JSON values, over random JSON.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tally_schemas::PropertyValue;

use super::*;

/// What the contract says of one parameter: absent, wrong, or this value.
fn model_integer(value: Option<&Value>) -> Result<Option<i64>, ()> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            let float = number.as_f64().unwrap();
            Ok(Some(number.as_i64().unwrap_or(float as i64)))
        }
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| ()),
        Some(_) => Err(()),
    }
}

fn model_boolean(value: Option<&Value>) -> Result<Option<bool>, ()> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::Array(_) | Value::Object(_)) => Err(()),
        Some(scalar) => match scalar.to_string().trim_matches('"').to_lowercase().as_str() {
            "1" | "on" | "t" | "true" | "y" | "yes" => Ok(Some(true)),
            "0" | "off" | "f" | "false" | "n" | "no" => Ok(Some(false)),
            _ => Err(()),
        },
    }
}

fn model_property(value: &Value) -> PropertyValue<'static> {
    match value {
        Value::Null => PropertyValue::Null,
        Value::Bool(value) => PropertyValue::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(value) => PropertyValue::Long(value),
            // An integer that no Avro long holds stays the text it was sent as.
            None if number.is_u64() => PropertyValue::Json(number.to_string().into()),
            None => PropertyValue::Double(number.as_f64().unwrap()),
        },
        Value::String(text) => PropertyValue::String(text.clone().into()),
        nested => PropertyValue::Json(nested.to_string().into()),
    }
}

/// The parameters and the names of those that are wrong, in declaration order.
fn model_event(object: &Map<String, Value>) -> (EventParameters<'static>, Vec<String>) {
    let mut wrong = Vec::new();
    let mut parameters = EventParameters::default();
    match object.get("event") {
        None => wrong.push("event is missing".to_owned()),
        Some(Value::Array(_) | Value::Object(_)) => wrong.push("event is invalid".to_owned()),
        Some(Value::Null) => {}
        Some(Value::String(text)) => parameters.event = text.clone().into(),
        Some(scalar) => parameters.event = scalar.to_string().into(),
    }
    let mut checked = |name: &str, ok: bool| {
        if !ok {
            wrong.push(format!("{name} is invalid"));
        }
    };
    let namespace_id = model_integer(object.get("namespace_id"));
    checked("namespace_id", namespace_id.is_ok());
    parameters.namespace_id = namespace_id.unwrap_or_default();
    let project_id = model_integer(object.get("project_id"));
    checked("project_id", project_id.is_ok());
    parameters.project_id = project_id.unwrap_or_default();
    match object.get("additional_properties") {
        None | Some(Value::Null) => {}
        Some(Value::Object(properties)) => {
            let recorded =
                properties.iter().map(|(name, value)| (name.clone().into(), model_property(value)));
            parameters.additional_properties = recorded.collect();
        }
        Some(_) => checked("additional_properties", false),
    }
    let send_to_snowplow = model_boolean(object.get("send_to_snowplow"));
    checked("send_to_snowplow", send_to_snowplow.is_ok());
    parameters.send_to_snowplow = send_to_snowplow.unwrap_or_default().unwrap_or_default();
    (parameters, wrong)
}

/// Mostly any number, often one at the edge of what an Avro long holds.
fn any_unsigned() -> impl Strategy<Value = u64> {
    const EDGE: u64 = i64::MAX as u64;
    prop_oneof![any::<u64>(), EDGE - 2..EDGE + 3]
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any_unsigned().prop_map(Value::from),
        (-1e9..1e9).prop_map(|float: f64| json!(float)),
        any::<f64>()
            .prop_filter("JSON has finite numbers only", |float| float.is_finite())
            .prop_map(Value::from),
        any::<i32>().prop_map(|number| json!(number.to_string())),
        prop::sample::select(vec!["", "on", "NO", "true", "f", "1", "maybe", "[]", " "])
            .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((".{0,3}", inner), 0..5)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

/// Objects that often have the declared parameters, in any order.
fn any_event() -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![
        4 => Just("event".to_owned()),
        2 => Just("namespace_id".to_owned()),
        2 => Just("project_id".to_owned()),
        2 => Just("additional_properties".to_owned()),
        2 => Just("send_to_snowplow".to_owned()),
        1 => ".{0,3}",
    ];
    prop::collection::vec((name, any_json()), 0..8).prop_map(|entries| entries.into_iter().collect())
}

/// Limits that random JSON does not meet.
fn limits() -> IngestConfig {
    IngestConfig {
        max_event_name_bytes: usize::MAX,
        max_property_name_bytes: usize::MAX,
        max_property_value_bytes: usize::MAX,
        ..IngestConfig::default()
    }
}

fn check_event(parsed: &ParsedEvent<'_>, object: &Map<String, Value>, limits: &IngestConfig) {
    let (parameters, wrong) = model_event(object);
    assert_eq!(parsed.failures.message(Naming::Single, limits), wrong.join(", "));
    // The case is laxer in the model, and so is what a refused event holds.
    if wrong.is_empty() {
        assert_eq!(parsed.parameters, parameters);
    }
}

/// A copy whose `send_to_snowplow` is in no spelling of mixed case, where the model knows less than the contract.
fn without_mixed_case(mut object: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::String(text)) = object.get_mut("send_to_snowplow") {
        *text = text.to_lowercase();
    }
    object
}

proptest! {
    #[test]
    fn an_event_is_read_as_the_naive_model_reads_it(object in any_event()) {
        let object = without_mixed_case(object);
        let limits = limits();
        let rules = Rules { limits: &limits, administrator: false };
        for text in [Value::from(object.clone()).to_string(), serde_json::to_string_pretty(&object).unwrap()] {
            check_event(&event(&text, rules).unwrap(), &object, &limits);
        }
    }

    #[test]
    fn a_list_is_read_item_by_item(objects in prop::collection::vec(any_event(), 0..6)) {
        let objects: Vec<_> = objects.into_iter().map(without_mixed_case).collect();
        let limits = limits();
        let rules = Rules { limits: &limits, administrator: false };
        let body = json!({ "events": objects }).to_string();
        let in_a_string = json!({ "events": Value::from(objects.clone()).to_string() }).to_string();
        for text in [body, in_a_string] {
            let list = events(&text, rules).unwrap();
            let singles: Vec<String> = objects.iter().map(|object| Value::from(object.clone()).to_string()).collect();
            let mut failures = Failures::default();
            let mut expected = Vec::new();
            for single in &singles {
                let parsed = event(single, rules).unwrap();
                failures.add_all(parsed.failures);
                expected.push(parsed.parameters);
            }
            prop_assert_eq!(list.failures, failures);
            prop_assert_eq!(list.count, objects.len());
            prop_assert_eq!(list.events, expected);
        }
    }

    #[test]
    fn any_json_is_an_event_or_a_list_with_failures_but_never_an_error(value in any_json()) {
        let limits = limits();
        let rules = Rules { limits: &limits, administrator: true };
        let text = value.to_string();
        prop_assert!(event(&text, rules).is_ok());
        prop_assert!(events(&text, rules).is_ok());
        let list = json!({ "events": value }).to_string();
        prop_assert!(events(&list, rules).is_ok());
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,60}|[\\[\\]{}\":,a-e0-9 \\\\u]{0,60}") {
        let limits = limits();
        let rules = Rules { limits: &limits, administrator: true };
        let _ = event(&text, rules);
        let _ = events(&text, rules);
    }
}
