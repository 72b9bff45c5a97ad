//! Cube loads over known rows: what is counted, when, in which form, and whose rows they are.

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::{Value, json};

use crate::app::{ALICE, BOB, ROOT, TestApp, with_app};

const LOAD: &str = "/api/v4/projects/42/product_analytics/request/load";

/// Rows of project 42, a copy of which belongs to project 43 under other names.
const ROWS: &str = "INSERT INTO events (event_id, name, timestamp, user_id, project_id, additional_properties) VALUES \
    ('00000000-0000-0000-0000-000000000001', 'open', '2026-11-02 00:00:00.000', 1, 42, '{\"label\":\"red\",\"value\":2.5}'), \
    ('00000000-0000-0000-0000-000000000002', 'open', '2026-11-02 23:59:59.999', 2, 42, '{\"label\":\"it''s\"}'), \
    ('00000000-0000-0000-0000-000000000003', 'close', '2026-11-03 12:00:00.000', 1, 42, ''), \
    ('00000000-0000-0000-0000-000000000004', 'close', '2026-11-05 07:30:00.123', 0, 42, ''), \
    ('00000000-0000-0000-0000-000000000005', 'secret', '2026-11-02 10:00:00.000', 99, 43, ''), \
    ('00000000-0000-0000-0000-000000000006', 'nobody', '2026-11-02 10:00:00.000', 99, 0, '')";

async fn data(app: &TestApp, query: Value) -> Value {
    let answer = app.post(LOAD, ALICE, &json!({"query": query, "queryType": "multi"})).await;
    answer.json()["results"][0]["data"].clone()
}

#[test]
fn one_measure_one_dimension_and_one_time_dimension() {
    with_app("cube_three", |app| async move {
        app.sql(ROWS).await;
        let query = json!({
            "measures": ["InternalEvents.count"],
            "dimensions": ["InternalEvents.eventName"],
            "timeDimensions": [{"dimension": "InternalEvents.derivedTstamp", "granularity": "day", "dateRange": ["2026-11-02", "2026-11-03"]}],
            "order": [["InternalEvents.derivedTstamp", "asc"]],
        });
        insta::assert_json_snapshot!(app.post(LOAD, ALICE, &json!({"query": query})).await.json());
    });
}

#[test]
fn a_get_answers_as_a_post_does() {
    with_app("cube_get", |app| async move {
        app.sql(ROWS).await;
        let query = json!({"measures": ["InternalEvents.count"], "dimensions": ["InternalEvents.eventName"]});
        let encoded =
            query.to_string().bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
        let posted = app.post(LOAD, ALICE, &json!({"query": query})).await.json();
        assert_eq!(app.get(&format!("{LOAD}?query={encoded}&queryType=multi"), ALICE).await.json(), posted);
        let by_path = LOAD.replace("/42/", "/group%2Fshop/");
        assert_eq!(app.post(&by_path, ALICE, &json!({"query": query})).await.json(), posted);
        let bare = app.get(&format!("{LOAD}?query={encoded}&queryType=single"), ALICE).await.json();
        assert_eq!(bare, posted["results"][0]);
    });
}

#[test]
fn another_projects_rows_never_appear() {
    with_app("cube_tenant", |app| async move {
        app.sql(ROWS).await;
        let count = json!({"measures": ["InternalEvents.count"]});
        assert_eq!(data(&app, count.clone()).await, json!([{"InternalEvents.count": "4"}]));
        let other = LOAD.replace("/42/", "/43/");
        for token in [BOB, ROOT] {
            let answer = app.post(&other, token, &json!({"query": count})).await.json();
            assert_eq!(answer["results"][0]["data"], json!([{"InternalEvents.count": "1"}]));
        }
        // Neither a filter that is true for everything nor a filter on the project itself widens the answer.
        let everything = json!({
            "dimensions": ["InternalEvents.projectId"],
            "filters": [{"or": [
                {"member": "InternalEvents.projectId", "operator": "set"},
                {"member": "InternalEvents.projectId", "operator": "equals", "values": ["43"]},
                {"member": "InternalEvents.eventName", "operator": "equals", "values": ["x') OR 1=1 --"]},
            ]}],
        });
        assert_eq!(data(&app, everything).await, json!([{"InternalEvents.projectId": "42"}]));
        let only_other = json!({
            "dimensions": ["InternalEvents.eventName"],
            "filters": [{"member": "InternalEvents.projectId", "operator": "equals", "values": ["43"]}],
        });
        assert_eq!(data(&app, only_other).await, json!([]));
    });
}

