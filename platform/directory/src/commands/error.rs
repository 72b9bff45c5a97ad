//! Why a command is refused.

/// Why a command is refused. The texts are for whoever gave it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A name that has to be there is empty; says which.
    #[error("{0} must not be empty")]
    Empty(&'static str),
    /// The username is another user's.
    #[error("{0:?} is another user's name")]
    UsernameTaken(String),
    /// Nobody has this username.
    #[error("no user is named {0:?}")]
    UnknownUser(String),
    /// The token would be good for nothing.
    #[error("expected at least one scope")]
    NoScopes,
    /// The user has a token of this name, if only a revoked one.
    #[error("{user} has a token named {name:?} already")]
    TokenNameTaken {
        /// The token's name.
        name: String,
        /// The user's.
        user: String,
    },
    /// Another token has the same text.
    #[error("another token has the same text")]
    TokenTaken,
    /// No token has this name.
    #[error("no token is named {0:?}")]
    UnknownToken(String),
    /// Several users have a token of this name.
    #[error("{} have a token named {name:?}; say whose", users.join(" and "))]
    AmbiguousToken {
        /// The tokens' name.
        name: String,
        /// Their users' names.
        users: Vec<String>,
    },
}
