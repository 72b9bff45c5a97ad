//! Why a model can't be used.

use std::fmt;

/// All that is wrong with the files of a model, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelErrors(pub Vec<ModelError>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelError {
    /// The file's path as it was given.
    pub file: String,
    /// Counted from 1, where it is known.
    pub line: Option<usize>,
    /// `Cube`, `Cube.member`; empty where the file as a whole is meant.
    pub path: String,
    pub reason: String,
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.reason)
    }
}

/// One line each.
impl fmt::Display for ModelErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, error) in self.0.iter().enumerate() {
            if place > 0 {
                f.write_str("\n")?;
            }
            write!(f, "data model: {error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ModelErrors {}
