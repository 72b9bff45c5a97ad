//! A client that goes takes its query with it.

use std::time::Duration;

use crate::support::{EngineProcess, eventually, run, shared};

async fn running(engine: &EngineProcess, part: &str) -> bool {
    let sql = format!(
        "SELECT count() FROM system.processes WHERE query LIKE '%{part}%' AND query NOT LIKE '%processes%'"
    );
    run(engine.url(), &sql).await != "0"
}

#[tokio::test]
async fn a_query_without_output_is_cancelled_when_its_client_goes() {
    let Some(engine) = shared() else { return };
    let sql = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 17";
    let request = tokio::spawn(reqwest::Client::new().post(engine.url()).body(sql).send());
    eventually("the query runs", || running(engine, "= 17")).await;
    request.abort();
    eventually("the query is gone", || async { !running(engine, "= 17").await }).await;
}

#[tokio::test]
async fn a_query_with_parameters_is_cancelled_when_its_client_goes() {
    let Some(engine) = shared() else { return };
    let sql = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = {wanted:UInt64}";
    let url = format!("{}/?param_wanted=20", engine.url());
    let request = tokio::spawn(reqwest::Client::new().post(url).body(sql).send());
    eventually("the query runs", || running(engine, "sipHash64(number) = %20")).await;
    request.abort();
    eventually("the query is gone", || async { !running(engine, "sipHash64(number) = %20").await }).await;
}

#[tokio::test]
async fn a_stream_is_cancelled_when_its_reader_goes() {
    let Some(engine) = shared() else { return };
    let sql = "SELECT number + 18 FROM system.numbers";
    let mut response = reqwest::Client::new().post(engine.url()).body(sql).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    assert!(running(engine, "+ 18").await);
    drop(response);
    eventually("the stream's query is gone", || async { !running(engine, "+ 18").await }).await;
}

#[tokio::test]
async fn cancelled_queries_give_their_connections_back() {
    let Some(engine) = shared() else { return };
    for _ in 0..40 {
        let sql = "SELECT count() FROM numbers(1000000000000) WHERE sipHash64(number) = 19";
        let request = reqwest::Client::new().post(engine.url()).body(sql).timeout(Duration::from_millis(30));
        assert!(request.send().await.is_err(), "the query should not have ended");
    }
    // With eight connections, forty lost ones would leave none.
    assert_eq!(run(engine.url(), "SELECT 1").await, "1");
}
