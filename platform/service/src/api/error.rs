//! Every refusal of the API, and the one place where it becomes a status, headers and a body in GitLab's form.
//!
//! GitLab answers in three forms: `{"error":…}` from its parameter checks and router, `{"message":…}` from its
//! endpoints, and OAuth's `{"error":…,"error_description":…}` for tokens that are known but not good enough.

use std::borrow::Cow;

use axum::Json;
use axum::http::header::{ALLOW, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tally_directory::{AuthError, Scope};

use crate::api::guard::Denial;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 401: no token, or one that nobody has.
    #[error("401 Unauthorized")]
    Unauthorized,
    /// 401: a token that was good once, or an OAuth token that nobody has.
    #[error("{}", .0.description())]
    InvalidToken(TokenProblem),
    /// 401: the caller can see what is asked about, and has no access to this of it.
    #[error("Access Denied")]
    AccessDenied,
    /// 403: the token has none of these scopes.
    #[error("the token has none of the scopes {}", scope_names(.0))]
    InsufficientScope(&'static [Scope]),
    /// 403: the caller may not do this, for example for want of administrator rights.
    #[error("403 Forbidden")]
    Forbidden,
    /// 403: the token's user is blocked.
    #[error("403 Forbidden - Your account has been blocked.")]
    Blocked,
    /// 400 in the parameter checks' form; the text lists every failing parameter, or says where the body is broken.
    #[error("{0}")]
    BadParameters(String),
    /// 400 in the endpoints' form.
    #[error("{0}")]
    BadRequest(Cow<'static, str>),
    /// 404 from an endpoint; names what is missing (`Project`, `User`), or nothing.
    #[error("404 {}Not Found", named(*.0))]
    NotFound(Option<&'static str>),
    /// 404: no endpoint has this path.
    #[error("404 Not Found")]
    UnknownPath,
    /// 405: the path is there, the method is not; holds the methods that are, as `Allow` names them.
    #[error("405 Not Allowed")]
    MethodNotAllowed(HeaderValue),
    /// 408: the body did not arrive in time.
    #[error("408 Request Timeout")]
    RequestTimeout,
    /// 413: the body, or what it decompresses to, is longer than so many bytes.
    #[error("413 Request Entity Too Large - the limit is {limit} bytes")]
    PayloadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// 415: no parser for this content type.
    #[error("The provided content-type '{0}' is not supported.")]
    UnsupportedContentType(String),
    /// 415: no decoder for this content encoding.
    #[error("The provided content-encoding '{0}' is not supported.")]
    UnsupportedContentEncoding(String),
    /// 429: more requests than this caller may make; a later one may succeed.
    #[error("This endpoint has been requested too many times. Try again later.")]
    TooManyRequests {
        /// Seconds until there may be more.
        retry_after_s: u64,
    },
    /// 500: a fault of ours; what it was is in the log.
    #[error("500 Internal Server Error")]
    Internal,
    /// 503: not now; the same request may succeed later.
    #[error("503 Service Unavailable - {reason}")]
    Unavailable {
        /// What is not available, in words for the client.
        reason: &'static str,
        /// Seconds to wait before trying again.
        retry_after_s: u64,
    },
}

/// What is wrong with a token, in OAuth's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenProblem {
    /// Nobody has it, and it came as `Authorization: Bearer`.
    Bad,
    /// Its last day is over.
    Expired,
    /// Somebody took it back.
    Revoked,
}

impl TokenProblem {
    /// GitLab's text.
    const fn description(self) -> &'static str {
        match self {
            Self::Bad => "Bad Access Token.",
            Self::Expired => "Token is expired. You can either do re-authorization or token refresh.",
            Self::Revoked => "Token was revoked. You have to re-authorize from the user.",
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unknown => Self::Unauthorized,
            AuthError::Expired => Self::InvalidToken(TokenProblem::Expired),
            AuthError::Revoked => Self::InvalidToken(TokenProblem::Revoked),
            AuthError::Blocked => Self::Blocked,
        }
    }
}

impl ApiError {
    /// The HTTP status.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadParameters(_) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized | Self::AccessDenied | Self::InvalidToken(_) => StatusCode::UNAUTHORIZED,
            Self::InsufficientScope(_) | Self::Forbidden | Self::Blocked => StatusCode::FORBIDDEN,
            Self::NotFound(_) | Self::UnknownPath => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::PayloadTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedContentType(_) | Self::UnsupportedContentEncoding(_) => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The JSON body.
    pub fn body(&self) -> Value {
        match self {
            Self::InvalidToken(problem) => {
                json!({"error": "invalid_token", "error_description": problem.description()})
            }
            Self::InsufficientScope(scopes) => json!({
                "error": "insufficient_scope",
                "error_description":
                    "The request requires higher privileges than provided by the access token.",
                "scope": scope_names(scopes),
            }),
            Self::TooManyRequests { .. } => json!({"message": {"error": self.to_string()}}),
            Self::BadParameters(_)
            | Self::UnknownPath
            | Self::MethodNotAllowed(_)
            | Self::UnsupportedContentType(_)
            | Self::UnsupportedContentEncoding(_) => json!({"error": self.to_string()}),
            Self::Unauthorized
            | Self::AccessDenied
            | Self::Forbidden
            | Self::Blocked
            | Self::BadRequest(_)
            | Self::NotFound(_)
            | Self::RequestTimeout
            | Self::PayloadTooLarge { .. }
            | Self::Internal
            | Self::Unavailable { .. } => json!({"message": self.to_string()}),
        }
    }

    /// Why the caller is denied, if that is what this refusal is.
    const fn denial(&self) -> Option<Denial> {
        match self {
            Self::Unauthorized => Some(Denial::Unauthorized),
            Self::InvalidToken(TokenProblem::Bad) => Some(Denial::UnknownToken),
            Self::InvalidToken(TokenProblem::Expired) => Some(Denial::ExpiredToken),
            Self::InvalidToken(TokenProblem::Revoked) => Some(Denial::RevokedToken),
            Self::AccessDenied => Some(Denial::AccessDenied),
            Self::InsufficientScope(_) => Some(Denial::InsufficientScope),
            Self::Forbidden => Some(Denial::Forbidden),
            Self::Blocked => Some(Denial::BlockedUser),
            Self::TooManyRequests { .. } => Some(Denial::TooManyRequests),
            _ => None,
        }
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        match self {
            Self::MethodNotAllowed(methods) => {
                headers.insert(ALLOW, methods.clone());
            }
            Self::Unavailable { retry_after_s, .. } | Self::TooManyRequests { retry_after_s } => {
                headers.insert(RETRY_AFTER, HeaderValue::from(*retry_after_s));
            }
            _ => {}
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(self.body())).into_response();
        self.add_headers(response.headers_mut());
        if let Some(denial) = self.denial() {
            response.extensions_mut().insert(denial);
        }
        response
    }
}

fn scope_names(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

/// `Project` as `"Project "`, nothing as `""`.
fn named(what: Option<&'static str>) -> String {
    what.map(|what| format!("{what} ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_gitlabs_status_and_body() {
        let rows: Vec<(ApiError, u16, Value)> = vec![
            (ApiError::Unauthorized, 401, json!({"message": "401 Unauthorized"})),
            (ApiError::AccessDenied, 401, json!({"message": "Access Denied"})),
            (
                ApiError::InvalidToken(TokenProblem::Bad),
                401,
                json!({"error": "invalid_token", "error_description": "Bad Access Token."}),
            ),
            (
                ApiError::InvalidToken(TokenProblem::Expired),
                401,
                json!({"error": "invalid_token", "error_description":
                    "Token is expired. You can either do re-authorization or token refresh."}),
            ),
            (
                ApiError::InvalidToken(TokenProblem::Revoked),
                401,
                json!({"error": "invalid_token", "error_description":
                    "Token was revoked. You have to re-authorize from the user."}),
            ),
            (
                ApiError::InsufficientScope(&[Scope::Api, Scope::AiWorkflows]),
                403,
                json!({"error": "insufficient_scope", "error_description":
                    "The request requires higher privileges than provided by the access token.",
                    "scope": "api ai_workflows"}),
            ),
            (ApiError::Forbidden, 403, json!({"message": "403 Forbidden"})),
            (ApiError::Blocked, 403, json!({"message": "403 Forbidden - Your account has been blocked."})),
            (ApiError::BadParameters("a is missing".into()), 400, json!({"error": "a is missing"})),
            (ApiError::BadRequest("no".into()), 400, json!({"message": "no"})),
            (ApiError::NotFound(None), 404, json!({"message": "404 Not Found"})),
            (ApiError::NotFound(Some("Project")), 404, json!({"message": "404 Project Not Found"})),
            (ApiError::UnknownPath, 404, json!({"error": "404 Not Found"})),
            (
                ApiError::MethodNotAllowed(HeaderValue::from_static("OPTIONS, POST")),
                405,
                json!({"error": "405 Not Allowed"}),
            ),
            (ApiError::RequestTimeout, 408, json!({"message": "408 Request Timeout"})),
            (
                ApiError::PayloadTooLarge { limit: 7 },
                413,
                json!({"message": "413 Request Entity Too Large - the limit is 7 bytes"}),
            ),
            (
                ApiError::UnsupportedContentType("text/xml".into()),
                415,
                json!({"error": "The provided content-type 'text/xml' is not supported."}),
            ),
            (
                ApiError::UnsupportedContentEncoding("br".into()),
                415,
                json!({"error": "The provided content-encoding 'br' is not supported."}),
            ),
            (
                ApiError::TooManyRequests { retry_after_s: 9 },
                429,
                json!({"message": {"error":
                    "This endpoint has been requested too many times. Try again later."}}),
            ),
            (ApiError::Internal, 500, json!({"message": "500 Internal Server Error"})),
            (
                ApiError::Unavailable { reason: "the log is away", retry_after_s: 1 },
                503,
                json!({"message": "503 Service Unavailable - the log is away"}),
            ),
        ];
        for (error, status, body) in rows {
            assert_eq!(error.status().as_u16(), status, "{error:?}");
            assert_eq!(error.body(), body, "{error:?}");
        }
    }

    #[test]
    fn refusals_that_say_what_to_do_next_say_it_in_headers() {
        let allow = ApiError::MethodNotAllowed(HeaderValue::from_static("OPTIONS, POST")).into_response();
        assert_eq!(allow.headers()["allow"], "OPTIONS, POST");
        let away = ApiError::Unavailable { reason: "x", retry_after_s: 3 }.into_response();
        assert_eq!(away.headers()["retry-after"], "3");
        let too_many = ApiError::TooManyRequests { retry_after_s: 9 }.into_response();
        assert_eq!(too_many.headers()["retry-after"], "9");
    }
}
