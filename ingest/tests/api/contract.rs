//! Every row of the tables in contracts/gitlab-usage-data.md for tracking.

use serde_json::json;
use tally_schemas::PropertyValue;

use crate::app::{ALICE, App};

const EVENT: &str = "/api/v4/usage_data/track_event";
const FORM: &[(&str, &str)] =
    &[("PRIVATE-TOKEN", ALICE), ("Content-Type", "application/x-www-form-urlencoded")];

#[tokio::test]
async fn track_event_answers_every_body_as_gitlab_does() {
    let app = App::start().await;
    let error = |text: &str| json!({ "error": text }).to_string();
    let success = || "200".to_owned();
    let rows = [
        ("{}", error("event is missing")),
        ("", error("event is missing")),
        ("[1]", error("event is missing")),
        ("null", error("event is missing")),
        ("\"a\"", error("event is missing")),
        (r#"{"event":["a"]}"#, error("event is invalid")),
        (r#"{"event":{"a":1}}"#, error("event is invalid")),
        (r#"{"event":"a","namespace_id":"abc"}"#, error("namespace_id is invalid")),
        (
            r#"{"event":"a","project_id":"x","namespace_id":"y"}"#,
            error("namespace_id is invalid, project_id is invalid"),
        ),
        (r#"{"event":"a","additional_properties":"x"}"#, error("additional_properties is invalid")),
        (r#"{"event":"a","additional_properties":[1]}"#, error("additional_properties is invalid")),
        (r#"{"event":"a","additional_properties":1}"#, error("additional_properties is invalid")),
        (r#"{"event":"a","send_to_snowplow":"maybe"}"#, error("send_to_snowplow is invalid")),
        (r#"{"event":"a","event_id":"x"}"#, error("event_id is invalid")),
        (r#"{"event":"a","event_id":7}"#, error("event_id is invalid")),
        (r#"{"event":"a","timestamp":"2026-01-02"}"#, error("timestamp is invalid")),
        (r#"{"event":"a","timestamp":1767323045}"#, error("timestamp is invalid")),
        (
            r#"{"timestamp":"x","event_id":"x","send_to_snowplow":[],"additional_properties":1,
                "project_id":true,"namespace_id":{},"event":[]}"#,
            error(
                "event is invalid, namespace_id is invalid, project_id is invalid, \
                 additional_properties is invalid, send_to_snowplow is invalid, event_id is invalid, \
                 timestamp is invalid",
            ),
        ),
        (r#"{"event":1}"#, success()),
        (r#"{"event":true}"#, success()),
        (r#"{"event":null}"#, success()),
        (r#"{"event":""}"#, success()),
        (r#"{"event":"a","additional_properties":null}"#, success()),
        (r#"{"event":"a","additional_properties":{"nested":{"a":[1]}}}"#, success()),
        (r#"{"event":"a","namespace_id":"12","project_id":1.5}"#, success()),
        (r#"{"event":"a","namespace_id":null,"project_id":"","send_to_snowplow":null}"#, success()),
        (r#"{"event":"a","event_id":null,"timestamp":""}"#, success()),
        (r#"{"event":"a","unknown":{"x":1},"user_id":"nobody's business"}"#, success()),
    ];
    for (body, expected) in rows {
        let answer = app.track_event(body).await;
        let status = if expected == "200" { 200 } else { 400 };
        assert_eq!((answer.status.as_u16(), &answer.text), (status, &expected), "{body}");
        assert_eq!(answer.headers["content-type"], "application/json", "{body}");
    }
    app.assert_works("the rows").await;
}

#[tokio::test]
async fn track_events_answers_every_body_as_gitlab_does() {
    let app = App::start().await;
    let error = |text: &str| json!({ "error": text }).to_string();
    let no_list = || error("events is invalid, events[event] is missing, events[event] is invalid");
    let success = || "200".to_owned();
    let items = |count: usize| format!(r#"{{"events":[{}]}}"#, vec![r#"{"event":"a"}"#; count].join(","));
    let rows = [
        ("{}".to_owned(), error("events is missing, events[event] is missing")),
        (String::new(), error("events is missing, events[event] is missing")),
        ("[1]".to_owned(), error("events is missing, events[event] is missing")),
        (r#"{"events":[]}"#.to_owned(), success()),
        (r#"{"events":null}"#.to_owned(), error("events[event] is missing")),
        (r#"{"events":"x"}"#.to_owned(), no_list()),
        (r#"{"events":[1]}"#.to_owned(), no_list()),
        (r#"{"events":7}"#.to_owned(), no_list()),
        (r#"{"events":[{"event":"a","project_id":"x"},1]}"#.to_owned(), no_list()),
        (r#"{"events":{"event":"a"}}"#.to_owned(), error("events is invalid")),
        (r#"{"events":[{"event":"a"},{}]}"#.to_owned(), error("events[event] is missing")),
        (
            r#"{"events":[{"event":"a","namespace_id":"z"}]}"#.to_owned(),
            error("events[namespace_id] is invalid"),
        ),
        (
            r#"{"events":[{"event":"a","project_id":"z"},{"namespace_id":"z"},{"event":[]}]}"#.to_owned(),
            error(
                "events[event] is missing, events[event] is invalid, events[namespace_id] is invalid, \
                 events[project_id] is invalid",
            ),
        ),
        (items(50), success()),
        (items(51), json!({"message": "Maximum 50 events allowed in one request."}).to_string()),
        (json!({"events": r#"[{"event":"a"}]"#}).to_string(), success()),
        (json!({"events": r#"{"event":"a"}"#}).to_string(), success()),
        (json!({"events": "[]"}).to_string(), success()),
        (json!({"events": " "}).to_string(), error("events[event] is missing")),
        (json!({"events": "null"}).to_string(), error("events[event] is missing")),
        (json!({"events": "[1]"}).to_string(), no_list()),
        (json!({"events": "[{\"event\":\"a\"}"}).to_string(), no_list()),
        (json!({"events": "[{}]"}).to_string(), error("events[event] is missing")),
    ];
    for (body, expected) in rows {
        let answer = app.track_events(body.clone()).await;
        let status = if expected == "200" { 200 } else { 400 };
        assert_eq!((answer.status.as_u16(), &answer.text), (status, &expected), "{body}");
    }
    app.assert_works("the rows").await;
}

#[tokio::test]
async fn one_invalid_item_refuses_the_whole_request() {
    let app = App::start().await;
    app.track_events(r#"{"events":[{"event":"a"},{"event":"b"},{}]}"#).await;
    assert_eq!(app.events(), []);
}

#[tokio::test]
async fn a_refused_method_names_the_offered_ones() {
    let app = App::start().await;
    for path in [EVENT, "/api/v4/usage_data/track_events", "/api/v4/tally/contributions"] {
        for method in ["GET", "PUT", "DELETE"] {
            let request = axum::http::Request::builder().method(method).uri(path);
            let answer = app.send(request.body(axum::body::Body::empty()).unwrap()).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.headers["allow"], "OPTIONS, POST", "{method} {path}");
            assert_eq!(answer.json(), json!({"error": "405 Not Allowed"}), "{method} {path}");
        }
    }
    let unknown = app.post("/api/v4/usage_data/nothing", "{}").await;
    assert_eq!((unknown.status.as_u16(), unknown.json()), (404, json!({"error": "404 Not Found"})));
}

#[tokio::test]
async fn values_are_recorded_as_given_after_coercion() {
    let app = App::start().await;
    let body = r#"{"event":1,"project_id":"10","namespace_id":100.9,"send_to_snowplow":"on",
        "additional_properties":{"label":"a\"\u00e9","value":1.5,"count":3,"big":18446744073709551615,"yes":true,
        "none":null,"nested":{"b": [1, 2.0, "x\n", null, true], "a": {}}}}"#;
    assert_eq!(app.track_event(body).await.text, "200");
    let event = &app.events()[0];
    assert_eq!(event.name, "1");
    assert_eq!((event.project_id, event.namespace_id, event.user_id), (Some(10), Some(100), Some(2)));
    assert!(event.send_to_snowplow && !event.client_event_id && !event.timestamp_clamped);
    let now = crate::app::now().as_millisecond();
    assert_eq!((event.timestamp, event.received_at), (now, now));
    let expected = [
        ("label", PropertyValue::String("a\"é".into())),
        ("value", PropertyValue::Double(1.5)),
        ("count", PropertyValue::Long(3)),
        ("big", PropertyValue::Json("18446744073709551615".into())),
        ("yes", PropertyValue::Boolean(true)),
        ("none", PropertyValue::Null),
        ("nested", PropertyValue::Json(r#"{"b":[1,2.0,"x\n",null,true],"a":{}}"#.into())),
    ];
    let expected: Vec<_> = expected.into_iter().map(|(name, value)| (name.into(), value)).collect();
    assert_eq!(event.additional_properties, expected);
}

#[tokio::test]
async fn a_form_is_taken_like_json() {
    let app = App::start().await;
    let form = "event=known&project_id=10&send_to_snowplow=1&additional_properties%5Blabel%5D=x+y";
    assert_eq!(app.post_with(EVENT, FORM, form).await.text, "200");
    let event = &app.events()[0];
    assert_eq!((event.name.as_ref(), event.project_id, event.send_to_snowplow), ("known", Some(10), true));
    assert_eq!(event.property("label"), Some(&PropertyValue::String("x y".into())));

    let list = "events[][event]=a&events[][project_id]=10&events[][event]=b";
    assert_eq!(app.post_with("/api/v4/usage_data/track_events", FORM, list).await.text, "200");
    let json = "events=%5B%7B%22event%22%3A%22c%22%7D%5D";
    assert_eq!(app.post_with("/api/v4/usage_data/track_events", FORM, json).await.text, "200");
    let names: Vec<String> = app.events().iter().map(|event| event.name.to_string()).collect();
    assert_eq!(names, ["known", "a", "b", "c"]);

    let missing = app.post_with(EVENT, FORM, "project_id=x").await;
    assert_eq!(missing.json(), json!({"error": "event is missing, project_id is invalid"}));
    let twice = app.post_with(EVENT, FORM, "event=a&event=b").await;
    assert_eq!(twice.status, 400);
    app.assert_works("forms").await;
}

#[tokio::test]
async fn a_project_that_can_not_be_read_counts_as_absent() {
    let app = App::start().await;
    // (project_id, namespace_id) given -> recorded. 11 is private, 12 is alice's without a namespace.
    let rows = [
        ("10", "null", Some(10), Some(100)),
        ("10", "100", Some(10), Some(100)),
        // Nothing that alice can read is in namespace 5 or 101.
        ("10", "5", Some(10), Some(100)),
        ("11", "null", None, None),
        ("11", "5", None, None),
        ("11", "100", None, Some(100)),
        ("12", "100", Some(12), Some(100)),
        ("12", "101", Some(12), None),
        ("12", "null", Some(12), None),
        ("99", "null", None, None),
        ("0", "0", None, None),
        ("-1", "-1", None, None),
        ("1e300", "1e300", None, None),
        ("null", "5", None, None),
        ("null", "100", None, Some(100)),
        ("null", "101", None, None),
    ];
    for (index, (project, namespace, project_id, namespace_id)) in rows.into_iter().enumerate() {
        let body = format!(r#"{{"event":"known","project_id":{project},"namespace_id":{namespace}}}"#);
        assert_eq!(app.track_event(body.clone()).await.text, "200", "{body}");
        let event = &app.events()[index];
        assert_eq!((event.project_id, event.namespace_id), (project_id, namespace_id), "{body}");
    }
    app.post_as_root(EVENT, r#"{"event":"known","project_id":11,"namespace_id":101}"#).await;
    let event = app.events().pop().unwrap();
    assert_eq!((event.project_id, event.namespace_id), (Some(11), Some(101)));
}

#[tokio::test]
async fn without_a_list_of_projects_ids_are_taken_as_given() {
    let app = App::without_projects().await;
    app.track_event(r#"{"event":"known","project_id":99}"#).await;
    assert_eq!((app.events()[0].project_id, app.events()[0].namespace_id), (Some(99), None));
    app.track_event(r#"{"event":"known","namespace_id":5}"#).await;
    assert_eq!((app.events()[1].project_id, app.events()[1].namespace_id), (None, Some(5)));
}
