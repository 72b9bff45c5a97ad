//! Cube's checks of a query's form, in Cube's order and with the texts of Joi, the validator that Cube uses: the first
//! offence is told, fields in the order of Cube's schema, then those that it doesn't know. Whether members exist is another
//! step's question.

use jiff::tz::TimeZone;
use serde_json::{Map, Value};

use super::js::MAX_SAFE_INTEGER;
use super::time_zone;
use crate::CubeError;

const MEMBER_PATTERN: &str = r"/^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$/";
const DIMENSION_PATTERN: &str = r"/^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+(\.[a-zA-Z0-9_]+)?$/";
const ORDER_PATTERN: &str =
    r"/^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$|^[a-zA-Z0-9_]+$|^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$/";
const CACHE_MODES: [&str; 4] = ["stale-if-slow", "stale-while-revalidate", "must-revalidate", "no-cache"];
const RESPONSE_FORMATS: [&str; 3] = ["default", "compact", "columnar"];
const FIELDS: [&str; 17] = [
    "measures",
    "dimensions",
    "filters",
    "timeDimensions",
    "order",
    "segments",
    "timezone",
    "limit",
    "offset",
    "total",
    "cacheMode",
    "cache",
    "ungrouped",
    "responseFormat",
    "subqueryJoins",
    "joinHints",
    "maskedMembers",
];
/// The longest name of a granularity, in bytes.
const MAX_GRANULARITY_LENGTH: usize = 128;

type Checked = Result<(), CubeError>;

/// Checks a query; `cacheMode` is already in it.
pub(super) fn check(query: &Value) -> Checked {
    let Value::Object(query) = query else { return Err(must("value", "be of type object")) };
    members(query, "measures", is_member_id, MEMBER_PATTERN)?;
    members(query, "dimensions", is_dimension_id, DIMENSION_PATTERN)?;
    filters(query)?;
    each(query, "timeDimensions", time_dimension)?;
    order(query)?;
    members(query, "segments", is_member_id, MEMBER_PATTERN)?;
    timezone(query)?;
    count(query, "limit")?;
    count(query, "offset")?;
    boolean(query, "total")?;
    one_of(query, "cacheMode", &CACHE_MODES)?;
    boolean(query, "ungrouped")?;
    one_of(query, "responseFormat", &RESPONSE_FORMATS)?;
    each(query, "subqueryJoins", |_, path| Err(does_not_match(path)))?;
    each(query, "joinHints", |hint, path| {
        let hint = hint.as_array().ok_or_else(|| must(path, "be an array"))?;
        every(hint, path, text)
    })?;
    each(query, "maskedMembers", |_, path| Err(does_not_match(path)))?;
    only(query, "", &FIELDS)
}

/// Whether `text` has the form `Cube.member`.
pub(super) fn is_member_id(text: &str) -> bool {
    words(text) == Some(2)
}

fn is_dimension_id(text: &str) -> bool {
    matches!(words(text), Some(2 | 3))
}

fn is_order_id(text: &str) -> bool {
    matches!(words(text), Some(1..=3))
}

/// How many words with dots between them `text` consists of, if of nothing else.
fn words(text: &str) -> Option<usize> {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.split('.').all(is_word).then(|| text.split('.').count())
}

fn members(query: &Map<String, Value>, field: &str, is_valid: fn(&str) -> bool, pattern: &str) -> Checked {
    each(query, field, |sent, path| match sent {
        Value::String(_) => matching(sent, path, is_valid, pattern),
        // An expression of Cube's SQL API, which travels on no other way.
        Value::Object(_) => Err(does_not_match(path)),
        _ => Err(must(path, "be one of [string, object]")),
    })
}

fn filters(query: &Map<String, Value>) -> Checked {
    each(query, "filters", |sent, path| if is_filter(sent) { Ok(()) } else { Err(does_not_match(path)) })
}

fn is_filter(sent: &Value) -> bool {
    let Value::Object(fields) = sent else { return false };
    is_condition(fields) || is_group(fields)
}