#[test]
fn granularities_bucket_in_the_querys_time_zone() {
    with_app("cube_granularities", |app| async move {
        app.sql(ROWS).await;
        let time = "InternalEvents.derivedTstamp";
        for (granularity, zone, labels) in [
            (
                "second",
                "UTC",
                vec![
                    "2026-11-02T00:00:00.000",
                    "2026-11-02T23:59:59.000",
                    "2026-11-03T12:00:00.000",
                    "2026-11-05T07:30:00.000",
                ],
            ),
            (
                "minute",
                "UTC",
                vec![
                    "2026-11-02T00:00:00.000",
                    "2026-11-02T23:59:00.000",
                    "2026-11-03T12:00:00.000",
                    "2026-11-05T07:30:00.000",
                ],
            ),
            (
                "hour",
                "UTC",
                vec![
                    "2026-11-02T00:00:00.000",
                    "2026-11-02T23:00:00.000",
                    "2026-11-03T12:00:00.000",
                    "2026-11-05T07:00:00.000",
                ],
            ),
            (
                "hour",
                "America/Los_Angeles",
                vec![
                    "2026-11-01T16:00:00.000",
                    "2026-11-02T15:00:00.000",
                    "2026-11-03T04:00:00.000",
                    "2026-11-04T23:00:00.000",
                ],
            ),
            (
                "day",
                "UTC",
                vec!["2026-11-02T00:00:00.000", "2026-11-03T00:00:00.000", "2026-11-05T00:00:00.000"],
            ),
            (
                "day",
                "America/Los_Angeles",
                vec![
                    "2026-11-01T00:00:00.000",
                    "2026-11-02T00:00:00.000",
                    "2026-11-03T00:00:00.000",
                    "2026-11-04T00:00:00.000",
                ],
            ),
            ("week", "UTC", vec!["2026-11-02T00:00:00.000"]),
            ("week", "America/Los_Angeles", vec!["2026-10-26T00:00:00.000", "2026-11-02T00:00:00.000"]),
            ("month", "UTC", vec!["2026-11-01T00:00:00.000"]),
            ("quarter", "UTC", vec!["2026-10-01T00:00:00.000"]),
            ("year", "Asia/Kathmandu", vec!["2026-01-01T00:00:00.000"]),
        ] {
            let query = json!({
                "timeDimensions": [{"dimension": time, "granularity": granularity}],
                "timezone": zone,
            });
            let key = format!("{time}.{granularity}");
            let expected: Vec<Value> = labels.iter().map(|label| json!({&key: label, time: label})).collect();
            assert_eq!(data(&app, query).await, Value::from(expected), "{granularity} {zone}");
        }
    });
}

#[test]
fn date_ranges_include_their_last_millisecond() {
    with_app("cube_ranges", |app| async move {
        app.sql(ROWS).await;
        let time = "InternalEvents.derivedTstamp";
        for (range, zone, count) in [
            (json!(["2026-11-02", "2026-11-02"]), "UTC", "2"),
            (json!("2026-11-02"), "UTC", "2"),
            (json!(["2026-11-02T00:00:00.001", "2026-11-02T23:59:59.998"]), "UTC", "0"),
            (json!(["2026-11-02"]), "America/Los_Angeles", "1"),
            (json!(["2026-11-04"]), "America/Los_Angeles", "1"),
            (json!(["2026-11-08", "2026-11-02"]), "UTC", "0"),
        ] {
            let query = json!({
                "measures": ["InternalEvents.count"],
                "timeDimensions": [{"dimension": time, "dateRange": range}],
                "timezone": zone,
            });
            assert_eq!(data(&app, query).await, json!([{"InternalEvents.count": count}]), "{range} {zone}");
        }
    });
}

