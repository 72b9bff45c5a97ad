//! Answers out of the cache, queries that take long, and what a load costs beside its SQL.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tally_query::cube::{CubeConfig, ModelFolder};
use tempfile::TempDir;

use crate::app::{ALICE, TestApp, with_app};

const LOAD: &str = "/api/v4/projects/42/product_analytics/request/load";

/// A cube over one row that takes its time.
fn slow_model(source: &str) -> (TempDir, ModelFolder) {
    let folder = tempfile::tempdir().unwrap();
    let model = format!(
        "cubes:\n  - name: Slow\n    sql: \"{source}\"\n    measures:\n      - {{name: slept, sql: slept, type: max}}\n    \
         dimensions:\n      - {{name: name, sql: name, type: string, primary_key: true}}\n"
    );
    std::fs::write(folder.path().join("slow.yml"), model).unwrap();
    let path = folder.path().display().to_string();
    (folder, ModelFolder { path, project: Some(42) })
}

async fn insert(app: &TestApp) {
    app.sql("INSERT INTO events (event_id, name, timestamp, project_id) VALUES (generateUUIDv4(), 'open', '2026-11-02 00:00:00', 42)")
        .await;
}

async fn load(app: &TestApp, query: &Value, cache: &str) -> Value {
    let body = json!({"query": query, "queryType": "multi", "cache": cache});
    app.post(LOAD, ALICE, &body).await.json()
}

async fn counted(app: &TestApp, cache: &str) -> String {
    let answer = load(app, &json!({"measures": ["InternalEvents.count"]}), cache).await;
    answer["results"][0]["data"][0]["InternalEvents.count"].as_str().unwrap().to_owned()
}

#[test]
fn an_answer_holds_until_its_table_changes() {
    with_app("cube_cache_changes", |app| async move {
        insert(&app).await;
        let app = app.with_cube(CubeConfig { freshness_ms: 0, ..CubeConfig::default() });
        for rows in ["1", "2", "3"] {
            for mode in ["stale-if-slow", "must-revalidate", "no-cache", "stale-while-revalidate"] {
                assert_eq!(counted(&app, mode).await, rows, "{mode}");
            }
            insert(&app).await;
        }
        app.sql("ALTER TABLE events DELETE WHERE project_id = 42 SETTINGS mutations_sync = 1").await;
        assert_eq!(counted(&app, "must-revalidate").await, "0");
    });
}

#[test]
fn modes_differ_in_what_they_take_from_the_cache() {
    with_app("cube_cache_modes", |app| async move {
        insert(&app).await;
        // A look at the tables is remembered for longer than the test takes.
        let app = app.with_cube(CubeConfig { freshness_ms: 600_000, ..CubeConfig::default() });
        // The first answer was read when nobody had looked yet, so it is read again once.
        for _ in 0..3 {
            assert_eq!(counted(&app, "must-revalidate").await, "1");
        }
        insert(&app).await;
        for mode in ["stale-if-slow", "must-revalidate", "stale-while-revalidate"] {
            assert_eq!(counted(&app, mode).await, "1", "{mode}");
        }
        assert_eq!(counted(&app, "no-cache").await, "2");
        // What was read past the cache is in it now.
        assert_eq!(counted(&app, "must-revalidate").await, "2");
    });
}

#[test]
fn a_client_is_told_to_ask_again_and_gets_the_same_run() {
    with_app("cube_continue_wait", |app| async move {
        let (_folder, model) =
            slow_model("SELECT toString(dummy) AS name, sleep(2.9) AS slept FROM system.one");
        let app = app.with_cube(CubeConfig {
            models: vec![model],
            continue_wait_ms: 200,
            freshness_ms: 0,
            ..CubeConfig::default()
        });
        let query = json!({"measures": ["Slow.slept"]});
        let mut waits = 0;
        let answer = loop {
            let answer = load(&app, &query, "no-cache").await;
            if answer != json!({"error": "Continue wait"}) {
                break answer;
            }
            waits += 1;
            assert!(waits < 200, "the query never ends");
        };
        assert!(waits >= 1);
        assert_eq!(answer["results"][0]["data"], json!([{"Slow.slept": "0"}]));
        assert_eq!(answer["slowQuery"], false);
        // The old answer is better than none where that is what was asked for; a busy machine may need a few tries.
        for tries in 1.. {
            let answer = load(&app, &query, "stale-if-slow").await;
            assert_eq!(answer["results"][0]["data"], json!([{"Slow.slept": "0"}]));
            if answer["slowQuery"] == true && answer["results"][0]["slowQuery"] == true {
                break;
            }
            assert!(tries < 20, "the old answer is never taken");
        }
        let at_once = Instant::now();
        let answer = load(&app, &query, "stale-while-revalidate").await;
        assert_eq!(answer["results"][0]["data"], json!([{"Slow.slept": "0"}]));
        assert!(at_once.elapsed() < Duration::from_secs(2), "it waited for a new answer");
    });
}

/// Prints what a load costs over its SQL, both over loopback and medians; asserts only what no noise explains.
#[test]
fn a_load_costs_little_more_than_its_sql() {
    with_app("cube_overhead", |app| async move {
        app.sql("INSERT INTO events (event_id, name, timestamp, user_id, project_id) SELECT generateUUIDv4(), \
            concat('event_', toString(number % 50)), toDateTime64('2026-11-01 00:00:00', 3, 'UTC') + number, number % 1000, 42 FROM numbers(100000)")
            .await;
        let app = app.with_cube(CubeConfig { freshness_ms: 200, ..CubeConfig::default() });
        let query = json!({
            "measures": ["InternalEvents.count", "InternalEvents.uniqueUsersCount"],
            "dimensions": ["InternalEvents.eventName"],
        });
        let path = LOAD.replace("/load", "/sql");
        let sql = app.post(&path, ALICE, &json!({"query": query})).await.json();
        let text = sql["sql"]["sql"][0].as_str().unwrap().to_owned();
        let (mut loads, mut plain) = (Vec::new(), Vec::new());
        for _ in 0..60 {
            let started = Instant::now();
            load(&app, &query, "no-cache").await;
            loads.push(started.elapsed());
            let started = Instant::now();
            run_plainly(&app, &text, &sql["sql"]["sql"][1]).await;
            plain.push(started.elapsed());
        }
        loads.sort_unstable();
        plain.sort_unstable();
        let (load, plain) = (loads[30], plain[30]);
        println!("load {load:?}, its SQL {plain:?}: {:?} more", load.saturating_sub(plain));
        assert!(load < plain + Duration::from_millis(50), "{load:?} {plain:?}");
    });
}

/// The statement that `/sql` shows, with its parameters, read to its end.
async fn run_plainly(app: &TestApp, sql: &str, parameters: &Value) {
    let mut query = app.store.client().query_raw(sql);
    for (number, value) in parameters.as_array().unwrap().iter().enumerate() {
        let name = tally_store::Statement::parameter_name(number);
        query = match value {
            Value::String(text) => query.param(&name, text),
            Value::Number(number) => query.param(&name, number.as_i64().unwrap()),
            other => panic!("{other}"),
        };
    }
    let mut cursor = query.fetch_bytes("JSONCompactEachRow").unwrap();
    while cursor.next().await.unwrap().is_some() {}
}
