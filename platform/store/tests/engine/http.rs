//! ClickHouse's HTTP interface: headers, formats, exceptions, encodings, credentials.

use std::{
    io::{Read, Write},
    time::Duration,
};

use bytes::Bytes;
use tally_store::{Insert, Migration, Store, StoreConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{EngineProcess, Options, post, read, run, shared};

#[tokio::test]
async fn an_answer_carries_clickhouses_headers() {
    let Some(engine) = shared() else { return };
    let answer = post(engine.url(), &[("query_id", "my-query")], "SELECT 1 AS x FORMAT JSONEachRow").await;
    assert_eq!((answer.status, answer.text()), (200, "{\"x\":1}"));
    assert_eq!(answer.header("x-clickhouse-format"), "JSONEachRow");
    assert_eq!(answer.header("x-clickhouse-query-id"), "my-query");
    assert_eq!(answer.header("content-type"), "application/x-ndjson; charset=UTF-8");
    assert!(answer.header("x-clickhouse-summary").contains("\"read_rows\":\"1\""));
    for name in ["x-clickhouse-timezone", "x-clickhouse-server-display-name", "x-clickhouse-exception-tag"] {
        assert!(!answer.header(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn health_paths_answer_without_sql() {
    let Some(engine) = shared() else { return };
    for (path, status, body) in [("/ping", 200, "Ok."), ("/replicas_status", 200, "Ok."), ("/", 200, "Ok.")] {
        let answer = read(reqwest::get(format!("{}{path}", engine.url())).await.unwrap()).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{path}");
    }
    let answer = read(reqwest::get(format!("{}/nope", engine.url())).await.unwrap()).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn exceptions_have_clickhouses_code_text_and_status() {
    let Some(engine) = shared() else { return };
    let cases = [
        ("SELECT * FROM nope", 60, 404, "UNKNOWN_TABLE"),
        ("SELECT 1 FROM nope.t", 81, 404, "UNKNOWN_DATABASE"),
        ("SELECT nope", 47, 404, "UNKNOWN_IDENTIFIER"),
        ("SELEC 1", 62, 400, "SYNTAX_ERROR"),
        ("SELECT 1; SELECT 2", 62, 400, "SYNTAX_ERROR"),
        ("SELECT toUInt8('x')", 6, 400, "CANNOT_PARSE_TEXT"),
        ("SELECT throwIf(1)", 395, 500, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
        ("SELECT {x:UInt8}", 456, 500, "UNKNOWN_QUERY_PARAMETER"),
        ("INSERT INTO nope VALUES (1)", 60, 404, "UNKNOWN_TABLE"),
        ("SELECT 1 INTO OUTFILE '/tmp/x'", 48, 501, "NOT_IMPLEMENTED"),
    ];
    for (sql, code, status, name) in cases {
        let answer = post(engine.url(), &[], sql).await;
        assert_eq!(answer.status, status, "{sql}: {}", answer.text());
        assert_eq!(answer.header("x-clickhouse-exception-code"), code.to_string(), "{sql}");
        let text = answer.text();
        assert!(text.starts_with(&format!("Code: {code}. DB::Exception: ")), "{sql}: {text}");
        assert!(text.contains(&format!("({name}) (version ")), "{sql}: {text}");
    }
}

#[tokio::test]
async fn get_is_read_only() {
    let Some(engine) = shared() else { return };
    let get = async |sql: &str| {
        let request = reqwest::Client::new().get(engine.url()).query(&[("query", sql)]);
        read(request.send().await.unwrap()).await
    };
    assert_eq!(get("SELECT 5").await.text(), "5");
    for sql in ["CREATE DATABASE got", "INSERT INTO system.query_log VALUES (1)", "SYSTEM FLUSH LOGS"] {
        assert_eq!(get(sql).await.header("x-clickhouse-exception-code"), "164", "{sql}");
    }
}

#[tokio::test]
async fn every_format_is_the_same_streamed_and_whole() {
    let Some(engine) = shared() else { return };
    let formats = [
        "TabSeparated",
        "TSVWithNames",
        "TabSeparatedWithNamesAndTypes",
        "CSV",
        "CSVWithNames",
        "CSVWithNamesAndTypes",
        "JSONEachRow",
        "JSONCompactEachRow",
        "JSONCompactEachRowWithNames",
        "JSONCompactEachRowWithNamesAndTypes",
        "JSONStringsEachRow",
        "RowBinary",
        "RowBinaryWithNames",
        "RowBinaryWithNamesAndTypes",
        "TSKV",
        "Values",
        "JSONColumns",
        "Markdown",
        "Vertical",
    ];
    for format in formats {
        for rows in [0, 3, 200_000] {
            let sql = format!(
                "SELECT number, concat('a\"\\n', toString(number)) AS `a \"b\nc` FROM numbers({rows}) FORMAT {format}"
            );
            let streamed = post(engine.url(), &[("max_block_size", "10000")], sql.clone()).await;
            let whole =
                post(engine.url(), &[("max_block_size", "10000"), ("wait_end_of_query", "1")], sql).await;
            assert_eq!((streamed.status, whole.status), (200, 200), "{format}: {}", streamed.text());
            assert!(streamed.body == whole.body, "{format}, {rows} rows");
        }
    }
}

#[tokio::test]
async fn a_failure_after_the_first_rows_ends_the_body_with_a_tagged_exception_and_cuts_it() {
    let Some(engine) = shared() else { return };
    let sql = "SELECT throwIf(number = 3000000) FROM numbers(4000000)";
    let mut response = reqwest::Client::new().post(engine.url()).body(sql).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let tag = response.headers()["x-clickhouse-exception-tag"].to_str().unwrap().to_owned();
    let mut body = Vec::new();
    let cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut, "the body ended like a good one");
    let text = String::from_utf8(body).unwrap();
    let (_, exception) = text.split_once(&format!("\r\n__exception__\r\n{tag}\r\n")).unwrap();
    assert!(exception.starts_with("Code: 395. DB::Exception: "), "{exception}");
    let message_length = exception.find('\n').unwrap() + 1;
    assert!(exception.ends_with(&format!("\n{message_length} {tag}\r\n__exception__\r\n")), "{exception}");
}

#[tokio::test]
async fn bodies_are_compressed_both_ways_when_asked() {
    let Some(engine) = shared() else { return };
    run(engine.url(), "CREATE TABLE encoded (x UInt32) ENGINE = MergeTree ORDER BY x").await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"1\n2\n3\n").unwrap();
    let mut lz4 = lz4_flex::frame::FrameEncoder::new(Vec::new());
    lz4.write_all(b"4\n5\n").unwrap();
    for (encoding, body) in [("gzip", gzip.finish().unwrap()), ("lz4", lz4.finish().unwrap())] {
        let request = reqwest::Client::new()
            .post(engine.url())
            .query(&[("query", "INSERT INTO encoded FORMAT TSV")])
            .header("content-encoding", encoding)
            .body(body);
        assert_eq!(read(request.send().await.unwrap()).await.text(), "", "{encoding}");
    }
    let expected = "1\n2\n3\n4\n5\n";
    for (accepted, encoding) in [("gzip", "gzip"), ("lz4, gzip", "lz4"), ("br", "")] {
        let request = reqwest::Client::new()
            .post(engine.url())
            .query(&[("enable_http_compression", "1")])
            .header("accept-encoding", accepted)
            .body("SELECT x FROM encoded ORDER BY x");
        let answer = read(request.send().await.unwrap()).await;
        assert_eq!(answer.header("content-encoding"), encoding, "{accepted}");
        let mut plain = String::new();
        match encoding {
            "gzip" => flate2::read::GzDecoder::new(&answer.body[..]).read_to_string(&mut plain).unwrap(),
            "lz4" => lz4_flex::frame::FrameDecoder::new(&answer.body[..]).read_to_string(&mut plain).unwrap(),
            _ => Read::read_to_string(&mut &answer.body[..], &mut plain).unwrap(),
        };
        assert_eq!(plain, expected, "{accepted}");
    }
}

#[tokio::test]
async fn a_damaged_compressed_insert_stores_nothing() {
    let Some(engine) = shared() else { return };
    run(engine.url(), "CREATE TABLE damaged (x UInt32) ENGINE = MergeTree ORDER BY x").await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"1\n2\n3\n").unwrap();
    let body = gzip.finish().unwrap();
    for (encoding, body) in [("gzip", &body[..body.len() - 3]), ("gzip", b"not gzip"), ("lz4", b"not lz4")] {
        let request = reqwest::Client::new()
            .post(engine.url())
            .query(&[("query", "INSERT INTO damaged FORMAT TSV")])
            .header("content-encoding", encoding)
            .body(body.to_vec());
        assert_ne!(read(request.send().await.unwrap()).await.status, 200, "{encoding} {body:?}");
    }
    let blocks = [("query", "INSERT INTO damaged FORMAT TSV"), ("decompress", "1")];
    assert_ne!(post(engine.url(), &blocks, "not blocks of clickhouse at all").await.status, 200);
    assert_eq!(run(engine.url(), "SELECT count() FROM damaged").await, "0");
}

type Headers<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn credentials_are_required_when_configured_and_bodies_are_bounded() {
    let data = tempfile::tempdir().unwrap();
    let options = Options {
        user: Some("tally"),
        password: Some("s3cret"),
        body_limit: Some(1 << 20),
        ..Options::default()
    };
    let Some(engine) = EngineProcess::start(data.path(), &options) else { return };
    let client = reqwest::Client::new();
    let cases: [(&str, Headers<'_>, u16); 6] = [
        ("", &[], 403),
        ("", &[("x-clickhouse-user", "tally"), ("x-clickhouse-key", "wrong")], 403),
        ("", &[("x-clickhouse-user", "tally"), ("x-clickhouse-key", "s3cret")], 200),
        ("", &[("authorization", "Basic dGFsbHk6czNjcmV0")], 200),
        ("?user=tally&password=s3cret", &[], 200),
        ("?user=tally&password=", &[], 403),
    ];
    for (query, headers, status) in cases {
        let mut request = client.post(format!("{}/{query}", engine.url())).body("SELECT 1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = read(request.send().await.unwrap()).await;
        assert_eq!(answer.status, status, "{query} {headers:?}: {}", answer.text());
        let code = answer.header("x-clickhouse-exception-code");
        assert_eq!(code, if status == 200 { "" } else { "516" });
    }
    let ping = client.get(format!("{}/ping", engine.url())).send().await.unwrap();
    assert_eq!(ping.status(), 200, "a health check has no credentials");
    signed_in_store_works(&engine).await;
    let signed_in = [("user", "tally"), ("password", "s3cret")];
    let insert = "INSERT INTO FUNCTION null('x String') FORMAT TSV";
    let large = [&signed_in[..], &[("query", insert)]].concat();
    assert_eq!(post(engine.url(), &large, "x\n".repeat(10)).await.status, 200);
    let answer = post(engine.url(), &large, "x\n".repeat(1 << 20)).await;
    assert_eq!(
        (answer.status, answer.header("x-clickhouse-exception-code")),
        (413, "307"),
        "{}",
        answer.text()
    );
    assert!(engine.shut_down(), "the engine did not shut down cleanly");
}

/// Every kind of request that a store sends carries its credentials.
async fn signed_in_store_works(engine: &EngineProcess) {
    let mut config = StoreConfig::new(engine.url());
    config.tries = 1;
    assert!(Store::new(config.clone()).check().await.is_err(), "nobody has signed in");
    (config.user, config.password) = (Some("tally".to_owned()), Some("s3cret".to_owned()));
    let store = Store::new(config);
    let migration = Migration {
        number: 1,
        name: "table".into(),
        sql: "CREATE TABLE signed_in (x UInt64) ENGINE = {Replicated}MergeTree ORDER BY x;".into(),
    };
    store.migrate(&[migration]).await.unwrap();
    store.check().await.unwrap();
    let (body, token) = (Bytes::from(vec![0; 8]), "a".to_owned());
    let insert = Insert { table: "signed_in", columns: &["x"], body, token, start_before: None };
    store.insert(&insert).await.unwrap();
    assert_eq!(store.client().query("SELECT count() FROM signed_in").fetch_one::<u64>().await.unwrap(), 1);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408_and_ends_its_connection() {
    let data = tempfile::tempdir().unwrap();
    let options = Options { stall_timeout: Some(Duration::from_millis(200)), ..Options::default() };
    let Some(engine) = EngineProcess::start(data.path(), &options) else { return };
    run(engine.url(), "CREATE TABLE stalled (x UInt64) ENGINE = MergeTree ORDER BY x").await;
    let form = "content-type: multipart/form-data; boundary=b\r\n";
    let cases = [
        ("/", "", "SELECT"),
        ("/", form, "--b\r\nx"),
        ("/?decompress=1", "", "SELECT"),
        ("/?query=INSERT+INTO+stalled+FORMAT+RowBinary", "", "12345678"),
    ];
    for (path, header, sent) in cases {
        let address = engine.url().strip_prefix("http://").unwrap();
        let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\n{header}content-length: 100\r\n\r\n{sent}");
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), socket.read_to_string(&mut answer)).await;
        assert!(matches!(read, Ok(Ok(_))), "{path}: the connection stays open: {answer}");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{path}: {answer}");
    }
    assert_eq!(run(engine.url(), "SELECT count() FROM stalled").await, "0");
}

#[tokio::test]
async fn queries_are_logged_when_configured() {
    let Some(engine) = shared() else { return };
    let answer = post(engine.url(), &[("query_id", "logged-1")], "SELECT 'logged'").await;
    assert_eq!(answer.status, 200);
    post(engine.url(), &[("query_id", "logged-2")], "SELECT nope").await;
    run(engine.url(), "SYSTEM FLUSH LOGS").await;
    let sql = "SELECT type, query, query_kind, exception_code FROM system.query_log WHERE query_id LIKE 'logged-%' ORDER BY query_id";
    assert_eq!(
        run(engine.url(), sql).await,
        "QueryFinish\tSELECT \\'logged\\'\tSelect\t0\nExceptionWhileProcessing\tSELECT nope\tSelect\t47"
    );
}
