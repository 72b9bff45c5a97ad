//! Input that is broken or hostile: a clear error, the right status, and a service that is none the worse.

use std::io::Write;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use futures::{StreamExt, stream};
use serde_json::json;

use crate::app::{ALICE, App};

const EVENT: &str = "/api/v4/usage_data/track_event";
const EVENTS: &str = "/api/v4/usage_data/track_events";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn encoded(encoding: &str) -> [(&str, &str); 3] {
    [("PRIVATE-TOKEN", ALICE), ("Content-Type", "application/json"), ("Content-Encoding", encoding)]
}

#[tokio::test]
async fn what_is_no_json_is_refused_with_the_position() {
    let app = App::start().await;
    let deep = |levels: usize| format!(r#"{{"event":"a","x":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
    let deep_property = r#"{"event":"a","additional_properties":{"p":"#.to_owned()
        + &"[".repeat(1_000)
        + &"]".repeat(1_000)
        + "}}";
    let rows: Vec<(Vec<u8>, &str)> = vec![
        (b"{".to_vec(), "EOF while parsing an object at line 1 column 1"),
        (b"{\"event\": tru}".to_vec(), "expected ident at line 1 column 14"),
        (b"{\"event\":\"a\"\n,}".to_vec(), "trailing comma at line 2 column 2"),
        (b"{\"event\":\"a\"} x".to_vec(), "trailing characters at line 1 column 15"),
        (b"event=a".to_vec(), "expected value at line 1 column 1"),
        (b"{\"event\":\"\\ud800\"}".to_vec(), "unexpected end of hex escape at line 1 column 17"),
        (b"{\"event\":\"a\xff\"}".to_vec(), "invalid UTF-8 at byte 12"),
        (b"\xff\xfe{}".to_vec(), "invalid UTF-8 at byte 1"),
        (b"{\"event\":\"a\",\"event\":\"b\"}".to_vec(), "duplicate key \"event\" at line 1 column 20"),
        (b"{\"event\":\"a\",\"\\u0065vent\":\"b\"}".to_vec(), "duplicate key \"event\" at line 1 column 25"),
        (b"{\"event\":\"a\",\"x\":1,\"x\":2}".to_vec(), "duplicate key \"x\" at line 1 column 22"),
        (
            b"{\"event\":\"a\",\"additional_properties\":{\"p\":1,\"p\":2}}".to_vec(),
            "duplicate key \"p\" at line 1 column 47",
        ),
        (
            b"{\"event\":\"a\",\"additional_properties\":{\"p\":{\"q\":1,\"q\":2}}}".to_vec(),
            "duplicate key \"q\" at line 1 column 52",
        ),
        (deep(32).into_bytes(), "nested deeper than 32 levels at line 1 column 50"),
        (deep(100_000).into_bytes(), "nested deeper than 32 levels at line 1 column 49"),
        (deep_property.into_bytes(), "nested deeper than 32 levels at line 1 column 73"),
    ];
    for (body, expected) in rows {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let answer = app.track_event(body).await;
        let expected = format!("message body does not match declared format: {expected}");
        assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({ "error": expected })), "{shown}");
        app.assert_works(&shown).await;
    }
    assert_eq!(app.track_event(deep(31)).await.text, "200");
}

