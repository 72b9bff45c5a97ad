//! What Tally takes beyond GitLab: event ids, timestamps, an administrator's import, and verdicts.

use serde_json::json;
use tally_schemas::PropertyValue;
use uuid::Uuid;

use crate::app::{ALICE, App, now};

const EVENT: &str = "/api/v4/usage_data/track_event";
const EVENTS: &str = "/api/v4/usage_data/track_events";
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn a_clients_event_id_is_kept_and_is_the_records_key() {
    let app = App::start().await;
    app.track_events(format!(r#"{{"events":[{{"event":"a","event_id":"{ID}"}},{{"event":"b"}}]}}"#)).await;
    let (events, records) = (app.events(), app.records("tally.events"));
    let id: Uuid = ID.parse().unwrap();
    assert!(events[0].client_event_id && !events[1].client_event_id);
    assert_eq!(events[0].event_id, id);
    assert_eq!(records[0].key.as_deref(), Some(id.as_bytes().as_slice()));
    assert_eq!(records[1].key, None);
}

#[tokio::test]
async fn an_event_id_that_repeats_within_a_request_is_recorded_once() {
    let app = App::start().await;
    let item = |name: &str| format!(r#"{{"event":"{name}","event_id":"{ID}"}}"#);
    let body = format!(r#"{{"events":[{},{},{{"event":"c"}},{}]}}"#, item("a"), item("b"), item("a"));
    assert_eq!(app.track_events(body).await.text, "200");
    let names: Vec<String> = app.events().iter().map(|event| event.name.to_string()).collect();
    assert_eq!(names, ["a", "c"]);
}

#[tokio::test]
async fn made_event_ids_are_distinct_and_of_the_time_of_receipt() {
    let app = App::start().await;
    let items = vec![r#"{"event":"a"}"#; 50].join(",");
    app.track_events(format!(r#"{{"events":[{items}]}}"#)).await;
    let ids: Vec<Uuid> = app.events().iter().map(|event| event.event_id).collect();
    assert_eq!(ids.iter().collect::<std::collections::HashSet<_>>().len(), 50);
    for id in ids {
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix().0, now().as_second() as u64);
    }
}

#[tokio::test]
async fn timestamps_outside_the_window_are_clamped_except_for_an_administrators_history() {
    let app = App::start().await;
    // given, recorded for alice, recorded for root. The clock stands at 2026-03-01T12:00:00Z.
    let rows = [
        ("2026-03-01T11:00:00.123Z", "2026-03-01T11:00:00.123Z", "2026-03-01T11:00:00.123Z"),
        ("2026-03-01T13:00:00Z", "2026-03-01T13:00:00Z", "2026-03-01T13:00:00Z"),
        ("2026-03-01T13:00:00.001Z", "2026-03-01T13:00:00Z", "2026-03-01T13:00:00Z"),
        ("2026-02-22T12:00:00Z", "2026-02-22T12:00:00Z", "2026-02-22T12:00:00Z"),
        ("2026-02-22T11:59:59.999Z", "2026-02-22T12:00:00Z", "2026-02-22T11:59:59.999Z"),
        ("2020-01-01T00:00:00Z", "2026-02-22T12:00:00Z", "2020-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59Z", "2026-02-22T12:00:00Z", "1970-01-01T00:00:00Z"),
    ];
    for (given, for_alice, for_root) in rows {
        let body = format!(r#"{{"event":"a","timestamp":"{given}"}}"#);
        app.track_event(body.clone()).await;
        app.post_as_root(EVENT, body).await;
        let events = app.events();
        let [alice, root] = &events[events.len() - 2..] else { panic!("two events") };
        for (event, expected) in [(alice, for_alice), (root, for_root)] {
            let expected_ms = expected.parse::<jiff::Timestamp>().unwrap().as_millisecond();
            assert_eq!(event.timestamp, expected_ms, "{given}");
            assert_eq!(event.timestamp_clamped, given != expected, "{given}");
            assert_eq!(event.received_at, now().as_millisecond(), "{given}");
        }
    }
    let times: Vec<i64> = app.records("tally.events").iter().map(|record| record.timestamp).collect();
    assert!(times.iter().all(|time| *time == now().as_millisecond()), "retention goes by receipt");
}

#[tokio::test]
async fn only_an_administrator_names_another_actor() {
    let app = App::start().await;
    // user_id given -> recorded for alice (2), for root (1).
    let rows = [
        ("7", Some(2), Some(7)),
        ("\"7\"", Some(2), Some(7)),
        ("null", Some(2), Some(1)),
        ("\"\"", Some(2), Some(1)),
        ("0", Some(2), None),
        ("-5", Some(2), None),
    ];
    for (given, for_alice, for_root) in rows {
        let body = format!(r#"{{"event":"a","user_id":{given}}}"#);
        app.track_event(body.clone()).await;
        app.post_as_root(EVENT, body).await;
        let users: Vec<_> = app.events().iter().rev().take(2).map(|event| event.user_id).collect();
        assert_eq!(users, [for_root, for_alice], "{given}");
    }
    let invalid = app.post_as_root(EVENTS, r#"{"events":[{"event":"a","user_id":"x"}]}"#).await;
    assert_eq!(
        (invalid.status.as_u16(), invalid.json()),
        (400, json!({"error": "events[user_id] is invalid"}))
    );
    assert_eq!(app.track_event(r#"{"event":"a","user_id":"x"}"#).await.text, "200");
}

#[tokio::test]
async fn a_representation_gives_a_verdict_on_each_event() {
    let app = App::start().await;
    let headers = [("PRIVATE-TOKEN", ALICE), ("Prefer", "respond-async, return=representation")];
    let body = json!({"events": [
        {"event": "known", "event_id": ID, "additional_properties": {"label": "x", "foo": 1, "bar": 2}},
        {"event": "known", "event_id": ID},
        {"event": "nobody_knows", "additional_properties": {"foo": 1}, "timestamp": "2020-01-01T00:00:00Z"},
    ]});
    let answer = app.post_with(EVENTS, &headers, body.to_string()).await;
    let made = app.events()[1].event_id.to_string();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["preference-applied"], "return=representation");
    let expected = json!({"events": [
        {"event_id": ID, "status": "accepted", "notes": ["undeclared_property:foo", "undeclared_property:bar"]},
        {"event_id": ID, "status": "duplicate", "notes": []},
        {"event_id": made, "status": "unknown_event", "notes": ["timestamp_clamped"]},
    ]});
    assert_eq!(answer.json(), expected);
    assert_eq!(app.metric("tally_ingest_undeclared_properties_total", &[]), 2);
    assert_eq!(app.metric("tally_ingest_events_total", &[]), 2);
    assert_eq!(
        app.events()[0].property("label"),
        Some(&PropertyValue::String("x".into())),
        "the first is kept"
    );

    let single = app.post_with(EVENT, &headers, r#"{"event":"known"}"#).await;
    assert_eq!(single.json()["events"][0]["status"], "accepted");
    let none = app.post_with(EVENTS, &headers, r#"{"events":[]}"#).await;
    assert_eq!(none.json(), json!({"events": []}));
}
