//! Cube's own base path, `/cubejs-api/v1`, with Cube's tokens, statuses and texts, so that whatever talks to Cube can talk to
//! Tally.

use std::collections::HashMap;

use axum::Router;
use axum::body::Body as HttpBody;
use axum::extract::{Query, Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, AUTHORIZATION,
    CONTENT_TYPE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::any;
use serde_json::{Map, Value, json};
use tally_cube::CubeError;
use tally_cube::query::Body;
use tally_service::api::ApiError;

use super::answer::Envelope;
use super::service::{Failure, Tenant};
use super::token::{TokenError, token_of};
use crate::state::QueryState;
use crate::warehouse::WarehouseError;

/// Cube 1.7 looks for the token here first.
const CUBE_AUTHORIZATION: &str = "x-cube-authorization";

/// What is asked at a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Load,
    DryRun,
    Sql,
    Meta,
}

/// The endpoints. They are documented by Cube, and not in Tally's own document: their refusals are unlike all others.
pub fn routes() -> Router<QueryState> {
    let at =
        |endpoint| any(move |state: State<QueryState>, request: Request| answer(state, endpoint, request));
    Router::new()
        .route("/cubejs-api/v1/load", at(Endpoint::Load))
        .route("/cubejs-api/v1/subscribe", at(Endpoint::Load))
        .route("/cubejs-api/v1/dry-run", at(Endpoint::DryRun))
        .route("/cubejs-api/v1/sql", at(Endpoint::Sql))
        .route("/cubejs-api/v1/meta", at(Endpoint::Meta))
}

async fn answer(State(state): State<QueryState>, endpoint: Endpoint, request: Request) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => preflight(),
        Method::GET | Method::HEAD => by_get(&state, endpoint, request.into_parts().0).await,
        Method::POST if endpoint != Endpoint::Meta => by_post(&state, endpoint, request).await,
        _ => no_such_route(&request),
    };
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

async fn by_get(state: &QueryState, endpoint: Endpoint, request: Parts) -> Response {
    let tenant = match tenant(state, &request.headers) {
        Ok(tenant) => tenant,
        Err(error) => return forbidden(error),
    };
    let sent = Query::<HashMap<String, String>>::try_from_uri(&request.uri);
    let sent = sent.map(|Query(sent)| sent).unwrap_or_default();
    let sent = sent.into_iter().map(|(name, value)| (name, Value::from(value))).collect();
    respond(state, endpoint, &tenant, sent).await
}

async fn by_post(state: &QueryState, endpoint: Endpoint, request: Request) -> Response {
    let tenant = match tenant(state, request.headers()) {
        Ok(tenant) => tenant,
        Err(error) => return forbidden(error),
    };
    match body(state, request).await {
        Ok(sent) => respond(state, endpoint, &tenant, sent).await,
        Err(refusal) => refusal,
    }
}

async fn respond(
    state: &QueryState,
    endpoint: Endpoint,
    tenant: &Tenant,
    mut sent: Map<String, Value>,
) -> Response {
    if endpoint == Endpoint::Meta {
        let is_extended = sent.contains_key("extended");
        return json_text(StatusCode::OK, state.cube.meta(tenant, is_extended).to_string().into());
    }
    let is_multi = sent.get("queryType").and_then(Value::as_str) == Some("multi");
    let envelope = if is_multi { Envelope::Multi } else { Envelope::Bare };
    let single = matches!(endpoint, Endpoint::Load) && envelope == Envelope::Bare;
    let body = Body { query: sent.remove("query"), cache: sent.remove("cache"), single };
    let answered = match endpoint {
        Endpoint::Load => state.cube.load(tenant, &body, envelope, false).await,
        Endpoint::DryRun => state.cube.dry_run(tenant, &body).map(|answer| answer.to_string().into_bytes()),
        Endpoint::Sql | Endpoint::Meta => {
            state.cube.sql(tenant, &body).map(|answer| answer.to_string().into_bytes())
        }
    };
    match answered {
        Ok(body) => json_text(StatusCode::OK, body.into()),
        Err(failure) => failed(&failure),
    }
}

