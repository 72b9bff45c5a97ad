//! The version check: `GET /check.svg`, `/check.png` and `/check.json` tell an instance whether its version is up to date.

mod check_log;
mod number;
mod question;
mod releases;
mod verdict;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use serde_json::{Value, json};
use tally_service::api::ApiError;
use tally_service::described;

pub(crate) use check_log::CheckLog;
pub use releases::ReleasesError;
pub(crate) use releases::ReleasesFile;

use crate::collector::Collector;
use crate::refusal::Refusal;
use crate::storage::VersionCheck;
use question::Question;
use verdict::{Severity, Verdict};

/// Seconds that a client is asked to wait where no releases are known.
const RETRY_AFTER_S: u64 = 3600;

described! {
    /// A picture's bytes.
    struct Picture = json!({"type": "string", "format": "binary"});

    /// Whether a version is up to date.
    struct VersionStatus = json!({
        "type": "object",
        "required": ["latest_stable_versions", "latest_version", "severity", "critical_vulnerability", "details"],
        "properties": {
            "latest_stable_versions": {"type": "array", "items": {"type": "string"}},
            "latest_version": {"type": "string"},
            "severity": {"type": "string", "enum": ["success", "warning", "danger"]},
            "critical_vulnerability": {"type": "boolean"},
            "details": {"type": "string"},
        },
    });
}

/// The pictures of a severity: drawn once, see `assets/render`.
const fn pictures(severity: Severity) -> (&'static str, &'static [u8]) {
    match severity {
        Severity::Success => {
            (include_str!("../../assets/up_to_date.svg"), include_bytes!("../../assets/up_to_date.png"))
        }
        Severity::Warning => (
            include_str!("../../assets/update_available.svg"),
            include_bytes!("../../assets/update_available.png"),
        ),
        Severity::Danger => {
            (include_str!("../../assets/update_asap.svg"), include_bytes!("../../assets/update_asap.png"))
        }
    }
}

/// Version check as SVG
///
/// A badge: up-to-date, update available, or update asap. The asking instance's host name comes from `Referer`.
#[utoipa::path(
    get,
    path = "/check.svg",
    tag = "collector",
    params(("gitlab_info" = String, Query, description = "Base64 of {\"version\":\"…\"}")),
    responses((status = 200, description = "A badge", body = String, content_type = "image/svg+xml")),
)]
pub(crate) async fn check_svg(
    State(collector): State<Collector>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let verdict = answer(&collector, query.as_deref(), &headers).await?;
    Ok((picture_headers("image/svg+xml"), pictures(verdict.severity).0))
}

/// Version check as PNG
///
/// The same badge as pixels.
#[utoipa::path(
    get,
    path = "/check.png",
    tag = "collector",
    params(("gitlab_info" = String, Query, description = "Base64 of {\"version\":\"…\"}")),
    responses((status = 200, description = "A badge", body = Picture, content_type = "image/png")),
)]
pub(crate) async fn check_png(
    State(collector): State<Collector>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let verdict = answer(&collector, query.as_deref(), &headers).await?;
    Ok((picture_headers("image/png"), pictures(verdict.severity).1))
}

/// Version check as JSON
///
/// What the badge says, with the latest versions.
#[utoipa::path(
    get,
    path = "/check.json",
    tag = "collector",
    params(("gitlab_info" = String, Query, description = "Base64 of {\"version\":\"…\"}")),
    responses((status = 200, description = "The version's status", body = VersionStatus)),
)]
pub(crate) async fn check_json(
    State(collector): State<Collector>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Refusal> {
    let verdict = answer(&collector, query.as_deref(), &headers).await?;
    let texts = |versions: &[number::Version]| versions.iter().map(ToString::to_string).collect::<Vec<_>>();
    let status: Value = json!({
        "latest_stable_versions": texts(&verdict.latest_stable_versions),
        "latest_version": verdict.latest_version.to_string(),
        "severity": verdict.severity.as_str(),
        "critical_vulnerability": verdict.severity == Severity::Danger,
        "details": verdict.details(),
    });
    Ok(([(CACHE_CONTROL, "no-store")], Json(status)))
}

/// A browser asks again each time: the answer changes with the releases.
const fn picture_headers(kind: &'static str) -> [(axum::http::HeaderName, &'static str); 2] {
    [(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-store")]
}

/// Compares with the releases, and notes who asked.
async fn answer(collector: &Collector, query: Option<&str>, headers: &HeaderMap) -> Result<Verdict, Refusal> {
    let question = Question::read(query.unwrap_or_default(), headers)
        .map_err(|error| ApiError::BadParameters(error.to_string()))?;
    let releases = collector.0.releases.current().await;
    let verdict = Verdict::on(question.version, &releases).ok_or(ApiError::Unavailable {
        reason: "no releases are known here",
        retry_after_s: RETRY_AFTER_S,
    })?;
    collector.0.checks.record(VersionCheck {
        checked_at: collector.0.clock.now(),
        hostname: question.hostname,
        version: question.text,
    });
    Ok(verdict)
}
