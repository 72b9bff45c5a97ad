//! The contract's table "Authentication, everywhere", for every endpoint of this crate.

use serde_json::{Value, json};

use crate::app::{App, ROOT, request};

/// Method, path, the scopes that will do.
pub const ENDPOINTS: [(&str, &str, &str); 11] = [
    ("GET", "/api/v4/usage_data/service_ping", "api read_service_ping"),
    ("GET", "/api/v4/usage_data/queries", "api read_service_ping"),
    ("GET", "/api/v4/usage_data/non_sql_metrics", "api read_service_ping"),
    ("POST", "/api/v4/tally/service_ping", "api"),
    ("GET", "/api/v4/application/settings", "api read_api"),
    ("PUT", "/api/v4/application/settings", "api"),
    ("GET", "/api/v4/features", "api read_api"),
    ("POST", "/api/v4/features/some", "api"),
    ("DELETE", "/api/v4/features/some", "api"),
    ("GET", "/admin/application_settings/service_usage_data", "api read_service_ping"),
    ("GET", "/admin/application_settings/usage_data.json", "api read_service_ping"),
];

fn unauthorized() -> Value {
    json!({"message": "401 Unauthorized"})
}

fn invalid_token(description: &str) -> Value {
    json!({"error": "invalid_token", "error_description": description})
}

fn insufficient_scope(scopes: &str) -> Value {
    json!({
        "error": "insufficient_scope",
        "error_description": "The request requires higher privileges than provided by the access token.",
        "scope": scopes,
    })
}

#[tokio::test]
async fn every_endpoint_refuses_as_the_table_says() {
    let app = App::start().await;
    for (method, path, scopes) in ENDPOINTS {
        let expired = "Token is expired. You can either do re-authorization or token refresh.";
        let revoked = "Token was revoked. You have to re-authorize from the user.";
        let rows = [
            ("", "", 401, unauthorized()),
            ("PRIVATE-TOKEN", "nobody", 401, unauthorized()),
            ("Authorization", "Bearer nobody", 401, invalid_token("Bad Access Token.")),
            ("PRIVATE-TOKEN", "glpat-expired", 401, invalid_token(expired)),
            ("Authorization", "Bearer glpat-expired", 401, invalid_token(expired)),
            ("PRIVATE-TOKEN", "glpat-revoked", 401, invalid_token(revoked)),
            ("PRIVATE-TOKEN", "glpat-root-ai", 403, insufficient_scope(scopes)),
            ("PRIVATE-TOKEN", "glpat-alice", 403, json!({"message": "403 Forbidden"})),
        ];
        for (header, token, status, body) in rows {
            let mut request = request(method, path);
            if !header.is_empty() {
                request = request.header(header, token);
            }
            let answer = app.send(request, "").await;
            assert_eq!(
                (answer.status.as_u16(), answer.json()),
                (status, body),
                "{method} {path} {header} {token}"
            );
        }
        let with_parameter = format!("{path}?private_token=nobody");
        let answer = app.send(request(method, &with_parameter), "").await;
        assert_eq!((answer.status.as_u16(), answer.json()), (401, unauthorized()), "{method} {path}");
    }
    assert_eq!(app.generated(), 0, "refused requests have nothing made");
    assert!(app.events().is_empty(), "refused requests are not tracked");
}

