//! The pages for people: what this is, the form for a manual upload, and what became of an upload. No scripts; the one
//! stylesheet is the collector's own.

use askama::Template;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

const STYLESHEET: &str = include_str!("../assets/collector.css");

/// Nothing from elsewhere, no scripts, forms only to here, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage;

#[derive(Template)]
#[template(path = "upload.html")]
struct UploadPage {
    max_megabytes: usize,
}

/// A payload that was taken, for the page that says so.
#[derive(Template)]
#[template(path = "received.html")]
pub(crate) struct Receipt<'a> {
    pub(crate) usage_data_id: u64,
    pub(crate) uuid: &'a str,
    pub(crate) recorded_at: &'a str,
    /// Whether there are enough other instances to compare with.
    pub(crate) is_compared: bool,
    pub(crate) rows: &'a [ScoreRow],
}

/// One feature of the `DevOps` score as a row of a table.
pub(crate) struct ScoreRow {
    /// What people call the feature.
    pub(crate) label: &'static str,
    pub(crate) instance: f64,
    pub(crate) leader: f64,
    pub(crate) percentage: f64,
}

#[derive(Template)]
#[template(path = "refused.html")]
struct RefusedPage<'a> {
    status: u16,
    reason: &'a str,
}

/// Whether a browser asks, which rather has a page than JSON.
pub(crate) fn wanted(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/html")))
}

/// The collector
///
/// A page that says what this is and where to upload a payload.
#[utoipa::path(
    get,
    path = "/",
    tag = "collector",
    responses((status = 200, description = "A page", body = String, content_type = "text/html")),
)]
pub(crate) async fn index() -> Response {
    page(StatusCode::OK, &IndexPage)
}

/// The pages' stylesheet
#[utoipa::path(
    get,
    path = "/collector.css",
    tag = "collector",
    responses((status = 200, description = "A stylesheet", body = String, content_type = "text/css")),
)]
pub(crate) async fn stylesheet() -> impl IntoResponse {
    ([(CONTENT_TYPE, "text/css; charset=utf-8"), (CACHE_CONTROL, "max-age=3600")], STYLESHEET)
}

/// The form for a manual upload. `max_bytes`: what the file may have.
pub(crate) fn upload(max_bytes: usize) -> Response {
    page(StatusCode::OK, &UploadPage { max_megabytes: max_bytes >> 20 })
}

/// What became of a manual upload that was taken.
pub(crate) fn received(receipt: &Receipt<'_>) -> Response {
    page(StatusCode::CREATED, receipt)
}

/// What became of a manual upload that was not.
pub(crate) fn refused(status: StatusCode, reason: &str) -> Response {
    page(status, &RefusedPage { status: status.as_u16(), reason })
}

fn page(status: StatusCode, template: &impl Template) -> Response {
    let html = template.render().expect("rendering into memory can't fail");
    let headers =
        [(CONTENT_SECURITY_POLICY, POLICY), (X_CONTENT_TYPE_OPTIONS, "nosniff"), (CACHE_CONTROL, "no-store")];
    (status, headers, Html(html)).into_response()
}
