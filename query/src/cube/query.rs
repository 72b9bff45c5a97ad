//! Parses a load query into its types. Checks the format only, field by field in the order in which Cube checks them, and
//! stops at the first offence, as Cube does. Whether the members exist is `resolve`'s question.

use serde_json::{Map, Value};

use super::error::CubeError;
use super::filter::{self, Filter};

/// Cube's pattern for member ids, as its messages print it.
const MEMBER_PATTERN: &str = r"/^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$/";

/// The fields that a query may have, in the order of the checks.
const FIELDS: [&str; 12] = [
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
    "ungrouped",
    "responseFormat",
];

/// A query as it was sent, known to be well-formed.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Query {
    pub measures: Vec<String>,
    pub dimensions: Vec<String>,
    pub segments: Vec<String>,
    pub time_dimensions: Vec<TimeDimension>,
    pub filters: Vec<Filter>,
    /// `None` asks for the default order; an empty list for none.
    pub order: Option<Vec<Order>>,
    pub timezone: Option<String>,
    pub limit: Option<u64>,
    pub offset: Option<u64>,
    pub total: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct TimeDimension {
    pub dimension: String,
    pub granularity: Option<String>,
    /// One or two dates.
    pub date_range: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Order {
    pub id: String,
    pub descending: bool,
}

/// Reads the query object.
pub(super) fn parse(value: &Value) -> Result<Query, CubeError> {
    let object =
        value.as_object().ok_or_else(|| format_error("\"value\" must be of type object".to_owned()))?;
    let (dimensions, suffixed) = dimensions(object)?;
    let mut query = Query {
        measures: ids(object, "measures")?,
        dimensions,
        filters: filters(object)?,
        time_dimensions: time_dimensions(object)?,
        order: order(object)?,
        segments: ids(object, "segments")?,
        timezone: timezone(object)?,
        limit: count(object, "limit")?,
        offset: count(object, "offset")?,
        total: boolean(object, "total")?,
    };
    query.time_dimensions.extend(suffixed);
    only_default(object, "ungrouped", &Value::Bool(false))?;
    only_default(object, "responseFormat", &Value::from("default"))?;
    if let Some(unknown) = object.keys().find(|key| !FIELDS.contains(&key.as_str())) {
        return Err(not_allowed(unknown));
    }
    let asks_for_something = !query.measures.is_empty()
        || !query.dimensions.is_empty()
        || query.time_dimensions.iter().any(|time| time.granularity.is_some());
    if asks_for_something { Ok(query) } else { Err(CubeError::Empty) }
}

/// Whether `text` has the form `Cube.member`.
pub(super) fn is_member_id(text: &str) -> bool {
    matches!(text.split_once('.'), Some((cube, member)) if is_word(cube) && is_word(member))
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

fn ids(object: &Map<String, Value>, field: &str) -> Result<Vec<String>, CubeError> {
    array(object, field)?
        .iter()
        .enumerate()
        .map(|(place, id)| member_id(id, &format!("{field}[{place}]")))
        .collect()
}

/// Dimensions, and apart from them those that carry a granularity (`Cube.time.month`), which are time dimensions.
fn dimensions(object: &Map<String, Value>) -> Result<(Vec<String>, Vec<TimeDimension>), CubeError> {
    let mut dimensions = Vec::new();
    let mut suffixed = Vec::new();
    for (place, id) in array(object, "dimensions")?.iter().enumerate() {
        match id.as_str().and_then(|text| text.rsplit_once('.')) {
            Some((dimension, granularity)) if is_member_id(dimension) && is_word(granularity) => {
                suffixed.push(TimeDimension {
                    dimension: dimension.to_owned(),
                    granularity: Some(granularity.to_owned()),
                    date_range: None,
                });
            }
            _ => dimensions.push(member_id(id, &format!("dimensions[{place}]"))?),
        }
    }
    Ok((dimensions, suffixed))
}

fn filters(object: &Map<String, Value>) -> Result<Vec<Filter>, CubeError> {
    let parsed = array(object, "filters")?.iter().enumerate().map(|(place, sent)| {
        filter::parse(sent).ok_or_else(|| {
            format_error(format!("\"filters[{place}]\" does not match any of the allowed types"))
        })
    });
    parsed.collect()
}

fn time_dimensions(object: &Map<String, Value>) -> Result<Vec<TimeDimension>, CubeError> {
    let sent = array(object, "timeDimensions")?.iter().enumerate();
    sent.map(|(place, value)| time_dimension(value, &format!("timeDimensions[{place}]"))).collect()
}

fn time_dimension(value: &Value, path: &str) -> Result<TimeDimension, CubeError> {
    let object = value.as_object().ok_or_else(|| must(path, "be of type object"))?;
    let dimension =
        object.get("dimension").ok_or_else(|| format_error(format!("\"{path}.dimension\" is required")))?;
    let time_dimension = TimeDimension {
        dimension: member_id(dimension, &format!("{path}.dimension"))?,
        granularity: text(object, "granularity", &format!("{path}.granularity"))?,
        date_range: object
            .get("dateRange")
            .map(|range| date_range(range, &format!("{path}.dateRange")))
            .transpose()?,
    };
    match object.keys().find(|key| !["dimension", "granularity", "dateRange"].contains(&key.as_str())) {
        Some(unknown) => Err(not_allowed(&format!("{path}.{unknown}"))),
        None => Ok(time_dimension),
    }
}

fn date_range(value: &Value, path: &str) -> Result<Vec<String>, CubeError> {
    if let Some(date) = value.as_str() {
        return Ok(vec![date.to_owned()]);
    }
    let dates = value.as_array().ok_or_else(|| must(path, "be one of [array, string]"))?;
    match dates.len() {
        0 => return Err(must(path, "contain at least 1 items")),
        1 | 2 => {}
        _ => return Err(must(path, "contain less than or equal to 2 items")),
    }
    let texts = dates.iter().enumerate().map(|(place, date)| {
        date.as_str().map(str::to_owned).ok_or_else(|| must(&format!("{path}[{place}]"), "be a string"))
    });
    texts.collect()
}

fn order(object: &Map<String, Value>) -> Result<Option<Vec<Order>>, CubeError> {
    match object.get("order") {
        None => Ok(None),
        Some(Value::Object(sent)) => {
            let orders = sent.iter().map(|(id, direction)| {
                Ok(Order { id: id.clone(), descending: descending(direction, &format!("order.{id}"))? })
            });
            orders.collect::<Result<_, _>>().map(Some)
        }
        Some(Value::Array(sent)) => {
            let orders =
                sent.iter().enumerate().map(|(place, pair)| ordered_pair(pair, &format!("order[{place}]")));
            orders.collect::<Result<_, _>>().map(Some)
        }
        Some(_) => Err(must("order", "be one of [object, array]")),
    }
}

fn ordered_pair(pair: &Value, path: &str) -> Result<Order, CubeError> {
    match pair.as_array().map(Vec::as_slice) {
        Some([Value::String(id), direction]) => {
            Ok(Order { id: id.clone(), descending: descending(direction, &format!("{path}[1]"))? })
        }
        _ => Err(format_error(format!("\"{path}\" does not match any of the allowed types"))),
    }
}

fn descending(direction: &Value, path: &str) -> Result<bool, CubeError> {
    match direction.as_str() {
        Some("asc") => Ok(false),
        Some("desc") => Ok(true),
        _ => Err(must(path, "be one of [asc, desc]")),
    }
}

fn timezone(object: &Map<String, Value>) -> Result<Option<String>, CubeError> {
    text(object, "timezone", "timezone")
}

fn count(object: &Map<String, Value>, field: &str) -> Result<Option<u64>, CubeError> {
    let Some(value) = object.get(field) else { return Ok(None) };
    let number = value.as_f64().ok_or_else(|| must(field, "be a number"))?;
    if number.fract() != 0.0 {
        return Err(must(field, "be an integer"));
    }
    if number < 0.0 {
        return Err(must(field, "be greater than or equal to 0"));
    }
    Ok(Some(number as u64))
}

/// A boolean; its text passes, too, as in Cube.
fn boolean(object: &Map<String, Value>, field: &str) -> Result<Option<bool>, CubeError> {
    match object.get(field) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(Value::String(text)) if text == "true" || text == "false" => Ok(Some(text == "true")),
        Some(_) => Err(must(field, "be a boolean")),
    }
}

fn only_default(object: &Map<String, Value>, field: &str, default: &Value) -> Result<(), CubeError> {
    match object.get(field) {
        Some(value) if value != default => Err(not_allowed(field)),
        _ => Ok(()),
    }
}

fn text(object: &Map<String, Value>, field: &str, path: &str) -> Result<Option<String>, CubeError> {
    match object.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(must(path, "be a string")),
    }
}