fn is_condition(fields: &Map<String, Value>) -> bool {
    let known = ["dimension", "member", "operator", "values"];
    let is_id = |field: &str| fields.get(field).is_none_or(|id| id.as_str().is_some_and(is_member_id));
    let is_operator = fields.get("operator").and_then(Value::as_str).is_some_and(is_operator);
    let has_values = match fields.get("values") {
        None => true,
        Some(Value::Array(values)) => values.iter().all(is_value),
        Some(_) => false,
    };
    fields.keys().all(|key| known.contains(&key.as_str()))
        && is_id("dimension")
        && is_id("member")
        && fields.contains_key("dimension") != fields.contains_key("member")
        && is_operator
        && has_values
}

fn is_operator(name: &str) -> bool {
    super::filters::OPERATORS.contains(&name)
}

fn is_value(value: &Value) -> bool {
    match value {
        Value::Null | Value::String(_) | Value::Bool(_) => true,
        Value::Number(number) => number.as_f64().is_some_and(|float| float.abs() <= MAX_SAFE_INTEGER),
        // Cube lets a filter pass here and prints it as a text.
        Value::Object(fields) => is_condition(fields),
        Value::Array(_) => false,
    }
}

fn is_group(fields: &Map<String, Value>) -> bool {
    let mut groups = fields.iter();
    match (groups.next(), groups.next()) {
        (Some((operator, Value::Array(filters))), None) if operator == "or" || operator == "and" => {
            filters.iter().all(is_filter)
        }
        _ => false,
    }
}

fn time_dimension(sent: &Value, path: &str) -> Checked {
    let Value::Object(fields) = sent else { return Err(must(path, "be of type object")) };
    let dimension =
        fields.get("dimension").ok_or_else(|| invalid(&format!("\"{path}.dimension\" is required")))?;
    matching(dimension, &format!("{path}.dimension"), is_member_id, MEMBER_PATTERN)?;
    if let Some(granularity) = fields.get("granularity") {
        self::granularity(granularity, &format!("{path}.granularity"))?;
    }
    if let Some(range) = fields.get("dateRange") {
        date_range(range, &format!("{path}.dateRange"))?;
    }
    if fields.get("compareDateRange").is_some_and(|ranges| !ranges.is_array()) {
        return Err(must(&format!("{path}.compareDateRange"), "be an array"));
    }
    only(fields, path, &["dimension", "granularity", "dateRange", "compareDateRange"])
}

fn granularity(sent: &Value, path: &str) -> Checked {
    text(sent, path)?;
    if sent.as_str().is_some_and(|name| name.len() > MAX_GRANULARITY_LENGTH) {
        let rule = format!(
            "\"{path}\" length must be less than or equal to {MAX_GRANULARITY_LENGTH} characters long"
        );
        return Err(invalid(&rule));
    }
    Ok(())
}

fn date_range(sent: &Value, path: &str) -> Checked {
    match sent {
        Value::String(_) => text(sent, path),
        Value::Array(dates) => {
            every(dates, path, text)?;
            match dates.len() {
                0 => Err(must(path, "contain at least 1 items")),
                1 | 2 => Ok(()),
                _ => Err(must(path, "contain less than or equal to 2 items")),
            }
        }
        _ => Err(must(path, "be one of [array, string]")),
    }
}

fn order(query: &Map<String, Value>) -> Checked {
    match query.get("order") {
        None => Ok(()),
        Some(Value::Object(orders)) => {
            for (id, direction) in orders.iter().filter(|(id, _)| is_order_id(id)) {
                self::direction(direction, &format!("order.{id}"))?;
            }
            match orders.keys().find(|id| !is_order_id(id)) {
                Some(id) => Err(invalid(&format!("\"order.{id}\" is not allowed"))),
                None => Ok(()),
            }
        }
        Some(Value::Array(orders)) => every(orders, "order", ordered_pair),
        Some(_) => Err(must("order", "be one of [object, array]")),
    }
}

fn ordered_pair(sent: &Value, path: &str) -> Checked {
    let pair = sent.as_array().ok_or_else(|| must(path, "be an array"))?;
    if let Some(id) = pair.first() {
        matching(id, &format!("{path}[0]"), is_order_id, ORDER_PATTERN)?;
    }
    if let Some(direction) = pair.get(1) {
        self::direction(direction, &format!("{path}[1]"))?;
    }
    match pair.len() {
        2 => Ok(()),
        0 | 1 => Err(must(path, "contain at least 2 items")),
        _ => Err(must(path, "contain at most 2 items")),
    }
}

