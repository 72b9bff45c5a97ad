//! Who may do what: users, their access tokens and the projects they can read, kept in one YAML file.
//!
//! [`Directory`] answers the request path out of memory, [`edit`] changes the file (`tally token create|list|revoke`
//! and the first start). Nothing here speaks HTTP; the `api` module of tally-service turns [`AuthError`] into answers.

mod access;
mod directory;
pub mod edit;
mod error;
mod file;
mod snapshot;
mod token;

pub use access::{AccessLevel, Scope, UserState, Visibility};
pub use directory::{Directory, ProjectLookup};
pub use error::{AuthError, DirectoryError};
pub use snapshot::{Principal, Project, User};
pub use token::{TOKEN_RANDOM_BYTES, TokenHash, token_from_random};
