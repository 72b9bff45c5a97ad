//! Calls of gitlab-shell, Workhorse and Gitaly's hooks: whoever holds the shared secret. It is shown signed, in header
//! `Gitlab-Shell-Api-Request`, or as it is: Base64 in header `Gitlab-Shared-Secret`, or plain in parameter
//! `secret_token`. The first of these that a call has decides, in this order; the body is read for the parameter only
//! when nothing else is shown.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tally_service::api::ApiError;

use super::jwt::{self, Times};
use crate::parameters::Parameters;
use crate::state::{Inner, InternalState};

const SIGNED_HEADER: &str = "gitlab-shell-api-request";
const SECRET_HEADER: &str = "gitlab-shared-secret";
const SECRET_PARAMETER: &str = "secret_token";
const ISSUER: &str = "gitlab-shell";

/// The parameters of a call whose sender holds the shared secret.
pub(crate) struct ShellCall(pub(crate) Parameters);

impl FromRequest<InternalState> for ShellCall {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &InternalState) -> Result<Self, ApiError> {
        let state = &*state.0;
        let shown = match shown_in_headers(request.headers(), state) {
            Some(accepted) => Some(accepted),
            None => Parameters::of_query(request.uri())
                .map_err(|_| ApiError::Unauthorized)?
                .text(SECRET_PARAMETER)
                .map(|secret| accepts_plain(state, secret.as_bytes())),
        };
        if shown == Some(false) {
            return Err(ApiError::Unauthorized);
        }
        // What has no effect has no body.
        let parameters = match request.method() {
            &Method::GET | &Method::HEAD => Parameters::of_query(request.uri()),
            _ => Parameters::read(request, &state.bodies).await,
        };
        let parameters = match parameters {
            Ok(parameters) => parameters,
            // Whoever has shown nothing yet isn't told what is wrong with the body.
            Err(_) if shown.is_none() => return Err(ApiError::Unauthorized),
            Err(error) => return Err(error),
        };
        let is_accepted = shown.unwrap_or_else(|| {
            let secret = parameters.text(SECRET_PARAMETER);
            secret.is_some_and(|secret| accepts_plain(state, secret.as_bytes()))
        });
        if is_accepted { Ok(Self(parameters)) } else { Err(ApiError::Unauthorized) }
    }
}

/// Whether what the headers show is accepted; `None` if they show nothing.
fn shown_in_headers(headers: &HeaderMap, state: &Inner) -> Option<bool> {
    if let Some(token) = headers.get(SIGNED_HEADER) {
        let secrets = state.shared_secret.secrets();
        let keys = secrets.iter().map(super::Secret::as_bytes);
        let now = state.access.clock.now();
        let token = token.to_str().unwrap_or_default();
        return Some(jwt::verify(token, ISSUER, keys, Times::Required, now).is_ok());
    }
    let encoded = headers.get(SECRET_HEADER)?;
    let secret = STANDARD.decode(encoded.as_bytes().trim_ascii());
    Some(secret.is_ok_and(|secret| accepts_plain(state, &secret)))
}

/// Files end in a line break, and so may what was read from one.
fn accepts_plain(state: &Inner, secret: &[u8]) -> bool {
    state.shared_secret.accepts(secret.trim_ascii_end())
}
