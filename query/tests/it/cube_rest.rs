//! Cube's own base path: tokens, bodies, statuses and texts as Cube has them, and GitLab's beside it.

use axum::http::{HeaderMap, Method, Request};
use serde_json::{Value, json};

use crate::app::{ALICE, NOW, TestApp, cube_token, signed, with_app};

const LOAD: &str = "/cubejs-api/v1/load";
const ROWS: &str = "INSERT INTO events (event_id, name, timestamp, user_id, project_id) VALUES \
    ('00000000-0000-0000-0000-000000000001', 'open', '2026-11-02 00:00:00', 1, 42), \
    ('00000000-0000-0000-0000-000000000002', 'open', '2026-11-03 00:00:00', 2, 42), \
    ('00000000-0000-0000-0000-000000000003', 'secret', '2026-11-03 00:00:00', 3, 43)";

fn count() -> Value {
    json!({"measures": ["InternalEvents.count"]})
}

fn encoded(query: &Value) -> String {
    query.to_string().bytes().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"))
}

/// What a request with these headers gets: status, headers and body.
async fn send(
    app: &TestApp,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, HeaderMap, String) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = app.send(request, "", body.to_owned().into()).await;
    (answer.status.as_u16(), answer.headers, answer.text)
}

async fn posted(app: &TestApp, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, Value) {
    let (status, _, text) = send(app, Method::POST, path, headers, body).await;
    (status, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}

#[test]
fn a_token_says_whose_rows_are_read() {
    with_app("cube_rest_tokens", |app| async move {
        app.sql(ROWS).await;
        let body = json!({"query": count(), "queryType": "multi"}).to_string();
        let now: jiff::Timestamp = NOW.parse().unwrap();
        let of = |project| cube_token(project);
        let expired = signed(&json!({"project_id": 42, "exp": now.as_second()}));
        let json_type = ("content-type", "application/json");
        for (token, rows) in
            [(of(42), "2"), (format!("Bearer {}", of(42)), "2"), (of(43), "1"), (of(44), "0")]
        {
            for header in ["authorization", "x-cube-authorization"] {
                let (status, answer) = posted(&app, LOAD, &[json_type, (header, &token)], &body).await;
                let data = &answer["results"][0]["data"];
                assert_eq!((status, data), (200, &json!([{"InternalEvents.count": rows}])), "{token}");
            }
        }
        for (token, text) in [
            ("", "Authorization header isn't set"),
            ("undefined", "Invalid token"),
            (ALICE, "Invalid token"),
            (&expired, "Invalid token"),
            (&signed(&json!({})), "The token names no project: expected the claim appId or project_id"),
        ] {
            let answer = posted(&app, LOAD, &[json_type, ("authorization", token)], &body).await;
            assert_eq!(answer, (403, json!({"error": text})), "{token}");
        }
        let none = posted(&app, LOAD, &[json_type], &body).await;
        assert_eq!(none, (403, json!({"error": "Authorization header isn't set"})));
    });
}

#[test]
fn every_endpoint_answers_get_and_post_but_meta() {
    with_app("cube_rest_endpoints", |app| async move {
        app.sql(ROWS).await;
        let token = cube_token(42);
        let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
        for path in ["load", "subscribe", "dry-run", "sql"] {
            let path = format!("/cubejs-api/v1/{path}");
            let (status, answer) =
                posted(&app, &path, &headers, &json!({"query": count()}).to_string()).await;
            assert_eq!(status, 200, "{answer}");
            let by_get = format!("{path}?query={}", encoded(&count()));
            let (_, answered, text) = send(&app, Method::GET, &by_get, &headers, "").await;
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), answer);
            assert_eq!(answered["content-type"], "application/json; charset=utf-8");
            assert_eq!(answered["access-control-allow-origin"], "*");
        }
        let meta = "/cubejs-api/v1/meta";
        let (status, _, text) = send(&app, Method::GET, meta, &headers, "").await;
        assert_eq!(status, 200);
        let cubes: Value = serde_json::from_str(&text).unwrap();
        let names: Vec<&str> =
            cubes["cubes"].as_array().unwrap().iter().map(|cube| cube["name"].as_str().unwrap()).collect();
        assert!(names.contains(&"TrackedEvents") && names.contains(&"Sessions"), "{names:?}");
        let (status, answered, text) = send(&app, Method::POST, meta, &headers, "{}").await;
        assert_eq!((status, answered["content-type"].to_str().unwrap()), (404, "text/html; charset=utf-8"));
        assert!(text.contains("<pre>Cannot POST /cubejs-api/v1/meta</pre>"), "{text}");
        let (status, answered, _) = send(&app, Method::OPTIONS, LOAD, &[], "").await;
        assert_eq!(status, 204);
        assert!(answered["access-control-allow-headers"].to_str().unwrap().contains("x-request-id"));
    });
}

