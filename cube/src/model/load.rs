//! From files to a checked model.

use std::path::Path;

use super::{Model, ModelErrors};

/// Whose rows the cubes of a folder are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Every project's: each cube must say how its rows are told apart.
    Shared,
    /// One project's own: all rows belong to it, unless a cube says how its rows are told apart.
    Project(i64),
}

impl Model {
    /// Tally's own model.
    pub fn built_in() -> Self {
        Self::default()
    }

    /// Reads a model from the texts of its files, each with the path that errors shall name. References may go from
    /// file to file.
    pub fn parse(_files: &[(String, String)], _ownership: Ownership) -> Result<Self, ModelErrors> {
        Ok(Self::default())
    }

    /// Reads all `.yml` and `.yaml` files below a folder, in the order of their paths.
    pub fn load_folder(_folder: &Path, _ownership: Ownership) -> Result<Self, ModelErrors> {
        Ok(Self::default())
    }
}
