//! Renders rows as Cube 1.7 answers them: the normalized query, the data keyed by member, the annotation, the envelope.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::annotation::annotation;
use super::gap_fill::append_missing_days;
use super::query::Query;
use super::resolve::{Column, Resolved, order_json};

/// The only kind of query that there is here.
const QUERY_TYPE: &str = "regularQuery";

/// An answer before it goes into an envelope.
pub(super) struct Loaded {
    /// Cube's result object.
    pub result: Value,
    /// The normalized query with its type.
    pub pivot_query: Value,
}

impl Loaded {
    /// The envelope that clients get who ask for `queryType: "multi"`.
    pub fn into_multi(self) -> Value {
        json!({
            "queryType": QUERY_TYPE,
            "results": [self.result],
            "pivotQuery": self.pivot_query,
            "slowQuery": false,
        })
    }
}

/// Makes an answer of `rows`, whose columns are those of [`Resolved::columns`].
pub(super) fn render(
    query: &Resolved<'_>,
    rows: &[Vec<Option<String>>],
    total: Option<u64>,
    now: Timestamp,
) -> Loaded {
    let normalized = normalized(query);
    let mut pivot_query = normalized.clone();
    pivot_query.insert("queryType".to_owned(), QUERY_TYPE.into());
    let mut result = json!({
        "query": normalized,
        "lastRefreshTime": now.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string(),
        "annotation": annotation(query),
        "dataSource": "default",
        "dbType": "clickhouse",
        "external": false,
        "slowQuery": false,
    });
    if let Some(total) = total {
        result["total"] = total.into();
    }
    result["data"] = data(query, rows);
    Loaded { result, pivot_query: Value::Object(pivot_query) }
}

/// The query with everything filled in that it left open.
fn normalized(query: &Resolved<'_>) -> Map<String, Value> {
    let sent: &Query = &query.sent;
    let mut normalized = Map::new();
    let mut put = |key: &str, value: Value| normalized.insert(key.to_owned(), value);
    if !sent.measures.is_empty() {
        put("measures", json!(sent.measures));
    }
    put("dimensions", json!(sent.dimensions));
    put("timeDimensions", query.time_dimensions.iter().map(time_dimension).collect());
    if !sent.segments.is_empty() {
        put("segments", json!(sent.segments));
    }
    put("limit", query.limit.into());
    if let Some(offset) = sent.offset {
        put("offset", offset.into());
    }
    if let Some(total) = sent.total {
        put("total", total.into());
    }
    put("timezone", query.zone_name.as_str().into());
    put("filters", sent.filters.iter().map(super::filter::Filter::to_json).collect());
    put("rowLimit", query.limit.into());
    if let Some(order) = order_json(sent) {
        put("order", order);
    }
    normalized
}

fn time_dimension(time: &super::resolve::Time<'_>) -> Value {
    let mut normalized = json!({"dimension": time.dimension.label.id});
    if let Some(range) = &time.range {
        normalized["dateRange"] = json!(range.labels());
    }
    if let Some(bucket) = &time.bucket {
        normalized["granularity"] = bucket.name.as_str().into();
    }
    normalized
}

fn data(query: &Resolved<'_>, rows: &[Vec<Option<String>>]) -> Value {
    let columns = query.columns();
    let keys: Vec<String> = columns.iter().map(Column::key).collect();
    let plain = plain_times(query, &columns);
    let render_row = |row: &Vec<Option<String>>| -> Value {
        let mut object: Map<String, Value> =
            keys.iter().cloned().zip(row.iter().map(|value| value.clone().into())).collect();
        for (key, column) in &plain {
            object.insert(key.clone(), row[*column].clone().into());
        }
        Value::Object(object)
    };
    let mut rows = rows.iter().map(render_row).collect();
    append_missing_days(query, &mut rows);
    Value::Array(rows)
}

/// A grouped time dimension stands in a row under its plain name, too, with the value of its smallest granularity, unless
/// it is a dimension of the query in its own right. Pairs of that name and the column to take the value from.
fn plain_times(query: &Resolved<'_>, columns: &[Column<'_>]) -> Vec<(String, usize)> {
    let mut plain: Vec<(String, usize)> = Vec::new();
    let mut buckets: Vec<(usize, &str, super::granularity::Granularity)> = columns
        .iter()
        .enumerate()
        .filter_map(|(place, column)| match column {
            Column::Bucket(dimension, bucket) => {
                Some((place, dimension.label.id.as_str(), bucket.granularity))
            }
            _ => None,
        })
        .collect();
    buckets.sort_by_key(|(_, _, granularity)| *granularity);
    for (place, id, _) in buckets {
        let is_selected = query.dimensions.iter().any(|dimension| dimension.label.id == id);
        if !is_selected && !plain.iter().any(|(known, _)| known == id) {
            plain.push((id.to_owned(), place));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::super::model::Model;
    use super::super::{query, resolve};
    use super::*;

    fn rendered(sent: &Value, rows: &[&[Option<&str>]], total: Option<u64>) -> Value {
        let model = Model::built_in();
        let query = query::parse(sent).unwrap();
        let resolved = resolve::resolve(&model, &query).unwrap();
        let rows: Vec<Vec<Option<String>>> =
            rows.iter().map(|row| row.iter().map(|value| value.map(str::to_owned)).collect()).collect();
        render(&resolved, &rows, total, "2026-11-18T10:30:00Z".parse().unwrap()).into_multi()
    }

    #[test]
    fn an_answer_has_cubes_envelope() {
        let sent = json!({
            "measures": ["TrackedEvents.count"],
            "dimensions": ["TrackedEvents.label"],
            "timeDimensions": [{"dimension": "TrackedEvents.derivedTstamp", "granularity": "day", "dateRange": ["2026-11-02", "2026-11-08"]}],
            "order": {"TrackedEvents.derivedTstamp": "desc"},
            "total": true,
            "filters": [{"dimension": "TrackedEvents.userId", "operator": "gt", "values": [3]}],
        });
        let rows: [&[Option<&str>]; 2] = [
            &[Some("a"), Some("2026-11-03T00:00:00.000"), Some("12")],
            &[None, Some("2026-11-02T00:00:00.000"), Some("1")],
        ];
        insta::assert_json_snapshot!(rendered(&sent, &rows, Some(2)));
    }

    #[test]
    fn the_smallest_granularity_stands_under_the_plain_name() {
        let time = |granularity: &str| json!({"dimension": "TrackedEvents.derivedTstamp", "granularity": granularity});
        let sent = json!({"timeDimensions": [time("week"), time("day")]});
        let answer =
            rendered(&sent, &[&[Some("2026-11-02T00:00:00.000"), Some("2026-11-04T00:00:00.000")]], None);
        assert_eq!(answer["results"][0]["data"][0]["TrackedEvents.derivedTstamp"], "2026-11-04T00:00:00.000");
        assert!(answer["results"][0].get("total").is_none());
    }
}