#[test]
fn values_are_text_and_absent_ones_null() {
    with_app("cube_values", |app| async move {
        app.sql(ROWS).await;
        let query = json!({
            "measures": ["InternalEvents.uniqueUsersCount"],
            "dimensions": ["InternalEvents.eventId", "InternalEvents.userId", "InternalEvents.label", "InternalEvents.value", "InternalEvents.derivedTstamp"],
            "order": {"InternalEvents.eventId": "asc"},
        });
        insta::assert_json_snapshot!(data(&app, query).await);
    });
}

#[test]
fn filters_select_rows_and_groups() {
    with_app("cube_filters", |app| async move {
        app.sql(ROWS).await;
        let member = |name: &str, operator: &str, values: Value| json!({"member": format!("InternalEvents.{name}"), "operator": operator, "values": values});
        for (filter, count) in [
            (member("eventName", "equals", json!(["open"])), "2"),
            (member("eventName", "in", json!(["open", "close"])), "4"),
            (member("eventName", "notEquals", json!(["open"])), "2"),
            (member("eventName", "contains", json!(["LOS"])), "2"),
            (member("eventName", "contains", json!(["%"])), "0"),
            (member("eventName", "startsWith", json!(["Op"])), "2"),
            (member("eventName", "notEndsWith", json!(["SE"])), "2"),
            (member("label", "equals", json!(["it's"])), "1"),
            (member("label", "equals", json!(["red", null])), "3"),
            (member("label", "notEquals", json!(["red"])), "3"),
            (member("label", "notEquals", json!(["red", null])), "1"),
            (member("label", "set", json!([])), "2"),
            (member("label", "notSet", json!([])), "2"),
            (member("label", "equals", json!(["\\' \n\t"])), "0"),
            (member("userId", "gt", json!([1])), "1"),
            (member("userId", "lte", json!(["2"])), "3"),
            (member("value", "gte", json!(["2.5"])), "1"),
            (member("derivedTstamp", "inDateRange", json!(["2026-11-02", "2026-11-03"])), "3"),
            (member("derivedTstamp", "notInDateRange", json!(["2026-11-02", "2026-11-03"])), "1"),
            (member("derivedTstamp", "beforeDate", json!(["2026-11-03"])), "2"),
            (member("derivedTstamp", "afterOrOnDate", json!(["2026-11-03"])), "2"),
            (member("eventId", "equals", json!(["00000000-0000-0000-0000-000000000005"])), "0"),
            (
                json!({"and": [member("eventName", "equals", json!(["open"])), member("label", "set", json!([]))]}),
                "2",
            ),
            (
                json!({"or": [member("eventName", "equals", json!(["close"])), member("userId", "equals", json!([2]))]}),
                "3",
            ),
            (json!({"or": []}), "4"),
        ] {
            let query = json!({"measures": ["InternalEvents.count"], "filters": [filter]});
            assert_eq!(data(&app, query).await, json!([{"InternalEvents.count": count}]), "{filter}");
        }
        let groups = json!({
            "measures": ["InternalEvents.uniqueUsersCount"],
            "dimensions": ["InternalEvents.eventName"],
            "filters": [member("uniqueUsersCount", "gt", json!(["1"]))],
        });
        let expected = json!([{"InternalEvents.eventName": "open", "InternalEvents.uniqueUsersCount": "2"}]);
        assert_eq!(data(&app, groups).await, expected);
    });
}

