//! From a request's parameters to its queries: the query decoded, split by its compared ranges, each part checked and
//! normalized, and the parts checked together.

use jiff::{Timestamp, Zoned};
use serde_json::{Map, Value};

use super::date::{self, End};
use super::filters::{self, Normalized};
use super::{
    Body, CacheMode, DateRange, Limits, Order, Query, QueryKind, Request, ResponseFormat, TimeDimension,
    format, js, members, relative,
};
use crate::{CubeError, Model};

/// How many queries one request may hold, compared ranges or blended parts. They run beside each other, and their rows are in
/// memory together.
const MAX_QUERIES: usize = 100;

/// Parses, checks and normalizes what a request asks, as Cube 1.7 does. `now` is what relative dates are relative to.
///
/// # Errors
///
/// Cube's own words for what the request's form, its dates or its members offend against.
pub fn parse(model: &Model, body: &Body, now: Timestamp, limits: &Limits) -> Result<Request, CubeError> {
    let sent = js::value(&decode(body.query.as_ref())?);
    let (kind, parts) = match sent {
        Value::Array(parts) => {
            check_number(&parts)?;
            (QueryKind::Blending, parts)
        }
        single => match compared_ranges(&single)? {
            Some(parts) => (QueryKind::CompareDateRange, parts),
            None => (QueryKind::Regular, vec![single]),
        },
    };
    let normalize = |part| normalize(part, body.cache.as_ref(), now, limits);
    let mut queries = parts.into_iter().map(normalize).collect::<Result<Vec<_>, _>>()?;
    if kind == QueryKind::Blending {
        check_blending(&queries)?;
    }
    if body.single && kind != QueryKind::Regular {
        let kind = kind.name();
        let text = format!("'{kind}' query type is not supported by the client.Please update the client.");
        return Err(CubeError::Invalid(text));
    }
    queries.iter_mut().try_for_each(|query| members::check(model, query))?;
    Ok(Request { kind, queries })
}

/// The query, which may be sent as a text of JSON.
fn decode(sent: Option<&Value>) -> Result<Value, CubeError> {
    let sent = sent.filter(|sent| js::is_truthy(sent) && sent.as_str() != Some("undefined"));
    match sent {
        None => Err(CubeError::Invalid("Query param is required".to_owned())),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|error| {
            CubeError::Invalid(format!("Unable to decode query param as JSON, error: {error}"))
        }),
        Some(query) => Ok(query.clone()),
    }
}

/// One query for each range of a `compareDateRange`; `None` where the query has none.
fn compared_ranges(query: &Value) -> Result<Option<Vec<Value>>, CubeError> {
    let times = match query {
        Value::Null => return Err(type_error("Cannot read properties of null (reading 'timeDimensions')")),
        query => query.get("timeDimensions").filter(|times| js::is_truthy(times)),
    };
    let Some(times) = times else { return Ok(None) };
    let Value::Array(times) = times else {
        return Err(type_error("(query.timeDimensions || []).forEach is not a function"));
    };
    if times.iter().any(Value::is_null) {
        return Err(type_error("Cannot read properties of null (reading 'compareDateRange')"));
    }
    let ranges =
        times.iter().enumerate().filter_map(|(place, time)| Some((place, time.get("compareDateRange")?)));
    let mut ranges = ranges.filter(|(_, ranges)| !ranges.is_null());
    let Some((place, ranges_of_one)) = ranges.next() else { return Ok(None) };
    if ranges.next().is_some() {
        return Err(CubeError::Invalid("compareDateRange can only exist for one timeDimension".to_owned()));
    }
    let Value::Array(ranges) = ranges_of_one else {
        return Err(type_error("queryCompareDateRange.map is not a function"));
    };
    // Each range takes a copy of all the rest.
    check_number(ranges)?;
    Ok(Some(ranges.iter().map(|range| with_range(query, place, range)).collect()))
}

fn check_number(parts: &[Value]) -> Result<(), CubeError> {
    if parts.len() <= MAX_QUERIES {
        return Ok(());
    }
    Err(CubeError::Invalid(format!("A request may hold at most {MAX_QUERIES} queries")))
}

