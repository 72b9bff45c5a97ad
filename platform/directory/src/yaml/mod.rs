//! The directory as a YAML text: import and export.
//!
//! An import is an upsert. What the text says is checked as a whole first, against itself and the state, and every problem
//! is named. Then the records that differ are written; records that the text doesn't name stay.

mod check;
mod export;
pub(crate) mod form;
mod import;
mod resolve;

use std::path::Path;

use jiff::Timestamp;

use self::form::File;
pub use self::import::ImportSummary;
use self::resolve::Import;
use crate::{DirectoryError, error::FieldProblem, state::State};

/// Understands a text; an empty one is an empty directory.
pub(crate) fn parse(text: &str, path: &Path) -> Result<File, DirectoryError> {
    let file: Option<File> = serde_yaml_ng::from_str(text)
        .map_err(|source| DirectoryError::Syntax { path: path.to_owned(), source })?;
    Ok(file.unwrap_or_default())
}

/// The state that a text alone makes.
pub(crate) fn state(text: &str, path: &Path) -> Result<State, DirectoryError> {
    state_of(&parse(text, path)?, path)
}

/// The state that a file alone makes.
pub(crate) fn state_of(file: &File, path: &Path) -> Result<State, DirectoryError> {
    let import = Import::of(file, Timestamp::UNIX_EPOCH);
    let mut state = State::default();
    let problems = import.problems(&state);
    if !problems.is_empty() {
        return Err(DirectoryError::Fields { path: path.to_owned(), problems });
    }
    for item in import.items() {
        let mut ids = import.free_ids(&state);
        let change = import.change(&state, item, &mut ids);
        let change = change.map_err(|problem| DirectoryError::Fields {
            path: path.to_owned(),
            problems: vec![FieldProblem::clone(&problem)],
        })?;
        if let Some(change) = change {
            state.apply(change);
        }
    }
    Ok(state)
}
