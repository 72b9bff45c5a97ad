//! Who may call: holders of a secret that is kept in a file on both sides, shown as it is or as the signature of a token.
//! Administrator tokens, which the billing portal's endpoints want, are the business of tally-service.

pub(crate) mod jwt;
mod secret_file;
mod shell;

pub use secret_file::SecretError;
pub(crate) use secret_file::{Secret, SecretFile};
pub(crate) use shell::ShellCall;
