//! What was acknowledged survives `kill -9`, and the same data directory opens again.

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