/// Who the token is for.
fn tenant(state: &QueryState, headers: &HeaderMap) -> Result<Tenant, TokenError> {
    let header = headers.get(CUBE_AUTHORIZATION).or_else(|| headers.get(AUTHORIZATION));
    let header = header.ok_or(TokenError::Missing)?.to_str().map_err(|_| TokenError::Invalid)?;
    let project = state.cube.project_of_token(token_of(header)?)?;
    Ok(Tenant::find(&state.access.directory, project))
}

/// The members of a JSON body. As with Cube a body of another type is none.
async fn body(state: &QueryState, request: Request) -> Result<Map<String, Value>, Response> {
    if !is_json(request.headers()) {
        return Ok(Map::new());
    }
    let body = state
        .bodies
        .read(request)
        .await
        .map_err(|error: ApiError| refused(error.status(), None, &error.to_string()))?;
    if body.text().trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    match serde_json::from_str(body.text()) {
        Ok(Value::Object(sent)) => Ok(sent),
        Ok(Value::Array(_)) => Ok(Map::new()),
        Ok(_) => Err(malformed("Unexpected token, the body is neither an object nor an array")),
        Err(error) if error.is_eof() => Err(malformed("Unexpected end of JSON input")),
        Err(error) => Err(malformed(&error.to_string())),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn malformed(what: &str) -> Response {
    refused(StatusCode::INTERNAL_SERVER_ERROR, None, &format!("SyntaxError: {what}"))
}

fn forbidden(error: TokenError) -> Response {
    refused(StatusCode::FORBIDDEN, None, &error.to_string())
}

/// Cube's statuses. A database that does not answer is 502, which Cube's clients try again; what was heard from it or from
/// whatever stands before it goes to the log.
fn failed(failure: &Failure) -> Response {
    let text = failure.to_string();
    match failure {
        Failure::Refused(error) => refused(status(error), error.kind(), &text),
        Failure::ContinueWait => refused(StatusCode::OK, None, &text),
        Failure::Warehouse(error) => match **error {
            WarehouseError::Unavailable(_) | WarehouseError::Undecodable(_) => {
                tracing::warn!(%error, "a cube query has no answer");
                refused(StatusCode::BAD_GATEWAY, None, "Error: the database does not answer")
            }
            WarehouseError::Refused(_) | WarehouseError::OverLimit(_) => {
                refused(StatusCode::BAD_REQUEST, None, &text)
            }
        },
    }
}

fn status(error: &CubeError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn refused(status: StatusCode, kind: Option<&str>, text: &str) -> Response {
    let mut body = json!({"error": text});
    if let Some(kind) = kind {
        body["type"] = kind.into();
    }
    json_text(status, body.to_string().into())
}

fn json_text(status: StatusCode, body: HttpBody) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

fn preflight() -> Response {
    let allowed = [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET,HEAD,PUT,PATCH,POST,DELETE"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization,content-type,x-request-id,x-cube-authorization"),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

/// As Express answers. The path is one of those above, and a method's name is a token: there is nothing to escape.
fn no_such_route(request: &Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    let page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n\
         <pre>Cannot {method} {path}</pre>\n</body>\n</html>\n"
    );
    (StatusCode::NOT_FOUND, Html(page)).into_response()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn a_database_that_is_away_is_not_described() {
        for error in [
            WarehouseError::Unavailable("<html>proxy of 10.0.0.3</html>".to_owned()),
            WarehouseError::Undecodable("at /var/lib".to_owned()),
        ] {
            let response = failed(&Failure::Warehouse(Arc::new(error)));
            assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
            let body = axum::body::to_bytes(response.into_body(), 1024).await.unwrap();
            assert_eq!(&body[..], br#"{"error":"Error: the database does not answer"}"#);
        }
    }
}