fn array<'a>(object: &'a Map<String, Value>, field: &str) -> Result<&'a [Value], CubeError> {
    match object.get(field) {
        None => Ok(&[]),
        Some(value) => value.as_array().map(Vec::as_slice).ok_or_else(|| must(field, "be an array")),
    }
}

fn member_id(value: &Value, path: &str) -> Result<String, CubeError> {
    let text = value.as_str().ok_or_else(|| must(path, "be a string"))?;
    if is_member_id(text) {
        return Ok(text.to_owned());
    }
    let shown = Value::from(text);
    Err(format_error(format!(
        "\"{path}\" with value {shown} fails to match the required pattern: {MEMBER_PATTERN}"
    )))
}

fn must(path: &str, rule: &str) -> CubeError {
    format_error(format!("\"{path}\" must {rule}"))
}

fn not_allowed(path: &str) -> CubeError {
    format_error(format!("\"{path}\" is not allowed"))
}

fn format_error(text: String) -> CubeError {
    CubeError::Format(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_offence_against_the_format_is_named() {
        for (query, message) in [
            (json!([]), r#""value" must be of type object"#),
            (
                json!({"measures": ["count"]}),
                r#""measures[0]" with value "count" fails to match the required pattern: /^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$/"#,
            ),
            (
                json!({"measures": ["bad"], "limit": -1, "foo": 1}),
                r#""measures[0]" with value "bad" fails to match the required pattern: /^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$/"#,
            ),
            (json!({"measures": "T.count"}), r#""measures" must be an array"#),
            (json!({"measures": [1]}), r#""measures[0]" must be a string"#),
            (json!({"measures": ["T.a"], "foo": 1}), r#""foo" is not allowed"#),
            (json!({"measures": ["T.a"], "renewQuery": true}), r#""renewQuery" is not allowed"#),
            (json!({"measures": ["T.a"], "ungrouped": true}), r#""ungrouped" is not allowed"#),
            (json!({"measures": ["T.a"], "limit": -1}), r#""limit" must be greater than or equal to 0"#),
            (json!({"measures": ["T.a"], "limit": true}), r#""limit" must be a number"#),
            (json!({"measures": ["T.a"], "limit": 1.5}), r#""limit" must be an integer"#),
            (json!({"measures": ["T.a"], "offset": "2"}), r#""offset" must be a number"#),
            (json!({"measures": ["T.a"], "offset": -1}), r#""offset" must be greater than or equal to 0"#),
            (json!({"measures": ["T.a"], "total": 1}), r#""total" must be a boolean"#),
            (json!({"measures": ["T.a"], "timezone": 1}), r#""timezone" must be a string"#),
            (json!({"measures": ["T.a"], "order": "T.a"}), r#""order" must be one of [object, array]"#),
            (
                json!({"measures": ["T.a"], "order": {"T.a": "up"}}),
                r#""order.T.a" must be one of [asc, desc]"#,
            ),
            (
                json!({"measures": ["T.a"], "order": [["T.a", "DESC"]]}),
                r#""order[0][1]" must be one of [asc, desc]"#,
            ),
            (json!({"measures": ["T.a"], "filters": {}}), r#""filters" must be an array"#),
            (
                json!({"measures": ["T.a"], "filters": [{}]}),
                r#""filters[0]" does not match any of the allowed types"#,
            ),
            (
                json!({"timeDimensions": [{"granularity": "day"}]}),
                r#""timeDimensions[0].dimension" is required"#,
            ),
            (
                json!({"timeDimensions": [{"dimension": "T.t", "granularity": "day", "foo": 1}]}),
                r#""timeDimensions[0].foo" is not allowed"#,
            ),
            (
                json!({"timeDimensions": [{"dimension": "T.t", "dateRange": []}]}),
                r#""timeDimensions[0].dateRange" must contain at least 1 items"#,
            ),
        ] {
            let error = parse(&query).unwrap_err().to_string();
            assert_eq!(error, format!("Invalid query format: {message}"), "{query}");
        }
    }

    #[test]
    fn a_query_that_asks_for_nothing_is_refused() {
        for query in [
            json!({}),
            json!({"measures": []}),
            json!({"segments": ["T.s"]}),
            json!({"timeDimensions": [{"dimension": "T.t", "dateRange": "2026-11-02"}]}),
        ] {
            assert!(matches!(parse(&query), Err(CubeError::Empty)), "{query}");
        }
    }

    #[test]
    fn a_dimension_with_a_granularity_is_a_time_dimension() {
        let query = parse(&json!({"dimensions": ["T.a", "T.t.month"]})).unwrap();
        assert_eq!(query.dimensions, ["T.a"]);
        assert_eq!(query.time_dimensions[0].dimension, "T.t");
        assert_eq!(query.time_dimensions[0].granularity.as_deref(), Some("month"));
    }
}
