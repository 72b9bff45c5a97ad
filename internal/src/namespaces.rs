//! Namespaces as paths of the API name them: by id, or by full path with its slashes percent-encoded.

use std::sync::Arc;

use tally_directory::{Namespace, State};
use tally_service::api::ApiError;

/// The namespace called so in a path; [`ApiError::NotFound`] names `what` was looked for.
pub(crate) fn find<'s>(state: &'s State, named: &str, what: &'static str) -> Result<&'s Arc<Namespace>, ApiError> {
    let is_id = named.bytes().all(|byte| byte.is_ascii_digit());
    let found = if is_id { named.parse().ok().and_then(|id| state.namespace(id)) } else { state.namespace_at(named) };
    found.ok_or(ApiError::NotFound(Some(what)))
}
