//! Filters: their values as texts, relative dates found, and what the compiler is to compare. Their form is checked already.

use jiff::Zoned;
use serde_json::{Map, Value};

use super::date::{self, End};
use super::{Comparison, DateRange, Filter, Operator, js, relative};
use crate::CubeError;

/// Every operator of a filter.
pub(super) const OPERATORS: [&str; 24] = [
    "equals",
    "notEquals",
    "contains",
    "notContains",
    "startsWith",
    "notStartsWith",
    "endsWith",
    "notEndsWith",
    "in",
    "notIn",
    "gt",
    "gte",
    "lt",
    "lte",
    "set",
    "notSet",
    "inDateRange",
    "notInDateRange",
    "onTheDate",
    "beforeDate",
    "beforeOrOnDate",
    "afterDate",
    "afterOrOnDate",
    "measureFilter",
];

/// A query's filters.
pub(super) struct Normalized {
    pub filters: Vec<Filter>,
    /// As the answer repeats them; empty groups are still there.
    pub shown: Vec<Value>,
    /// Why the database would refuse one of them.
    pub refusal: Option<CubeError>,
}

pub(super) fn normalize(query: &Map<String, Value>, now: &Zoned) -> Result<Normalized, CubeError> {
    let sent = query.get("filters").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let shown = sent.iter().map(|filter| shown(filter, now)).collect::<Result<Vec<_>, _>>()?;
    let mut refusal = None;
    let filters = shown.iter().filter_map(|filter| typed(filter, now, &mut refusal)).collect();
    Ok(Normalized { filters, shown, refusal })
}

/// The filter as the answer repeats it.
fn shown(filter: &Value, now: &Zoned) -> Result<Value, CubeError> {
    let mut shown = Map::new();
    for group in ["or", "and"] {
        if let Some(Value::Array(filters)) = filter.get(group) {
            let filters = filters.iter().map(|filter| self::shown(filter, now)).collect::<Result<_, _>>()?;
            shown.insert(group.to_owned(), Value::Array(filters));
            return Ok(Value::Object(shown));
        }
    }
    let operator = text(filter, "operator");
    let values = filter.get("values").and_then(Value::as_array);
    if values.is_none_or(Vec::is_empty) && !["set", "notSet", "measureFilter"].contains(&operator) {
        return Err(CubeError::Invalid(format!("Values required for filter: {filter}")));
    }
    let member = if filter.get("member").is_some() { "member" } else { "dimension" };
    shown.insert("member".to_owned(), Value::from(text(filter, member)));
    shown.insert("operator".to_owned(), Value::from(operator));
    if let Some(values) = values {
        let values = values.iter().map(|value| js::text(value).map_or(Value::Null, Value::from)).collect();
        shown.insert("values".to_owned(), Value::Array(dates(operator, values, now)?));
    }
    Ok(Value::Object(shown))
}

fn text<'f>(filter: &'f Value, field: &str) -> &'f str {
    filter.get(field).and_then(Value::as_str).unwrap_or_default()
}

/// The values of a date operator with a relative date found: one value alone may be one.
fn dates(operator: &str, values: Vec<Value>, now: &Zoned) -> Result<Vec<Value>, CubeError> {
    let is_range = ["inDateRange", "notInDateRange", "onTheDate"].contains(&operator);
    let has_relative = values.iter().filter_map(Value::as_str).any(|value| !is_absolute(value));
    let [Value::String(value)] = values.as_slice() else {
        if is_range && has_relative && values.len() > 1 {
            return Err(several_relative(operator, values));
        }
        return Ok(values);
    };
    let end = match operator {
        _ if is_range => None,
        "beforeDate" | "afterOrOnDate" if has_relative => Some(0),
        "beforeOrOnDate" | "afterDate" if has_relative => Some(1),
        _ => return Ok(values),
    };
    let range = relative::parse(value, now)?.map(|date| Value::from(date::label(date)));
    Ok(match end {
        None => range.to_vec(),
        Some(end) => vec![range[end].clone()],
    })
}

fn several_relative(operator: &str, values: Vec<Value>) -> CubeError {
    let values = Value::Array(values);
    CubeError::Invalid(format!(
        "Relative-date strings are only supported when `values` has a single element for operator `{operator}`. \
         Pass an absolute two-element [start, end] pair, or a single relative string like [\"last 2 weeks\"]. Got: \
         {values}"
    ))
}

