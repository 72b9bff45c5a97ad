//! What is not kept: trackers give up what is final and repeat what is not, and nothing goes without a trace.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tally_eventlog::AppendError;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{DropReason, Framing, PageEvent, topics};

use crate::app::{App, NOW, POST, PROJECT, now_ms, payload};

/// Statuses after which all of Snowplow's trackers give up.
const FINAL: [u16; 5] = [400, 401, 403, 410, 422];

#[tokio::test]
async fn what_can_never_be_kept_is_final_and_counted() {
    let app = App::with(|config| {
        config.max_events = 2;
        config.max_json_bytes = 40;
        config.body.max_body_bytes = 2000;
    });
    let contexts = |data: Value| {
        json!({"schema": "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0", "data": data})
            .to_string()
    };
    let view = json!({"e": "pv"});
    let long = json!({"schema": "iglu:com.acme/long/jsonschema/1-0-0", "data": {"a": "b"}});
    for (body, status, reason, message) in [
        ("{".to_owned(), 400, "invalid", "the body is no payload of a tracker"),
        (r#"{"schema":"iglu:a/b/c/d","data":[]}"#.to_owned(), 400, "invalid", "expected payload_data"),
        (payload(&[view.clone(), view.clone(), view.clone()]), 422, "oversized", "3 events; 2 are allowed"),
        ("x".repeat(2001), 422, "oversized", "2000 bytes"),
        (payload(&[json!({"e": "pv", "aid": "nobody"})]), 422, "unknown_key", r#""nobody" (aid)"#),
        (payload(&[json!({"e": "pv", "aid": ""})]), 422, "unknown_key", r#""" (aid)"#),
        (payload(&[json!({})]), 422, "invalid", "no kind (e)"),
        (payload(&[json!({"e": "xx"})]), 422, "invalid", "is no kind of event (e)"),
        (payload(&[json!({"e": "se"})]), 422, "invalid", "no action (se_ac)"),
        (payload(&[json!({"e": "ue"})]), 422, "invalid", "no data (ue_pr, ue_px)"),
        (payload(&[json!({"e": "ue", "ue_px": "!!"})]), 422, "invalid", "ue_px is no base64"),
        (payload(&[json!({"e": "ue", "ue_pr": "{}"})]), 422, "invalid", "self-describing event is malformed"),
        (payload(&[json!({"e": "pv", "co": "[]"})]), 422, "invalid", "the contexts are malformed"),
        (payload(&[json!({"e": "pv", "co": contexts(json!([long]))})]), 422, "oversized", "contexts: "),
        (payload(&[json!(7)]), 422, "invalid", "expected an object of texts"),
    ] {
        let before = app.dropped(reason);
        let answer = app.post_body(body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        assert!(FINAL.contains(&status));
        let told = answer.message();
        assert!(told.contains(message), "{told}");
        assert!(app.dropped(reason) > before, "{body}");
    }
    assert!(app.events().is_empty());
    assert_eq!(app.get("/i?e=pv&aid=nobody").await.status, 422);
    let brotli = Request::post(POST).header("content-encoding", "br").body(Body::from("x")).unwrap();
    assert_eq!(app.send(brotli).await.status, 422);
}

#[tokio::test]
async fn what_spoils_no_other_is_set_aside() {
    let app = App::new();
    let answer = app
        .post(&[
            json!({"e": "pv", "page": "good"}),
            json!({"e": "pv", "aid": "nobody", "page": "lost", "ip": "203.0.113.9"}),
            json!("nonsense"),
        ])
        .await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.events().len(), 1);
    let letters = app.dead_letters();
    let [unknown, nonsense] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((unknown.reason, nonsense.reason), (DropReason::UnknownKey, DropReason::Invalid));
    let origin = Origin::Request { endpoint: POST.to_owned(), user_id: None, content_type: String::new() };
    assert_eq!(unknown.origin, origin);
    let payload: Value = serde_json::from_slice(&unknown.payload).unwrap();
    assert_eq!(payload, json!({"e": "pv", "aid": "nobody", "page": "lost", "ip": null}));
    assert_eq!(nonsense.payload, br#""nonsense""#);
    assert_eq!((app.dropped("unknown_key"), app.dropped("invalid")), (1.0, 1.0));
    assert_ne!(unknown.id, nonsense.id);
}

#[tokio::test]
async fn what_the_log_does_not_take_is_to_come_again() {
    let app = App::new();
    *app.log.fault.lock() = Some(AppendError::Unavailable("away".to_owned()));
    let answer = app.post(&[json!({"e": "pv"})]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(app.get("/i?e=pv&aid=site-key").await.status, 503);
    *app.log.fault.lock() = None;
    assert_eq!(app.post(&[json!({"e": "pv"})]).await.status, 200);
    assert_eq!(app.events().len(), 1);
}

#[tokio::test]
async fn letters_are_kept_before_events_and_one_that_is_too_long_spoils_none() {
    let app = App::new();
    *app.log.faulty_topic.lock() = Some(topics::DEAD_LETTERS);
    *app.log.fault.lock() = Some(AppendError::Unavailable("away".to_owned()));
    let events = [json!({"e": "pv"}), json!({"e": "xx"})];
    assert_eq!(app.post(&events).await.status, 503);
    assert!(app.events().is_empty(), "the tracker sends it again, and it has no id to be known by");
    *app.log.fault.lock() = Some(AppendError::TooLarge { bytes: 2, limit: 1 });
    assert_eq!(app.post(&events).await.status, 200);
    assert_eq!((app.events().len(), app.dropped("invalid")), (1, 1.0));
}

#[tokio::test]
async fn what_is_set_aside_counts_for_the_budget_of_the_key_that_it_came_with() {
    let app = App::with(|config| {
        config.max_events = 3;
        config.events_per_key = 3;
    });
    let events = [json!({"e": "pv"}), json!({"e": "xx"})];
    assert_eq!(app.post(&events).await.status, 200);
    assert_eq!(app.post(&events).await.status, 429);
    assert_eq!((app.events().len(), app.dead_letters().len()), (1, 1));
}

#[tokio::test]
async fn a_key_has_a_budget_and_others_have_their_own() {
    let app = App::with(|config| {
        config.max_events = 3;
        config.events_per_key = 3;
    });
    let view = json!({"e": "pv"});
    assert_eq!(app.post(&[view.clone(), view.clone()]).await.status, 200);
    let answer = app.post(&[view.clone(), view.clone()]).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "60"));
    assert_eq!(app.events().len(), 2, "all or nothing");
    assert_eq!(app.post(&[json!({"e": "pv", "aid": "directory-key"})]).await.status, 200);
}

#[tokio::test]
async fn nothing_is_nothing_to_complain_about() {
    let app = App::new();
    assert_eq!(app.post(&[]).await.status, 200);
    assert!(app.events().is_empty());
}

#[tokio::test]
async fn a_request_of_which_nothing_is_kept_leaves_a_letter_of_each_event() {
    let app = App::new();
    let events = [json!({"e": "pv", "aid": "nobody", "ip": "203.0.113.9"}), json!({"e": "xx"})];
    assert_eq!(app.post(&events).await.status, 422);
    assert_eq!(app.get("/i?e=pv&aid=nobody&ip=203.0.113.9&page=x").await.status, 422);
    assert_eq!(app.post_body("not json, of somebody@example.com").await.status, 400);
    app.capture.letters_settled().await;
    let letters = app.dead_letters();
    let [unknown, invalid, pixel, body] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((unknown.reason, unknown.project_id), (DropReason::UnknownKey, None));
    assert_eq!((invalid.reason, invalid.project_id), (DropReason::Invalid, Some(PROJECT)));
    let kept: Value = serde_json::from_slice(&pixel.payload).unwrap();
    assert_eq!(kept, json!({"e": "pv", "aid": "nobody", "page": "x", "ip": null}));
    assert_eq!((&body.payload[..], body.whole_size), (&b""[..], Some(33)), "nobody knows whom it names");
}

#[tokio::test]
async fn letters_have_a_budget_and_answers_do_not_depend_on_it() {
    let app = App::with(|config| config.dead_letters.bytes_per_sender = 1_500);
    for _ in 0..5 {
        assert_eq!(app.post(&[json!({"e": "pv", "aid": "nobody"})]).await.status, 422);
    }
    app.capture.letters_settled().await;
    assert_eq!(app.dead_letters().len(), 2);
    assert_eq!(app.dropped("unknown_key") as u64, 5);
}

#[tokio::test]
async fn a_kept_event_becomes_a_record_once_its_key_is_known() {
    let (lacking, knowing) = (App::new(), App::with(|config| _ = config.keys.insert("late".to_owned(), 9)));
    assert_eq!(lacking.post(&[json!({"e": "pv", "aid": "late", "page": "Home"})]).await.status, 422);
    lacking.capture.letters_settled().await;
    let letter = lacking.dead_letters().remove(0);
    let again = |app: &App| app.capture.record_of(POST, &letter.payload, NOW.parse().unwrap());
    assert!(again(&lacking).unwrap_err().contains("no project has the tracking key"));
    let record = again(&knowing).unwrap();
    let event = PageEvent::decode_framed(Framing::default(), &record.value).unwrap();
    assert_eq!((event.project_id, &*event.page_title, event.received_at), (9, "Home", now_ms()));
}
