//! Formats: the names that Cube 1.7 knows, d3's specifiers for numbers, strftime's for times, and what answers make of them.

use serde_json::{Value, json};

/// Formats that answers name as they are.
const STANDARD: [&str; 3] = ["percent", "currency", "number"];
const STANDARD_OF_DIMENSIONS: [&str; 5] = ["imageUrl", "link", "percent", "currency", "number"];

/// What a dimension or measure's value is, as far as formats are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Formatted {
    Measure,
    Number,
    Time,
    Other,
}

/// What answers say of a format; `None` if it is none.
pub(super) fn format(name: &str, of: Formatted) -> Option<Value> {
    let standard = if of == Formatted::Measure { &STANDARD[..] } else { &STANDARD_OF_DIMENSIONS[..] };
    if standard.contains(&name) {
        return Some(name.into());
    }
    if let Some(specifier) = named(name) {
        return Some(json!({"type": "custom-numeric", "value": specifier, "alias": name}));
    }
    match of {
        Formatted::Time if name.contains('%') => Some(json!({"type": "custom-time", "value": name})),
        Formatted::Measure | Formatted::Number if is_d3_specifier(name) => {
            Some(json!({"type": "custom-numeric", "value": name}))
        }
        _ => None,
    }
}

/// Name and d3 specifier by which a number with this format is shown.
pub(super) fn description(format: Option<&Value>) -> Value {
    let (name, specifier) = match format {
        Some(Value::String(name)) => match name.as_str() {
            "percent" => ("percent", ".2~%"),
            "currency" => ("currency", "$,.2~f"),
            _ => ("number", ",.2~f"),
        },
        Some(Value::Object(custom)) if custom.get("type").is_some_and(|kind| kind == "custom-numeric") => (
            custom.get("alias").and_then(Value::as_str).unwrap_or("custom"),
            custom.get("value").and_then(Value::as_str).unwrap_or_default(),
        ),
        _ => ("number", ",.2~f"),
    };
    json!({"name": name, "specifier": specifier})
}

/// The d3 specifier of a name such as `percent_1`.
fn named(name: &str) -> Option<String> {
    let (family, digits) = match name {
        "id" => return Some(".0f".to_owned()),
        "decimal" | "abbr" | "accounting" => (name, 2),
        _ => {
            let (family, digits) = name.split_once('_')?;
            (
                family,
                digits.parse().ok().filter(|digits: &u8| *digits <= 6 && name.len() == family.len() + 2)?,
            )
        }
    };
    // Trailing zeros go; with no decimals there are none.
    let trim = if digits == 0 { "" } else { "~" };
    match family {
        "number" | "decimal" => Some(format!(",.{digits}{trim}f")),
        "percent" => Some(format!(".{digits}{trim}%")),
        "currency" => Some(format!("$,.{digits}{trim}f")),
        "abbr" => Some(format!(".{digits}{trim}s")),
        "accounting" => Some(format!("(,.{digits}{trim}f")),
        _ => None,
    }
}

/// Whether a text has the form of d3's `[[fill]align][sign][symbol][0][width][,][.precision][~][type]`, with a type.
fn is_d3_specifier(text: &str) -> bool {
    let mut letters: Vec<char> = text.chars().collect();
    let has_type = letters.pop().is_some_and(|kind| "eEfgGrsSpbBoOdxXcn%".contains(kind));
    if letters.get(1).is_some_and(|align| "<>=^".contains(*align)) {
        letters.remove(0);
    }
    has_type && letters.iter().all(|letter| letter.is_ascii_digit() || "<>=^+-( $#,.~".contains(*letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_names_or_specifiers() {
        for (name, of, expected) in [
            ("percent", Formatted::Measure, json!("percent")),
            ("imageUrl", Formatted::Other, json!("imageUrl")),
            (
                "percent_1",
                Formatted::Measure,
                json!({"type": "custom-numeric", "value": ".1~%", "alias": "percent_1"}),
            ),
            (
                "decimal_0",
                Formatted::Number,
                json!({"type": "custom-numeric", "value": ",.0f", "alias": "decimal_0"}),
            ),
            ("abbr", Formatted::Measure, json!({"type": "custom-numeric", "value": ".2~s", "alias": "abbr"})),
            ("id", Formatted::Number, json!({"type": "custom-numeric", "value": ".0f", "alias": "id"})),
            ("$,.3f", Formatted::Measure, json!({"type": "custom-numeric", "value": "$,.3f"})),
            ("%Y-%m", Formatted::Time, json!({"type": "custom-time", "value": "%Y-%m"})),
        ] {
            assert_eq!(format(name, of), Some(expected), "{name}");
        }
        for (name, of) in [
            ("precent", Formatted::Measure),
            ("percent_7", Formatted::Measure),
            ("percent_01", Formatted::Measure),
            ("imageUrl", Formatted::Measure),
            ("$,.3f", Formatted::Other),
            ("day", Formatted::Time),
            ("", Formatted::Measure),
        ] {
            assert_eq!(format(name, of), None, "{name}");
        }
    }

    #[test]
    fn a_number_without_a_format_is_shown_with_two_decimals() {
        assert_eq!(description(None), json!({"name": "number", "specifier": ",.2~f"}));
        assert_eq!(description(Some(&json!("percent"))), json!({"name": "percent", "specifier": ".2~%"}));
        let custom = format("currency_1", Formatted::Measure);
        assert_eq!(description(custom.as_ref()), json!({"name": "currency_1", "specifier": "$,.1~f"}));
        let raw = format(".3s", Formatted::Measure);
        assert_eq!(description(raw.as_ref()), json!({"name": "custom", "specifier": ".3s"}));
    }
}
