//! What an answer says about a request as a whole: its order where it asks for none, and the query that a client pivots by.

use serde_json::{Map, Value};

use super::request::first_granularity;
use super::{Order, Query, QueryKind, Request};

/// The order that a query has that asks for none: its first grouped time dimension; else, if it has dimensions, its first
/// measure from the largest; else its first dimension.
pub fn default_order(query: &Query) -> Vec<Order> {
    let time = query.time_dimensions.iter().find(|time| time.granularity.is_some());
    let (id, descending) = match (time, query.measures.first(), query.dimensions.first()) {
        (Some(time), _, _) => (&time.dimension, false),
        (None, Some(measure), Some(_)) => (measure, true),
        (None, None, Some(dimension)) => (dimension, false),
        (None, _, None) => return Vec::new(),
    };
    vec![Order { id: id.clone(), descending }]
}

/// `pivotQuery` of the answer to `/load` with `queryType` `multi`.
pub fn pivot_query(request: &Request) -> Value {
    let mut pivot = request.queries.first().map(|query| query.normalized.clone()).unwrap_or_default();
    match request.kind {
        QueryKind::Regular => {}
        QueryKind::CompareDateRange => compare(&mut pivot),
        QueryKind::Blending => {
            for (field, value) in blended(request) {
                pivot.insert(field, value);
            }
            // The members are left out where there are none.
            pivot.retain(|field, value| {
                !matches!(field.as_str(), "measures" | "dimensions") || value != &Value::Array(Vec::new())
            });
        }
    }
    pivot.insert("queryType".to_owned(), Value::from(request.kind.name()));
    Value::Object(pivot)
}

/// The compared range is the first dimension.
pub(super) fn compare(query: &mut Map<String, Value>) {
    let dimensions = query.entry("dimensions").or_insert_with(|| Value::Array(Vec::new()));
    if let Value::Array(dimensions) = dimensions {
        dimensions.insert(0, Value::from("compareDateRange"));
    }
}

/// The members of all parts, and the time that they share.
pub(super) fn blended(request: &Request) -> Map<String, Value> {
    let mut pivot = Map::new();
    pivot.insert("measures".to_owned(), distinct(request, |query| &query.measures));
    pivot.insert("dimensions".to_owned(), distinct(request, |query| &query.dimensions));
    let mut time = Map::new();
    time.insert("dimension".to_owned(), Value::from("time"));
    let granularity = request.queries.iter().find_map(first_granularity);
    time.insert("granularity".to_owned(), granularity.map_or(Value::Null, Value::from));
    pivot.insert("timeDimensions".to_owned(), Value::Array(vec![Value::Object(time)]));
    pivot
}

fn distinct(request: &Request, members: fn(&Query) -> &Vec<String>) -> Value {
    let mut ids: Vec<&str> = Vec::new();
    for id in request.queries.iter().flat_map(members) {
        if !ids.contains(&id.as_str()) {
            ids.push(id);
        }
    }
    Value::from(ids)
}
