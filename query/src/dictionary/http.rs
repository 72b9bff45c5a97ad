//! `GET /dictionary` and `GET /dictionary.json`, open to everybody, as the list of metric definitions is.

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tally_service::api::Routes;
use utoipa_axum::routes;
use xxhash_rust::xxh3::xxh3_128;

use super::page::CONTENT_SECURITY_POLICY;
use crate::state::QueryState;

pub(crate) fn routes() -> Routes<QueryState> {
    Routes::new().routes(routes!(page)).routes(routes!(json))
}

/// A text and the tag by which a client knows that it has it already.
pub(super) struct Text {
    bytes: Bytes,
    tag: HeaderValue,
}

impl Text {
    pub fn new(text: String) -> Self {
        let tag = format!("\"{:032x}\"", xxh3_128(text.as_bytes()));
        Self { bytes: text.into(), tag: HeaderValue::from_str(&tag).expect("digits are header text") }
    }

    /// 304 for a client that has the text, else the text.
    fn answer(&self, sent: &HeaderMap, more: &[(HeaderName, &str)]) -> Response {
        let mut headers = HeaderMap::from_iter([
            (header::ETAG, self.tag.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        ]);
        if self.is_held_by(sent) {
            return (StatusCode::NOT_MODIFIED, headers).into_response();
        }
        for (name, value) in more {
            headers.insert(name, HeaderValue::from_str(value).expect("our own headers are header text"));
        }
        (headers, self.bytes.clone()).into_response()
    }

    /// RFC 9110's If-None-Match: any of a list of tags, compared weakly, or `*`.
    fn is_held_by(&self, sent: &HeaderMap) -> bool {
        let lists = sent.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        lists.flat_map(|list| list.split(',')).map(str::trim).any(|held| {
            held == "*" || held.strip_prefix("W/").unwrap_or(held).as_bytes() == self.tag.as_bytes()
        })
    }
}

/// Dictionary
///
/// A page that lists and searches every event and metric definition.
#[utoipa::path(
    get,
    path = "/dictionary",
    tag = "definitions",
    params(("If-None-Match" = Option<String>, Header, description = "Tags of what the client holds")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 304, description = "The client holds it already"),
    ),
)]
pub(crate) async fn page(State(state): State<QueryState>, sent: HeaderMap) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY.as_str()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    state.dictionary.html().answer(&sent, &headers)
}

/// Dictionary as JSON
///
/// Every event and metric definition, with the fields of its file, the file, the counters it stands on, and whether Tally
/// computes it.
#[utoipa::path(
    get,
    path = "/dictionary.json",
    tag = "definitions",
    params(("If-None-Match" = Option<String>, Header, description = "Tags of what the client holds")),
    responses(
        (status = 200, description = "Events and metrics", body = Object, content_type = "application/json"),
        (status = 304, description = "The client holds it already"),
    ),
)]
pub(crate) async fn json(State(state): State<QueryState>, sent: HeaderMap) -> Response {
    state.dictionary.json().answer(&sent, &[(header::CONTENT_TYPE, "application/json")])
}