/// The query with `range` in its time dimension at `place` in the place of the compared ranges.
fn with_range(query: &Value, place: usize, range: &Value) -> Value {
    let mut query = query.clone();
    if let Some(time) = query["timeDimensions"][place].as_object_mut() {
        time.shift_remove("compareDateRange");
        time.insert("dateRange".to_owned(), range.clone());
    }
    query
}

/// All parts need one and the same granularity.
fn check_blending(queries: &[Query]) -> Result<(), CubeError> {
    let granularities: Vec<_> = queries.iter().filter_map(first_granularity).collect();
    let text = match granularities.split_first() {
        None => "Data blending query without granularity is not supported",
        Some((first, others)) if others.iter().any(|other| other != first) => {
            "Data blending query granularities must match"
        }
        Some(_) => return Ok(()),
    };
    Err(CubeError::Invalid(text.to_owned()))
}

/// The granularity of a query's first time dimension.
pub(super) fn first_granularity(query: &Query) -> Option<&str> {
    query.time_dimensions.first().and_then(|time| time.granularity.as_deref())
}

/// One query of a request; `cache` stands beside the query.
fn normalize(
    mut sent: Value,
    cache: Option<&Value>,
    now: Timestamp,
    limits: &Limits,
) -> Result<Query, CubeError> {
    check_members_are_plain(&sent)?;
    set_cache_mode(&mut sent, cache)?;
    default_timezone(&mut sent);
    format::check(&sent)?;
    let Value::Object(sent) = sent else {
        return Err(CubeError::Invalid("Invalid query format: \"value\" must be of type object".to_owned()));
    };
    if !asks_for_something(&sent) {
        let text = "Query should contain either measures, dimensions or timeDimensions with granularities in \
                    order to be valid";
        return Err(CubeError::Invalid(text.to_owned()));
    }
    let (zone, timezone) = format::zone(sent.get("timezone").and_then(Value::as_str).unwrap_or("UTC"))?;
    let limit = limit(&sent, limits)?;
    let now = Zoned::new(now, zone.clone());
    let Normalized { filters, shown, refusal } = filters::normalize(&sent, &now)?;
    let (dimensions, suffixed) = dimensions(&sent);
    let mut times = Vec::new();
    for time in items(&sent, "timeDimensions") {
        times.push(time_dimension(time, &now)?);
    }
    times.extend(suffixed);
    let unreadable = times.iter().find(|time| time.labels.is_some() && time.range.is_none());
    let refusal = refusal.or(unreadable.map(|time| date_refusal(&time.dimension)));
    let mut query = Query {
        measures: texts(&sent, "measures"),
        dimensions,
        segments: texts(&sent, "segments"),
        order: order(&sent),
        limit,
        offset: sent.get("offset").and_then(Value::as_u64),
        total: flag(&sent, "total"),
        ungrouped: flag(&sent, "ungrouped"),
        response_format: response_format(&sent),
        cache: cache_mode(&sent),
        timezone,
        zone,
        filters,
        normalized: Map::new(),
        time_dimensions: times.iter().map(Time::typed).collect(),
        refusal,
    };
    query.normalized = shown_query(&sent, &query, &times, shown);
    Ok(query)
}

/// Cube looks for the expressions of its SQL API before it checks anything else.
fn check_members_are_plain(query: &Value) -> Result<(), CubeError> {
    if query.is_null() {
        return Err(type_error("Cannot read properties of null (reading 'measures')"));
    }
    for field in ["measures", "dimensions", "segments"] {
        match query.get(field) {
            None | Some(Value::Null) => {}
            Some(Value::Array(ids)) => {
                if ids.iter().any(|id| id.as_str().is_some_and(|id| id.starts_with('{'))) {
                    return Err(CubeError::Internal(
                        "Error: Expressions are not allowed in this context".to_owned(),
                    ));
                }
            }
            Some(_) => return Err(type_error("array?.some is not a function")),
        }
    }
    if query.get("maskedMembers").is_some_and(js::is_truthy) {
        return Err(CubeError::Invalid("maskedMembers cannot be provided in the query".to_owned()));
    }
    Ok(())
}

