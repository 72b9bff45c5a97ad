//! What was acknowledged survives `kill -9`, and the same data directory opens again.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use tally_store::{Insert, Store, StoreConfig};

use crate::support::{EngineProcess, Options, run};

fn store(engine: &EngineProcess) -> Store {
    let mut config = StoreConfig::new(engine.url());
    config.tries = 1;
    Store::new(config)
}

fn insert(batch: u64) -> Insert<'static> {
    let body: Vec<u8> = (0..1000).flat_map(|row| (batch * 1000 + row).to_le_bytes()).collect();
    let token = format!("batch-{batch}");
    Insert { table: "acknowledged", columns: &["x"], body: Bytes::from(body), token, start_before: None }
}

#[tokio::test]
async fn acknowledged_inserts_survive_kill_9_and_a_replay_changes_nothing() {
    let data = tempfile::tempdir().unwrap();
    let Some(mut engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    run(engine.url(), "CREATE DATABASE tally").await;
    run(
        engine.url(),
        "CREATE TABLE tally.acknowledged (x UInt64) ENGINE = MergeTree ORDER BY x \
         SETTINGS non_replicated_deduplication_window = 10000",
    )
    .await;
    let mut acknowledged = 0;
    for round in 1..=3 {
        let writer = tokio::spawn({
            let store = store(&engine);
            async move {
                let mut next = acknowledged;
                while store.insert(&insert(next)).await.is_ok() {
                    next += 1;
                }
                next
            }
        });
        tokio::time::sleep(std::time::Duration::from_millis(500 * round)).await;
        engine.kill();
        let next = writer.await.unwrap();
        assert!(next > acknowledged, "nothing was acknowledged in round {round}");
        acknowledged = next;
        engine = EngineProcess::start(data.path(), &Options::default()).expect("it started before");
        let batches = "SELECT count() % 1000, uniqExact(intDiv(x, 1000)), count() = uniqExact(x), max(x) FROM tally.acknowledged";
        let state = run(engine.url(), batches).await;
        let fields: Vec<u64> = state.split('\t').map(|field| field.parse().unwrap()).collect();
        assert_eq!((fields[0], fields[2]), (0, 1), "a batch is there whole or not at all: {state}");
        assert!(fields[1] >= acknowledged, "{acknowledged} batches were acknowledged: {state}");
        // The batch that was under way may have been stored: sending it again settles it.
        store(&engine).insert(&insert(acknowledged)).await.unwrap();
        acknowledged += 1;
    }
    for batch in 0..acknowledged {
        store(&engine).insert(&insert(batch)).await.unwrap();
    }
    let rows = run(engine.url(), "SELECT count(), uniqExact(x) FROM tally.acknowledged").await;
    assert_eq!(rows, format!("{0}\t{0}", acknowledged * 1000));
    assert!(engine.shut_down(), "the engine did not shut down cleanly");
}

#[tokio::test]
async fn a_second_process_is_refused_the_data_directory_of_a_running_one() {
    let data = tempfile::tempdir().unwrap();
    let Some(engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    let second =
        std::panic::catch_unwind(|| EngineProcess::start(data.path(), &Options::default()).is_some());
    assert!(second.is_err(), "two engines on one data directory");
    assert_eq!(run(engine.url(), "SELECT 1").await, "1");
}

const DURABLE: &str =
    "SETTINGS non_replicated_deduplication_window = 10000, fsync_after_insert = 1, fsync_part_directory = 1";

/// The table's folder in the data directory.
fn table_folder(data: &Path) -> PathBuf {
    let folders = |path: &Path| -> Vec<PathBuf> {
        fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
    };
    let tables = folders(&data.join("store")).iter().flat_map(|group| folders(group)).collect::<Vec<_>>();
    tables.into_iter().find(|table| table.join("deduplication_logs").is_dir()).unwrap()
}

async fn state(engine: &EngineProcess) -> String {
    run(engine.url(), "SELECT count(), uniqExact(x) FROM tally.acknowledged").await
}

#[tokio::test]
async fn a_token_whose_part_a_kill_prevented_does_not_stop_the_replay() {
    let data = tempfile::tempdir().unwrap();
    let Some(mut engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    run(engine.url(), "CREATE DATABASE tally").await;
    let create =
        format!("CREATE TABLE tally.acknowledged (x UInt64) ENGINE = MergeTree ORDER BY x {DURABLE}");
    run(engine.url(), &create).await;
    for batch in 0..4 {
        store(&engine).insert(&insert(batch)).await.unwrap();
    }
    engine.kill();
    // What a kill leaves between the token's record and the part's last rename, here of the fourth batch.
    let table = table_folder(data.path());
    fs::rename(table.join("all_4_4_0"), table.join("tmp_insert_all_4_4_0")).unwrap();
    let log = table.join("deduplication_logs/deduplication_log_1.txt");
    assert!(fs::read_to_string(&log).unwrap().contains("all_4_4_0"));
    OpenOptions::new().append(true).open(&log).unwrap().write_all(b"1\tall_5_5").unwrap();

    engine = EngineProcess::start(data.path(), &Options::default()).expect("it started before");
    assert_eq!(state(&engine).await, "3000\t3000");
    for _ in 0..2 {
        store(&engine).insert(&insert(3)).await.unwrap();
        assert_eq!(state(&engine).await, "4000\t4000", "the fourth batch");
    }
    run(engine.url(), "OPTIMIZE TABLE tally.acknowledged FINAL").await;
    engine.kill();
    engine = EngineProcess::start(data.path(), &Options::default()).expect("it started before");
    for batch in 0..4 {
        store(&engine).insert(&insert(batch)).await.unwrap();
        assert_eq!(state(&engine).await, "4000\t4000", "batch {batch}");
    }
    assert!(engine.shut_down(), "the engine did not shut down cleanly");
    // The same once the merged parts are gone and only the one that covers them is left.
    for batch in 1..=4 {
        let _ = fs::remove_dir_all(table.join(format!("all_{batch}_{batch}_0")));
    }
    engine = EngineProcess::start(data.path(), &Options::default()).expect("it started before");
    for batch in 0..4 {
        store(&engine).insert(&insert(batch)).await.unwrap();
        assert_eq!(state(&engine).await, "4000\t4000", "batch {batch} after its merge");
    }
}

#[tokio::test]
async fn a_relative_data_directory_takes_durable_inserts() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { working_directory: Some(folder.path()), ..Options::default() };
    let Some(engine) = EngineProcess::start(Path::new("data/engine"), &options) else { return };
    run(engine.url(), "CREATE DATABASE tally").await;
    let create =
        format!("CREATE TABLE tally.acknowledged (x UInt64) ENGINE = MergeTree ORDER BY x {DURABLE}");
    run(engine.url(), &create).await;
    store(&engine).insert(&insert(0)).await.unwrap();
    assert_eq!(state(&engine).await, "1000\t1000");
    assert!(folder.path().join("data/engine/store").is_dir());
}