#[test]
fn bodies_are_read_as_cube_reads_them() {
    with_app("cube_rest_bodies", |app| async move {
        app.sql(ROWS).await;
        let token = cube_token(42);
        let good = json!({"query": count()}).to_string();
        let of_type = |content_type| [("content-type", content_type), ("authorization", token.as_str())];
        let required = (400, json!({"error": "Query param is required"}));
        let json_type = of_type("application/json; charset=utf-8");
        assert_eq!(posted(&app, LOAD, &of_type("text/plain"), &good).await, required);
        assert_eq!(posted(&app, LOAD, &[("authorization", token.as_str())], &good).await, required);
        for empty in ["", "{}", "[1]", "{\"query\":null}", "{\"query\":\"undefined\"}"] {
            assert_eq!(posted(&app, LOAD, &json_type, empty).await, required, "{empty}");
        }
        let broken = posted(&app, LOAD, &json_type, "{\"query\":").await;
        assert_eq!(broken, (500, json!({"error": "SyntaxError: Unexpected end of JSON input"})));
        let (status, answer) =
            posted(&app, LOAD, &json_type, &json!({"query": count().to_string()}).to_string()).await;
        assert_eq!((status, &answer["data"]), (200, &json!([{"InternalEvents.count": "2"}])));
        let (status, answer) = posted(&app, LOAD, &json_type, &" ".repeat(3_000_000)).await;
        assert_eq!(status, 413);
        assert!(answer["error"].is_string(), "{answer}");
    });
}

#[test]
fn refusals_have_cubes_form() {
    with_app("cube_rest_refusals", |app| async move {
        app.sql(ROWS).await;
        let token = cube_token(42);
        let headers = [("content-type", "application/json"), ("authorization", token.as_str())];
        let day = |range: &str| json!({"dimension": "InternalEvents.derivedTstamp", "granularity": "day", "dateRange": range});
        let blended = json!([
            {"measures": ["InternalEvents.count"], "timeDimensions": [day("today")]},
            {"measures": ["InternalEvents.count"], "timeDimensions": [day("yesterday")]},
        ]);
        for (body, status, answer) in [
            (
                json!({"query": {"measures": ["InternalEvents.nope"]}}),
                400,
                json!({"type": "UserError", "error": "'nope' not found for path 'InternalEvents.nope'"}),
            ),
            (
                json!({"query": {"foo": 1}}),
                400,
                json!({"error": "Invalid query format: \"foo\" is not allowed"}),
            ),
            (
                json!({"query": {"measures": ["InternalEvents.count"], "limit": 50_001}}),
                500,
                json!({"error": "Error: The query limit has been exceeded."}),
            ),
            (
                json!({"query": blended}),
                400,
                json!({"error": "'blendingQuery' query type is not supported by the client.Please update the client."}),
            ),
        ] {
            assert_eq!(posted(&app, LOAD, &headers, &body.to_string()).await, (status, answer), "{body}");
        }
        let (status, answer) =
            posted(&app, LOAD, &headers, &json!({"query": blended, "queryType": "multi"}).to_string()).await;
        assert_eq!((status, &answer["queryType"]), (200, &json!("blendingQuery")));
        app.sql("DROP TABLE events").await;
        let (status, answer) = posted(
            &app,
            LOAD,
            &headers,
            &json!({"query": {"dimensions": ["InternalEvents.eventName"]}}).to_string(),
        )
        .await;
        assert_eq!(status, 400);
        assert!(answer["error"].as_str().unwrap().starts_with("Error: Code: 60."), "{answer}");
    });
}

#[test]
fn gitlabs_path_offers_the_same() {
    with_app("cube_gitlab_endpoints", |app| async move {
        app.sql(ROWS).await;
        let base = "/api/v4/projects/42/product_analytics/request";
        for path in ["load", "dry-run", "sql"] {
            let posted = app.post(&format!("{base}/{path}"), ALICE, &json!({"query": count()})).await.json();
            let by_get = app.get(&format!("{base}/{path}?query={}", encoded(&count())), ALICE).await.json();
            assert_eq!(by_get, posted, "{path}");
        }
        let meta = app.post(&format!("{base}/meta"), ALICE, &json!({})).await.json();
        assert_eq!(app.get(&format!("{base}/meta"), ALICE).await.json(), meta);
        assert!(meta["cubes"].as_array().is_some_and(|cubes| cubes.len() > 3));
        // What Cube's client sends when GitLab's pages construct it, beside their own way to sign in.
        let request = Request::post(format!("{base}/load"))
            .header("content-type", "application/json")
            .header("authorization", "undefined");
        let answer = app
            .send(request, ALICE, json!({"query": count(), "include_token": true}).to_string().into())
            .await;
        assert_eq!(answer.json()["queryType"], "regularQuery");
        let odd =
            app.post(&format!("{base}/load"), ALICE, &json!({"query": count(), "include_token": "x"})).await;
        assert_eq!(
            (odd.status.as_u16(), odd.any_json()),
            (400, json!({"error": "include_token is invalid"}))
        );
        let single = json!({"query": [count()], "queryType": "regular"});
        let refused = app.post(&format!("{base}/load"), ALICE, &single).await;
        assert_eq!(refused.status.as_u16(), 400);
        assert!(refused.any_json()["message"].is_string());
    });
}