/// Puts the mode into `cacheMode`, where the check looks for it: the one beside the query, else the query's own.
fn set_cache_mode(query: &mut Value, beside: Option<&Value>) -> Result<(), CubeError> {
    let query = match query {
        Value::Object(query) => query,
        Value::Array(_) => return Ok(()),
        other => {
            let (kind, text) = (js::type_name(other), js::text(other).unwrap_or_default());
            return Err(type_error(&format!("Cannot create property 'cacheMode' on {kind} '{text}'")));
        }
    };
    let own = query.shift_remove("cache").filter(js::is_truthy);
    let mode = beside.cloned().or(own).unwrap_or_else(|| Value::from("stale-if-slow"));
    query.insert("cacheMode".to_owned(), mode);
    Ok(())
}

/// A zone that is nothing (`""`, `null`, `false`) counts as none.
fn default_timezone(query: &mut Value) {
    if let Value::Object(query) = query
        && query.get("timezone").is_some_and(|zone| !js::is_truthy(zone))
    {
        query.insert("timezone".to_owned(), Value::from("UTC"));
    }
}

fn asks_for_something(query: &Map<String, Value>) -> bool {
    let has_granularity = |time: &Value| time.get("granularity").is_some_and(js::is_truthy);
    !items(query, "measures").is_empty()
        || !items(query, "dimensions").is_empty()
        || items(query, "timeDimensions").iter().any(has_granularity)
}

fn limit(query: &Map<String, Value>, limits: &Limits) -> Result<u64, CubeError> {
    match query.get("limit").and_then(Value::as_u64) {
        Some(limit) if limit > limits.max => {
            Err(CubeError::Internal("Error: The query limit has been exceeded.".to_owned()))
        }
        Some(limit) => Ok(limit),
        None => Ok(limits.default.min(limits.max)),
    }
}

/// A time dimension with what the answer shows of it.
struct Time {
    dimension: String,
    granularity: Option<String>,
    labels: Option<[String; 2]>,
    range: Option<DateRange>,
}

impl Time {
    fn typed(&self) -> TimeDimension {
        TimeDimension {
            dimension: self.dimension.clone(),
            granularity: self.granularity.clone(),
            range: self.range.clone(),
        }
    }

    fn shown(&self) -> Value {
        let mut shown = Map::new();
        shown.insert("dimension".to_owned(), Value::from(self.dimension.as_str()));
        if let Some([from, to]) = &self.labels {
            shown.insert("dateRange".to_owned(), Value::from(vec![from.as_str(), to.as_str()]));
        }
        if let Some(granularity) = &self.granularity {
            shown.insert("granularity".to_owned(), Value::from(granularity.as_str()));
        }
        Value::Object(shown)
    }
}

fn time_dimension(sent: &Value, now: &Zoned) -> Result<Time, CubeError> {
    let text = |field: &str| sent.get(field).and_then(Value::as_str).map(str::to_owned);
    let labels = sent.get("dateRange").map(|range| range_labels(range, now)).transpose()?.flatten();
    Ok(Time {
        dimension: text("dimension").unwrap_or_default(),
        granularity: text("granularity"),
        range: labels.as_ref().and_then(|labels| DateRange::between(labels, now.time_zone())),
        labels,
    })
}

/// A range as the answer shows it: one date is that day, a text is a relative date.
fn range_labels(sent: &Value, now: &Zoned) -> Result<Option<[String; 2]>, CubeError> {
    match sent {
        Value::String(text) => relative::parse(text, now).map(|dates| Some(dates.map(date::label))),
        Value::Array(dates) => {
            let mut dates = dates.iter().filter_map(Value::as_str);
            let Some(from) = dates.next() else { return Ok(None) };
            let to = dates.next().unwrap_or(from);
            Ok(Some([date::range_label(from, End::First), date::range_label(to, End::Last)]))
        }
        _ => Ok(None),
    }
}

