//! Who is calling: takes the token out of a request and asks the directory whose it is. Extracting [`Caller`] in a
//! handler's signature authenticates before the body is touched.

use std::borrow::Cow;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use tally_directory::{AuthError, Directory, Principal, Scope};

use crate::api::{ApiError, TokenProblem};
use crate::clock::Clock;

/// GitLab's header for personal access tokens.
const PRIVATE_TOKEN: &str = "private-token";

/// The same as a query parameter.
const PRIVATE_TOKEN_PARAMETER: &str = "private_token";

/// What authentication stands on. A router's state gives it by `FromRef`.
#[derive(Clone)]
pub struct Access {
    /// Users, tokens and projects.
    pub directory: Arc<Directory>,
    /// Tells when a token has expired.
    pub clock: Arc<dyn Clock>,
}

impl Access {
    /// Whose request this is; [`ApiError::Unauthorized`] without a token.
    pub fn authenticate(&self, parts: &Parts) -> Result<Caller, ApiError> {
        if let Some(known) = parts.extensions.get::<Authenticated>() {
            return known.0.clone();
        }
        let token = presented_token(&parts.uri, &parts.headers).ok_or(ApiError::Unauthorized)?;
        self.authenticate_token(&token, self.clock.now())
    }

    pub(super) fn authenticate_token(
        &self,
        token: &PresentedToken<'_>,
        now: Timestamp,
    ) -> Result<Caller, ApiError> {
        let authenticated = self.directory.authenticate(&token.text, now);
        authenticated.map(Caller).map_err(|error| match error {
            // Only OAuth's header is answered in OAuth's form when nobody has the token.
            AuthError::Unknown if token.bearer => ApiError::InvalidToken(TokenProblem::Bad),
            other => other.into(),
        })
    }
}

/// What authenticating the request has given, so that it happens once. Put into the request by the guard, which looks at
/// every request before its handler does.
#[derive(Clone)]
pub(super) struct Authenticated(pub(super) Result<Caller, ApiError>);

/// Whoever the request acts for.
#[derive(Clone, Debug)]
pub struct Caller(pub Arc<Principal>);

impl Caller {
    /// Refuses tokens that have none of `scopes`.
    pub fn require_scope(&self, scopes: &'static [Scope]) -> Result<(), ApiError> {
        if self.0.has_any_scope(scopes) { Ok(()) } else { Err(ApiError::InsufficientScope(scopes)) }
    }

    /// Refuses everybody but administrators.
    pub fn require_admin(&self) -> Result<(), ApiError> {
        if self.0.admin { Ok(()) } else { Err(ApiError::Forbidden) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller
where
    Access: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Access::from_ref(state).authenticate(parts)
    }
}

/// Whoever the request acts for, where nobody need say. A token that is presented must be good all the same.
#[derive(Clone, Debug)]
pub struct OptionalCaller(pub Option<Caller>);

impl OptionalCaller {
    /// Refuses tokens that have none of `scopes`; nobody's token is no such token.
    pub fn require_scope(&self, scopes: &'static [Scope]) -> Result<(), ApiError> {
        self.0.as_ref().map_or(Ok(()), |caller| caller.require_scope(scopes))
    }

    /// Who it is, for the directory's questions about readers.
    pub fn principal(&self) -> Option<&Principal> {
        self.0.as_ref().map(|caller| &*caller.0)
    }
}

impl<S: Sync> FromRequestParts<S> for OptionalCaller
where
    Access: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if presented_token(&parts.uri, &parts.headers).is_none() {
            return Ok(Self(None));
        }
        Access::from_ref(state).authenticate(parts).map(|caller| Self(Some(caller)))
    }
}

/// A token as it stands in a request.
pub(super) struct PresentedToken<'a> {
    pub(super) text: Cow<'a, str>,
    /// It came as `Authorization: Bearer`.
    bearer: bool,
}

/// The first token there is, in GitLab's order: parameter, `PRIVATE-TOKEN`, `Authorization: Bearer`. An empty one is none.
/// The parameter is looked for in the query string only, because a body is not read before its sender is known.
pub(super) fn presented_token<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<PresentedToken<'r>> {
    let plain = |text| PresentedToken { text, bearer: false };
    token_parameter(uri.query().unwrap_or_default())
        .map(plain)
        .or_else(|| header_text(headers, PRIVATE_TOKEN).map(Cow::Borrowed).map(plain))
        .or_else(|| {
            bearer_token(headers).map(|text| PresentedToken { text: Cow::Borrowed(text), bearer: true })
        })
        .filter(|token| !token.text.is_empty())
}

