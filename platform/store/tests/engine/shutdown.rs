//! A shutdown ends within its bound, whatever runs.

use std::time::{Duration, Instant};

use crate::support::{EngineProcess, Options, eventually, run};

const SLOW: &str = "function_sleep_max_microseconds_per_block=1000000000000&max_block_size=1&max_insert_block_size=1&min_insert_block_size_rows=1";

async fn running(engine: &EngineProcess, part: &str) -> bool {
    let sql = format!(
        "SELECT count() FROM system.processes WHERE query LIKE '%{part}%' AND query NOT LIKE '%processes%'"
    );
    run(engine.url(), &sql).await != "0"
}

/// Shuts down while the request of `part` runs, and expects to be done long before the request would be.
async fn shut_down_during(engine: EngineProcess, part: &str, request: reqwest::RequestBuilder) {
    let request = tokio::spawn(request.send());
    eventually("the request runs", || running(&engine, part)).await;
    let started = Instant::now();
    let stopped = tokio::task::spawn_blocking(|| engine.shut_down()).await.unwrap();
    assert!(stopped, "the engine did not shut down cleanly");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    // It gets an error or nothing; which doesn't matter.
    request.abort();
}

#[tokio::test]
async fn a_running_query_does_not_hold_up_the_shutdown() {
    let data = tempfile::tempdir().unwrap();
    let Some(engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    let sql = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 23";
    let request = reqwest::Client::new().post(engine.url()).body(sql);
    shut_down_during(engine, "= 23", request).await;
}

#[tokio::test]
async fn a_running_insert_does_not_hold_up_the_shutdown() {
    let data = tempfile::tempdir().unwrap();
    let Some(engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    for sql in [
        "CREATE TABLE slow (x UInt64) ENGINE = MergeTree ORDER BY x",
        "CREATE TABLE sums (x UInt64, y UInt8) ENGINE = MergeTree ORDER BY x",
        "CREATE MATERIALIZED VIEW view TO sums AS SELECT x, sleepEachRow(2) AS y FROM slow",
    ] {
        run(engine.url(), sql).await;
    }
    let url = format!("{}/?query=INSERT+INTO+slow+FORMAT+CSV&{SLOW}", engine.url());
    let rows = "1\n".repeat(100);
    let request = reqwest::Client::new().post(url).body(rows);
    shut_down_during(engine, "INSERT INTO slow", request).await;
}

#[tokio::test]
async fn an_insert_whose_data_do_not_come_does_not_hold_up_the_shutdown() {
    let data = tempfile::tempdir().unwrap();
    let Some(engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    run(engine.url(), "CREATE TABLE waiting (x UInt64) ENGINE = MergeTree ORDER BY x").await;
    let first = futures::stream::iter([std::io::Result::Ok(bytes::Bytes::from_static(&[0; 16]))]);
    let endless = futures::StreamExt::chain(first, futures::stream::pending());
    let url = format!("{}/?query=INSERT+INTO+waiting+FORMAT+RowBinary", engine.url());
    let request = reqwest::Client::new().post(url).body(reqwest::Body::wrap_stream(endless));
    shut_down_during(engine, "INSERT INTO waiting", request).await;
}
