//! Numbered SQL migrations, each applied once and recorded with its checksum. Several processes may migrate at once:
//! `lease` lets one work at a time. `render` turns the SQL's placeholders into a single node's or a cluster's text.

mod lease;
mod render;

use std::collections::HashMap;

use clickhouse::Row;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use self::{lease::Lease, render::Renderer};
use crate::client::{Store, StoreError};

/// One numbered migration. A process may die between its statements, so each must bear being run again
/// (`IF NOT EXISTS`).
#[derive(Debug, Clone)]
pub struct Migration {
    pub number: u32,
    /// The file's name without number and extension.
    pub name: String,
    /// SQL with placeholders; statements end with a line-final `;`, comments are `--` lines.
    pub sql: String,
}

impl Migration {
    fn checksum(&self) -> String {
        hex::encode(Sha256::digest(self.sql.as_bytes()))
    }
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
    #[error("migration {number} follows {previous}: numbers must rise")]
    Order { number: u32, previous: u32 },
    #[error("migration {number} ({name}) failed at statement {statement}: {source}")]
    Failed { number: u32, name: String, statement: usize, source: StoreError },
    #[error("another process has been migrating for {0} seconds")]
    Busy(u64),
    #[error("another process took over the migration; run it again")]
    LeaseLost,
    #[error(transparent)]
    Store(#[from] StoreError),
}

const CREATE_RECORDS: &str = "CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster} \
     (number UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) \
     ENGINE = {Replicated}MergeTree ORDER BY number";

#[derive(Debug, Row, Deserialize)]
struct Record {
    number: u32,
    checksum: String,
}

impl Store {
    /// Creates the database when absent and applies what has not been applied, in order of number.
    ///
    /// Safe to run from several processes at once: the others wait, and find everything applied. Migrations that the
    /// database has and the list lacks are left alone: they are a newer version's.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<MigrationReport, MigrateError> {
        check_order(migrations)?;
        let renderer = Renderer::new(self.config().cluster.as_deref());
        let create_database =
            format!("CREATE DATABASE IF NOT EXISTS `{}` {{on_cluster}}", self.config().database);
        let anywhere = self.client().clone().with_database("default");
        self.execute(&anywhere, &renderer.render(&create_database)).await?;
        self.execute(self.client(), &renderer.render(CREATE_RECORDS)).await?;
        if self.pending(migrations).await?.is_empty() {
            return Ok(MigrationReport { applied: Vec::new(), already_applied: migrations.len() });
        }
        let lease = Lease::take(self, &renderer).await?;
        let outcome = self.apply_pending(migrations, &renderer, &lease).await;
        lease.release().await;
        outcome
    }

    async fn apply_pending(
        &self,
        migrations: &[Migration],
        renderer: &Renderer,
        lease: &Lease<'_>,
    ) -> Result<MigrationReport, MigrateError> {
        let pending = self.pending(migrations).await?;
        for migration in &pending {
            self.apply(migration, renderer, lease).await?;
        }
        Ok(MigrationReport {
            applied: pending.iter().map(|migration| migration.number).collect(),
            already_applied: migrations.len() - pending.len(),
        })
    }

    /// The migrations that the database has no record of. A record with another checksum is an error.
    async fn pending<'a>(&self, migrations: &'a [Migration]) -> Result<Vec<&'a Migration>, MigrateError> {
        let records =
            self.client().query("SELECT number, checksum FROM schema_migrations").fetch_all::<Record>();
        let records = records.await.map_err(StoreError::from)?;
        let by_number: HashMap<u32, String> =
            records.into_iter().map(|record| (record.number, record.checksum)).collect();
        let mut pending = Vec::new();
        for migration in migrations {
            match by_number.get(&migration.number) {
                None => pending.push(migration),
                Some(checksum) if *checksum == migration.checksum() => {}
                Some(_) => {
                    let (number, name) = (migration.number, migration.name.clone());
                    return Err(MigrateError::Changed { number, name });
                }
            }
        }
        Ok(pending)
    }

    async fn apply(
        &self,
        migration: &Migration,
        renderer: &Renderer,
        lease: &Lease<'_>,
    ) -> Result<(), MigrateError> {
        for (index, statement) in render::statements(&migration.sql).into_iter().enumerate() {
            lease.renew().await?;
            self.execute(self.client(), &renderer.render(&statement)).await.map_err(|source| {
                let (number, name) = (migration.number, migration.name.clone());
                MigrateError::Failed { number, name, statement: index + 1, source }
            })?;
        }
        lease.renew().await?;
        let record = self
            .client()
            .query("INSERT INTO schema_migrations (number, name, checksum) VALUES (?, ?, ?)")
            .bind(migration.number)
            .bind(&migration.name)
            .bind(migration.checksum());
        record.execute().await.map_err(StoreError::from)?;
        tracing::info!(number = migration.number, name = migration.name, "applied a migration");
        Ok(())
    }
}

fn check_order(migrations: &[Migration]) -> Result<(), MigrateError> {
    let disorder = migrations.windows(2).find(|pair| pair[0].number >= pair[1].number);
    match disorder {
        Some(pair) => Err(MigrateError::Order { number: pair[1].number, previous: pair[0].number }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migration(number: u32) -> Migration {
        Migration { number, name: "x".to_owned(), sql: String::new() }
    }

    #[test]
    fn numbers_must_rise() {
        assert!(check_order(&[migration(1), migration(3)]).is_ok());
        for numbers in [[2, 2], [3, 1]] {
            let list = numbers.map(migration);
            assert!(matches!(check_order(&list), Err(MigrateError::Order { .. })), "{numbers:?}");
        }
    }
}
