//! Lets one process migrate at a time, with what every ClickHouse has: `CREATE TABLE` without `IF NOT EXISTS` succeeds
//! for one creator only. The lease is a numbered table; a holder renews it by touching its comment, and one that has
//! not been renewed for `LEASE` is overtaken by creating the next number. Ages are told by ClickHouse's clock alone.

use std::time::{Duration, Instant};

use clickhouse::Row;
use rand::RngExt;
use serde::Deserialize;

use super::{MigrateError, render::Renderer};
use crate::client::{Store, StoreError};

const PREFIX: &str = "schema_migrations_lease_";
/// A holder renews before each statement, and a statement ends within the request timeout of about a minute.
const LEASE: Duration = Duration::from_mins(3);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
const TABLE_ALREADY_EXISTS: u32 = 57;
const UNKNOWN_TABLE: u32 = 60;

#[derive(Debug, Row, Deserialize)]
struct LeaseTable {
    number: u64,
    age_seconds: i64,
}

/// The right to migrate.
pub struct Lease<'a> {
    store: &'a Store,
    renderer: &'a Renderer,
    number: u64,
}

/// What to do about the leases that exist.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Create(u64),
    Wait,
}

/// A living lease is waited for; past the last dead one comes the next number.
fn step(leases: &[LeaseTable]) -> Step {
    if leases.iter().any(|lease| lease.age_seconds < LEASE.as_secs() as i64) {
        return Step::Wait;
    }
    Step::Create(leases.iter().map(|lease| lease.number).max().unwrap_or(0) + 1)
}

impl<'a> Lease<'a> {
    /// Waits until no other process holds a living lease, and takes one.
    pub async fn take(store: &'a Store, renderer: &'a Renderer) -> Result<Self, MigrateError> {
        let started = Instant::now();
        loop {
            if let Step::Create(number) = step(&existing(store).await?)
                && let Some(lease) = Self::create(store, renderer, number).await?
            {
                return Ok(lease);
            }
            if started.elapsed() > LONGEST_WAIT {
                return Err(MigrateError::Busy(started.elapsed().as_secs()));
            }
            let pause = Duration::from_millis(rand::rng().random_range(100..400));
            tokio::time::sleep(pause).await;
        }
    }

    /// Two may each create a number when they saw different ones; then both step back.
    async fn create(
        store: &'a Store,
        renderer: &'a Renderer,
        number: u64,
    ) -> Result<Option<Self>, MigrateError> {
        let sql = format!("CREATE TABLE {PREFIX}{number} {{on_cluster}} (unused UInt8) ENGINE = Memory");
        match store.execute(store.client(), &renderer.render(&sql)).await {
            Ok(()) => {}
            Err(error) if error.code() == Some(TABLE_ALREADY_EXISTS) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        let lease = Self { store, renderer, number };
        let others = existing(store).await?.into_iter().filter(|other| other.number != number);
        let (living, dead): (Vec<_>, Vec<_>) =
            others.partition(|other| other.age_seconds < LEASE.as_secs() as i64);
        if !living.is_empty() {
            lease.release().await;
            return Ok(None);
        }
        for other in dead {
            tracing::warn!(number = other.number, "overtaking a migration that was left unfinished");
            Self { store, renderer, number: other.number }.release().await;
        }
        Ok(Some(lease))
    }

    /// Says that this process is still at work. Fails when another has overtaken it.
    pub async fn renew(&self) -> Result<(), MigrateError> {
        let sql = format!("ALTER TABLE {PREFIX}{} {{on_cluster}} MODIFY COMMENT 'held'", self.number);
        match self.store.execute(self.store.client(), &self.renderer.render(&sql)).await {
            Ok(()) => Ok(()),
            Err(error) if error.code() == Some(UNKNOWN_TABLE) => Err(MigrateError::LeaseLost),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets others go on. One that can't be dropped ends by itself when its time is over.
    pub async fn release(self) {
        let sql = format!("DROP TABLE IF EXISTS {PREFIX}{} {{on_cluster}}", self.number);
        if let Err(error) = self.store.execute(self.store.client(), &self.renderer.render(&sql)).await {
            tracing::warn!(%error, "could not give the migration lease back");
        }
    }
}

async fn existing(store: &Store) -> Result<Vec<LeaseTable>, StoreError> {
    let sql = "SELECT toUInt64OrZero(substring(name, length(?) + 1)) AS number, \
               toInt64(dateDiff('second', metadata_modification_time, now())) AS age_seconds \
               FROM system.tables WHERE database = currentDatabase() AND startsWith(name, ?)";
    let leases = store.client().query(sql).bind(PREFIX).bind(PREFIX).fetch_all::<LeaseTable>();
    Ok(leases.await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_living_lease_is_waited_for_and_a_dead_one_is_overtaken() {
        let lease = |number, age_seconds| LeaseTable { number, age_seconds };
        let cases = [
            (vec![], Step::Create(1)),
            (vec![lease(1, 0)], Step::Wait),
            (vec![lease(1, 179)], Step::Wait),
            (vec![lease(4, 181)], Step::Create(5)),
            (vec![lease(4, 500), lease(5, 2)], Step::Wait),
            // A clock set back makes an age negative: the lease counts as living.
            (vec![lease(1, -5)], Step::Wait),
        ];
        for (leases, expected) in cases {
            assert_eq!(step(&leases), expected, "{leases:?}");
        }
    }
}
