//! `POST /usage_data`: what is stored, what is answered, what is refused.

use std::io::Write as _;
use std::process::{Command, Stdio};

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::app::{RECORDED_AT, TestApp, instance, payload, with_app};

#[test]
fn a_payload_is_stored_byte_for_byte_and_answered_with_its_number() {
    with_app("stored", |app| async move {
        // Spaces, order and notation are the sender's.
        let text = payload(1, 4, &json!({"issues": 10}))
            .to_string()
            .replace("\"counts\":", " \"x\" : 1.50,\n\"counts\":");
        let answer = app.post("/usage_data", &text).await;
        let document = answer.json(201);
        let id = answer.usage_data_id();
        assert!((1..1 << 53).contains(&id), "{id}");
        assert_eq!(document["conv_index"], document["dev_ops_score"]);
        let stored = app.texts("SELECT payload FROM collected_pings").await;
        assert_eq!(stored, [text]);
        let columns = "SELECT concat(toString(uuid), ' ', toString(recorded_at), ' ', toString(usage_data_id), ' ', toString(received_at), \
                       ' ', hostname, ' ', version, ' ', edition, ' ', installation_type, ' ', toString(use_per_active_user)) FROM collected_pings";
        let expected = format!(
            "{} 2026-11-20 09:08:07.654 {id} 2026-11-21 10:00:00.000 gitlab-1.example.com 17.5.2 EE Free omnibus-gitlab {{'issues':2.5}}",
            instance(1)
        );
        assert_eq!(app.texts(columns).await, [expected]);
    });
}

#[test]
fn a_payload_that_comes_again_has_its_number_and_is_stored_once() {
    with_app("repeated", |app| async move {
        let first = payload(1, 4, &json!({}));
        let id = app.post("/usage_data", &first).await.usage_data_id();
        let other = app.beside();
        assert_eq!(app.post("/usage_data", &first).await.usage_data_id(), id);
        assert_eq!(other.post("/usage_data", &first).await.usage_data_id(), id);
        // The same time in another zone, and a payload that claims to be the same: the first stays.
        let mut changed = payload(1, 4, &json!({"issues": 7}));
        changed["recorded_at"] = json!("2026-11-20T10:08:07.654+01:00");
        assert_eq!(app.post("/usage_data", &changed).await.usage_data_id(), id);
        assert_eq!(app.texts("SELECT payload FROM collected_pings").await, [first.to_string()]);

        let mut next = payload(1, 4, &json!({}));
        next["recorded_at"] = json!("2026-11-20T09:08:07.655Z");
        assert_ne!(app.post("/usage_data", &next).await.usage_data_id(), id);
        assert_ne!(app.post("/usage_data", payload(2, 4, &json!({}))).await.usage_data_id(), id);
        assert_eq!(app.texts("SELECT toString(count()) FROM collected_pings").await, ["3"]);
    });
}

#[test]
fn two_collectors_that_take_a_payload_at_once_store_it_once() {
    with_app("at_once", |app| async move {
        let other = app.beside();
        let text = payload(1, 4, &json!({}));
        let (one, two, three) = tokio::join!(
            app.post("/usage_data", &text),
            other.post("/usage_data", &text),
            app.post("/usage_data", &text)
        );
        assert_eq!(one.usage_data_id(), two.usage_data_id());
        assert_eq!(one.usage_data_id(), three.usage_data_id());
        assert_eq!(app.texts("SELECT toString(count()) FROM collected_pings").await, ["1"]);
    });
}

#[test]
fn what_is_no_payload_is_refused_and_not_stored() {
    with_app("refused", |app| async move {
        let good = payload(1, 4, &json!({})).to_string();
        let deep = format!("{}{}", "[".repeat(40), "]".repeat(40));
        for (body, status, reason) in [
            (String::new(), 400, "message body does not match declared format: EOF"),
            ("{".into(), 400, "message body does not match declared format: EOF"),
            (format!("{good}x"), 400, "trailing characters at line 1"),
            (good.replace("{}", &deep), 400, "nested deeper than 32 levels"),
            ("[]".into(), 422, "the body: expected an object, found an array"),
            (
                "{}".into(),
                422,
                "uuid: expected a UUID, found nothing; recorded_at: expected a time as 2026-01-31T23:59:59.000Z, \
                found nothing; version: expected a text of 1 to 255 bytes, found nothing; hostname: expected a text of 1 to 255 bytes, found nothing",
            ),
            (good.replace(&instance(1), "me"), 422, "uuid: expected a UUID, found another text"),
            (
                good.replace(RECORDED_AT, "2027-01-01T00:00:00Z"),
                422,
                "recorded_at: expected a time from 2010 on and not in the future",
            ),
            (good.replace("{}", "7"), 422, "counts: expected an object, found a number"),
            ("1".repeat((1 << 20) + 1), 413, ""),
        ] {
            let answer = app.post("/usage_data", &body).await;
            let document = answer.json(status);
            assert!(document["error"].as_str().unwrap_or_default().contains(reason), "{document}");
        }
        assert!(app.texts("SELECT payload FROM collected_pings").await.is_empty());
    });
}

#[test]
fn a_body_may_be_compressed_and_must_be_json() {
    with_app("encodings", |app| async move {
        let text = payload(1, 4, &json!({"x": "y".repeat(100_000)})).to_string();
        let post = || Request::post("/usage_data");
        for (content_type, encoding, body, status) in [
            ("application/json", "gzip", gzip(text.as_bytes()), 201),
            ("application/json; charset=utf-8", "identity", text.clone().into_bytes(), 201),
            ("application/json", "gzip", b"not gzip".to_vec(), 400),
            ("application/json", "gzip", gzip(" ".repeat(2 << 20).as_bytes()), 413),
            ("application/json", "br", Vec::new(), 415),
            ("application/x-www-form-urlencoded", "identity", b"uuid=1".to_vec(), 415),
            ("text/plain", "identity", text.clone().into_bytes(), 415),
        ] {
            let request = post().header("content-type", content_type).header("content-encoding", encoding);
            let answer = app.send(request, Body::from(body)).await;
            assert_eq!(answer.status, status, "{content_type} {encoding}: {}", answer.text());
        }
        let answer = app.send(post(), Body::from(text.clone())).await;
        assert_eq!(answer.status, 201, "without a content type a body is JSON");
        assert_eq!(app.texts("SELECT payload FROM collected_pings").await, [text]);
    });
}

#[test]
fn a_store_that_does_not_answer_is_told_as_such() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let app = TestApp::without_store();
        let answer = app.post("/usage_data", payload(1, 4, &json!({}))).await;
        assert_eq!(answer.json(503)["message"], "503 Service Unavailable - the database does not answer");
        assert!(answer.headers.contains_key("retry-after"));
        let request = Request::post("/usage_data").header("accept", "text/html");
        let page = app.send(request, payload(1, 4, &json!({})).to_string().into()).await;
        assert_eq!(page.status, 503);
        assert!(page.headers.contains_key("retry-after") && page.text().contains("Upload it again later"));
        let answer = app.get("/check.json?gitlab_info=eyJ2ZXJzaW9uIjoiMTcuNS4yIn0=").await;
        assert_eq!(answer.json(503)["message"], "503 Service Unavailable - no releases are known here");
    });
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip =
        Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = gzip.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    let writing = std::thread::spawn(move || input.write_all(&bytes).unwrap());
    let output = gzip.wait_with_output().unwrap().stdout;
    writing.join().unwrap();
    output
}
