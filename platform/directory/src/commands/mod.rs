//! Commands that the command line gives: each decides on a state and returns the changes it comes to, for
//! [`Directory::transact`](crate::Directory::transact). Nothing is changed here, and time and randomness are passed in.

mod error;
mod token;
mod user;

pub use error::CommandError;
pub use token::{NewToken, TokenListing, create_token, list_tokens, revoke_token};
pub use user::{NewUser, create_user};
