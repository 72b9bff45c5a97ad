//! Who may do what: users, keys, tokens, namespaces, projects, memberships and the rest of GitLab's master data, as one
//! state that changes fold into.
//!
//! [`Directory`] answers the request path out of memory and takes transactions; [`State`] is what it holds, [`Change`] the
//! words it is written in. Nothing here speaks HTTP; the `api` module of tally-service turns [`AuthError`] into answers.

mod access;
mod backend;
mod change;
pub mod commands;
mod directory;
mod error;
pub mod log;
mod model;
mod principal;
mod secret;
mod state;
mod yaml;

pub use access::{AccessLevel, Scope, UnknownScope, UserState, Visibility};
pub use change::{Change, IdKind};
pub use directory::{Directory, ProjectLookup, StateGuard};
pub use error::{AuthError, DirectoryError, FieldProblem, TransactError, Unavailable};
pub use model::*;
pub use principal::Principal;
pub use secret::{SecretHash, TOKEN_RANDOM_BYTES, token_from_random};
pub use state::{Cursor, State};
pub use yaml::ImportSummary;
