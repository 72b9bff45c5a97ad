//! Manual upload: the page, and the form that it sends.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::Request;
use serde_json::json;

use crate::app::{Answer, TestApp, payload, with_app};

/// A part of a form: its headers' rest and its content.
type Part<'a> = (&'a str, &'a str);

async fn upload(app: &TestApp, path: &str, accept: &str, parts: &[Part<'_>]) -> Answer {
    let mut form = String::new();
    for (disposition, content) in parts {
        write!(form, "--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{content}\r\n").unwrap();
    }
    form += "--b--\r\n";
    let request = Request::post(path).header("content-type", "multipart/form-data; boundary=b");
    app.send(request.header("accept", accept), Body::from(form)).await
}

const FILE: &str = "name=\"usage_data\"; filename=\"payload.json\"";
const BROWSER: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

#[test]
fn a_payload_in_a_form_is_taken_as_a_posted_one_is() {
    with_app("upload", |app| async move {
        let text = serde_json::to_string_pretty(&payload(1, 4, &json!({"issues": 1}))).unwrap();
        let posted = app.post("/usage_data", &text).await;
        for path in ["/usage_data", "/usage_data/new"] {
            for file in [FILE, "name=\"file\"; filename=\"a\"", "name=\"usage_data\""] {
                let parts = [("name=\"other\"", "x"), (file, text.as_str())];
                let uploaded = upload(&app, path, "*/*", &parts).await;
                assert_eq!(uploaded.json(201), posted.json(201), "{path} {file}");
            }
        }
        assert_eq!(app.texts("SELECT payload FROM collected_pings").await, [text]);
    });
}

#[test]
fn a_browser_gets_pages() {
    with_app("pages", |app| async move {
        for (path, needle) in [
            ("/", "<a href=\"/usage_data/new\">"),
            ("/usage_data/new", "<input type=\"file\" id=\"usage_data\" name=\"usage_data\""),
        ] {
            let page = app.get(path).await;
            assert_eq!(
                (page.status.as_u16(), page.headers["content-type"].as_bytes()),
                (200, &b"text/html; charset=utf-8"[..])
            );
            assert!(page.text().contains(needle), "{}", page.text());
            let policy = page.headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
            assert!(!page.text().contains("<script") && !page.text().contains("://"), "{}", page.text());
        }
        let stylesheet = app.get("/collector.css").await;
        assert_eq!(stylesheet.headers["content-type"], "text/css; charset=utf-8");

        let text = payload(1, 4, &json!({})).to_string();
        let page = upload(&app, "/usage_data/new", BROWSER, &[(FILE, &text)]).await;
        assert_eq!(page.status, 201);
        let id = app.post("/usage_data", &text).await.usage_data_id();
        assert!(page.text().contains(&format!("<dd>{id}</dd>")), "{}", page.text());
        assert!(page.text().contains("not enough other instances"), "{}", page.text());

        let bad = text.replace("17.5.2", &"<script>".repeat(64));
        let page = upload(&app, "/usage_data/new", BROWSER, &[(FILE, &bad)]).await;
        assert_eq!(page.status, 422);
        assert!(
            page.text().contains("version: expected a text of 1 to 255 bytes, found another text"),
            "{}",
            page.text()
        );
        let page = upload(&app, "/usage_data/new", BROWSER, &[(FILE, "{\"a")]).await;
        assert_eq!(
            (page.status.as_u16(), page.headers["content-type"].as_bytes()),
            (400, &b"text/html; charset=utf-8"[..])
        );
    });
}

#[test]
fn a_compared_instance_sees_a_table() {
    with_app("table", |app| async move {
        for number in 1..=3 {
            app.post("/usage_data", payload(number, 1, &json!({"issues": 8}))).await.json(201);
        }
        let text = payload(9, 1, &json!({"issues": 2})).to_string();
        let page = upload(&app, "/usage_data/new", BROWSER, &[(FILE, &text)]).await;
        let row = "<tr><th scope=\"row\">Issues</th><td>2</td><td>8</td><td>25 %</td></tr>";
        assert!(page.text().contains(row), "{}", page.text());
        assert_eq!(page.text().matches("<th scope=\"row\">").count(), 10);
    });
}

#[test]
fn a_form_without_a_payload_is_refused() {
    with_app("bad_forms", |app| async move {
        let long = "1".repeat((1 << 20) + 1);
        let rows: [(&[Part<'_>], u16, &str); 4] = [
            (&[], 422, "the form: expected a file in the field usage_data, found nothing"),
            (&[("name=\"other\"", "{}")], 422, "the form: expected a file in the field usage_data"),
            (&[(FILE, "")], 400, "EOF"),
            (&[(FILE, &long)], 413, "the limit is 1048576 bytes"),
        ];
        for (parts, status, reason) in rows {
            let answer = upload(&app, "/usage_data", "*/*", parts).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            assert!(answer.text().contains(reason), "{}", answer.text());
        }
        let broken = Request::post("/usage_data").header("content-type", "multipart/form-data; boundary=b");
        let answer = app.send(broken, Body::from("--b\r\nContent-Disp")).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        let unbounded = Request::post("/usage_data").header("content-type", "multipart/form-data");
        assert_eq!(app.send(unbounded, Body::empty()).await.status, 400);
    });
}
