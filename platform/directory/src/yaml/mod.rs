//! The directory as a YAML text: import and export.
//!
//! An import is an upsert. What the text says is checked as a whole first, against itself and the state, and every problem
//! is named. Then the records that differ are written; records that the text doesn't name stay.

mod check;
mod export;
mod form;
mod import;
mod resolve;

use std::path::Path;

use jiff::Timestamp;

use self::form::File;
pub use self::import::ImportSummary;
use self::resolve::Import;
use crate::{DirectoryError, state::State};

/// Understands a text; an empty one is an empty directory.
fn parse(text: &str, path: &Path) -> Result<File, DirectoryError> {
    let file: Option<File> = serde_yaml_ng::from_str(text)
        .map_err(|source| DirectoryError::Syntax { path: path.to_owned(), source })?;
    Ok(file.unwrap_or_default())
}

/// The state that a text alone makes.
pub(crate) fn state(text: &str, path: &Path) -> Result<State, DirectoryError> {
    let refused = |problems| DirectoryError::Fields { path: path.to_owned(), problems };
    let file = parse(text, path)?;
    let import = Import::of(&file, Timestamp::UNIX_EPOCH);
    let mut state = State::default();
    let problems = import.problems(&state);
    if !problems.is_empty() {
        return Err(refused(problems));
    }
    for item in import.items() {
        let change = import.change(&state, item, &mut import.free_ids(&state));
        if let Some(change) = change.map_err(|problem| refused(vec![problem]))? {
            state.apply(change);
        }
    }
    Ok(state)
}
