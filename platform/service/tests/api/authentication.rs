//! Every row of the table "Authentication, everywhere" (contracts/gitlab-usage-data.md), on real routes.

use axum::body::Body;
use axum::extract::Request;
use serde_json::{Value, json};
use tally_service::api::GuardConfig;

use crate::app::{ADMIN, App, PUBLIC, READ, WRITE};

struct Row {
    case: &'static str,
    method: &'static str,
    uri: String,
    headers: Vec<(&'static str, &'static str)>,
    status: u16,
    body: Value,
}

fn row(
    case: &'static str,
    method: &'static str,
    uri: &str,
    headers: &[(&'static str, &'static str)],
    status: u16,
    body: Value,
) -> Row {
    Row { case, method, uri: uri.to_owned(), headers: headers.to_vec(), status, body }
}

fn rows() -> Vec<Row> {
    let unauthorized = json!({"message": "401 Unauthorized"});
    let invalid = |description: &str| json!({"error": "invalid_token", "error_description": description});
    let expired = invalid("Token is expired. You can either do re-authorization or token refresh.");
    let revoked = invalid("Token was revoked. You have to re-authorize from the user.");
    let small = |scopes: &str| {
        json!({
            "error": "insufficient_scope",
            "error_description": "The request requires higher privileges than provided by the access token.",
            "scope": scopes,
        })
    };
    let blocked = json!({"message": "403 Forbidden - Your account has been blocked."});
    let by_parameter = format!("{READ}?private_token=glpat-alice");
    let unknown_by_parameter = format!("{READ}?private_token=glpat-nobody");
    vec![
        row("header", "GET", READ, &[("PRIVATE-TOKEN", "glpat-alice")], 200, json!(2)),
        row("bearer", "GET", READ, &[("Authorization", "Bearer glpat-alice")], 200, json!(2)),
        row("parameter", "GET", &by_parameter, &[], 200, json!(2)),
        row("no token", "GET", READ, &[], 401, unauthorized.clone()),
        row("no token, with a body", "POST", WRITE, &[], 401, unauthorized.clone()),
        row("unknown", "GET", READ, &[("PRIVATE-TOKEN", "glpat-nobody")], 401, unauthorized.clone()),
        row("unknown by parameter", "GET", &unknown_by_parameter, &[], 401, unauthorized.clone()),
        row(
            "no scheme of ours",
            "GET",
            READ,
            &[("Authorization", "Basic Z2xwYXQ=")],
            401,
            unauthorized.clone(),
        ),
        row("OAuth", "GET", READ, &[("Authorization", "Bearer x")], 401, invalid("Bad Access Token.")),
        row("expired", "GET", READ, &[("PRIVATE-TOKEN", "glpat-old")], 401, expired.clone()),
        row("expired, OAuth", "GET", READ, &[("Authorization", "Bearer glpat-old")], 401, expired),
        row("revoked", "GET", READ, &[("PRIVATE-TOKEN", "glpat-gone")], 401, revoked),
        row("blocked", "GET", READ, &[("PRIVATE-TOKEN", "glpat-eve")], 403, blocked),
        row("scope", "POST", WRITE, &[("PRIVATE-TOKEN", "glpat-reader")], 403, small("api ai_workflows")),
        row(
            "not admin",
            "GET",
            ADMIN,
            &[("PRIVATE-TOKEN", "glpat-alice")],
            403,
            json!({"message": "403 Forbidden"}),
        ),
        row("admin", "GET", ADMIN, &[("PRIVATE-TOKEN", "glpat-root")], 200, json!(1)),
        row("optional, none", "GET", PUBLIC, &[], 200, Value::Null),
        row("optional, good", "GET", PUBLIC, &[("PRIVATE-TOKEN", "glpat-alice")], 200, json!(2)),
        row(
            "optional, unknown",
            "GET",
            PUBLIC,
            &[("PRIVATE-TOKEN", "glpat-nobody")],
            401,
            unauthorized.clone(),
        ),
        row("path unknown", "GET", "/api/v4/nowhere", &[], 404, json!({"error": "404 Not Found"})),
        row("method not offered", "GET", WRITE, &[], 405, json!({"error": "405 Not Allowed"})),
        row(
            "content type not offered",
            "POST",
            WRITE,
            &[("PRIVATE-TOKEN", "glpat-alice"), ("Content-Type", "text/xml")],
            415,
            json!({"error": "The provided content-type 'text/xml' is not supported."}),
        ),
        row(
            "content type of somebody unknown",
            "POST",
            WRITE,
            &[("PRIVATE-TOKEN", "glpat-nobody"), ("Content-Type", "text/xml")],
            401,
            unauthorized,
        ),
    ]
}

#[test]
fn every_row_of_the_table_is_answered_to_the_letter() {
    let app = App::new();
    for row in rows() {
        let mut request = Request::builder().method(row.method).uri(&row.uri);
        for (name, value) in &row.headers {
            request = request.header(*name, *value);
        }
        let answer = app.send(request.body(Body::from("{}")).unwrap());
        assert_eq!((answer.status, answer.json()), (row.status, row.body), "{}", row.case);
        assert_eq!(answer.header("content-type"), "application/json", "{}", row.case);
        let allow = if row.status == 405 { "OPTIONS, POST" } else { "" };
        assert_eq!(answer.header("allow"), allow, "{}", row.case);
    }
}

#[test]
fn too_many_requests_are_429_and_say_when_to_come_back() {
    let app = App::configured(GuardConfig { other_per_token: 1, ..GuardConfig::default() });
    assert_eq!(app.get(READ, "glpat-alice").status, 200);
    let answer = app.get(READ, "glpat-alice");
    assert_eq!(answer.status, 429);
    let text = "This endpoint has been requested too many times. Try again later.";
    assert_eq!(answer.json(), json!({"message": {"error": text}}));
    assert_eq!(answer.header("retry-after"), "60");
}