/// Whether Cube takes `text` for an absolute date: `2026-11-02`, or that with a time, a fraction of up to six digits, and a
/// zone.
fn is_absolute(text: &str) -> bool {
    let Some((day, rest)) = text.split_at_checked(10) else { return false };
    if !has_shape(day, "dddd-dd-dd") {
        return false;
    }
    if rest.is_empty() {
        return true;
    }
    let Some(rest) = rest.strip_prefix(['T', ' ']) else { return false };
    let (time, zone) = rest.split_at(rest.find(['Z', '+', '-']).unwrap_or(rest.len()));
    let (clock, fraction) =
        time.split_once('.').map_or((time, None), |(clock, digits)| (clock, Some(digits)));
    let is_clock = has_shape(clock, "dd:dd:dd") || (fraction.is_none() && has_shape(clock, "dd:dd"));
    let is_fraction =
        fraction.is_none_or(|digits| (1..=6).any(|length| has_shape(digits, &"d".repeat(length))));
    is_clock && is_fraction && is_zone(zone)
}

fn is_zone(zone: &str) -> bool {
    let offset = zone.strip_prefix(['+', '-']);
    zone.is_empty()
        || zone == "Z"
        || offset.is_some_and(|offset| ["dd", "dddd", "dd:dd"].iter().any(|shape| has_shape(offset, shape)))
}

/// Whether `text` is `shape` with a digit in the place of every `d`.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, place)| if place == b'd' { byte.is_ascii_digit() } else { byte == place })
}

/// What the compiler is to compare; `None` of a group without conditions and of dates that are none, which are a refusal.
fn typed(shown: &Value, now: &Zoned, refusal: &mut Option<CubeError>) -> Option<Filter> {
    for (group, make) in [("or", Filter::Or as fn(Vec<Filter>) -> Filter), ("and", Filter::And)] {
        if let Some(Value::Array(filters)) = shown.get(group) {
            let filters: Vec<_> = filters.iter().filter_map(|filter| typed(filter, now, refusal)).collect();
            return (!filters.is_empty()).then(|| make(filters));
        }
    }
    let member = text(shown, "member").to_owned();
    let values = shown.get("values").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let values: Vec<_> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
    match operator(text(shown, "operator")) {
        Kind::Plain(operator) => Some(Filter::Member { member, operator, values }),
        kind => {
            let filter = date_filter(&kind, &member, &values, now);
            if filter.is_none() && refusal.is_none() {
                *refusal = Some(date_refusal(&member));
            }
            filter
        }
    }
}

fn date_filter(kind: &Kind, member: &str, values: &[Option<String>], now: &Zoned) -> Option<Filter> {
    let zone = now.time_zone();
    let first = values.first()?.as_deref()?;
    let member = member.to_owned();
    match *kind {
        Kind::Range { negated } => {
            let last = values.get(1).map_or(Some(first), Option::as_deref)?;
            Some(Filter::Range { member, negated, range: DateRange::of_values(first, last, zone)? })
        }
        Kind::Instant(comparison) => {
            let (_, instant) = date::boundary(first, zone, End::First)?;
            Some(Filter::Instant { member, comparison, instant })
        }
        Kind::Plain(_) => None,
    }
}

fn date_refusal(member: &str) -> CubeError {
    CubeError::Invalid(format!("Error: Query failed: Error: {} in a filter on {member}", date::INVALID))
}

enum Kind {
    Plain(Operator),
    Range { negated: bool },
    Instant(Comparison),
}

fn operator(name: &str) -> Kind {
    Kind::Plain(match name {
        "equals" => Operator::Equals,
        "notEquals" => Operator::NotEquals,
        "contains" => Operator::Contains,
        "notContains" => Operator::NotContains,
        "startsWith" => Operator::StartsWith,
        "notStartsWith" => Operator::NotStartsWith,
        "endsWith" => Operator::EndsWith,
        "notEndsWith" => Operator::NotEndsWith,
        "in" => Operator::In,
        "notIn" => Operator::NotIn,
        "gt" => Operator::Gt,
        "gte" => Operator::Gte,
        "lt" => Operator::Lt,
        "lte" => Operator::Lte,
        "notSet" => Operator::NotSet,
        "measureFilter" => Operator::MeasureFilter,
        "inDateRange" | "onTheDate" => return Kind::Range { negated: false },
        "notInDateRange" => return Kind::Range { negated: true },
        "beforeDate" => return Kind::Instant(Comparison::Before),
        "beforeOrOnDate" => return Kind::Instant(Comparison::BeforeOrAt),
        "afterDate" => return Kind::Instant(Comparison::After),
        "afterOrOnDate" => return Kind::Instant(Comparison::AtOrAfter),
        // "set" is the last one.
        _ => Operator::Set,
    })
}
