//! Writes what a text says into a directory that is in use.

use std::fmt;
use std::path::Path;

use jiff::Timestamp;

use super::resolve::{Import, Item};
use crate::directory::CHANGES_PER_TRANSACTION;
use crate::error::{FieldProblem, TransactError};
use crate::{Change, Directory, DirectoryError, state::State};

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportSummary {
    /// Records that were new or different.
    pub written: usize,
    /// Records that the directory had already.
    pub unchanged: usize,
}

impl fmt::Display for ImportSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} records written, {} unchanged", self.written, self.unchanged)
    }
}

impl Directory {
    /// Writes the records of a YAML text that are new or different; nothing at all if the text has a problem. A long text
    /// is written in several transactions. If one of them fails, those before it stay, and the import can be repeated.
    pub async fn import(&self, yaml: &str, now: Timestamp) -> Result<ImportSummary, DirectoryError> {
        let path = Path::new("import");
        let file = super::parse(yaml, path)?;
        let import = Import::of(&file, now);
        let refused = |problems| DirectoryError::Fields { path: path.to_owned(), problems };
        let problems = import.problems(&self.read());
        if !problems.is_empty() {
            return Err(refused(problems));
        }
        let mut items = import.items();
        let mut summary = ImportSummary::default();
        loop {
            let chunk: Vec<Item<'_>> = items.by_ref().take(CHANGES_PER_TRANSACTION).collect();
            if chunk.is_empty() {
                return Ok(summary);
            }
            let decide = |state: &State| decide(&import, &chunk, state);
            let written = if decide(&self.read()).is_ok_and(|(written, _)| written == 0) {
                0
            } else {
                self.transact(now, decide).await.map_err(|error| match error {
                    TransactError::Refused(problem) => refused(vec![problem]),
                    TransactError::Unavailable(reason) => DirectoryError::Unavailable(reason),
                })?
            };
            summary.written += written;
            summary.unchanged += chunk.len() - written;
        }
    }
}

fn decide(
    import: &Import<'_>,
    chunk: &[Item<'_>],
    state: &State,
) -> Result<(usize, Vec<Change>), FieldProblem> {
    let mut ids = import.free_ids(state);
    let mut changes = Vec::new();
    for item in chunk {
        changes.extend(import.change(state, *item, &mut ids)?);
    }
    Ok((changes.len(), changes))
}
