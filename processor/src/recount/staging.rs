//! Staging tables: of the same form as those that they stand beside, out of everybody's sight by their names, and gone
//! afterwards. Whoever was killed leaves some behind; the next one drops them.

use std::collections::BTreeSet;

use tally_store::{Store, StoreError};

use super::Days;

/// No table of a migration begins so.
const PREFIX: &str = "recount_";

/// What staging tables are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Comparing,
    /// Their data will be that of other tables, so it is made durable.
    Replacing,
}

/// Where a recount keeps what it works with.
pub struct Staging<'a> {
    store: &'a Store,
    purpose: Purpose,
    /// Tells this run's tables from those of another, which might begin while this one is going on.
    run: String,
}

impl<'a> Staging<'a> {
    /// Drops what earlier runs left. `run` names this one: letters and digits.
    pub async fn begin(store: &'a Store, run: &str, purpose: Purpose) -> Result<Self, StoreError> {
        let staging = Self { store, purpose, run: run.to_owned() };
        staging.drop_all(PREFIX).await?;
        Ok(staging)
    }

    /// Drops the run's tables.
    pub async fn end(self) -> Result<(), StoreError> {
        self.drop_all(&format!("{PREFIX}{}_", self.run)).await
    }

    async fn drop_all(&self, prefix: &str) -> Result<(), StoreError> {
        let left: Vec<String> = self
            .store
            .client()
            .query(
                "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, ?)",
            )
            .bind(prefix)
            .fetch_all()
            .await?;
        for name in left {
            self.run(&format!("DROP TABLE IF EXISTS `{name}` SYNC")).await?;
        }
        Ok(())
    }

    /// The name of the run's table that is called `purpose`.
    pub fn name(&self, purpose: &str) -> String {
        format!("{PREFIX}{}_{purpose}", self.run)
    }

    /// The name of the staging table that a table's recount goes to.
    pub fn recounted(&self, table: &str) -> String {
        self.name(&format!("recounted_{table}"))
    }

    /// An empty table of the same form as `table`. It is no replica: what is staged concerns this server alone.
    pub async fn like(&self, table: &str, purpose: &str) -> Result<String, StoreError> {
        let engine: String = self
            .store
            .client()
            .query("SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = ?")
            .bind(table)
            .fetch_one()
            .await?;
        let mut engine = unreplicated(&engine);
        if self.purpose == Purpose::Comparing {
            engine = engine.replace("fsync_after_insert = 1", "fsync_after_insert = 0");
            engine = engine.replace("fsync_part_directory = 1", "fsync_part_directory = 0");
        }
        let name = self.name(&format!("{purpose}_{table}"));
        self.run(&format!("CREATE TABLE {name} AS {table} ENGINE = {engine}")).await?;
        Ok(name)
    }

    /// What `table` holds now in those of its partitions that `wanted` names by their ids. The data is shared, not copied.
    pub async fn freeze(
        &self,
        table: &str,
        purpose: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String, StoreError> {
        let name = self.like(table, purpose).await?;
        for partition in self.partitions(table).await?.iter().filter(|partition| wanted(partition)) {
            self.run(&format!("ALTER TABLE {name} ATTACH PARTITION ID '{partition}' FROM {table}")).await?;
        }
        Ok(name)
    }

    /// The ids of the partitions of a table that hold anything.
    pub async fn partitions(&self, table: &str) -> Result<Vec<String>, StoreError> {
        partitions_of(self.store, table).await
    }

    /// Runs a statement, however long it takes.
    pub async fn run(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.store.client().query_raw(sql).execute().await?)
    }
}

async fn partitions_of(store: &Store, table: &str) -> Result<Vec<String>, StoreError> {
    let partitions = store.client().query(
        "SELECT DISTINCT partition_id FROM system.parts \
         WHERE active AND database = currentDatabase() AND table = ? ORDER BY partition_id",
    );
    Ok(partitions.bind(table).fetch_all().await?)
}

/// The months in which a table that is partitioned by them has rows.
pub async fn months_of(store: &Store, table: &str, days: Days) -> Result<BTreeSet<u32>, StoreError> {
    let partitions = partitions_of(store, table).await?;
    let months = partitions.iter().filter_map(|partition| partition.parse().ok());
    Ok(months.filter(|month| days.months().contains(month)).collect())
}

/// `ReplicatedSummingMergeTree('path', 'replica', (a, b)) ORDER BY …` -> `SummingMergeTree((a, b)) ORDER BY …`.
fn unreplicated(engine: &str) -> String {
    let Some(plain) = engine.strip_prefix("Replicated") else { return engine.to_owned() };
    let Some((family, rest)) = plain.split_once('(') else { return plain.to_owned() };
    // Path and replica are texts; neither has a quote in it.
    let after_replica = rest.splitn(5, '\'').nth(4).unwrap_or(rest);
    format!("{family}({}", after_replica.trim_start_matches([',', ' ']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replicated_engine_becomes_the_plain_one_of_its_family() {
        let cases = [
            ("MergeTree ORDER BY a", "MergeTree ORDER BY a"),
            ("ReplicatedMergeTree('/x/{shard}', '{replica}') ORDER BY a", "MergeTree() ORDER BY a"),
            (
                "ReplicatedSummingMergeTree('/x', 'r', (a, b)) PARTITION BY m",
                "SummingMergeTree((a, b)) PARTITION BY m",
            ),
        ];
        for (engine, plain) in cases {
            assert_eq!(unreplicated(engine), plain);
        }
    }
}