#[tokio::test]
async fn a_list_is_looked_into_as_deeply_as_an_event() {
    let app = App::start().await;
    let prefix = "message body does not match declared format: ";
    let rows = [
        (r#"{"events":[],"events":[]}"#.to_owned(), "duplicate key \"events\" at line 1 column 21"),
        (
            r#"{"events":[{"event":"a","event":"b"}]}"#.to_owned(),
            "duplicate key \"event\" at line 1 column 31",
        ),
        (
            json!({"events": r#"[{"event":"a","event":"b"}]"#}).to_string(),
            "in the JSON string of \"events\": duplicate key \"event\" at line 1 column 21",
        ),
        (
            format!(r#"{{"events":{}{}}}"#, "[".repeat(90_000), "]".repeat(90_000)),
            "nested deeper than 32 levels at line 1 column 42",
        ),
    ];
    for (body, expected) in rows {
        let answer = app.track_events(body).await;
        assert_eq!(answer.json(), json!({"error": format!("{prefix}{expected}")}));
        app.assert_works(expected).await;
    }
}

#[tokio::test]
async fn limits_on_an_event_are_named() {
    let app = App::start().await;
    let properties = |count: usize| {
        let all: Vec<String> = (0..count).map(|index| format!(r#""p{index}":{index}"#)).collect();
        format!(r#"{{"event":"a","additional_properties":{{{}}}}}"#, all.join(","))
    };
    let property = |name: usize, value: usize| {
        format!(
            r#"{{"event":"a","additional_properties":{{"{}":"{}"}}}}"#,
            "n".repeat(name),
            "v".repeat(value)
        )
    };
    let nested = format!(r#"{{"event":"a","additional_properties":{{"p":["{}"]}}}}"#, "v".repeat(8192));
    let rows = [
        (format!(r#"{{"event":"{}"}}"#, "e".repeat(255)), None),
        (format!(r#"{{"event":"{}"}}"#, "e".repeat(256)), Some("event is too long (maximum is 255 bytes)")),
        (properties(64), None),
        (properties(65), Some("additional_properties has too many properties (maximum is 64)")),
        (properties(20_000), Some("additional_properties has too many properties (maximum is 64)")),
        (property(255, 8192), None),
        (
            property(256, 8193),
            Some(
                "additional_properties has a name that is too long (maximum is 255 bytes), \
                 additional_properties has a value that is too long (maximum is 8192 bytes)",
            ),
        ),
        (nested, Some("additional_properties has a value that is too long (maximum is 8192 bytes)")),
    ];
    for (body, expected) in rows {
        let answer = app.track_event(body).await;
        match expected {
            None => assert_eq!(answer.text, "200"),
            Some(text) => {
                assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({ "error": text })));
            }
        }
    }
    app.assert_works("the limits").await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_however_it_comes() {
    let app = App::configured(|config| config.max_body_bytes = 1000).await;
    let body = format!(r#"{{"event":"a","x":"{}"}}"#, "x".repeat(2000));
    let too_large = json!({"message": "413 Request Entity Too Large - the limit is 1000 bytes"});

    let unread =
        Body::from_stream(stream::once(async { panic!("the body was read") as Result<String, String> }));
    let announced = [("PRIVATE-TOKEN", ALICE), ("Content-Length", "1001")];
    let answer = app.post_with(EVENT, &announced, unread).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (413, too_large.clone()));
    app.assert_works("an announced length").await;

    let endless = stream::repeat_with(|| Ok::<_, String>(Bytes::from_static(&[b' '; 100])));
    let answer = app.track_event(Body::from_stream(endless)).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (413, too_large));
    app.assert_works("an endless stream").await;

    assert_eq!(app.track_event(body).await.status, 413);
    assert_eq!(app.metric("tally_ingest_dropped_total", &[("reason", "oversized")]), 3);
    assert_eq!(app.metric("tally_ingest_in_flight_bytes", &[]), 0);
}

#[tokio::test]
async fn compressed_bodies_are_taken() {
    let app = App::start().await;
    let body = br#"{"events":[{"event":"a"},{"event":"b"}]}"#;
    for (encoding, bytes) in
        [("gzip", gzip(body)), ("x-gzip", gzip(body)), ("deflate", zlib(body)), ("identity", body.to_vec())]
    {
        // In pieces, so that a header or trailer is torn apart.
        let pieces: Vec<_> = bytes.chunks(7).map(|chunk| Ok::<_, String>(chunk.to_vec())).collect();
        let answer = app.post_with(EVENTS, &encoded(encoding), Body::from_stream(stream::iter(pieces))).await;
        assert_eq!(answer.text, "200", "{encoding}");
    }
    assert_eq!(app.events().len(), 8);
}

#[tokio::test]
async fn a_compression_bomb_is_413_and_never_held() {
    let app = App::configured(|config| config.max_decompressed_bytes = 100_000).await;
    let mut bomb = br#"{"event":"a","x":""#.to_vec();
    bomb.resize(50_000_000, b'0');
    for (encoding, bytes) in [("gzip", gzip(&bomb)), ("deflate", zlib(&bomb))] {
        assert!(bytes.len() < 1 << 20, "fits the limit on what is sent");
        let answer = app.post_with(EVENT, &encoded(encoding), bytes).await;
        let expected = json!({"message": "413 Request Entity Too Large - the limit is 100000 bytes"});
        assert_eq!((answer.status.as_u16(), answer.json()), (413, expected), "{encoding}");
        app.assert_works(encoding).await;
    }
    assert_eq!(app.metric("tally_ingest_in_flight_bytes", &[]), 0);
}

#[tokio::test]
async fn a_small_body_of_millions_of_contributions_is_refused_without_being_held() {
    let app = App::start().await;
    let zeros = "0,".repeat(3_000_000) + "0";
    let rows = [
        (
            format!(r#"{{"contributions":[{zeros}]}}"#),
            json!({"message": "Maximum 500 contributions allowed in one request."}),
        ),
        (
            format!(r#"{{"action":"created","x":[{zeros}]}}"#),
            json!({"error": "message body does not match declared format: too many values at line 1 column 200021"}),
        ),
    ];
    for (body, expected) in rows {
        let answer =
            app.post_with("/api/v4/tally/contributions", &encoded("gzip"), gzip(body.as_bytes())).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (400, expected));
    }
    app.assert_works("millions of values").await;
}

#[tokio::test]
async fn a_broken_compressed_body_is_400() {
    let app = App::start().await;
    let whole = gzip(br#"{"event":"a"}"#);
    let mut wrong_checksum = whole.clone();
    let checksum = wrong_checksum.len() - 8;
    wrong_checksum[checksum] ^= 1;
    let mut trailing = whole.clone();
    trailing.extend_from_slice(b"more");
    for broken in [b"not gzip".to_vec(), whole[..whole.len() - 5].to_vec(), wrong_checksum, trailing] {
        let answer = app.post_with(EVENT, &encoded("gzip"), broken).await;
        let expected = "message body does not match declared format: not a valid gzip stream";
        assert_eq!((answer.status.as_u16(), answer.json()), (400, json!({ "error": expected })));
        app.assert_works("a broken stream").await;
    }
}

#[tokio::test]
async fn types_that_are_not_offered_are_415() {
    let app = App::start().await;
    let xml = [("PRIVATE-TOKEN", ALICE), ("Content-Type", "text/xml; charset=utf-8")];
    let answer = app.post_with(EVENT, &xml, "<event/>").await;
    let expected = json!({"error": "The provided content-type 'text/xml' is not supported."});
    assert_eq!((answer.status.as_u16(), answer.json()), (415, expected));

    let answer = app.post_with(EVENT, &encoded("br"), "{}").await;
    let expected = json!({"error": "The provided content-encoding 'br' is not supported."});
    assert_eq!((answer.status.as_u16(), answer.json()), (415, expected));

    let charset = [("PRIVATE-TOKEN", ALICE), ("Content-Type", "Application/JSON; charset=utf-8")];
    assert_eq!(app.post_with(EVENT, &charset, r#"{"event":"a"}"#).await.text, "200");
    assert_eq!(app.post_with(EVENT, &[("PRIVATE-TOKEN", ALICE)], r#"{"event":"a"}"#).await.text, "200");
    app.assert_works("the types").await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_408() {
    let app = App::configured(|config| config.body_timeout_s = 1).await;
    let stalled = stream::iter([Ok::<_, String>("{\"event\":")]).chain(stream::pending());
    let answer = app.track_event(Body::from_stream(stalled)).await;
    assert_eq!((answer.status.as_u16(), answer.json()), (408, json!({"message": "408 Request Timeout"})));
    assert_eq!(app.metric("tally_ingest_in_flight_bytes", &[]), 0);

    let drip = stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Some((Ok::<_, String>(" "), ()))
    });
    assert_eq!(app.track_event(Body::from_stream(drip)).await.status, 408, "one that never ends");
    app.assert_works("bodies that never came").await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_400() {
    let app = App::start().await;
    let broken = stream::iter([Ok("{\"event\":\"a\"}"), Err("connection reset".to_owned())]);
    let answer = app.track_event(Body::from_stream(broken)).await;
    assert_eq!(answer.status, 400);
    assert_eq!(app.events(), []);
    app.assert_works("a broken connection").await;
}

#[tokio::test]
async fn unknown_events_are_recorded_and_answered_200() {
    let app = App::start().await;
    assert_eq!(app.track_event(r#"{"event":"nobody_knows"}"#).await.text, "200");
    assert_eq!(app.events()[0].name, "nobody_knows");
}
