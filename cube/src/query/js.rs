//! Texts as JavaScript writes them: Cube's messages and normalized queries print numbers and JSON this way.

use serde_json::{Map, Number, Value};

/// The largest integer that JavaScript's numbers hold without gaps.
pub(super) const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// `value` as JavaScript holds it after parsing: a number with an integral value is an integer (`1.0` and `1e3` are `1` and
/// `1000`).
pub(super) fn value(value: &Value) -> Value {
    match value {
        Value::Number(sent) => Value::Number(number(sent)),
        Value::Array(items) => Value::Array(items.iter().map(self::value).collect()),
        Value::Object(fields) => {
            let fields: Map<_, _> =
                fields.iter().map(|(key, field)| (key.clone(), self::value(field))).collect();
            Value::Object(fields)
        }
        other => other.clone(),
    }
}

fn number(sent: &Number) -> Number {
    match sent.as_f64() {
        Some(float) if float.fract() == 0.0 && float.abs() <= MAX_SAFE_INTEGER => Number::from(float as i64),
        _ => sent.clone(),
    }
}

/// `String(value)` of a text, number or boolean; `None` of null.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number_text(number)),
        Value::Bool(value) => Some(value.to_string()),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| text(item).unwrap_or_default()).collect();
            Some(items.join(","))
        }
        Value::Object(_) => Some("[object Object]".to_owned()),
    }
}

/// Small fractions are written with an exponent.
fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if float != 0.0 && float.abs() < 1e-6 => format!("{float:e}"),
        Some(float) if !number.is_i64() && !number.is_u64() => float.to_string(),
        _ => number.to_string(),
    }
}

/// Whether JavaScript's `if (value)` would go on.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(_) | Value::Object(_) => true,
    }
}

/// `typeof value`.
pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Null | Value::Array(_) | Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_read_as_in_javascript() {
        for (sent, expected) in [
            (json!(5), "5"),
            (json!(5.0), "5"),
            (json!(-0.0), "0"),
            (json!(1e3), "1000"),
            (json!(0.1), "0.1"),
            (json!(0.000_001), "0.000001"),
            (json!(0.000_000_1), "1e-7"),
            (json!(-1.5e-9), "-1.5e-9"),
            (json!(true), "true"),
            (json!({"a": 1}), "[object Object]"),
        ] {
            assert_eq!(text(&value(&sent)).as_deref(), Some(expected));
        }
    }
}
