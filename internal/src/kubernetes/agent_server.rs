//! Who may call: the agent server, whose secret signs a token for each call, and where an agent is meant, an agent whose
//! token the server passes on.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tally_directory::{Agent, SecretHash};
use tally_service::api::ApiError;

use crate::auth::Secret;
use crate::auth::jwt::{self, Times};
use crate::state::InternalState;

const SIGNED_HEADER: &str = "gitlab-kas-api-request";
const ISSUER: &str = "gitlab-kas";

/// The call comes from the agent server.
pub(super) struct AgentServerCall;

impl FromRequestParts<InternalState> for AgentServerCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &InternalState) -> Result<Self, ApiError> {
        let token = parts.headers.get(SIGNED_HEADER).and_then(|token| token.to_str().ok());
        let token = token.ok_or(ApiError::Unauthorized)?;
        let secrets = state.0.kas_secret.secrets();
        let keys = secrets.iter().flat_map(Secret::agent_server_keys);
        let now = state.0.access.clock.now();
        let verified = jwt::verify(token, ISSUER, keys, Times::Optional, now);
        verified.map(|()| Self).map_err(|_| ApiError::Unauthorized)
    }
}

/// The call comes from the agent server on behalf of this agent.
pub(super) struct AgentCall(pub(super) Arc<Agent>);

impl FromRequestParts<InternalState> for AgentCall {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &InternalState) -> Result<Self, ApiError> {
        AgentServerCall::from_request_parts(parts, state).await?;
        let token = bearer_token(parts).ok_or(ApiError::Forbidden)?;
        let agent = state.0.access.directory.read().agent_by_token(&SecretHash::of(token)).cloned();
        agent.map(Self).ok_or(ApiError::Forbidden)
    }
}

fn bearer_token(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
