//! The exactly-once insert: one insert is one block of each table partition, and a token counts once.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use tally_store::{Compression, Insert, InsertError, Store, StoreConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{run, shared, store};

const WINDOW: &str = "SETTINGS non_replicated_deduplication_window = 1000";

async fn value(store: &Store, sql: &str) -> u64 {
    store.client().query(sql).fetch_one::<u64>().await.unwrap()
}

fn insert<'a>(table: &'a str, columns: &'a [&'a str], body: Bytes, token: &str) -> Insert<'a> {
    Insert { table, columns, body, token: token.to_owned(), start_before: None }
}

#[tokio::test]
async fn the_largest_insert_is_one_part_and_its_token_counts_once() {
    let Some(engine) = shared() else { return };
    for (database, compression) in [("one_block", Compression::None), ("one_block_lz4", Compression::Lz4)] {
        let store = store(engine, database, compression).await;
        let sql =
            format!("CREATE TABLE {database}.t (x UInt64, s String) ENGINE = MergeTree ORDER BY x {WINDOW}");
        run(engine.url(), &sql).await;
        run(engine.url(), &format!("SYSTEM STOP MERGES {database}.t")).await;
        let mut body = BytesMut::new();
        for row in 0..200_000_u64 {
            body.put_u64_le(row);
            body.put_slice(&[0xc5, 0x02]);
            body.put_bytes(b'a' + (row % 26) as u8, 325);
        }
        let body = body.freeze();
        assert!(body.len() > 63 << 20);
        for (token, rows, parts) in [("a", 200_000, 1), ("a", 200_000, 1), ("b", 400_000, 2)] {
            store.insert(&insert("t", &["x", "s"], body.clone(), token)).await.unwrap();
            assert_eq!(value(&store, "SELECT count() FROM t").await, rows, "{token}");
            let sql = "SELECT count() FROM system.parts WHERE active AND table = 't' AND database = currentDatabase()";
            assert_eq!(value(&store, sql).await, parts, "{token}");
        }
    }
}

#[tokio::test]
async fn the_largest_insert_of_small_rows_is_one_part() {
    let Some(engine) = shared() else { return };
    let store = store(engine, "small_rows", Compression::None).await;
    run(
        engine.url(),
        &format!("CREATE TABLE small_rows.t (x UInt64) ENGINE = MergeTree ORDER BY x {WINDOW}"),
    )
    .await;
    run(engine.url(), "SYSTEM STOP MERGES small_rows.t").await;
    let body: Vec<u8> = (0..8_u64 << 20).flat_map(u64::to_le_bytes).collect();
    store.insert(&insert("t", &["x"], Bytes::from(body), "a")).await.unwrap();
    let parts =
        "SELECT count() FROM system.parts WHERE active AND table = 't' AND database = currentDatabase()";
    assert_eq!((value(&store, "SELECT count() FROM t").await, value(&store, parts).await), (8 << 20, 1));
}

#[tokio::test]
async fn a_token_covers_every_partition_and_the_views_behind_the_table() {
    let Some(engine) = shared() else { return };
    let store = store(engine, "partitions", Compression::None).await;
    for sql in [
        format!("CREATE TABLE partitions.t (day Date, n UInt64) ENGINE = MergeTree PARTITION BY toYYYYMM(day) ORDER BY day {WINDOW}"),
        format!("CREATE TABLE partitions.sums (day Date, n UInt64) ENGINE = SummingMergeTree ORDER BY day {WINDOW}"),
        "CREATE MATERIALIZED VIEW partitions.v TO partitions.sums AS SELECT day, sum(n) AS n FROM partitions.t GROUP BY day".to_owned(),
    ] {
        run(engine.url(), &sql).await;
    }
    let mut body = BytesMut::new();
    for row in 0..100_000_u64 {
        body.put_u16_le(19_000 + (row % 90) as u16);
        body.put_u64_le(1);
    }
    for (token, sum) in [("a", 100_000), ("a", 100_000), ("b", 200_000), ("a", 200_000)] {
        store.insert(&insert("t", &["day", "n"], body.clone().freeze(), token)).await.unwrap();
        assert_eq!(value(&store, "SELECT sum(n) FROM t").await, sum, "{token}");
        assert_eq!(value(&store, "SELECT sum(n) FROM sums").await, sum, "{token}");
    }
}

#[tokio::test]
async fn hashes_fold_into_a_state_on_insert() {
    let Some(engine) = shared() else { return };
    let store = store(engine, "uniques", Compression::None).await;
    run(
        engine.url(),
        &format!(
            "CREATE TABLE uniques.t (day Date, counter LowCardinality(String), hashes Array(UInt64) EPHEMERAL, \
             state AggregateFunction(uniqCombined64, UInt64) DEFAULT arrayReduce('uniqCombined64State', hashes)) \
             ENGINE = AggregatingMergeTree PARTITION BY toYYYYMM(day) ORDER BY (counter, day) {WINDOW}"
        ),
    )
    .await;
    let mut body = BytesMut::new();
    for hash in 0..1000_u64 {
        body.put_u16_le(20_000);
        body.put_slice(b"\x01c\x02");
        body.put_u64_le(hash);
        body.put_u64_le(hash + 1);
    }
    for _ in 0..2 {
        store.insert(&insert("t", &["day", "counter", "hashes"], body.clone().freeze(), "a")).await.unwrap();
        assert_eq!(value(&store, "SELECT uniqCombined64Merge(state) FROM t WHERE counter = 'c'").await, 1001);
    }
}

