//! Why a query has no answer, in Cube's own words and with its HTTP status.

/// A refused query. The status is Cube's; GitLab's layer has its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CubeError {
    /// The request breaks the format; the text is Cube's whole message.
    #[error("{0}")]
    Invalid(String),
    /// The planner refuses it: an unknown member, no join path, a filter that mixes measures and dimensions, ...; such
    /// answers carry `"type": "UserError"`.
    #[error("{0}")]
    User(String),
    /// What Cube answers with status 500, its text beginning with the exception's name.
    #[error("{0}")]
    Internal(String),
}

impl CubeError {
    /// The HTTP status that Cube answers with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(_) | Self::User(_) => 400,
            Self::Internal(_) => 500,
        }
    }

    /// The `type` of Cube's answer, where it has one.
    pub fn kind(&self) -> Option<&'static str> {
        matches!(self, Self::User(_)).then_some("UserError")
    }
}
