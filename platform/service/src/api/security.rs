//! What an endpoint asks of its caller, as the OpenAPI document says it.

use tally_directory::Scope;
use utoipa::openapi::security::SecurityRequirement;

use crate::api::openapi::Refusal;

/// The schemes' names in the document.
pub(crate) const PRIVATE_TOKEN: &str = "private_token";
pub(crate) const BEARER: &str = "bearer";
pub(crate) const PRIVATE_TOKEN_PARAMETER: &str = "private_token_parameter";
pub(crate) const SHARED_SECRET: &str = "shared_secret";
pub(crate) const SECRET_TOKEN: &str = "secret_token";
pub(crate) const SHELL_TOKEN: &str = "gitlab_shell";
pub(crate) const AGENT_SERVER: &str = "agent_server";
pub(crate) const AGENT: &str = "agent";

/// Whom an endpoint serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Everybody.
    Public,
    /// Whoever presents a token with one of these scopes.
    Token(&'static [Scope]),
    /// Everybody; who presents a token sees more, and the token must be good and have one of these scopes.
    OptionalToken(&'static [Scope]),
    /// Administrators, with one of these scopes.
    Administrator(&'static [Scope]),
    /// GitLab Shell, Gitaly and Workhorse: the instance's shared secret, or a token signed with it.
    SharedSecret,
    /// The agent server: a token signed with its secret.
    AgentServer,
    /// The agent server on behalf of an agent, whose token comes along.
    Agent,
}

impl Security {
    /// The alternatives, each enough by itself.
    pub(crate) fn requirements(self) -> Vec<SecurityRequirement> {
        const NO_SCOPES: [&str; 0] = [];
        match self {
            Self::Public => vec![SecurityRequirement::default()],
            Self::Token(scopes) | Self::Administrator(scopes) => token_requirements(scopes).collect(),
            Self::OptionalToken(scopes) => {
                [SecurityRequirement::default()].into_iter().chain(token_requirements(scopes)).collect()
            }
            Self::SharedSecret => [SHARED_SECRET, SECRET_TOKEN, SHELL_TOKEN]
                .map(|scheme| SecurityRequirement::new(scheme, NO_SCOPES))
                .into(),
            Self::AgentServer => vec![SecurityRequirement::new(AGENT_SERVER, NO_SCOPES)],
            Self::Agent => vec![SecurityRequirement::new(AGENT_SERVER, NO_SCOPES).add(AGENT, NO_SCOPES)],
        }
    }

    /// The same for people, where requirements can't say it.
    pub(crate) fn sentence(self) -> Option<String> {
        match self {
            Self::Token(scopes) => Some(format!("Scope: {}.", listed(scopes))),
            Self::OptionalToken(scopes) => {
                Some(format!("Scope of a token, if one is sent: {}.", listed(scopes)))
            }
            Self::Administrator(scopes) => Some(format!("For administrators. Scope: {}.", listed(scopes))),
            Self::Public | Self::SharedSecret | Self::AgentServer | Self::Agent => None,
        }
    }

    /// The refusals that follow from it.
    pub(crate) fn refusals(self) -> &'static [Refusal] {
        match self {
            Self::Public => &[Refusal::TooManyRequests],
            Self::Token(_) | Self::OptionalToken(_) | Self::Administrator(_) => {
                &[Refusal::Unauthorized, Refusal::Forbidden, Refusal::TooManyRequests]
            }
            Self::SharedSecret | Self::AgentServer => &[Refusal::Unauthorized],
            Self::Agent => &[Refusal::Unauthorized, Refusal::Forbidden],
        }
    }
}

/// One requirement a scheme and scope: any of them will do, while the scopes within one would all be needed.
fn token_requirements(scopes: &'static [Scope]) -> impl Iterator<Item = SecurityRequirement> {
    [PRIVATE_TOKEN, BEARER, PRIVATE_TOKEN_PARAMETER]
        .into_iter()
        .flat_map(|scheme| scopes.iter().map(move |scope| SecurityRequirement::new(scheme, [scope.as_str()])))
}

/// `` `api` or `read_api` ``.
fn listed(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| format!("`{scope}`")).collect::<Vec<_>>().join(" or ")
}
