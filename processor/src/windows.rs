//! Checks at start that the tables remember enough inserts: a batch replayed after its token has left a table's
//! deduplication window would count twice.

use clickhouse::Row;
use serde::Deserialize;
use tally_store::Store;

/// The tables can't be trusted to recognise a replay.
#[derive(Debug, thiserror::Error)]
pub enum WindowError {
    /// A table is missing; migrations have not run.
    #[error("table {0} does not exist; run `tally migrate`")]
    Missing(String),
    /// A table's window is smaller than configured as necessary.
    #[error(
        "table {table} remembers the last {window} inserts, and {required} are necessary \
         (processor.min_deduplication_window): a replayed batch could count twice"
    )]
    TooSmall { table: String, window: u64, required: u64 },
    /// The store did not answer.
    #[error("can't read the tables' deduplication windows: {0}")]
    Store(#[from] clickhouse::error::Error),
}

#[derive(Debug, Row, Deserialize)]
struct TableSettings {
    name: String,
    engine: String,
    engine_full: String,
}

#[derive(Debug, Row, Deserialize)]
struct DefaultWindow {
    name: String,
    value: String,
}

/// Refuses tables whose deduplication window is below `required` inserts.
pub async fn check(store: &Store, tables: &[&'static str], required: u64) -> Result<(), WindowError> {
    let settings: Vec<TableSettings> = store
        .client()
        .query("SELECT name, engine, engine_full FROM system.tables WHERE database = currentDatabase() AND name IN ?")
        .bind(tables)
        .fetch_all()
        .await?;
    let defaults: Vec<DefaultWindow> = store
        .client()
        .query("SELECT name, value FROM system.merge_tree_settings WHERE name LIKE '%replicated_deduplication_window'")
        .fetch_all()
        .await?;
    for table in tables {
        let found = settings.iter().find(|settings| settings.name == *table);
        let window = found.map(|settings| window_of(settings, &defaults));
        match window {
            None => return Err(WindowError::Missing((*table).to_owned())),
            Some(window) if window < required => {
                return Err(WindowError::TooSmall { table: (*table).to_owned(), window, required });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A table's own setting, else the server's default; 0 when there is neither.
fn window_of(table: &TableSettings, defaults: &[DefaultWindow]) -> u64 {
    let setting = if table.engine.starts_with("Replicated") {
        "replicated_deduplication_window"
    } else {
        "non_replicated_deduplication_window"
    };
    let own = || own_setting(&table.engine_full, setting);
    let default = || defaults.iter().find(|default| default.name == setting)?.value.parse().ok();
    own().or_else(default).unwrap_or(0)
}

/// The number in `… SETTINGS a = 1, setting = 2` of a table's full engine text.
fn own_setting(engine_full: &str, setting: &str) -> Option<u64> {
    let (_, settings) = engine_full.split_once(" SETTINGS ")?;
    settings.split(',').find_map(|assignment| {
        let (name, value) = assignment.split_once('=')?;
        (name.trim() == setting).then(|| value.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(engine: &str, engine_full: &str) -> TableSettings {
        TableSettings { name: "t".into(), engine: engine.into(), engine_full: engine_full.into() }
    }

    #[test]
    fn a_tables_own_window_wins_over_the_servers_default() {
        let defaults = [
            DefaultWindow { name: "non_replicated_deduplication_window".into(), value: "0".into() },
            DefaultWindow { name: "replicated_deduplication_window".into(), value: "10000".into() },
        ];
        let own = "MergeTree PARTITION BY m ORDER BY a SETTINGS index_granularity = 8192, \
                   non_replicated_deduplication_window = 500";
        let none = "MergeTree ORDER BY a SETTINGS index_granularity = 8192";
        assert_eq!(window_of(&table("MergeTree", own), &defaults), 500);
        assert_eq!(window_of(&table("MergeTree", none), &defaults), 0);
        assert_eq!(window_of(&table("ReplicatedMergeTree", none), &defaults), 10_000);
        assert_eq!(window_of(&table("ReplicatedMergeTree", own), &defaults), 10_000);
    }
}
