//! Bodies held at once are bounded; what is beyond is told to come back.

use axum::body::{Body, Bytes};
use futures::{StreamExt, stream};
use serde_json::json;

use crate::app::{ALICE, App};

const EVENT: &str = "/api/v4/usage_data/track_event";

#[tokio::test]
async fn bodies_beyond_the_memory_for_them_are_503_until_others_are_done() {
    let app = App::configured(|config| config.max_in_flight_bytes = 1000).await;
    let headers = [("PRIVATE-TOKEN", ALICE), ("Content-Length", "900")];
    let pending = Body::from_stream(stream::pending::<Result<Bytes, String>>());
    let mut waiting = Box::pin(app.post_with(EVENT, &headers, pending));
    assert!(futures::poll!(&mut waiting).is_pending());
    assert_eq!(app.metric("tally_ingest_in_flight_bytes", &[]), 900);

    let busy = json!({"message": "503 Service Unavailable - too many requests at once"});
    let announced = [("PRIVATE-TOKEN", ALICE), ("Content-Length", "200")];
    let answer = app.post_with(EVENT, &announced, "{}").await;
    assert_eq!((answer.status.as_u16(), answer.json()), (503, busy.clone()));
    assert_eq!(answer.headers["retry-after"], "1");

    let chunked = Body::from_stream(stream::repeat(Ok::<_, String>(Bytes::from_static(&[b' '; 60]))).take(4));
    assert_eq!(app.track_event(chunked).await.json(), busy);

    app.assert_works("a small body beside").await;
    drop(waiting);
    assert_eq!(app.metric("tally_ingest_in_flight_bytes", &[]), 0);
    assert_eq!(app.track_event(format!("{}{{\"event\":\"a\"}}", " ".repeat(900))).await.text, "200");
}

#[tokio::test]
async fn answers_are_counted_by_path_and_status() {
    let app = App::start().await;
    app.track_event(r#"{"event":"a"}"#).await;
    app.track_event("{").await;
    app.post_with(EVENT, &[], "{}").await;
    for status in ["200", "400", "401"] {
        let labels = [("path", EVENT), ("status", status)];
        assert_eq!(app.metric("tally_ingest_requests_total", &labels), 1, "{status}");
    }
    assert_eq!(app.metric("tally_ingest_dropped_total", &[("reason", "invalid")]), 1);
}
