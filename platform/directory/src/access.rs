//! The closed sets of words the directory uses: scopes, access levels, visibilities and user states.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a token may be used for. The names are GitLab's personal access token scopes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything the user may do.
    Api,
    /// Everything the user may read.
    ReadApi,
    /// The user's own profile and events.
    ReadUser,
    /// The Service Ping payload (administrators).
    ReadServicePing,
    /// Tracking of events by AI features.
    AiWorkflows,
}

impl Scope {
    /// Every scope there is, in the order in which documentation lists them.
    pub const ALL: [Self; 5] =
        [Self::Api, Self::ReadApi, Self::ReadUser, Self::ReadServicePing, Self::AiWorkflows];

    /// The name as it stands in files, flags and error bodies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::ReadApi => "read_api",
            Self::ReadUser => "read_user",
            Self::ReadServicePing => "read_service_ping",
            Self::AiWorkflows => "ai_workflows",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// No scope has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; expected one of api, read_api, read_user, read_service_ping, ai_workflows")]
pub struct UnknownScope(pub String);

impl std::str::FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(name: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == name)
            .ok_or_else(|| UnknownScope(name.to_owned()))
    }
}

/// A member's role in a project, least first, so that levels compare. GitLab's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLevel {
    /// 10 in GitLab.
    Guest,
    /// 15 in GitLab.
    Planner,
    /// 20 in GitLab.
    Reporter,
    /// 30 in GitLab.
    Developer,
    /// 40 in GitLab.
    Maintainer,
    /// 50 in GitLab.
    Owner,
}

impl AccessLevel {
    /// GitLab's number for it, 10 to 50.
    pub const fn number(self) -> i64 {
        match self {
            Self::Guest => 10,
            Self::Planner => 15,
            Self::Reporter => 20,
            Self::Developer => 30,
            Self::Maintainer => 40,
            Self::Owner => 50,
        }
    }
}

/// Who can read a project.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Visibility {
    /// Its members and administrators.
    #[default]
    Private,
    /// Everybody who is signed in.
    Internal,
    /// Everybody.
    Public,
}

/// Whether a user may sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserState {
    /// May use their tokens.
    #[default]
    Active,
    /// Every token of theirs is refused.
    Blocked,
    /// As blocked, until they sign in again.
    Deactivated,
}

impl UserState {
    /// The name as it stands in files and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Blocked => "blocked",
            Self::Deactivated => "deactivated",
        }
    }

    /// Whether the user may use their tokens and keys.
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }
}
