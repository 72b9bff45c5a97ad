//! Parameters as GitLab's API framework takes them, shared by all endpoints: a value as it was sent ([`Scalar`]), what each
//! declared type makes of it ([`coerce`]), and reading many of them so that the answer names everything that fails
//! ([`Reader`]).

pub mod coerce;
mod reader;
mod scalar;

pub use reader::{Reader, Sent};
pub use scalar::Scalar;

/// The value does not fit the declared type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

/// A boolean in text, in any of its spellings; the empty text is `None`, as if the parameter were not given.
pub fn boolean(text: &str) -> Result<Option<bool>, Invalid> {
    coerce::boolean(&Scalar::from(text))
}
