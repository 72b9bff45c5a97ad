//! The rows of contracts/gitlab-usage-data.md, "Legacy", and what an increment leaves on the log.

use axum::http::Method;
use serde_json::json;
use tally_eventlog::AppendError;
use tally_schemas::Increment;

use crate::app::{ALICE, App, Fault};

const ENDPOINTS: [(&str, Increment); 2] = [
    ("/api/v4/usage_data/increment_counter", Increment::Total),
    ("/api/v4/usage_data/increment_unique_users", Increment::UniqueUsers),
];
const TOKEN: &[(&str, &str)] = &[("PRIVATE-TOKEN", ALICE)];

#[tokio::test]
async fn increments_answer_every_body_as_gitlab_does() {
    let app = App::start().await;
    let error = |text: &str| json!({ "error": text }).to_string();
    let success = || "200".to_owned();
    let rows = [
        ("{}", error("event is missing")),
        ("", error("event is missing")),
        ("[1]", error("event is missing")),
        (r#"{"name":"known"}"#, error("event is missing")),
        (r#"{"event":["a"]}"#, error("event is invalid")),
        (r#"{"event":{"a":1}}"#, error("event is invalid")),
        (r#"{"event":"known"}"#, success()),
        (r#"{"event":"never_defined"}"#, success()),
        (r#"{"event":1}"#, success()),
        (r#"{"event":null}"#, success()),
        (r#"{"event":""}"#, success()),
        (r#"{"event":"known","namespace_id":"abc","additional_properties":1,"event_id":"x"}"#, success()),
    ];
    for (path, _) in ENDPOINTS {
        for (body, expected) in &rows {
            let answer = app.post_with(path, TOKEN, *body).await;
            let status = if expected == "200" { 200 } else { 400 };
            assert_eq!((answer.status.as_u16(), &answer.text), (status, expected), "{path} {body}");
            assert_eq!(answer.headers["content-type"], "application/json", "{path} {body}");
        }
        let long = json!({"event": "x".repeat(300)}).to_string();
        let answer = app.post_with(path, TOKEN, long).await;
        assert_eq!(answer.json(), json!({"error": "event is too long (maximum is 255 bytes)"}), "{path}");
        let form = [("PRIVATE-TOKEN", ALICE), ("Content-Type", "application/x-www-form-urlencoded")];
        assert_eq!(app.post_with(path, &form, "event=known").await.text, "200", "{path}");
    }
    app.assert_works("the rows").await;
}

#[tokio::test]
async fn an_increment_is_the_callers_and_belongs_to_no_project() {
    let app = App::start().await;
    for (path, increment) in ENDPOINTS {
        let body = json!({
            "event": "known", "project_id": 1, "namespace_id": 1, "additional_properties": {"label": "a"},
            "user_id": 3, "timestamp": "2020-01-01T00:00:00Z", "event_id": "6d0d8bbd-2b0c-4d0d-9c0e-3a3f6b3a1c11",
        });
        assert_eq!(app.post_with(path, TOKEN, body.to_string()).await.text, "200");
        let events = app.events();
        let event = events.last().expect("the log has it");
        assert_eq!((event.increment, &*event.name, event.user_id), (increment, "known", Some(2)), "{path}");
        assert_eq!((event.project_id, event.namespace_id), (None, None), "{path}");
        assert_eq!(event.timestamp, event.received_at, "{path}");
        assert!(event.additional_properties.is_empty() && !event.client_event_id, "{path}");
    }
    assert_eq!(app.track_event(r#"{"event":"known"}"#).await.text, "200");
    assert_eq!(app.events().last().expect("the log has it").increment, Increment::Event);
}

#[tokio::test]
async fn increments_are_posted_only() {
    let app = App::start().await;
    for (path, _) in ENDPOINTS {
        let request =
            axum::http::Request::builder().method(Method::GET).uri(path).header("PRIVATE-TOKEN", ALICE);
        let answer = app.send(request.body(axum::body::Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 405, "{path}");
        assert_eq!(answer.headers["allow"], "OPTIONS, POST", "{path}");
    }
}

#[tokio::test]
async fn an_increment_that_the_log_did_not_take_is_to_be_tried_again() {
    let app = App::start().await;
    app.fail(Some(Fault::One(0, AppendError::Unavailable("test".to_owned()))));
    for (path, _) in ENDPOINTS {
        let answer = app.post_with(path, TOKEN, r#"{"event":"known"}"#).await;
        assert_eq!(answer.status, 503, "{path}");
        assert!(answer.headers.contains_key("retry-after"), "{path}");
    }
    assert_eq!(app.events(), []);
}
