//! Who may ask what.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::app::{ALICE, ALICE_READ_USER, BOB, ROOT, TestApp, with_app};

const LOAD: &str = "/api/v4/projects/42/product_analytics/request/load";

async fn refused(app: &TestApp, path: &str, token: &str) -> (StatusCode, Value) {
    let answer = app.get(path, token).await;
    (answer.status, answer.any_json())
}

#[test]
fn endpoints_ask_for_token_scope_and_rights() {
    with_app("access", |app| async move {
        let unauthorized = json!({"message": "401 Unauthorized"});
        let insufficient = |scopes: &str| {
            let description = "The request requires higher privileges than provided by the access token.";
            json!({"error": "insufficient_scope", "error_description": description, "scope": scopes})
        };
        let project_absent = json!({"message": "404 Project Not Found"});
        let cube = format!("{LOAD}?query=%7B%7D");
        let of_bob = cube.replace("/42/", "/43/");
        let nowhere = cube.replace("/42/", "/999/");
        let public = cube.replace("/42/", "/44/");
        let no_text = cube.replace("/42/", "/%ff/");
        let no_access = json!({"message": "Access Denied"});
        for (path, token, status, body) in [
            ("/api/v4/events", "", 401, unauthorized.clone()),
            ("/api/v4/events", "glpat-nobody", 401, unauthorized.clone()),
            (cube.as_str(), "", 401, unauthorized.clone()),
            (cube.as_str(), ALICE_READ_USER, 403, insufficient("api read_api")),
            (cube.as_str(), BOB, 404, project_absent.clone()),
            (of_bob.as_str(), ALICE, 404, project_absent.clone()),
            (nowhere.as_str(), ROOT, 404, project_absent.clone()),
            (no_text.as_str(), ROOT, 404, project_absent.clone()),
            (no_text.as_str(), "", 401, unauthorized.clone()),
            (public.as_str(), "", 401, unauthorized.clone()),
            (public.as_str(), ALICE, 401, no_access.clone()),
            (public.as_str(), BOB, 401, no_access.clone()),
            ("/api/v4/nowhere", ROOT, 404, json!({"error": "404 Not Found"})),
        ] {
            let expected = (StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(refused(&app, path, token).await, expected, "{path} {token}");
        }
        let count = "?query=%7B%22measures%22%3A%5B%22TrackedEvents.count%22%5D%7D";
        for (project, token) in
            [("42", ALICE), ("43", BOB), ("42", ROOT), ("44", ROOT), ("group%2Fopen", ROOT)]
        {
            let path = format!("/api/v4/projects/{project}/product_analytics/request/load{count}");
            assert_eq!(app.get(&path, token).await.status, StatusCode::OK, "{project} {token}");
        }
        assert_eq!(app.get("/api/v4/events", ALICE_READ_USER).await.status, StatusCode::OK);
        let wrong_method = app.post("/api/v4/events", ALICE, &json!({})).await;
        assert_eq!(wrong_method.status, StatusCode::METHOD_NOT_ALLOWED);
    });
}
