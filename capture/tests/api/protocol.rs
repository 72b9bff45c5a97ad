//! What the tracker protocol asks of a collector.

use std::collections::HashSet;
use std::io::Write as _;

use axum::body::Body;
use axum::http::Request;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;
use tally_schemas::topics;

use crate::app::{App, POST, PROJECT, now_ms, payload};

const ID: &str = "c2de8d32-0d25-4b74-accf-6a50fa758a9c";

#[tokio::test]
async fn a_post_is_answered_once_its_events_are_in_the_log() {
    let app = App::new();
    let answer = app.post(&[json!({"e": "pv", "eid": ID}), json!({"e": "pv"})]).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"ok"[..]));
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    let records = app.records(topics::PAGE_EVENTS);
    let key = |index: usize| records[index].key.as_ref().map(|key| key.to_vec());
    assert_eq!(key(0), Some(ID.parse::<uuid::Uuid>().unwrap().as_bytes().to_vec()));
    assert_eq!(key(1), None, "an id that was made here can't come again");
    assert!(records.iter().all(|record| record.timestamp == now_ms()));
    assert_eq!(app.events()[0].event_id.to_string(), ID);
}

#[tokio::test]
async fn a_pixel_is_answered_once_its_event_is_in_the_log() {
    let app = App::new();
    let answer =
        app.get(&format!("/i?e=pv&aid=site-key&eid={ID}&page=A+%26+B&url=https%3A%2F%2Fa.example")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "image/gif"));
    assert!(answer.body.starts_with(b"GIF89a"));
    assert!(answer.header("cache-control").contains("no-store"));
    let events = app.events();
    assert_eq!((&*events[0].page_title, &*events[0].page_url), ("A & B", "https://a.example"));

    let head = Request::head("/i?e=pv&aid=site-key").body(Body::empty()).unwrap();
    assert_eq!(app.send(head).await.status, 200);
    assert_eq!(app.events().len(), 1, "HEAD changes nothing");
}

#[tokio::test]
async fn a_pixel_without_a_script_is_on_the_page_that_refers_to_it() {
    let app = App::new();
    let pixel = Request::get("/i?e=pv&aid=site-key").header("referer", "https://mail.example/news");
    app.send(pixel.body(Body::empty()).unwrap()).await;
    assert_eq!(app.events()[0].page_url_path, "/news");
}

#[tokio::test]
async fn bodies_may_be_compressed_and_called_plain_text() {
    let app = App::new();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(payload(&[json!({"e": "pv"})]).as_bytes()).unwrap();
    let compressed =
        Request::post(POST).header("content-encoding", "gzip").header("content-type", "text/plain");
    let answer = app.send(compressed.body(Body::from(gzip.finish().unwrap())).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(app.events().len(), 1);
}

#[tokio::test]
async fn operators_may_add_paths() {
    let app = App::with(|config| config.post_paths = vec!["/com.acme/track".to_owned()]);
    let request = Request::post("/com.acme/track").header("origin", "https://a.example");
    let answer = app.send(request.body(Body::from(payload(&[json!({"e": "pv"})]))).unwrap()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://a.example");
    assert_eq!(app.events().len(), 1);
    let preflight = Request::options("/com.acme/track").header("access-control-request-method", "POST");
    assert_eq!(app.send(preflight.body(Body::empty()).unwrap()).await.status, 204);
}

#[tokio::test]
async fn a_page_may_read_a_refusal() {
    let app = App::new();
    let request = Request::post(POST).header("origin", "https://a.example").body(Body::from("{")).unwrap();
    let answer = app.send(request).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.header("access-control-allow-origin"), "https://a.example");
}

#[tokio::test]
async fn a_key_names_its_project_wherever_it_stands() {
    let app = App::new();
    assert_eq!(app.kept(json!({"e": "pv"})).await.project_id, PROJECT);
    assert_eq!(app.kept(json!({"e": "pv", "aid": "directory-key"})).await.project_id, 8);
    let by_header = Request::post(POST).header("x-gitlab-appid", "directory-key");
    app.send(by_header.body(Body::from(payload(&[json!({"e": "pv", "aid": ""})]))).unwrap()).await;
    assert_eq!(app.events()[2].project_id, 8);
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_the_same_whenever_it_comes() {
    let app = App::new();
    let mut ids = Vec::new();
    for (id, key) in [
        ("order 1", "site-key"),
        ("order 1", "site-key"),
        ("order 2", "site-key"),
        ("order 1", "directory-key"),
    ] {
        let event = app.kept(json!({"e": "pv", "eid": id, "aid": key})).await;
        assert!(event.client_event_id);
        ids.push(event.event_id);
    }
    assert_eq!(ids[0], ids[1]);
    assert_eq!(ids.into_iter().collect::<HashSet<_>>().len(), 3);
    for id in ["", "00000000-0000-0000-0000-000000000000"] {
        assert!(!app.kept(json!({"e": "pv", "eid": id})).await.client_event_id, "{id:?}");
    }
}

#[tokio::test]
async fn time_is_ours_and_bounded() {
    let app = App::new();
    let day = 24 * 60 * 60 * 1000;
    for (parameters, expected) in [
        (json!({"e": "pv", "dtm": "1000", "stm": "61000"}), now_ms() - 60_000),
        (json!({"e": "pv", "dtm": 1000, "stm": 61000}), now_ms() - 60_000),
        (json!({"e": "pv", "ttm": (now_ms() - 5).to_string()}), now_ms() - 5),
        (json!({"e": "pv", "ttm": "1"}), now_ms() - 7 * day),
        (json!({"e": "pv", "ttm": i64::MAX.to_string()}), now_ms() + day / 24),
        (json!({"e": "pv"}), now_ms()),
    ] {
        let event = app.kept(parameters.clone()).await;
        assert_eq!((event.timestamp, event.received_at), (expected, now_ms()), "{parameters}");
    }
}

#[tokio::test]
async fn the_document_has_both_endpoints() {
    let document = serde_json::to_value(tally_capture::document()).unwrap();
    assert!(document["paths"][POST]["post"].is_object());
    assert!(document["paths"]["/i"]["get"].is_object());
}
