//! Queries in, their normalized form out: what Cube 1.7 accepts, what it refuses and in which words. The texts and values were
//! compared with Cube's own validator and date parser.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Body, Filter, Limits, Query, QueryKind, Request, dry_run, parse, pivot_query};
use crate::model::Ownership;
use crate::{CubeError, Model};

const NOW: &str = "2026-11-18T10:30:00Z";

fn model() -> Model {
    let text = "
cubes:
  - name: T
    sql_table: t
    measures:
      - {name: a, type: count}
      - {name: b, type: sum, sql: x}
      - {name: ratio, type: number, sql: \"{b} / {a}\"}
      - {name: secret, type: max, sql: y, public: false}
    dimensions:
      - {name: id, sql: id, type: string, primary_key: true, public: true}
      - {name: d, sql: d, type: string}
      - {name: t, sql: t, type: time}
    segments:
      - {name: s, sql: \"x = 1\"}
  - name: Other
    sql_table: other
    measures:
      - {name: a, type: count}
    dimensions:
      - {name: t, sql: t, type: time}
";
    Model::parse(&[("t.yml".to_owned(), text.to_owned())], Ownership::Project(1)).unwrap()
}

fn request(query: Value) -> Result<Request, CubeError> {
    let limits = Limits { default: 10_000, max: 50_000 };
    let body = Body { query: Some(query), ..Body::default() };
    parse(&model(), &body, NOW.parse::<Timestamp>().unwrap(), &limits)
}

fn query(query: Value) -> Query {
    request(query).unwrap().queries.remove(0)
}

fn refusal(query: Value) -> String {
    request(query).unwrap_err().to_string()
}

/// `a` and the given field.
#[allow(clippy::needless_pass_by_value, reason = "it is written in place")]
fn with(field: &str, value: Value) -> Value {
    json!({"measures": ["T.a"], field: value})
}

#[allow(clippy::needless_pass_by_value, reason = "they are written in place")]
fn with_filter(operator: &str, values: Value) -> Value {
    with("filters", json!([{"member": "T.t", "operator": operator, "values": values}]))
}

#[test]
fn the_first_offence_against_the_form_is_told_in_joi_s_words() {
    let pattern = r"fails to match the required pattern: /^[a-zA-Z0-9_]+\.[a-zA-Z0-9_]+$/";
    let td = |time: Value| json!({"timeDimensions": [time]});
    for (query, text) in [
        (json!({"measures": [5]}), r#""measures[0]" must be one of [string, object]"#.to_owned()),
        (json!({"measures": [{}]}), r#""measures[0]" does not match any of the allowed types"#.to_owned()),
        (json!({"measures": ["x"]}), format!(r#""measures[0]" with value "x" {pattern}"#)),
        (json!({"measures": [""]}), r#""measures[0]" is not allowed to be empty"#.to_owned()),
        (json!({"measures": ["bad"], "limit": -1, "foo": 1}), format!(r#""measures[0]" with value "bad" {pattern}"#)),
        (json!({"segments": ["T.s.x"]}), format!(r#""segments[0]" with value "T.s.x" {pattern}"#)),
        (with("filters", json!({})), r#""filters" must be an array"#.to_owned()),
        (with("filters", json!([{}])), r#""filters[0]" does not match any of the allowed types"#.to_owned()),
        (with("filters", json!([{"or": [], "and": []}])), r#""filters[0]" does not match any of the allowed types"#.to_owned()),
        (td(json!(5)), r#""timeDimensions[0]" must be of type object"#.to_owned()),
        (td(json!({"foo": 1})), r#""timeDimensions[0].dimension" is required"#.to_owned()),
        (td(json!({"dimension": "T.t", "granularity": null})), r#""timeDimensions[0].granularity" must be a string"#.to_owned()),
        (
            td(json!({"dimension": "T.t", "granularity": "é".repeat(65)})),
            r#""timeDimensions[0].granularity" length must be less than or equal to 128 characters long"#.to_owned(),
        ),
        (td(json!({"dimension": "T.t", "dateRange": []})), r#""timeDimensions[0].dateRange" must contain at least 1 items"#.to_owned()),
        (
            td(json!({"dimension": "T.t", "dateRange": ["a", "b", "c"]})),
            r#""timeDimensions[0].dateRange" must contain less than or equal to 2 items"#.to_owned(),
        ),
        (td(json!({"dimension": "T.t", "dateRange": 5})), r#""timeDimensions[0].dateRange" must be one of [array, string]"#.to_owned()),
        (td(json!({"dimension": "T.t", "granularity": "day", "foo": 1})), r#""timeDimensions[0].foo" is not allowed"#.to_owned()),
        (with("order", json!("T.a")), r#""order" must be one of [object, array]"#.to_owned()),
        (with("order", json!({"T.a": "up"})), r#""order.T.a" must be one of [asc, desc]"#.to_owned()),
        (with("order", json!({"x y": "asc"})), r#""order.x y" is not allowed"#.to_owned()),
        (with("order", json!([["T.a", "DESC"]])), r#""order[0][1]" must be one of [asc, desc]"#.to_owned()),
        (with("order", json!([["T.a"]])), r#""order[0]" must contain at least 2 items"#.to_owned()),
        (with("order", json!([["T.a", "asc", 1]])), r#""order[0]" must contain at most 2 items"#.to_owned()),
        (with("timezone", json!(5)), r#""timezone" must be a string"#.to_owned()),
        (with("timezone", json!("Foo/Bar")), r#""timezone" must be a valid IANA time zone, got "Foo/Bar""#.to_owned()),
        (with("limit", json!("5")), r#""limit" must be a number"#.to_owned()),
        (with("limit", json!(1.5)), r#""limit" must be an integer"#.to_owned()),
        (with("limit", json!(1e20)), r#""limit" must be a safe number"#.to_owned()),
        (with("offset", json!(-1)), r#""offset" must be greater than or equal to 0"#.to_owned()),
        (with("total", json!(1)), r#""total" must be a boolean"#.to_owned()),
        (
            with("cache", json!("x")),
            r#""cacheMode" must be one of [stale-if-slow, stale-while-revalidate, must-revalidate, no-cache]"#.to_owned(),
        ),
        (with("responseFormat", json!("x")), r#""responseFormat" must be one of [default, compact, columnar]"#.to_owned()),
        (with("renewQuery", json!(true)), r#""renewQuery" is not allowed"#.to_owned()),
        (json!([[]]), r#""value" must be of type object"#.to_owned()),
    ] {
        assert_eq!(refusal(query.clone()), format!("Invalid query format: {text}"), "{query}");
    }
}

#[test]
fn what_isn_t_a_matter_of_form_is_refused_in_cube_s_words() {
    let nothing = "Query should contain either measures, dimensions or timeDimensions with granularities in order \
                   to be valid";
    let not_found = "'nope' not found for path 'T.nope'";
    let compare = json!({"dimension": "T.t", "compareDateRange": [["2026-11-02", "2026-11-04"]]});
    for (query, status, text) in [
        (json!({}), 400, nothing),
        (json!({"segments": ["T.s"]}), 400, nothing),
        (json!("undefined"), 400, "Query param is required"),
        (json!(null), 400, "Query param is required"),
        (json!(true), 500, "TypeError: Cannot create property 'cacheMode' on boolean 'true'"),
        (json!({"measures": "T.a"}), 500, "TypeError: array?.some is not a function"),
        (with("limit", json!(50_001)), 500, "Error: The query limit has been exceeded."),
        (json!({"measures": ["T.nope"]}), 400, not_found),
        (json!({"dimensions": ["T.a"]}), 400, "'a' not found for path 'T.a'"),
        (json!({"measures": ["Nope.a"]}), 400, "Cube 'Nope' not found for path 'Nope.a'"),
        (with("filters", json!([{"member": "T.nope", "operator": "set"}])), 400, not_found),
        (
            with("filters", json!([{"member": "T.d", "operator": "equals"}])),
            400,
            r#"Values required for filter: {"member":"T.d","operator":"equals"}"#,
        ),
        (
            with(
                "filters",
                json!([{"or": [{"member": "T.d", "operator": "set"}, {"member": "T.a", "operator": "set"}]}]),
            ),
            400,
            r#"You cannot use dimension and measure in same condition: {"or":[{"member":"T.d","operator":"set"},{"member":"T.a","operator":"set"}]}"#,
        ),
        (
            json!({"dimensions": ["T.t.fortnight"]}),
            400,
            "Granularity \"fortnight\" does not exist in dimension T.t",
        ),
        (
            json!({"ungrouped": true, "dimensions": ["T.id"], "filters": [{"member": "T.a", "operator": "gt", "values": ["1"]}]}),
            400,
            "Measure filters aren't allowed in ungrouped query",
        ),
        (
            json!({"measures": ["T.a"], "dimensions": ["Other.t"]}),
            400,
            "Can't find join path to join 'T', 'Other'",
        ),
        (
            with("timeDimensions", json!([compare, compare])),
            400,
            "compareDateRange can only exist for one timeDimension",
        ),
        (json!([]), 400, "Data blending query without granularity is not supported"),
        (
            json!([
                {"timeDimensions": [{"dimension": "T.t", "granularity": "day"}]},
                {"timeDimensions": [{"dimension": "Other.t", "granularity": "week"}]},
            ]),
            400,
            "Data blending query granularities must match",
        ),
        (
            with_filter("inDateRange", json!(["7 days ago", "now"])),
            400,
            "Relative-date strings are only supported when `values` has a single element for operator `inDateRange`. \
             Pass an absolute two-element [start, end] pair, or a single relative string like [\"last 2 weeks\"]. Got: \
             [\"7 days ago\",\"now\"]",
        ),
    ] {
        let error = request(query.clone()).unwrap_err();
        assert_eq!((error.status(), error.to_string().as_str()), (status, text), "{query}");
    }
}

#[test]
fn a_client_that_reads_one_result_gets_no_comparison() {
    let ranges = json!([["2026-11-02", "2026-11-04"]]);
    let query = with("timeDimensions", json!([{"dimension": "T.t", "compareDateRange": ranges}]));
    let body = Body { query: Some(query), cache: None, single: true };
    let limits = Limits { default: 10_000, max: 50_000 };
    let error = parse(&model(), &body, NOW.parse().unwrap(), &limits).unwrap_err();
    let text = "'compareDateRangeQuery' query type is not supported by the client.Please update the client.";
    assert_eq!(error.to_string(), text);
}

#[test]
fn a_query_is_shown_with_its_defaults() {
    let sent = json!({
        "measures": ["T.a"],
        "dimensions": ["T.d", "T.t.month"],
        "timeDimensions": [{"dimension": "T.t", "granularity": "Day", "dateRange": "last week"}],
        "filters": [{"dimension": "T.d", "operator": "equals", "values": [1.0, 1e-7, true, null, "x"]}, {"or": []}],
        "order": {"T.a": "desc", "nope": "asc"},
        "limit": 5.0,
        "total": "true",
        "timezone": "america/los_angeles",
        "cache": "no-cache",
    });
    let query = query(sent);
    assert_eq!(
        Value::Object(query.normalized),
        json!({
            "measures": ["T.a"],
            "dimensions": ["T.d"],
            "timeDimensions": [
                {
                    "dimension": "T.t",
                    "dateRange": ["2026-11-09T00:00:00.000", "2026-11-15T23:59:59.999"],
                    "granularity": "Day",
                },
                {"dimension": "T.t", "granularity": "month"},
            ],
            "limit": 5,
            "total": "true",
            "timezone": "America/Los_Angeles",
            "filters": [
                {"member": "T.d", "operator": "equals", "values": ["1", "1e-7", "true", null, "x"]},
                {"or": []},
            ],
            "rowLimit": 5,
            "order": [{"id": "T.a", "desc": true}, {"id": "nope", "desc": false}],
        })
    );
    assert!(query.total && query.filters.len() == 1, "empty groups are no conditions");
    let range = query.time_dimensions[0].range.clone().unwrap();
    assert_eq!(range.from.to_string(), "2026-11-09T08:00:00Z");
    assert_eq!(range.to.to_string(), "2026-11-16T07:59:59.999Z");
}

#[test]
fn date_filters_become_ranges_and_instants() {
    for (operator, values, expected) in [
        ("inDateRange", json!(["2026-11-02"]), "2026-11-02T00:00:00Z..2026-11-02T23:59:59.999Z"),
        ("onTheDate", json!(["last week"]), "2026-11-09T00:00:00Z..2026-11-15T23:59:59.999Z"),
        (
            "inDateRange",
            json!(["2026-11-02", "2026-11-03", "2026-11-04"]),
            "2026-11-02T00:00:00Z..2026-11-03T23:59:59.999Z",
        ),
        (
            "notInDateRange",
            json!(["2026-11-02T10:00:00+02:00", "2026-11-02T11:00:00Z"]),
            "not 2026-11-02T08:00:00Z..2026-11-02T11:00:00Z",
        ),
        ("beforeDate", json!(["2026-11-03"]), "Before 2026-11-03T00:00:00Z"),
        ("beforeOrOnDate", json!(["2026-11-03"]), "BeforeOrAt 2026-11-03T00:00:00Z"),
        ("beforeOrOnDate", json!(["last week"]), "BeforeOrAt 2026-11-15T23:59:59.999Z"),
        ("afterDate", json!(["yesterday"]), "After 2026-11-17T23:59:59.999Z"),
        ("afterOrOnDate", json!(["last week"]), "AtOrAfter 2026-11-09T00:00:00Z"),
    ] {
        let shown = match &query(with_filter(operator, values)).filters[0] {
            Filter::Range { negated, range, .. } => {
                format!("{}{}..{}", if *negated { "not " } else { "" }, range.from, range.to)
            }
            Filter::Instant { comparison, instant, .. } => format!("{comparison:?} {instant}"),
            other => format!("{other:?}"),
        };
        assert_eq!(shown, expected, "{operator}");
    }
}

#[test]
fn what_the_database_would_refuse_is_shown_by_a_dry_run_only() {
    let hidden = "You requested hidden member: 'T.secret'.";
    for (sent, text) in [
        (
            with("timeDimensions", json!([{"dimension": "T.t", "dateRange": ["2026-13-45", "2026-11-02"]}])),
            "Invalid date in a range of T.t",
        ),
        (with_filter("beforeDate", json!(["hello", "world"])), "Invalid date in a filter on T.t"),
        (
            with("filters", json!([{"member": "T.d", "operator": "onTheDate", "values": ["today"]}])),
            "T.d is not a time",
        ),
        (json!({"measures": ["T.secret"]}), hidden),
    ] {
        let request = request(sent.clone()).unwrap();
        let refusal = request.queries[0].refusal.clone().unwrap();
        assert!(refusal.to_string().contains(text), "{sent}: {refusal}");
        assert_eq!(refusal.status(), 400);
        assert!(dry_run(&model(), &request).is_ok(), "{sent}");
    }
    let filtered = with("filters", json!([{"member": "T.secret", "operator": "gt", "values": ["1"]}]));
    assert_eq!(query(filtered).refusal, None, "hidden members may be filtered by");
}

#[test]
fn compared_ranges_are_queries_of_their_own() {
    let ranges = json!(["last week", ["2026-10-26", "2026-10-28"]]);
    let time =
        json!({"dimension": "T.t", "granularity": "day", "compareDateRange": ranges, "dateRange": "today"});
    let request =
        request(json!({"measures": ["T.a"], "dimensions": ["T.d"], "timeDimensions": [time]})).unwrap();
    assert_eq!(request.kind, QueryKind::CompareDateRange);
    let labels = |query: &Query| query.time_dimensions[0].range.clone().unwrap().labels;
    assert_eq!(labels(&request.queries[0])[0], "2026-11-09T00:00:00.000");
    assert_eq!(labels(&request.queries[1]), ["2026-10-26T00:00:00.000", "2026-10-28T23:59:59.999"]);
    let pivot = pivot_query(&request);
    assert_eq!(pivot["dimensions"], json!(["compareDateRange", "T.d"]));
    let dry = dry_run(&model(), &request).unwrap();
    assert_eq!(dry["normalizedQueries"][0]["dimensions"], json!(["compareDateRange", "T.d"]));
    assert_eq!(dry["normalizedQueries"][1]["dimensions"], json!(["T.d"]));
    assert_eq!(dry["queryOrder"], json!([{"T.t": "asc"}, {"T.t": "asc"}]));
}

#[test]
fn a_comparison_of_no_ranges_has_no_dry_run() {
    let time = json!({"dimension": "T.t", "compareDateRange": []});
    let request = request(with("timeDimensions", json!([time]))).unwrap();
    assert_eq!(
        pivot_query(&request),
        json!({"dimensions": ["compareDateRange"], "queryType": "compareDateRangeQuery"})
    );
    assert_eq!(dry_run(&model(), &request).unwrap_err().status(), 500);
}

#[test]
fn a_request_holds_a_bounded_number_of_queries() {
    let compared = |number: usize| {
        let ranges = vec!["today"; number];
        with("timeDimensions", json!([{"dimension": "T.t", "compareDateRange": ranges}]))
    };
    let time = json!([{"dimension": "T.t", "granularity": "day"}]);
    let blended = |number: usize| Value::from(vec![with("timeDimensions", time.clone()); number]);
    for sent in [compared(100), blended(100)] {
        assert_eq!(request(sent).unwrap().queries.len(), 100);
    }
    for sent in [compared(101), blended(101)] {
        assert_eq!(refusal(sent), "A request may hold at most 100 queries");
    }
}

#[test]
fn blended_queries_share_their_time() {
    let part = |cube: &str| {
        let time = json!({"dimension": format!("{cube}.t"), "granularity": "day"});
        json!({"measures": [format!("{cube}.a")], "timeDimensions": [time]})
    };
    let request = request(json!([part("T"), part("Other")])).unwrap();
    assert_eq!(request.kind, QueryKind::Blending);
    let time = json!([{"dimension": "time", "granularity": "day"}]);
    let pivot = pivot_query(&request);
    assert_eq!((&pivot["measures"], &pivot["timeDimensions"]), (&json!(["T.a", "Other.a"]), &time));
    assert_eq!(pivot.get("dimensions"), None);
    let dry = dry_run(&model(), &request).unwrap();
    let expected = json!({"measures": ["T.a", "Other.a"], "dimensions": [], "timeDimensions": time, "queryType": "blendingQuery"});
    assert_eq!(dry["pivotQuery"], expected);
}

#[test]
fn a_dry_run_tells_what_a_rollup_must_have() {
    let request = request(json!({
        "measures": ["T.ratio"],
        "dimensions": ["T.d"],
        "segments": ["T.s"],
        "filters": [{"member": "T.d", "operator": "equals", "values": ["x"]}],
        "timeDimensions": [{"dimension": "T.t", "granularity": "month", "dateRange": ["2026-11-02", "2026-11-15"]}],
        "ungrouped": true,
    }))
    .unwrap();
    insta::assert_json_snapshot!(dry_run(&model(), &request).unwrap());
}
