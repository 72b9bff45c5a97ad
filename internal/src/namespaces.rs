//! Namespaces as paths of the API name them: by id, or by full path with its slashes percent-encoded.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use tally_directory::{Namespace, State};
use tally_service::api::ApiError;

/// The names in a call's path, percent-decoded. Bytes that are no text name nothing.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let names = Path::<T>::from_request_parts(parts, state).await;
        names.map(|Path(names)| Self(names)).map_err(|_| ApiError::NotFound(None))
    }
}

/// The namespace called so in a path; [`ApiError::NotFound`] names `what` was looked for.
pub(crate) fn find<'s>(
    state: &'s State,
    named: &str,
    what: &'static str,
) -> Result<&'s Arc<Namespace>, ApiError> {
    let is_id = named.bytes().all(|byte| byte.is_ascii_digit());
    let found =
        if is_id { named.parse().ok().and_then(|id| state.namespace(id)) } else { state.namespace_at(named) };
    found.ok_or(ApiError::NotFound(Some(what)))
}
