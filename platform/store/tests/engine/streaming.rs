//! Results stream: the first rows come before the last are computed, and memory stays bounded while a reader waits.

use std::time::{Duration, Instant};

use crate::support::{EngineProcess, Options};

#[tokio::test]
async fn an_endless_result_streams_with_back_pressure_and_bounded_memory() {
    let data = tempfile::tempdir().unwrap();
    let Some(engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    let started = Instant::now();
    let sql = "SELECT number, repeat('x', 100) FROM system.numbers FORMAT RowBinary";
    let mut response = reqwest::Client::new().post(engine.url()).body(sql).send().await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(5), "first byte after {:?}", started.elapsed());
    let mut read = 0;
    while read < 50 << 20 {
        read += response.chunk().await.unwrap().unwrap().len();
    }
    let before = engine.resident_mib();
    // The reader pauses: an engine without back-pressure would fill gigabytes in this time.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let grown = engine.resident_mib().saturating_sub(before);
    assert!(grown < 100, "{grown} MiB more while nobody read");
    while read < 100 << 20 {
        read += response.chunk().await.unwrap().unwrap().len();
    }
}

#[tokio::test]
async fn a_large_insert_streams_through() {
    let data = tempfile::tempdir().unwrap();
    let Some(engine) = EngineProcess::start(data.path(), &Options::default()) else { return };
    let before = engine.resident_mib();
    let row = format!("{}\n", "y".repeat(1023));
    let piece = row.repeat(1024);
    let pieces = futures::stream::iter((0..400).map(move |_| Ok::<_, std::io::Error>(piece.clone())));
    let request = reqwest::Client::new()
        .post(engine.url())
        .query(&[("query", "INSERT INTO FUNCTION null('x String') FORMAT TSV")])
        // Blocks of the engine's own default would hold the whole of it.
        .query(&[("max_insert_block_size", "10000"), ("min_insert_block_size_rows", "10000")])
        .body(reqwest::Body::wrap_stream(pieces));
    let answer = crate::support::read(request.send().await.unwrap()).await;
    assert_eq!((answer.status, answer.text()), (200, ""));
    assert!(answer.header("x-clickhouse-summary").contains("\"written_rows\":\"409600\""));
    // 400 MiB went through; what stays are caches and the parser's blocks.
    let grown = engine.resident_mib().saturating_sub(before);
    assert!(grown < 300, "{grown} MiB more after 400 MiB went through");
}