#[tokio::test]
async fn bad_data_are_rejected_and_whatever_else_fails_is_an_outage() {
    let Some(engine) = shared() else { return };
    let store = store(engine, "failures", Compression::Lz4).await;
    run(engine.url(), "CREATE TABLE failures.t (x UInt64) ENGINE = MergeTree ORDER BY x").await;
    let cut = store.insert(&insert("t", &["x"], Bytes::from_static(b"123"), "a")).await;
    assert!(matches!(&cut, Err(InsertError::Rejected { .. })), "{cut:?}");
    let missing = store.insert(&insert("nope", &["x"], Bytes::from(vec![0; 8]), "a")).await;
    assert!(matches!(&missing, Err(InsertError::Outage { tries: 1, .. })), "{missing:?}");
    let mut config = StoreConfig::new("http://127.0.0.1:1");
    config.tries = 2;
    let nobody = Store::new(config).insert(&insert("t", &["x"], Bytes::from(vec![0; 8]), "a")).await;
    assert!(matches!(&nobody, Err(InsertError::Outage { tries: 2, .. })), "{nobody:?}");
    assert_eq!(value(&store, "SELECT count() FROM t").await, 0);
}

#[tokio::test]
async fn a_server_that_never_answers_is_an_outage_within_the_timeout() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = StoreConfig::new(format!("http://{}", listener.local_addr().unwrap()));
    config.request_timeout = Duration::from_millis(100);
    config.tries = 2;
    let outcome = Store::new(config).insert(&insert("t", &["x"], Bytes::from(vec![0; 8]), "a")).await;
    assert!(matches!(&outcome, Err(InsertError::Outage { tries: 2, .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_insert_whose_body_breaks_off_stores_nothing() {
    let Some(engine) = shared() else { return };
    run(engine.url(), "CREATE TABLE broken_off (x UInt64) ENGINE = MergeTree ORDER BY x").await;
    let address = engine.url().strip_prefix("http://").unwrap();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = "POST /?query=INSERT+INTO+broken_off+FORMAT+RowBinary HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    // A whole number of rows, but not the last chunk.
    socket.write_all(b"10\r\n0123456789abcdef\r\n").await.unwrap();
    socket.shutdown().await.unwrap();
    let mut answer = String::new();
    // The engine may answer or just close.
    let _ = socket.read_to_string(&mut answer).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    crate::support::eventually("the insert has ended", || async {
        run(engine.url(), "SELECT count() FROM system.processes WHERE query LIKE '%INSERT INTO broken_off%' AND query NOT LIKE '%processes%'")
            .await
            == "0"
    })
    .await;
    assert_eq!(run(engine.url(), "SELECT count() FROM broken_off").await, "0");
}

#[derive(Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
struct Item {
    id: u64,
    name: String,
    tags: Vec<String>,
}

#[tokio::test]
async fn the_rust_client_reads_and_writes_rows_with_and_without_compression() {
    let Some(engine) = shared() else { return };
    for (database, compression) in [("rows_plain", Compression::None), ("rows_lz4", Compression::Lz4)] {
        let store = store(engine, database, compression).await;
        store.check().await.unwrap();
        let client = store.client();
        let create =
            "CREATE TABLE items (id UInt64, name String, tags Array(String)) ENGINE = MergeTree ORDER BY id";
        client.query(create).execute().await.unwrap();
        let items: Vec<Item> = (0..100_000)
            .map(|id| Item { id, name: format!("name {id}"), tags: vec!["a".to_owned(); (id % 3) as usize] })
            .collect();
        let mut insert = client.insert::<Item>("items").await.unwrap();
        for item in &items {
            insert.write(item).await.unwrap();
        }
        insert.end().await.unwrap();
        let read = client.query("SELECT ?fields FROM items ORDER BY id").fetch_all::<Item>().await.unwrap();
        assert!(read == items);
        let one = client.query("SELECT {x:UInt64} + 1").param("x", 41).fetch_one::<u64>().await.unwrap();
        assert_eq!(one, 42);
        let error = client.query("SELECT * FROM nope").execute().await.unwrap_err();
        assert!(error.to_string().contains("UNKNOWN_TABLE"), "{error}");
        let failing = "SELECT number, throwIf(number = 3000000) FROM numbers(4000000)";
        let mut cursor = client.query(failing).fetch::<(u64, u8)>().unwrap();
        let error = loop {
            match cursor.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("the failure in the middle was lost"),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"), "{error}");
    }
}
