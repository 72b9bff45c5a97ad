//! Queries run at once, and neither long queries nor inserts starve the others.

use std::time::{Duration, Instant};

use futures::future::join_all;

use crate::support::{post, run, shared};

#[tokio::test]
async fn many_clients_get_their_own_answers() {
    let Some(engine) = shared() else { return };
    let queries = (0..200_u32).map(|index| async move {
        let threads = index % 4 + 1;
        let parameters = [("param_x", index.to_string()), ("max_threads", threads.to_string())];
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let sql = "SELECT {x:UInt32}, getSetting('max_threads'), count() FROM numbers(100000)";
        let answer = post(engine.url(), &parameters, sql).await;
        assert_eq!(answer.text(), format!("{index}\t{threads}\t100000"));
    });
    join_all(queries).await;
}

#[tokio::test]
async fn inserts_go_on_while_long_queries_take_every_query_connection() {
    let Some(engine) = shared() else { return };
    run(engine.url(), "CREATE TABLE lanes (x UInt32) ENGINE = MergeTree ORDER BY x").await;
    let long = (0..8).map(|_| tokio::spawn(async move { run(engine.url(), "SELECT sleep(3)").await }));
    let long: Vec<_> = long.collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    let answer = post(engine.url(), &[("query", "INSERT INTO lanes FORMAT TSV")], "1\n").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(started.elapsed() < Duration::from_millis(1500), "the insert waited {:?}", started.elapsed());
    // Waiting queries are served as soon as a connection is free.
    assert_eq!(run(engine.url(), "SELECT count() FROM lanes").await, "1");
    for query in long {
        query.await.unwrap();
    }
}
