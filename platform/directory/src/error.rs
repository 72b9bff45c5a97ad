//! The directory's errors: [`AuthError`] for a presented token, [`TransactError`] and [`Unavailable`] for a change,
//! [`DirectoryError`] for a YAML text and for opening.

use std::path::{Path, PathBuf};

/// Why a presented token does not sign anybody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No token in the directory has this text.
    #[error("the token is unknown")]
    Unknown,
    /// The token's `expires_at` has come.
    #[error("the token is expired")]
    Expired,
    /// The token was revoked.
    #[error("the token was revoked")]
    Revoked,
    /// The token's user is blocked or deactivated.
    #[error("the token's user is blocked")]
    Blocked,
}

/// The directory can't be written to, or not known to have been: its log doesn't answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the directory is unavailable: {0}")]
pub struct Unavailable(pub String);

/// Why a transaction changed nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransactError<E> {
    /// The command was decided against.
    #[error("{0}")]
    Refused(E),
    /// The command could not be written, or it is not known whether it was.
    #[error("the directory is unavailable: {0}")]
    Unavailable(String),
}

impl<E> From<Unavailable> for TransactError<E> {
    fn from(Unavailable(reason): Unavailable) -> Self {
        Self::Unavailable(reason)
    }
}

/// Why a YAML text is refused, or a directory can't be opened or written to.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// The text is no YAML, or a field has the wrong type. The source names the field, line and column.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// What the text is called.
        path: PathBuf,
        /// What the YAML parser said.
        source: serde_yaml_ng::Error,
    },
    /// Fields have values that can't be.
    #[error("{}", lines(path, problems))]
    Fields {
        /// What the text is called.
        path: PathBuf,
        /// All of them.
        problems: Vec<FieldProblem>,
    },
    /// The directory's log doesn't answer.
    #[error("the directory is unavailable: {0}")]
    Unavailable(String),
}

/// What is wrong with one field of a YAML text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldProblem {
    /// Where in the text, such as `tokens[2].user`.
    pub field: String,
    /// What is wrong and what was expected.
    pub problem: String,
}

/// One line a problem.
fn lines(path: &Path, problems: &[FieldProblem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {problem}", path.display())).collect();
    lines.join("\n")
}
