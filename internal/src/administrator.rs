//! Who may administer subscriptions, minutes and reconciliations: whoever shows an administrator's token.

use axum::extract::{FromRef, FromRequestParts};
use axum::http::Method;
use axum::http::request::Parts;
use tally_directory::Scope;
use tally_service::api::{Access, ApiError, Caller};

/// The header that the billing portal's documentation names; everybody else's are `PRIVATE-TOKEN` and Bearer.
const TOKEN: &str = "token";
const PRIVATE_TOKEN: &str = "private-token";

/// What may read what is administered, and what may write it.
pub(crate) const READING: &[Scope] = &[Scope::Api, Scope::ReadApi];
pub(crate) const WRITING: &[Scope] = &[Scope::Api];

/// The request shows the token of an administrator, with the scope to read or to write.
pub(crate) struct Administrator;

impl<S: Send + Sync> FromRequestParts<S> for Administrator
where
    Access: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        // The guard, which authenticates all others before, doesn't know this header.
        let token = parts.headers.get(TOKEN).and_then(|token| token.to_str().ok());
        let token = token.filter(|token| !token.is_empty() && !parts.headers.contains_key(PRIVATE_TOKEN));
        let caller = match token {
            Some(token) => {
                let access = Access::from_ref(state);
                Caller(access.directory.authenticate(token, access.clock.now())?)
            }
            None => Caller::from_request_parts(parts, state).await?,
        };
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        caller.require_scope(if is_read { READING } else { WRITING })?;
        caller.require_admin()?;
        Ok(Self)
    }
}