/// Dimensions, and apart from them those that carry a granularity (`Cube.time.month`), which are time dimensions.
fn dimensions(query: &Map<String, Value>) -> (Vec<String>, Vec<Time>) {
    let mut dimensions = Vec::new();
    let mut times = Vec::new();
    for id in texts(query, "dimensions") {
        match id.rsplit_once('.') {
            Some((dimension, granularity)) if dimension.contains('.') => times.push(Time {
                dimension: dimension.to_owned(),
                granularity: Some(granularity.to_owned()),
                labels: None,
                range: None,
            }),
            _ => dimensions.push(id),
        }
    }
    (dimensions, times)
}

fn order(query: &Map<String, Value>) -> Option<Vec<Order>> {
    let is_descending = |direction: &Value| direction.as_str() == Some("desc");
    match query.get("order")? {
        Value::Object(orders) => Some(
            orders
                .iter()
                .map(|(id, direction)| Order { id: id.clone(), descending: is_descending(direction) })
                .collect(),
        ),
        Value::Array(pairs) => Some(
            pairs
                .iter()
                .filter_map(|pair| {
                    Some(Order { id: pair[0].as_str()?.to_owned(), descending: is_descending(&pair[1]) })
                })
                .collect(),
        ),
        _ => None,
    }
}

fn flag(query: &Map<String, Value>, field: &str) -> bool {
    query.get(field).and_then(format::as_boolean).unwrap_or(false)
}

fn response_format(query: &Map<String, Value>) -> ResponseFormat {
    match query.get("responseFormat").and_then(Value::as_str) {
        Some("compact") => ResponseFormat::Compact,
        Some("columnar") => ResponseFormat::Columnar,
        _ => ResponseFormat::Default,
    }
}

fn cache_mode(query: &Map<String, Value>) -> CacheMode {
    match query.get("cacheMode").and_then(Value::as_str) {
        Some("stale-while-revalidate") => CacheMode::StaleWhileRevalidate,
        Some("must-revalidate") => CacheMode::MustRevalidate,
        Some("no-cache") => CacheMode::NoCache,
        _ => CacheMode::StaleIfSlow,
    }
}

fn items<'q>(query: &'q Map<String, Value>, field: &str) -> &'q [Value] {
    query.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn texts(query: &Map<String, Value>, field: &str) -> Vec<String> {
    items(query, field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// The query as answers show it: what was sent, and the defaults.
fn shown_query(
    sent: &Map<String, Value>,
    query: &Query,
    times: &[Time],
    filters: Vec<Value>,
) -> Map<String, Value> {
    let mut shown = Map::new();
    let mut put = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            shown.insert(field.to_owned(), value);
        }
    };
    put("measures", sent.get("measures").cloned());
    put("dimensions", Some(Value::from(query.dimensions.clone())));
    put("timeDimensions", Some(times.iter().map(Time::shown).collect()));
    put("segments", sent.get("segments").cloned());
    put("limit", Some(Value::from(query.limit)));
    put("offset", sent.get("offset").cloned());
    put("total", sent.get("total").cloned());
    put("timezone", Some(Value::from(query.timezone.as_str())));
    put("ungrouped", sent.get("ungrouped").cloned());
    put("responseFormat", sent.get("responseFormat").cloned());
    put("filters", Some(Value::Array(filters)));
    put("rowLimit", Some(Value::from(query.limit)));
    put("order", query.order.as_ref().map(|orders| orders.iter().map(shown_order).collect()));
    shown
}

fn shown_order(order: &Order) -> Value {
    let mut shown = Map::new();
    shown.insert("id".to_owned(), Value::from(order.id.as_str()));
    shown.insert("desc".to_owned(), Value::from(order.descending));
    Value::Object(shown)
}

/// Why the database would refuse a range on `dimension`.
fn date_refusal(dimension: &str) -> CubeError {
    CubeError::Invalid(format!("Error: Query failed: Error: {} in a range of {dimension}", date::INVALID))
}

fn type_error(text: &str) -> CubeError {
    CubeError::Internal(format!("TypeError: {text}"))
}