fn token_parameter(query: &str) -> Option<Cow<'_, str>> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, value)| *name == PRIVATE_TOKEN_PARAMETER && !value.is_empty())
        .map(|(_, value)| percent_decode_str(value).decode_utf8_lossy())
}

fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = header_text(headers, AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A header's text if it is there, is text and is not empty.
fn header_text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FixedClock;
    use axum::http::Request;

    const DIRECTORY: &str = "
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice}
  - {id: 3, username: eve, state: blocked}
tokens:
  - {name: good, user: alice, scopes: [api], sha256: GOOD}
  - {name: root, user: root, scopes: [read_api], sha256: ROOT}
  - {name: old, user: alice, scopes: [api], expires_at: 2026-01-02, sha256: OLD}
  - {name: gone, user: alice, scopes: [api], revoked: true, sha256: GONE}
  - {name: eve, user: eve, scopes: [api], sha256: EVE}
";

    fn access() -> Access {
        let mut yaml = DIRECTORY.to_owned();
        for name in ["GOOD", "ROOT", "OLD", "GONE", "EVE"] {
            let hash = tally_directory::SecretHash::of(&format!("glpat-{}", name.to_lowercase())).to_hex();
            yaml = yaml.replace(&format!("sha256: {name}}}"), &format!("sha256: \"{hash}\"}}"));
        }
        let directory = Arc::new(Directory::from_yaml(&yaml, "directory.yml").unwrap());
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        Access { directory, clock: Arc::new(FixedClock(now)) }
    }

    fn authenticate(uri: &str, headers: &[(&str, &str)]) -> Result<String, ApiError> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        access().authenticate(&parts).map(|caller| caller.0.token_name.clone())
    }

    #[test]
    fn a_token_is_taken_from_header_bearer_or_parameter() {
        let good = Ok("good".to_owned());
        assert_eq!(authenticate("/", &[("PRIVATE-TOKEN", "glpat-good")]), good);
        assert_eq!(authenticate("/", &[("Authorization", "Bearer glpat-good")]), good);
        assert_eq!(authenticate("/", &[("Authorization", "bearer glpat-good")]), good);
        assert_eq!(authenticate("/?a=1&private_token=glpat%2Dgood", &[]), good);
    }

    #[test]
    fn the_parameter_comes_before_the_headers() {
        let both = [("PRIVATE-TOKEN", "glpat-root"), ("Authorization", "Bearer nobody")];
        assert_eq!(authenticate("/?private_token=glpat-good", &both), Ok("good".to_owned()));
        assert_eq!(authenticate("/?private_token=", &both), Ok("root".to_owned()));
    }

    #[test]
    fn tokens_that_do_not_sign_in_are_told_apart_as_gitlab_does() {
        let private = |token| authenticate("/", &[("PRIVATE-TOKEN", token)]);
        let bearer = |token: &str| authenticate("/", &[("Authorization", &format!("Bearer {token}"))]);
        let invalid = |problem| Err(ApiError::InvalidToken(problem));
        assert_eq!(authenticate("/", &[]), Err(ApiError::Unauthorized));
        assert_eq!(private(""), Err(ApiError::Unauthorized));
        assert_eq!(bearer(""), Err(ApiError::Unauthorized));
        assert_eq!(authenticate("/", &[("Authorization", "Basic glpat-good")]), Err(ApiError::Unauthorized));
        assert_eq!(private("nobody"), Err(ApiError::Unauthorized));
        assert_eq!(authenticate("/?private_token=nobody", &[]), Err(ApiError::Unauthorized));
        assert_eq!(bearer("nobody"), invalid(TokenProblem::Bad));
        assert_eq!(private("glpat-old"), invalid(TokenProblem::Expired));
        assert_eq!(bearer("glpat-gone"), invalid(TokenProblem::Revoked));
        assert_eq!(private("glpat-eve"), Err(ApiError::Blocked));
    }

    #[test]
    fn scopes_and_administrator_rights_are_asked_for_separately() {
        let caller = |token: &str| {
            let (parts, ()) =
                Request::builder().header("PRIVATE-TOKEN", token).body(()).unwrap().into_parts();
            access().authenticate(&parts).unwrap()
        };
        let wanted: &[Scope] = &[Scope::Api, Scope::AiWorkflows];
        assert_eq!(caller("glpat-good").require_scope(wanted), Ok(()));
        assert_eq!(caller("glpat-root").require_scope(wanted), Err(ApiError::InsufficientScope(wanted)));
        assert_eq!(caller("glpat-root").require_admin(), Ok(()));
        assert_eq!(caller("glpat-good").require_admin(), Err(ApiError::Forbidden));
    }
}
