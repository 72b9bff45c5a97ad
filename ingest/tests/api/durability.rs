//! 200 means that the log has every event; anything else says whether to try again.

use std::time::Duration;

use serde_json::json;
use tally_eventlog::{AppendError, EventLog, FetchLimits};
use tally_schemas::{TrackedEvent, topics};

use crate::app::{App, Fault};

#[tokio::test]
async fn an_answered_event_can_be_read_from_the_log() {
    let app = App::start().await;
    assert_eq!(app.track_event(r#"{"event":"known"}"#).await.text, "200");
    let mut consumer = app.log.join("readers", topics::EVENTS).await.unwrap();
    let limits = FetchLimits { max_records: 10, max_bytes: 1 << 20, max_wait: Duration::from_millis(10) };
    let mut names = Vec::new();
    for _ in 0..2 {
        let mut assignment = consumer.next_assignment().await.unwrap();
        let records = assignment.reader.fetch(limits).await.unwrap();
        names.extend(
            records.iter().map(|record| TrackedEvent::decode(&record.value).unwrap().name.into_owned()),
        );
    }
    assert_eq!(names, ["known"]);
}

#[tokio::test]
async fn one_record_that_is_not_durable_fails_the_whole_request() {
    let app = App::start().await;
    let body = r#"{"events":[{"event":"a"},{"event":"b"},{"event":"c"}]}"#;
    let away = json!({"message": "503 Service Unavailable - the event log is not available"});
    let open = json!({"message": "503 Service Unavailable - the event log did not confirm the events, and may have them: \
        repeat them under the same ids"});
    let rows = [
        (AppendError::Unavailable("brokers are away".into()), 503, open.clone()),
        (AppendError::Full, 503, open.clone()),
        (AppendError::InDoubt { partition: Some(0), reason: "lost".into() }, 503, open),
        (
            AppendError::TooLarge { bytes: 9, limit: 5 },
            413,
            json!({"message": "413 Request Entity Too Large - the limit is 5 bytes"}),
        ),
        (AppendError::Rejected("no".into()), 500, json!({"message": "500 Internal Server Error"})),
    ];
    for (error, status, expected) in rows {
        let shown = error.to_string();
        app.fail(Some(Fault::One(1, error)));
        let answer = app.track_events(body).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (status, expected), "{shown}");
        assert_eq!(answer.headers.contains_key("retry-after"), status == 503, "{shown}");
        app.fail(None);
        app.assert_works(&shown).await;
    }
    // Where nothing else of the request was taken nothing is in doubt.
    app.fail(Some(Fault::One(0, AppendError::Full)));
    let answer = app.track_event(r#"{"event":"a"}"#).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (503, away));
    assert_eq!(app.metric("tally_ingest_append_failures_total", &[]), 6);
    assert_eq!(app.metric("tally_ingest_events_total", &[]), 5, "only those of the checks in between");
}

#[tokio::test]
async fn a_log_that_does_not_answer_is_503_after_the_timeout() {
    let app = App::configured(|config| config.append_timeout_s = 1).await;
    app.fail(Some(Fault::Hang));
    let answer = app.track_event(r#"{"event":"a"}"#).await;
    assert_eq!((answer.status.as_u16(), &answer.headers["retry-after"]), (503, &"1".parse().unwrap()));
    app.fail(None);
    app.assert_works("a log that hung").await;
}

#[tokio::test]
async fn no_events_need_no_log() {
    let app = App::start().await;
    app.fail(Some(Fault::Hang));
    assert_eq!(app.track_events(r#"{"events":[]}"#).await.text, "200");
}
