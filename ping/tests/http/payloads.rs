//! The stored payloads over HTTP, and the event that asking for one is.

use serde_json::json;

use crate::app::{App, NOW, ROOT, request};

const PING: &str = "/api/v4/usage_data/service_ping";
const QUERIES: &str = "/api/v4/usage_data/queries";
const NON_SQL: &str = "/api/v4/usage_data/non_sql_metrics";
const MAKE: &str = "/api/v4/tally/service_ping";

#[tokio::test]
async fn the_ping_is_the_latest_stored_payload_of_the_week_byte_for_byte() {
    let app = App::start().await;
    let nothing = app.get(PING).await;
    assert_eq!((nothing.status.as_u16(), nothing.text.as_str()), (200, "{}"));
    assert_eq!(app.generated(), 0, "asking makes nothing");

    let made = app.post(MAKE, "").await;
    assert_eq!(made.status.as_u16(), 201);
    assert_eq!(made.json()["recorded_at"], NOW.replace('Z', ".000Z"));
    let asked = app.get(PING).await;
    assert_eq!((asked.status.as_u16(), &asked.text), (200, &made.text));
    assert_eq!(asked.header("content-type"), Some("application/json"));

    app.advance_hours(6 * 24);
    assert_eq!(app.get(PING).await.text, made.text);
    let newer = app.post(MAKE, "").await;
    assert_ne!(newer.text, made.text);
    assert_eq!(app.get(PING).await.text, newer.text);
    app.advance_hours(7 * 24);
    assert_eq!(app.get(PING).await.text, "{}", "a week later there is none");
}

#[tokio::test]
async fn the_other_payloads_stand_behind_their_flags() {
    for (path, flag, value) in [
        (QUERIES, "usage_data_queries_api", json!("queries")),
        (NON_SQL, "usage_data_non_sql_metrics", json!("non_sql")),
    ] {
        let app = App::start().await;
        let flag = format!("/api/v4/features/{flag}");
        let off = app.get(path).await;
        assert_eq!((off.status.as_u16(), off.json()), (404, json!({"message": "404 Not Found"})), "{path}");
        assert_eq!(app.post(&flag, r#"{"value":true}"#).await.status.as_u16(), 201);
        assert_eq!(app.get(path).await.text, "{}", "{path}: none is made yet");
        app.post(MAKE, "").await;
        let on = app.get(path).await;
        assert_eq!((on.status.as_u16(), &on.json()["counts"]["kind"]), (200, &value), "{path}");
        app.delete(&flag).await;
        assert_eq!(app.get(path).await.status.as_u16(), 404, "{path}");
    }
}

#[tokio::test]
async fn asking_for_the_ping_is_tracked_with_the_caller() {
    let app = App::start().await;
    app.get(PING).await;
    let reader = request("GET", PING).header("PRIVATE-TOKEN", "glpat-root-read-service-ping");
    app.send(reader, "").await;
    app.send(request("GET", PING).header("PRIVATE-TOKEN", "glpat-alice"), "").await;
    app.post(MAKE, "").await;
    let events = app.events();
    let seen: Vec<_> = events.iter().map(|event| (&*event.name, event.user_id, event.project_id)).collect();
    assert_eq!(seen, [("request_service_ping_via_rest", Some(1), None); 2]);
    assert_eq!(events[0].timestamp, NOW.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    assert_ne!(events[0].event_id, events[1].event_id);
}

#[tokio::test]
async fn a_log_that_takes_nothing_does_not_fail_the_request() {
    let app = App::start().await;
    let made = app.post(MAKE, "").await;
    app.break_log();
    let asked = app.get(PING).await;
    assert_eq!((asked.status.as_u16(), &asked.text), (200, &made.text));
    assert!(app.events().is_empty());
}

#[tokio::test]
async fn nothing_is_made_while_making_is_switched_off() {
    let app = App::start().await;
    app.put("/api/v4/application/settings", r#"{"usage_ping_generation_enabled":false}"#).await;
    let answer = app.send(request("POST", MAKE).header("PRIVATE-TOKEN", ROOT), "").await;
    let message = "400 Bad request - the setting usage_ping_generation_enabled is off";
    assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({"message": message})));
    assert_eq!(app.generated(), 0);
}
