//! What the tables look like: whether an answer read from them still holds. A fingerprint changes with every insert,
//! mutation and dropped partition, and not when parts are merged.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tally_store::Statement;
use tokio::time::Instant;
use xxhash_rust::xxh3::Xxh3;

use crate::warehouse::{Warehouse, WarehouseError};

/// The state of some tables.
pub type Fingerprint = u64;

/// A merge keeps a partition's highest block number and its rows, but for engines that merge rows, whose answers it may
/// change. A mutation raises the data version.
const PROBE: &str = "SELECT toString(database = currentDatabase()), database, table, \
     toString(groupBitXor(sipHash64(partition_id, block, version, rows))) FROM (\
     SELECT database, table, partition_id, max(max_block_number) AS block, max(data_version) AS version, sum(rows) AS rows \
     FROM system.parts WHERE active AND database != 'system' GROUP BY database, table, partition_id\
     ) GROUP BY database, table";

/// Label in the metrics.
const PURPOSE: &str = "cube_freshness";

/// The tables' fingerprints at some time.
#[derive(Debug, Default)]
pub struct Snapshot {
    tables: HashMap<(String, String), u64>,
    current_database: String,
}

impl Snapshot {
    /// One for all of `tables` (`table` or `database.table`). A name without parts, such as a view's or an empty table's,
    /// stands for its whole database.
    pub fn of(&self, tables: &[String]) -> Fingerprint {
        let mut hash = Xxh3::new();
        for table in tables {
            let (database, name) =
                table.split_once('.').unwrap_or((self.current_database.as_str(), table.as_str()));
            let known = self.tables.get(&(database.to_owned(), name.to_owned()));
            let fingerprint = known.copied().unwrap_or_else(|| self.of_database(database));
            (database, name, fingerprint).hash(&mut hash);
        }
        hash.finish()
    }

    fn of_database(&self, database: &str) -> u64 {
        let in_database = self.tables.iter().filter(|((of, _), _)| of == database);
        in_database.fold(0, |sum, ((_, table), fingerprint)| {
            let mut hash = Xxh3::new();
            (table, fingerprint).hash(&mut hash);
            sum ^ hash.finish()
        })
    }
}

/// Looks at the tables, at most once in a while.
pub struct Freshness {
    warehouse: Warehouse,
    remembered_for: Duration,
    last: Mutex<Option<(Instant, Arc<Snapshot>)>>,
    /// Held while looking, so that many who want to know look once.
    looking: tokio::sync::Mutex<()>,
}

impl Freshness {
    /// A look is remembered for so long.
    pub fn new(warehouse: Warehouse, remembered_for: Duration) -> Self {
        Self { warehouse, remembered_for, last: Mutex::default(), looking: tokio::sync::Mutex::default() }
    }

    /// What the tables look like now, or did a short while ago.
    pub async fn now(&self) -> Result<Arc<Snapshot>, WarehouseError> {
        if let Some(young) = self.young() {
            return Ok(young);
        }
        let _looking = self.looking.lock().await;
        if let Some(young) = self.young() {
            return Ok(young);
        }
        let snapshot = Arc::new(self.look().await?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// What the tables looked like at the last look, however long ago, and whether that was a while ago.
    pub fn last(&self) -> (Option<Arc<Snapshot>>, bool) {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let is_old = last.as_ref().is_none_or(|(at, _)| at.elapsed() >= self.remembered_for);
        (last.map(|(_, snapshot)| snapshot), is_old)
    }

    fn young(&self) -> Option<Arc<Snapshot>> {
        let (last, is_old) = self.last();
        last.filter(|_| !is_old)
    }

    async fn look(&self) -> Result<Snapshot, WarehouseError> {
        let statement = Statement { sql: PROBE.to_owned(), parameters: Vec::new() };
        let mut snapshot = Snapshot::default();
        for row in self.warehouse.texts(PURPOSE, &statement).await? {
            let [Some(is_current), Some(database), Some(table), Some(fingerprint)] = row.as_slice() else {
                continue;
            };
            if is_current == "1" {
                snapshot.current_database.clone_from(database);
            }
            let fingerprint = fingerprint.parse().unwrap_or(0);
            snapshot.tables.insert((database.clone(), table.clone()), fingerprint);
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(tables: &[(&str, &str, u64)]) -> Snapshot {
        let tables = tables.iter().map(|(database, table, fingerprint)| {
            (((*database).to_owned(), (*table).to_owned()), *fingerprint)
        });
        Snapshot { tables: tables.collect(), current_database: "tally".to_owned() }
    }

    fn of(snapshot: &Snapshot, tables: &[&str]) -> Fingerprint {
        snapshot.of(&tables.iter().map(|table| (*table).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_table_changes_by_itself_and_a_view_with_its_database() {
        let before = snapshot(&[("tally", "events", 1), ("tally", "parts", 2), ("other", "events", 3)]);
        let after = snapshot(&[("tally", "events", 1), ("tally", "parts", 5), ("other", "events", 3)]);
        let elsewhere = snapshot(&[("tally", "events", 1), ("tally", "parts", 2), ("other", "events", 9)]);
        for table in [&["events"][..], &["other.events"], &["other.view"], &["tally.events", "events"]] {
            assert_eq!(of(&before, table), of(&after, table), "{table:?}");
        }
        for table in [&["parts"][..], &["view"], &["tally.view"], &["events", "parts"]] {
            assert_ne!(of(&before, table), of(&after, table), "{table:?}");
            assert_eq!(of(&before, table), of(&elsewhere, table), "{table:?}");
        }
        assert_ne!(of(&before, &["other.view"]), of(&elsewhere, &["other.view"]));
    }
}
