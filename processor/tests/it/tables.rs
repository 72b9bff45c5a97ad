//! A database of its own for each test, with all of Tally's tables.

use clickhouse::RowOwned;
use clickhouse::RowRead;
use tally_schemas::clickhouse::MIGRATIONS;
use tally_store::{Migration, Store, StoreConfig};

use crate::engine;

/// Runs a test on a database of its own. Without the engine the test is left out, unless `TALLY_REQUIRE` is `all`.
pub fn with_tables<F: Future<Output = ()>>(name: &str, test: impl FnOnce(Store) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match engine::url() {
        Ok(url) => runtime.block_on(async { test(migrated(url, name).await).await }),
        Err(why) if std::env::var("TALLY_REQUIRE").is_ok_and(|required| required == "all") => {
            panic!("{name} needs the engine: {why}")
        }
        Err(why) => println!("left out: {name}: {why}"),
    }
}

async fn migrated(url: &str, name: &str) -> Store {
    let store = Store::new(StoreConfig { database: format!("processor_{name}"), ..StoreConfig::new(url) });
    let migrations: Vec<Migration> = MIGRATIONS
        .iter()
        .map(|&(number, name, sql)| Migration { number, name: name.to_owned(), sql: sql.to_owned() })
        .collect();
    store.migrate(&migrations).await.unwrap();
    store
}

/// The rows of a query.
pub async fn rows<T: RowOwned + RowRead>(store: &Store, sql: &str) -> Vec<T> {
    store.client().query_raw(sql).fetch_all().await.unwrap_or_else(|error| panic!("{sql}: {error:.300}"))
}

/// Runs a statement.
pub async fn run(store: &Store, sql: &str) {
    store.client().query_raw(sql).execute().await.unwrap_or_else(|error| panic!("{sql}: {error:.300}"));
}
