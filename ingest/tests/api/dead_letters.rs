//! What is refused is kept with its bytes, answers don't wait for that, and a kept body becomes events once it is let in.

use serde_json::json;
use tally_eventlog::AppendError;
use tally_ingest::{RefusedBody, StillRefused};
use tally_schemas::dead_letter::Origin;
use tally_schemas::{DeadLetter, DropReason, TrackedEvent, topics};

use crate::app::{ALICE, App, Fault, now};

const TRACK_EVENT: &str = "/api/v4/usage_data/track_event";
const TRACK_EVENTS: &str = "/api/v4/usage_data/track_events";
const CONTRIBUTIONS: &str = "/api/v4/tally/contributions";

fn endpoint(letter: &DeadLetter) -> (&str, Option<i64>) {
    match &letter.origin {
        Origin::Request { endpoint, user_id, .. } => (endpoint, *user_id),
        Origin::Log { .. } => panic!("{letter:?}"),
    }
}

#[tokio::test]
async fn a_refused_body_is_kept_with_its_reason_and_answered_as_ever() {
    for (path, body, status, detail) in [
        (TRACK_EVENT, r#"{"namespace_id": 5}"#.to_owned(), 400, "event is missing"),
        (TRACK_EVENT, "{".to_owned(), 400, "message body does not match declared format"),
        (TRACK_EVENTS, r#"{"events": 7}"#.to_owned(), 400, "events is invalid"),
        ("/api/v4/usage_data/increment_counter", "{}".to_owned(), 400, "event is missing"),
        ("/api/v4/usage_data/increment_unique_users", "{}".to_owned(), 400, "event is missing"),
        (CONTRIBUTIONS, r#"{"action": "danced"}"#.to_owned(), 400, "action"),
        (
            TRACK_EVENTS,
            json!({"events": vec![json!({"event": "known"}); 51]}).to_string(),
            400,
            "Maximum 50 events",
        ),
    ] {
        let app = App::start().await;
        let answer = app.post(path, body.clone()).await;
        assert_eq!(answer.status, status, "{path} {body}");
        let letters = app.dead_letters().await;
        let [letter] = &letters[..] else { panic!("{path} {body}: {letters:?}") };
        assert_eq!((letter.reason, &letter.payload[..]), (DropReason::Invalid, body.as_bytes()));
        assert_eq!(endpoint(letter), (path, Some(2)));
        assert_eq!((letter.whole_size, letter.project_id), (None, None));
        assert_eq!(letter.recorded_at, now().as_millisecond());
        assert!(letter.detail.contains(detail), "{}", letter.detail);
        assert_eq!(app.metric("tally_ingest_dropped_total", &[("reason", "invalid")]), 1);
        app.assert_works("a letter").await;
    }
}

#[tokio::test]
async fn bodies_that_can_not_be_read_are_kept_as_far_as_they_came() {
    let app = App::configured(|config| config.max_body_bytes = 1_000).await;
    let long = format!(r#"{{"event": "{}"}}"#, "x".repeat(5_000));
    assert_eq!(app.track_event(long.clone()).await.status, 413);
    let headers = [("PRIVATE-TOKEN", ALICE), ("Content-Type", "text/xml")];
    assert_eq!(app.post_with(TRACK_EVENT, &headers, "<event/>").await.status, 415);
    assert_eq!(app.track_event(vec![b'{', 0xff]).await.status, 400);
    let letters = app.dead_letters().await;
    let [oversized, of_other_type, no_text] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!(oversized.reason, DropReason::Oversized);
    assert_eq!(
        (&oversized.payload[..], oversized.whole_size),
        (&long.as_bytes()[..1_000], Some(long.len() as u64))
    );
    assert_eq!((of_other_type.reason, &of_other_type.payload[..]), (DropReason::Invalid, &b"<event/>"[..]));
    assert_eq!((&no_text.payload[..], no_text.whole_size), (&[b'{', 0xff][..], None));
}

#[tokio::test]
async fn what_the_log_finds_too_long_is_kept_as_oversized() {
    let app = App::start().await;
    app.fail(Some(Fault::One(0, AppendError::TooLarge { bytes: 9, limit: 8 })));
    assert_eq!(app.track_event(r#"{"event": "known"}"#).await.status, 413);
    app.fail(None);
    let letters = app.dead_letters().await;
    assert_eq!((letters.len(), letters[0].reason), (1, DropReason::Oversized));
    assert_eq!(letters[0].payload, br#"{"event": "known"}"#);
    assert_eq!(app.metric("tally_ingest_dropped_total", &[("reason", "oversized")]), 1);
}

#[tokio::test]
async fn answers_do_not_wait_for_letters() {
    let app = App::start().await;
    app.fail(Some(Fault::Hang));
    assert_eq!(app.track_event("{}").await.status, 400);
}

#[tokio::test]
async fn a_letter_is_of_the_one_project_that_its_sender_can_read() {
    let events = |ids: &[i64]| {
        let events: Vec<_> =
            ids.iter().map(|id| json!({"event": "known", "project_id": id, "timestamp": "x"})).collect();
        json!({ "events": events }).to_string()
    };
    for (body, project_id) in [
        (events(&[12, 12]), Some(12)),
        (events(&[12, 10]), None),
        (events(&[11]), None),
        (events(&[404]), None),
        (json!({"events": [{"project_id": 12}, {}]}).to_string(), None),
    ] {
        let app = App::start().await;
        assert_eq!(app.track_events(body.clone()).await.status, 400, "{body}");
        assert_eq!(app.dead_letters().await[0].project_id, project_id, "{body}");
    }
}

#[tokio::test]
async fn what_is_not_the_bodys_fault_makes_no_letter() {
    let app = App::start().await;
    let headers = [("PRIVATE-TOKEN", "glpat-nobody"), ("Content-Type", "application/json")];
    assert_eq!(app.post_with(TRACK_EVENT, &headers, "{}").await.status, 401);
    app.fail(Some(Fault::One(0, AppendError::Full)));
    assert_eq!(app.track_event(r#"{"event": "known"}"#).await.status, 503);
    assert_eq!(app.dead_letters().await, []);
}

#[tokio::test]
async fn a_kept_body_becomes_the_events_that_it_would_have_been() {
    let app = App::start().await;
    let body = RefusedBody {
        endpoint: TRACK_EVENTS,
        user_id: 2,
        content_type: "",
        bytes: br#"{"events": [{"event": "known", "project_id": 12}, {"event": "other", "project_id": 11}]}"#,
        received_at: now(),
    };
    let (topic, records) = app.ingest.records_of(body).unwrap();
    assert_eq!(topic, topics::EVENTS);
    let events: Vec<TrackedEvent<'_>> =
        records.iter().map(|record| TrackedEvent::decode(&record.value).unwrap()).collect();
    assert_eq!((&*events[0].name, events[0].user_id, events[0].project_id), ("known", Some(2), Some(12)));
    assert_eq!((&*events[1].name, events[1].project_id), ("other", None));
    assert_eq!(events[0].timestamp, now().as_millisecond());
    assert!(app.records(topics::EVENTS).is_empty(), "nothing is appended");

    let form = RefusedBody {
        endpoint: TRACK_EVENT,
        content_type: "application/x-www-form-urlencoded",
        bytes: b"event=known",
        ..body
    };
    assert_eq!(app.ingest.records_of(form).unwrap().1.len(), 1);
    for (body, text) in [
        (RefusedBody { bytes: b"{}", ..body }, "still refused: events is missing, events[event] is missing"),
        (RefusedBody { endpoint: "/i", ..body }, "ingest has no endpoint /i"),
        (RefusedBody { user_id: 3, ..body }, "user 3 is not there any more, or blocked"),
    ] {
        let refused: StillRefused = app.ingest.records_of(body).unwrap_err();
        assert_eq!(refused.to_string(), text);
    }
}