#[tokio::test]
async fn every_way_to_present_a_token_will_do() {
    let app = App::start().await;
    for flag in ["usage_data_queries_api", "usage_data_non_sql_metrics"] {
        assert_eq!(
            app.post(&format!("/api/v4/features/{flag}"), r#"{"value":true}"#).await.status.as_u16(),
            201
        );
    }
    for (method, path, scopes) in ENDPOINTS {
        // Enough of a body for the endpoint that asks for one.
        let body =
            if path.ends_with("features/some") && method == "POST" { r#"{"value":"true"}"# } else { "" };
        let private = app.send(request(method, path).header("PRIVATE-TOKEN", ROOT), body).await;
        assert!(private.status.is_success(), "{method} {path}: {}", private.text);
        let bearer =
            app.send(request(method, path).header("Authorization", format!("Bearer {ROOT}")), body).await;
        assert_eq!(bearer.status, private.status, "{method} {path}");
        let parameter = app.send(request(method, &format!("{path}?private_token={ROOT}")), body).await;
        assert_eq!(parameter.status, private.status, "{method} {path}");
        for scope in ["read_api", "read_service_ping"] {
            let token = format!("glpat-root-{}", scope.replace('_', "-"));
            let answer = app.send(request(method, path).header("PRIVATE-TOKEN", token), body).await;
            let may = scopes.split(' ').any(|one| one == scope);
            assert_eq!(answer.status.is_success(), may, "{method} {path} {scope}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn methods_and_paths_that_are_not_offered_are_told_apart() {
    let app = App::start().await;
    let not_found = json!({"error": "404 Not Found"});
    let not_allowed = json!({"error": "405 Not Allowed"});
    for (method, path, status, body, allow) in [
        ("GET", "/api/v4/usage_data/nothing", 404, &not_found, None),
        ("GET", "/admin/application_settings", 404, &not_found, None),
        ("POST", "/api/v4/usage_data/service_ping", 405, &not_allowed, Some("OPTIONS, GET, HEAD")),
        ("DELETE", "/api/v4/usage_data/queries", 405, &not_allowed, Some("OPTIONS, GET, HEAD")),
        ("PUT", "/api/v4/usage_data/non_sql_metrics", 405, &not_allowed, Some("OPTIONS, GET, HEAD")),
        ("GET", "/api/v4/tally/service_ping", 405, &not_allowed, Some("OPTIONS, POST")),
        ("POST", "/api/v4/application/settings", 405, &not_allowed, Some("OPTIONS, GET, HEAD, PUT")),
        ("PUT", "/api/v4/features", 405, &not_allowed, Some("OPTIONS, GET, HEAD")),
        ("GET", "/api/v4/features/some", 405, &not_allowed, Some("OPTIONS, POST, DELETE")),
        (
            "POST",
            "/admin/application_settings/usage_data.json",
            405,
            &not_allowed,
            Some("OPTIONS, GET, HEAD"),
        ),
    ] {
        let answer = app.send(request(method, path).header("PRIVATE-TOKEN", ROOT), "").await;
        assert_eq!((answer.status.as_u16(), &answer.json()), (status, body), "{method} {path}");
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_of_a_type_that_is_not_offered_is_refused() {
    let app = App::start().await;
    for (method, path) in [("PUT", "/api/v4/application/settings"), ("POST", "/api/v4/features/some")] {
        let request = request(method, path).header("PRIVATE-TOKEN", ROOT).header("Content-Type", "text/xml");
        let answer = app.send(request, "<a/>").await;
        let body = json!({"error": "The provided content-type 'text/xml' is not supported."});
        assert_eq!((answer.status.as_u16(), answer.json()), (415, body), "{path}");
    }
}

#[tokio::test]
async fn too_many_requests_are_refused_in_gitlabs_words() {
    let app = App::with_limit(2).await;
    for (method, path, _) in ENDPOINTS {
        let answer = app.send(request(method, path).header("PRIVATE-TOKEN", "glpat-alice"), "").await;
        if answer.status.as_u16() == 403 {
            continue;
        }
        let body = json!({"message": {"error":
            "This endpoint has been requested too many times. Try again later."}});
        assert_eq!((answer.status.as_u16(), answer.json()), (429, body), "{method} {path}");
        assert!(answer.header("retry-after").is_some(), "{method} {path}");
        assert_eq!(answer.header("ratelimit-limit"), Some("2"), "{method} {path}");
    }
    let last = app.send(request("GET", "/api/v4/features").header("PRIVATE-TOKEN", "glpat-alice"), "").await;
    assert_eq!(last.status.as_u16(), 429);
}