#[test]
fn many_values_are_one_set() {
    with_app("cube_many_values", |app| async move {
        app.sql(ROWS).await;
        let count = |member: &str, operator: &str, values: Value| {
            let filter =
                json!({"member": format!("InternalEvents.{member}"), "operator": operator, "values": values});
            json!({"measures": ["InternalEvents.count"], "filters": [filter]})
        };
        let ids =
            |from: usize, to: usize| Value::from((from..to).map(|id| id.to_string()).collect::<Vec<_>>());
        let instants = json!(["2026-11-02", "2026-11-03T12:00:00", "2026-11-04"]);
        for (query, expected) in [
            (count("userId", "equals", ids(2, 10_002)), "1"),
            (count("userId", "notIn", ids(2, 10_002)), "3"),
            (count("userId", "in", json!(["1", null, "77"])), "3"),
            (count("userId", "notEquals", json!(["1", null, "77"])), "1"),
            (count("value", "equals", json!(["2.5", "3"])), "1"),
            (count("value", "notEquals", json!(["2.5", "3"])), "3"),
            (count("label", "equals", json!(["it's", "red", "a\\'b,\"c\n"])), "2"),
            (count("derivedTstamp", "equals", instants), "2"),
        ] {
            assert_eq!(
                data(&app, query.clone()).await,
                json!([{"InternalEvents.count": expected}]),
                "{:.200}",
                query.to_string()
            );
        }
        let groups = json!({
            "measures": ["InternalEvents.count"],
            "dimensions": ["InternalEvents.eventName"],
            "filters": [{"member": "InternalEvents.count", "operator": "equals", "values": ["-1", "2", "2.5"]}],
        });
        assert_eq!(data(&app, groups).await.as_array().unwrap().len(), 2);
        let longest = json!(vec!["%".repeat(128); 2048]);
        assert_eq!(
            data(&app, count("label", "equals", longest)).await,
            json!([{"InternalEvents.count": "0"}])
        );
    });
}

#[test]
fn bodies_are_bounded_and_refused_in_gitlabs_form() {
    with_app("cube_bodies", |app| async move {
        let send = async |headers: &[(&str, &str)], body: Body| {
            let mut request = Request::post(LOAD);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = app.send(request, ALICE, body).await;
            (answer.status.as_u16(), answer.any_json())
        };
        let json_type = [("content-type", "application/json")];
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let malformed = "message body does not match declared format: ";
        assert_eq!(
            send(&json_type, " ".repeat(3_000_000).into()).await,
            (413, json!({"message": "413 Request Entity Too Large - the limit is 1048576 bytes"}))
        );
        assert_eq!(
            send(&[("content-type", "text/xml")], "<query/>".into()).await,
            (415, json!({"error": "The provided content-type 'text/xml' is not supported."}))
        );
        assert_eq!(
            send(&[("content-encoding", "br")], "{}".into()).await,
            (415, json!({"error": "The provided content-encoding 'br' is not supported."}))
        );
        assert_eq!(
            send(&json_type, "{".into()).await,
            (400, json!({"error": format!("{malformed}EOF while parsing an object at line 1 column 1")}))
        );
        assert_eq!(send(&json_type, "".into()).await, (400, json!({"error": "query is missing"})));
        let (status, answer) = send(&form, "query[measures][]=InternalEvents.count".into()).await;
        assert_eq!((status, &answer["results"][0]["data"]), (200, &json!([{"InternalEvents.count": "0"}])));
    });
}

#[test]
fn time_zones_are_taken_in_any_case_and_refused_without_any_sql() {
    with_app("cube_zones", |app| async move {
        app.sql(ROWS).await;
        let query = |zone: &str| {
            json!({"query": {
                "measures": ["InternalEvents.count"],
                "timeDimensions": [{"dimension": "InternalEvents.derivedTstamp", "granularity": "hour"}],
                "timezone": zone,
            }})
        };
        for zone in ["utc", "europe/berlin", "US/Pacific"] {
            assert_eq!(app.post(LOAD, ALICE, &query(zone)).await.status, StatusCode::OK, "{zone}");
        }
        for zone in ["Etc/Unknown", "localtime", "Mars/Base"] {
            let answer = app.post(LOAD, ALICE, &query(zone)).await;
            let message =
                format!("Invalid query format: \"timezone\" must be a valid IANA time zone, got \"{zone}\"");
            assert_eq!((answer.status.as_u16(), answer.any_json()), (400, json!({"message": message})));
        }
    });
}

