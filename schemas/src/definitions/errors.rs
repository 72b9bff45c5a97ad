//! What can be wrong with definitions, one error a breach.

use std::fmt;
use std::sync::Arc;

/// Everything that was wrong with the definitions, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct LoadErrors(pub Vec<LoadError>);

/// One thing wrong with a definition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {}expected {expected}, got {got}", colon(field))]
pub struct LoadError {
    /// The file, folder or glob.
    pub path: Arc<str>,
    /// The field, dotted, list items by their index; empty for the file as a whole.
    pub field: String,
    /// What the contract asks for.
    pub expected: String,
    /// What stands there.
    pub got: String,
}

fn colon(field: &str) -> String {
    if field.is_empty() { String::new() } else { format!("{field}: ") }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}
