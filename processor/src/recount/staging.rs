//! Staging tables: of the same form as those that they stand beside, out of everybody's sight by their names, and gone
//! afterwards. Whoever was killed leaves some behind; whoever begins a day later drops them. Until then nobody can tell them
//! from those of a run that is going on elsewhere.

use std::collections::BTreeSet;

use tally_store::{Store, StoreError};
use uuid::Uuid;

use super::Days;

/// No table of a migration begins so.
const PREFIX: &str = "recount_";

/// Seconds after which a run is taken for one that was killed.
const RUN_ENDS_WITHIN_S: u64 = 24 * 60 * 60;

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
    /// Drops what runs that were killed have left. `run` names this one, as [`super::Recount::run`] says.
    pub async fn begin(store: &'a Store, run: &str, purpose: Purpose) -> Result<Self, StoreError> {
        let staging = Self { store, purpose, run: run.to_owned() };
        let now: u32 = store.client().query("SELECT toUnixTimestamp(now())").fetch_one().await?;
        staging.drop_all(PREFIX, |table| is_left_over(table, now.into())).await?;
        Ok(staging)
    }

    /// Drops the run's tables.
    pub async fn end(self) -> Result<(), StoreError> {
        self.drop_all(&format!("{PREFIX}{}_", self.run), |_| true).await
    }

    async fn drop_all(&self, prefix: &str, meant: impl Fn(&str) -> bool) -> Result<(), StoreError> {
        let mut found: Vec<String> = self
            .store
            .client()
            .query(
                "SELECT name FROM system.tables WHERE database = currentDatabase() AND startsWith(name, ?)",
            )
            .bind(prefix)
            .fetch_all()
            .await?;
        found.retain(|table| meant(table));
        for name in found {
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

    /// Whether a staging table has rows for a partition. Fails where the table is not there: that it holds nothing must never be
    /// taken from its absence.
    pub async fn has_partition(&self, staged: &str, partition: &str) -> Result<bool, StoreError> {
        let sql = format!("SELECT count() FROM {staged} WHERE _partition_id = '{partition}'");
        let rows: u64 = self.store.client().query_raw(&sql).fetch_one().await?;
        Ok(rows != 0)
    }

    /// Runs a statement, however long it takes.
    pub async fn run(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.store.client().query_raw(sql).execute().await?)
    }
}

/// Whether a staging table is of a run that began too long ago to be going on. A name that tells no time is nobody's.
fn is_left_over(table: &str, now_s: u64) -> bool {
    let run = table.strip_prefix(PREFIX).and_then(|name| name.split('_').next());
    let begun = run.and_then(|run| Uuid::try_parse(run).ok()?.get_timestamp());
    begun.is_none_or(|begun| begun.to_unix().0 + RUN_ENDS_WITHIN_S <= now_s)
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
    use uuid::{NoContext, Timestamp};

    use super::*;

    #[test]
    fn the_tables_of_a_run_are_left_over_a_day_after_it_began() {
        let run = Uuid::new_v7(Timestamp::from_unix(NoContext, 1_000_000, 0));
        let table = format!("recount_{}_recounted_counters", run.simple());
        assert!(!is_left_over(&table, 999_000), "somebody else's clock is ahead");
        assert!(!is_left_over(&table, 1_000_000 + RUN_ENDS_WITHIN_S - 1));
        assert!(is_left_over(&table, 1_000_000 + RUN_ENDS_WITHIN_S));
        for tells_no_time in ["recount_x_known", "recount_0123456789abcdef_known", "recount_"] {
            assert!(is_left_over(tells_no_time, 1_000_000));
        }
    }

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
