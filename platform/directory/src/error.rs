//! The directory's two errors: [`AuthError`] for a presented token (request path), [`DirectoryError`] for the file.

use std::{io, path::PathBuf};

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
    /// The token's user is blocked.
    #[error("the token's user is blocked")]
    Blocked,
}

/// Why the directory's file could not be read, understood or changed.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Reading the file failed.
    #[error("{}: can't be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Writing the file failed; the former file is still in place.
    #[error("{}: can't be written: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is no YAML, or a field has the wrong type. The source names the field, line and column.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the YAML parser said.
        source: serde_yaml_ng::Error,
    },
    /// A field has a value that can't be.
    #[error("{}: {field}: {problem}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// Where in the file, such as `tokens[2].user`.
        field: String,
        /// What is wrong and what was expected.
        problem: String,
    },
    /// A change names a user or token that is not there, or one that is there already.
    #[error("{}: {problem}", path.display())]
    Change {
        /// The file.
        path: PathBuf,
        /// What is wrong with the change.
        problem: String,
    },
}