fn direction(sent: &Value, path: &str) -> Checked {
    match sent.as_str() {
        Some("asc" | "desc") => Ok(()),
        _ => Err(must(path, "be one of [asc, desc]")),
    }
}

fn timezone(query: &Map<String, Value>) -> Checked {
    let Some(sent) = query.get("timezone") else { return Ok(()) };
    text(sent, "timezone")?;
    zone(sent.as_str().unwrap_or_default()).map(drop)
}

/// The zone of a name in any case, and its name as the database writes it.
pub(super) fn zone(name: &str) -> Result<(TimeZone, String), CubeError> {
    time_zone::find(name)
        .ok_or_else(|| invalid(&format!("\"timezone\" must be a valid IANA time zone, got \"{name}\"")))
}

fn count(query: &Map<String, Value>, field: &str) -> Checked {
    let Some(sent) = query.get(field) else { return Ok(()) };
    let number = sent.as_f64().ok_or_else(|| must(field, "be a number"))?;
    if number.abs() > MAX_SAFE_INTEGER {
        Err(must(field, "be a safe number"))
    } else if number.fract() != 0.0 {
        Err(must(field, "be an integer"))
    } else if number < 0.0 {
        Err(must(field, "be greater than or equal to 0"))
    } else {
        Ok(())
    }
}

/// A boolean or its name; Joi takes the name for the value.
fn boolean(query: &Map<String, Value>, field: &str) -> Checked {
    match query.get(field) {
        None | Some(Value::Bool(_)) => Ok(()),
        Some(sent) => as_boolean(sent).map(drop).ok_or_else(|| must(field, "be a boolean")),
    }
}

/// What Joi takes for a boolean.
pub(super) fn as_boolean(sent: &Value) -> Option<bool> {
    match sent {
        Value::Bool(value) => Some(*value),
        Value::String(name) if name.eq_ignore_ascii_case("true") => Some(true),
        Value::String(name) if name.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

fn one_of(query: &Map<String, Value>, field: &str, allowed: &[&str]) -> Checked {
    match query.get(field) {
        Some(sent) if !sent.as_str().is_some_and(|name| allowed.contains(&name)) => {
            Err(must(field, &format!("be one of [{}]", allowed.join(", "))))
        }
        _ => Ok(()),
    }
}

fn only(fields: &Map<String, Value>, path: &str, known: &[&str]) -> Checked {
    let dot = if path.is_empty() { "" } else { "." };
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(invalid(&format!("\"{path}{dot}{unknown}\" is not allowed"))),
        None => Ok(()),
    }
}

fn each(query: &Map<String, Value>, field: &str, check: impl Fn(&Value, &str) -> Checked) -> Checked {
    match query.get(field) {
        None => Ok(()),
        Some(Value::Array(items)) => every(items, field, check),
        Some(_) => Err(must(field, "be an array")),
    }
}

fn every(items: &[Value], path: &str, check: impl Fn(&Value, &str) -> Checked) -> Checked {
    items.iter().enumerate().try_for_each(|(place, item)| check(item, &format!("{path}[{place}]")))
}

fn text(sent: &Value, path: &str) -> Checked {
    match sent.as_str() {
        Some("") => Err(invalid(&format!("\"{path}\" is not allowed to be empty"))),
        Some(_) => Ok(()),
        None => Err(must(path, "be a string")),
    }
}

fn matching(sent: &Value, path: &str, is_valid: fn(&str) -> bool, pattern: &str) -> Checked {
    text(sent, path)?;
    match sent.as_str() {
        Some(text) if !is_valid(text) => {
            let rule =
                format!("\"{path}\" with value \"{text}\" fails to match the required pattern: {pattern}");
            Err(invalid(&rule))
        }
        _ => Ok(()),
    }
}

fn does_not_match(path: &str) -> CubeError {
    invalid(&format!("\"{path}\" does not match any of the allowed types"))
}

fn must(path: &str, rule: &str) -> CubeError {
    invalid(&format!("\"{path}\" must {rule}"))
}

fn invalid(text: &str) -> CubeError {
    CubeError::Invalid(format!("Invalid query format: {text}"))
}
