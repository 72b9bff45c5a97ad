//! Who may track, and that nobody else gets as far as the body.

use axum::body::Body;
use axum::http::Request;
use futures::stream;
use serde_json::json;

use crate::app::App;

const EVENT: &str = "/api/v4/usage_data/track_event";
const COUNTER: &str = "/api/v4/usage_data/increment_counter";
const UNIQUE_USERS: &str = "/api/v4/usage_data/increment_unique_users";

#[tokio::test]
async fn a_request_is_judged_by_its_token_before_its_body() {
    let app = App::start().await;
    let unauthorized = json!({"message": "401 Unauthorized"});
    let invalid = |text: &str| json!({"error": "invalid_token", "error_description": text});
    let scope = |scopes: &str| {
        json!({"error": "insufficient_scope", "scope": scopes, "error_description":
            "The request requires higher privileges than provided by the access token."})
    };
    let blocked = json!({"message": "403 Forbidden - Your account has been blocked."});
    let expired = invalid("Token is expired. You can either do re-authorization or token refresh.");
    let revoked = invalid("Token was revoked. You have to re-authorize from the user.");
    let rows = [
        (EVENT, None, 401, unauthorized.clone()),
        (EVENT, Some(("PRIVATE-TOKEN", "nobody")), 401, unauthorized.clone()),
        (EVENT, Some(("Authorization", "Bearer nobody")), 401, invalid("Bad Access Token.")),
        (EVENT, Some(("PRIVATE-TOKEN", "glpat-expired")), 401, expired),
        (EVENT, Some(("PRIVATE-TOKEN", "glpat-revoked")), 401, revoked),
        (EVENT, Some(("PRIVATE-TOKEN", "glpat-eve")), 403, blocked),
        (EVENT, Some(("PRIVATE-TOKEN", "glpat-reader")), 403, scope("api ai_workflows")),
        (
            "/api/v4/usage_data/track_events",
            Some(("PRIVATE-TOKEN", "glpat-reader")),
            403,
            scope("api ai_workflows"),
        ),
        (COUNTER, None, 401, unauthorized.clone()),
        (UNIQUE_USERS, None, 401, unauthorized.clone()),
        (COUNTER, Some(("PRIVATE-TOKEN", "glpat-ai")), 403, scope("api")),
        (UNIQUE_USERS, Some(("PRIVATE-TOKEN", "glpat-ai")), 403, scope("api")),
        (COUNTER, Some(("PRIVATE-TOKEN", "glpat-reader")), 403, scope("api")),
        ("/api/v4/tally/contributions", Some(("PRIVATE-TOKEN", "glpat-ai")), 403, scope("api")),
        ("/api/v4/tally/contributions", None, 401, unauthorized),
    ];
    for (path, token, status, body) in rows {
        let headers: Vec<(&str, &str)> = token.into_iter().collect();
        // A body that would be refused, too, and that must not even be read.
        let unread =
            Body::from_stream(stream::once(async { panic!("the body was read") as Result<String, String> }));
        let answer = app.post_with(path, &headers, unread).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (status, body), "{path} {token:?}");
    }
    app.assert_works("the rows").await;
}

#[tokio::test]
async fn every_place_for_a_token_will_do() {
    let app = App::start().await;
    let body = r#"{"event":"known"}"#;
    for headers in [
        [("PRIVATE-TOKEN", "glpat-alice")],
        [("Authorization", "Bearer glpat-alice")],
        [("PRIVATE-TOKEN", "glpat-ai")],
    ] {
        assert_eq!(app.post_with(EVENT, &headers, body).await.text, "200", "{headers:?}");
    }
    let uri = format!("{EVENT}?private_token=glpat-alice");
    let request = Request::builder().method("POST").uri(uri).body(Body::from(body)).unwrap();
    assert_eq!(app.send(request).await.text, "200");
    assert!(app.events().iter().all(|event| event.user_id == Some(2)));
}
