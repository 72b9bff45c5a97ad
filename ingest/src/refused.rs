//! Bodies that are refused become dead letters: the answer is given all the same, and what was sent can be looked at and
//! replayed once the cause is mended.

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use serde_json::Value;
use tally_directory::{Principal, ProjectLookup};
use tally_letters::{Refused, Sender, reason_of};
use tally_schemas::dead_letter::Origin;
use tally_service::api::{ApiError, Caller, JsonBody, RefusedBody};

use crate::endpoint::Endpoint;
use crate::service::Inner;

/// Reads a request's body; one that can't be read is kept.
pub(crate) async fn read(
    ingest: &Inner,
    caller: &Caller,
    endpoint: Endpoint,
    request: Request,
) -> Result<JsonBody, ApiError> {
    let content_type = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let read = ingest.bodies.read_keeping(request, ingest.letters.max_bytes()).await;
    read.map_err(|RefusedBody { error, bytes, whole_size }| {
        let body = Body { content_type, bytes, whole_size, project_id: None };
        keep(ingest, &caller.0, endpoint, &error, || body);
        error
    })
}

/// Keeps the body that this outcome refuses.
pub(crate) fn keep_refused<T>(
    ingest: &Inner,
    caller: &Caller,
    endpoint: Endpoint,
    body: &JsonBody,
    outcome: Result<T, ApiError>,
) -> Result<T, ApiError> {
    outcome.inspect_err(|error| {
        keep(ingest, &caller.0, endpoint, error, || {
            let (text, most) = (body.text(), ingest.letters.max_bytes());
            let is_whole = text.len() <= most;
            Body {
                content_type: String::new(),
                bytes: text.as_bytes()[..text.len().min(most)].to_vec(),
                whole_size: (!is_whole).then_some(text.len() as u64),
                // A tree of a body's values takes many times its length: that of a long one is not made.
                project_id: if is_whole { project_of(ingest, &caller.0, text) } else { None },
            }
        });
    })
}

/// What is kept of a request.
struct Body {
    content_type: String,
    bytes: Vec<u8>,
    whole_size: Option<u64>,
    project_id: Option<i64>,
}

fn keep(
    ingest: &Inner,
    principal: &Principal,
    endpoint: Endpoint,
    error: &ApiError,
    body: impl FnOnce() -> Body,
) {
    let Some(reason) = reason_of(error) else { return };
    let Body { content_type, bytes, whole_size, project_id } = body();
    ingest.letters.keep(Refused {
        sender: Sender::User(principal.user_id),
        reason,
        detail: error.to_string(),
        origin: Origin::Request {
            endpoint: endpoint.path().to_owned(),
            user_id: Some(principal.user_id),
            content_type,
        },
        project_id,
        payload: bytes,
        whole_size,
    });
}

/// The project whose maintainers may see the body: the one that all of its items name, if the caller can read it. A caller
/// who can't may not put anything before its maintainers, and an item of another project is none of their business.
fn project_of(ingest: &Inner, principal: &Principal, text: &str) -> Option<i64> {
    let body: Value = serde_json::from_str(text).ok()?;
    let items = ["events", "contributions"].iter().find_map(|name| body.get(name)?.as_array());
    let mut named = items.map_or(std::slice::from_ref(&body), Vec::as_slice).iter().map(project_id);
    let first = named.next()??;
    let is_the_only_one = named.all(|project_id| project_id == Some(first));
    let lookup = || ingest.access.directory.project(Some(principal), first);
    (is_the_only_one && matches!(lookup(), ProjectLookup::Readable(_))).then_some(first)
}

fn project_id(item: &Value) -> Option<i64> {
    match item.get("project_id")? {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}
