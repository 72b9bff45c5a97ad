//! `GET /internal/authorized_keys`: the key that sshd was shown, if somebody may sign in with it.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Serialize;
use tally_directory::{KeyUsage, SshKey, User};
use tally_service::api::ApiError;
use utoipa::ToSchema;

use crate::actor::is_expired;
use crate::auth::ShellCall;
use crate::bounded::Refused;
use crate::refusal::{EndpointError, ParameterError};
use crate::state::InternalState;

/// A key as sshd wants it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AuthorizedKey {
    id: i64,
    title: String,
    /// Type, Base64 body, and who and where as the comment.
    key: String,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
    #[schema(format = DateTime)]
    last_used_at: Option<String>,
    usage_type: &'static str,
}

impl AuthorizedKey {
    fn new(key: &SshKey, user: Option<&User>, host: &str) -> Self {
        let user = user.map(|user| user.name.as_str()).unwrap_or_default();
        Self {
            id: key.id,
            title: key.title.clone(),
            key: format!("{} {user} ({host})", key.key),
            created_at: iso8601(key.created_at),
            expires_at: key.expires_at.map(iso8601),
            last_used_at: key.last_used_at.map(iso8601),
            usage_type: key.usage_type.as_str(),
        }
    }
}

/// Find a key
#[utoipa::path(
    get, path = "/api/v4/internal/authorized_keys", tag = "accounts",
    params(("key" = String, Query, description = "The key's Base64 body")),
    responses(
        (status = 200, description = "The key", body = AuthorizedKey),
        (status = 400, description = "No key is given", body = ParameterError),
        (status = 401, description = "The key's owner may not sign in", body = EndpointError),
        (status = 404, description = "Nobody has the key, or it is no longer good", body = EndpointError),
        (status = 503, description = "It took too long", body = Refused),
    ),
)]
pub(super) async fn authorized_keys(
    State(state): State<InternalState>,
    ShellCall(parameters): ShellCall,
) -> Result<Json<AuthorizedKey>, ApiError> {
    let body = parameters.text("key").ok_or_else(|| ApiError::BadParameters("key is missing".to_owned()))?;
    let now = state.0.access.clock.now();
    let directory = state.0.access.directory.read();
    let key = fingerprint(&body).and_then(|fingerprint| directory.key_by_fingerprint(&fingerprint));
    let signs_in = |key: &SshKey| key.active && key.usage_type != KeyUsage::Signing && !is_expired(key, now);
    let key = key.filter(|key| signs_in(key)).ok_or(ApiError::NotFound(Some("Key")))?;
    let user = key.user_id.and_then(|id| directory.user(id));
    if !key.deploy && user.is_some_and(|user| !user.state.is_active()) {
        return Err(ApiError::Unauthorized);
    }
    Ok(Json(AuthorizedKey::new(key, user.map(|user| &**user), host(&state.0.config.external_url))))
}

/// Of the body alone: a whole line, with type and comment, is no Base64.
fn fingerprint(body: &str) -> Option<String> {
    STANDARD.decode(body).ok()?;
    SshKey::fingerprint(body)
}

/// `tally.example.com` of `https://tally.example.com:8443/gitlab`.
fn host(url: &str) -> &str {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// With milliseconds, as GitLab writes times.
fn iso8601(time: Timestamp) -> String {
    format!("{time:.3}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_what_a_url_leads_to() {
        for (url, expected) in [
            ("https://tally.example.com", "tally.example.com"),
            ("https://tally.example.com:8443/gitlab/", "tally.example.com"),
            ("http://[::1]:80/", "[::1]"),
            ("tally.example.com", "tally.example.com"),
            ("", ""),
        ] {
            assert_eq!(host(url), expected, "{url}");
        }
    }

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(iso8601("2026-03-01T12:00:00Z".parse().unwrap()), "2026-03-01T12:00:00.000Z");
        assert_eq!(iso8601("2026-03-01T12:00:00.0129Z".parse().unwrap()), "2026-03-01T12:00:00.012Z");
    }
}
