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
    /// A replicated table forgets inserts too early, however few there were.
    #[error(
        "table {table} remembers inserts for {seconds} s, and {REQUIRED_SECONDS} are necessary \
         (replicated_deduplication_window_seconds): a batch replayed later could count twice"
    )]
    TooShort { table: String, seconds: u64 },
    /// The store did not answer.
    #[error("can't read the tables' deduplication windows: {0}")]
    Store(#[from] clickhouse::error::Error),
}

impl WindowError {
    /// Whether the store may answer later.
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::Store(clickhouse::error::Error::Network(_) | clickhouse::error::Error::TimedOut))
    }
}

/// As long as the log keeps records by default.
const REQUIRED_SECONDS: u64 = 7 * 24 * 60 * 60;

#[derive(Debug, Row, Deserialize)]
struct TableSettings {
    name: String,
    engine: String,
    engine_full: String,
}

#[derive(Debug, Row, Deserialize)]
struct Setting {
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
    let defaults: Vec<Setting> = store
        .client()
        .query("SELECT name, value FROM system.merge_tree_settings WHERE name LIKE '%replicated_deduplication_window%'")
        .fetch_all()
        .await?;
    tables.iter().try_for_each(|table| {
        let found = settings.iter().find(|settings| settings.name == *table);
        let found = found.ok_or_else(|| WindowError::Missing((*table).to_owned()))?;
        check_table(found, &defaults, required)
    })
}

/// Non-replicated tables count inserts; replicated ones also forget them by age.
fn check_table(table: &TableSettings, defaults: &[Setting], required: u64) -> Result<(), WindowError> {
    let is_replicated = table.engine.starts_with("Replicated");
    let count =
        if is_replicated { "replicated_deduplication_window" } else { "non_replicated_deduplication_window" };
    let window = setting_of(table, defaults, count);
    if window < required {
        return Err(WindowError::TooSmall { table: table.name.clone(), window, required });
    }
    let seconds = setting_of(table, defaults, "replicated_deduplication_window_seconds");
    if is_replicated && seconds < REQUIRED_SECONDS {
        return Err(WindowError::TooShort { table: table.name.clone(), seconds });
    }
    Ok(())
}

/// A table's own setting, else the server's default; 0 when there is neither.
fn setting_of(table: &TableSettings, defaults: &[Setting], name: &str) -> u64 {
    let own = || own_setting(&table.engine_full, name);
    let default = || defaults.iter().find(|default| default.name == name)?.value.parse().ok();
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

    fn setting(name: &str, value: &str) -> Setting {
        Setting { name: name.into(), value: value.into() }
    }

    #[test]
    fn a_tables_own_window_wins_over_the_servers_default() {
        let defaults = [
            setting("non_replicated_deduplication_window", "0"),
            setting("replicated_deduplication_window", "10000"),
            setting("replicated_deduplication_window_seconds", "3600"),
        ];
        let plain = "MergeTree ORDER BY a SETTINGS index_granularity = 8192";
        let own = format!("{plain}, non_replicated_deduplication_window = 1500");
        let lasting = format!("{plain}, replicated_deduplication_window_seconds = 604800");
        let checked = |engine, engine_full: &str| check_table(&table(engine, engine_full), &defaults, 1000);
        assert!(checked("MergeTree", &own).is_ok());
        assert!(matches!(checked("MergeTree", plain), Err(WindowError::TooSmall { window: 0, .. })));
        assert!(matches!(
            checked("ReplicatedMergeTree", plain),
            Err(WindowError::TooShort { seconds: 3600, .. })
        ));
        assert!(checked("ReplicatedMergeTree", &lasting).is_ok());
    }
}