#[test]
fn segments_limits_offsets_and_totals() {
    with_app("cube_pages", |app| async move {
        app.sql(ROWS).await;
        let known = json!({"measures": ["InternalEvents.count"], "segments": ["InternalEvents.knownUsers"]});
        assert_eq!(data(&app, known).await, json!([{"InternalEvents.count": "3"}]));
        let page = json!({
            "dimensions": ["InternalEvents.eventId"], "order": {"InternalEvents.eventId": "desc"},
            "limit": 1, "offset": 1, "total": true,
        });
        let answer = app.post(LOAD, ALICE, &json!({"query": page})).await.json();
        let expected = json!([{"InternalEvents.eventId": "00000000-0000-0000-0000-000000000003"}]);
        assert_eq!(answer["results"][0]["data"], expected);
        assert_eq!(answer["results"][0]["total"], 4);
        let none = json!({"dimensions": ["InternalEvents.eventId"], "limit": 0});
        assert_eq!(data(&app, none).await, json!([]));
        let one_row = json!({"measures": ["InternalEvents.count"], "total": true});
        assert_eq!(app.post(LOAD, ALICE, &json!({"query": one_row})).await.json()["results"][0]["total"], 1);
    });
}

#[test]
fn missing_days_of_a_filtered_range_are_filled() {
    with_app("cube_gaps", |app| async move {
        app.sql(ROWS).await;
        let time = "InternalEvents.derivedTstamp";
        let query = json!({
            "measures": ["InternalEvents.count"],
            "timeDimensions": [{"dimension": time, "granularity": "day"}],
            "filters": [{"member": time, "operator": "inDateRange", "values": ["2026-11-02", "2026-11-05"]}],
        });
        let days: Vec<(String, String)> = data(&app, query)
            .await
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                (
                    row[time].as_str().unwrap()[..10].to_owned(),
                    row["InternalEvents.count"].as_str().unwrap().to_owned(),
                )
            })
            .collect();
        let expected = [("2026-11-02", "2"), ("2026-11-03", "1"), ("2026-11-05", "1"), ("2026-11-04", "0")];
        assert_eq!(days, expected.map(|(day, count)| (day.to_owned(), count.to_owned())));
    });
}

#[test]
fn refusals_have_gitlabs_form() {
    with_app("cube_refusals", |app| async move {
        for (body, status, answer) in [
            (json!({}), 400, json!({"error": "query is missing"})),
            (json!({"query": "undefined"}), 400, json!({"message": "Query param is required"})),
            (
                json!({"query": {"measures": ["InternalEvents.nope"]}}),
                400,
                json!({"message": "'nope' not found for path 'InternalEvents.nope'"}),
            ),
            (
                json!({"query": {"foo": 1}}),
                400,
                json!({"message": "Invalid query format: \"foo\" is not allowed"}),
            ),
            (
                json!({"query": {"measures": ["InternalEvents.count"], "limit": 50_001}}),
                400,
                json!({"message": "Error: The query limit has been exceeded."}),
            ),
        ] {
            let refusal = app.post(LOAD, ALICE, &body).await;
            assert_eq!((refusal.status.as_u16(), refusal.any_json()), (status, answer), "{body}");
        }
        app.sql("DROP TABLE events").await;
        let query = json!({"query": {"measures": ["InternalEvents.count"]}});
        let missing = app.post(LOAD, ALICE, &query).await;
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        assert_eq!(missing.any_json(), json!({"message": "404 Clickhouse Database Not Found"}));
    });
}
