//! Migrations: once each, from any number of processes, and never changed afterwards.

use futures::future::join_all;
use tally_store::{MigrateError, Migration, Store, StoreConfig};

use crate::support::{EngineProcess, run, shared};

fn migrations() -> Vec<Migration> {
    let create = "-- a table;\nCREATE TABLE IF NOT EXISTS a {on_cluster} (x UInt64)\nENGINE = {Replicated}MergeTree\n\
                  ORDER BY x\nSETTINGS {deduplication_window}, {durability};\n";
    // Not idempotent on purpose: running it twice shows.
    let fill =
        "INSERT INTO a SELECT number FROM numbers(10);\nALTER TABLE a {on_cluster} ADD COLUMN y String;\n";
    [(1, "create", create), (2, "fill", fill)]
        .map(|(number, name, sql)| Migration { number, name: name.to_owned(), sql: sql.to_owned() })
        .to_vec()
}

fn store(engine: &EngineProcess, database: &str) -> Store {
    let mut config = StoreConfig::new(engine.url());
    database.clone_into(&mut config.database);
    Store::new(config)
}

#[tokio::test]
async fn many_at_once_apply_each_migration_once() {
    let Some(engine) = shared() else { return };
    let runs =
        join_all((0..6).map(|_| async { store(engine, "migrated").migrate(&migrations()).await.unwrap() }))
            .await;
    let applied: Vec<u32> = runs.iter().flat_map(|report| report.applied.clone()).collect();
    assert_eq!(applied, [1, 2]);
    assert_eq!(run(engine.url(), "SELECT count(), sum(x) FROM migrated.a").await, "10\t45");
    let records = run(
        engine.url(),
        "SELECT number, name, length(checksum) FROM migrated.schema_migrations ORDER BY number",
    )
    .await;
    assert_eq!(records, "1\tcreate\t64\n2\tfill\t64");
    let leases = "SELECT count() FROM system.tables WHERE database = 'migrated' AND name LIKE '%lease%'";
    assert_eq!(run(engine.url(), leases).await, "0");
    let again = store(engine, "migrated").migrate(&migrations()).await.unwrap();
    assert_eq!((again.applied.len(), again.already_applied), (0, 2));
}

#[tokio::test]
async fn a_changed_migration_is_an_error_that_names_it() {
    let Some(engine) = shared() else { return };
    let store = store(engine, "changed");
    let mut list = migrations();
    store.migrate(&list).await.unwrap();
    list[0].sql.push_str("-- harmless?\n");
    let error = store.migrate(&list).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Changed { number: 1, .. }), "{error}");
    assert!(error.to_string().contains("create"), "{error}");
}

#[tokio::test]
async fn a_failing_migration_names_its_statement_and_the_rest_waits() {
    let Some(engine) = shared() else { return };
    let store = store(engine, "failing");
    let mut list = migrations();
    list[1].sql = "SELECT 1;\nSELECT nope;\n".to_owned();
    let error = store.migrate(&list).await.unwrap_err();
    assert!(matches!(&error, MigrateError::Failed { number: 2, statement: 2, .. }), "{error}");
    let report = store.migrate(&migrations()).await.unwrap();
    assert_eq!((report.applied, report.already_applied), (vec![2], 1));
}
