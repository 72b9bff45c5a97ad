//! The operator's data models: whose they are, when they are read again, and the projections that they ask for.

use serde_json::{Value, json};
use tally_query::cube::{CubeConfig, ModelFolder};
use tempfile::TempDir;

use crate::app::{ALICE, BOB, TestApp, with_app};

const META_42: &str = "/api/v4/projects/42/product_analytics/request/meta";
const META_43: &str = "/api/v4/projects/43/product_analytics/request/meta";

fn folder(model: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder, model);
    folder
}

fn write(folder: &TempDir, model: &str) {
    std::fs::write(folder.path().join("model.yml"), model).unwrap();
}

fn app_with(app: &TestApp, folders: &[(&TempDir, Option<i64>)]) -> TestApp {
    let models = folders.iter().map(|(folder, project)| ModelFolder {
        path: folder.path().display().to_string(),
        project: *project,
    });
    app.with_cube(CubeConfig { models: models.collect(), ..CubeConfig::default() })
}

async fn cubes(app: &TestApp, path: &str, token: &str) -> Vec<String> {
    let meta = app.get(path, token).await.json();
    let cubes = meta["cubes"].as_array().unwrap();
    cubes.iter().map(|cube| cube["name"].as_str().unwrap().to_owned()).collect()
}

fn cube(name: &str, extra: &str) -> String {
    format!(
        "cubes:\n  - name: {name}\n    sql_table: events\n{extra}    measures:\n      - {{name: count, type: count}}\n      \
        - {{name: users, sql: user_id, type: max}}\n    dimensions:\n      - {{name: name, sql: name, type: string}}\n      \
        - {{name: at, sql: timestamp, type: time}}\n"
    )
}

const TENANT: &str = "    meta: {tenant_column: project_id}\n";

#[test]
fn a_projects_own_cubes_are_seen_by_nobody_else() {
    with_app("cube_models_own", |app| async move {
        let (own, shared) = (folder(&cube("Own", "")), folder(&cube("Everybodys", TENANT)));
        let app = app_with(&app, &[(&shared, None), (&own, Some(42))]);
        let [of_42, of_43] = [cubes(&app, META_42, ALICE).await, cubes(&app, META_43, BOB).await];
        let has = |cubes: &[String], name: &str| cubes.iter().any(|cube| cube == name);
        assert!(has(&of_42, "Own") && has(&of_42, "Everybodys") && has(&of_42, "TrackedEvents"));
        assert!(!has(&of_43, "Own") && has(&of_43, "Everybodys") && has(&of_43, "TrackedEvents"));
        let load = META_43.replace("/meta", "/load");
        let refused = app.post(&load, BOB, &json!({"query": {"measures": ["Own.count"]}})).await;
        let message = json!({"message": "Cube 'Own' not found for path 'Own.count'"});
        assert_eq!((refused.status.as_u16(), refused.any_json()), (400, message));
    });
}

#[test]
fn models_are_read_again_and_broken_ones_leave_the_old() {
    with_app("cube_models_reload", |app| async move {
        let own = folder(&cube("First", ""));
        let app = app_with(&app, &[(&own, Some(42))]);
        let names = async || cubes(&app, META_42, ALICE).await;
        assert!(names().await.contains(&"First".to_owned()));
        write(&own, &cube("Second", ""));
        assert!(names().await.contains(&"First".to_owned()), "nothing is read before it is asked for");
        app.state.reload_models().unwrap();
        let now = names().await;
        assert!(now.contains(&"Second".to_owned()) && !now.contains(&"First".to_owned()), "{now:?}");
        write(
            &own,
            "cubes:\n  - name: Third\n    sql_table: events\n    measures:\n      - {name: bad, type: nonsense}\n",
        );
        let error = app.state.reload_models().unwrap_err().to_string();
        assert!(error.contains("model.yml") && error.contains("bad"), "{error}");
        assert_eq!(names().await, now);
    });
}

#[test]
fn what_was_read_with_one_model_is_not_answered_with_another() {
    with_app("cube_models_cache", |app| async move {
        app.sql("INSERT INTO events (event_id, name, timestamp, user_id, project_id) VALUES (generateUUIDv4(), 'a', '2026-11-02 00:00:00', 7, 42)")
            .await;
        let own = folder(&cube("Own", ""));
        let app = app_with(&app, &[(&own, Some(42))]);
        let load = META_42.replace("/meta", "/load");
        let query = json!({"query": {"measures": ["Own.users"]}});
        let data = async || app.post(&load, ALICE, &query).await.json()["results"][0]["data"].clone();
        for _ in 0..3 {
            assert_eq!(data().await, json!([{"Own.users": "7"}]));
        }
        write(&own, &cube("Own", "").replace("sql: user_id", "sql: user_id + 1"));
        app.state.reload_models().unwrap();
        assert_eq!(data().await, json!([{"Own.users": "8"}]));
    });
}

const ROLLUP: &str = "    pre_aggregations:\n      - {name: by_day, measures: [count], dimensions: [name], time_dimension: at, granularity: day}\n";

/// Names of the projections of `events` that come from models.
async fn projections(app: &TestApp) -> Vec<String> {
    let sql = "SELECT name FROM system.projections WHERE database = currentDatabase() AND table = 'events' \
               AND startsWith(name, 'cube_') ORDER BY name";
    app.store.client().query(sql).fetch_all().await.unwrap()
}

#[test]
fn projections_come_and_go_with_the_model_and_change_no_answer() {
    with_app("cube_models_projections", |app| async move {
        app.sql("INSERT INTO events (event_id, name, timestamp, user_id, project_id) SELECT generateUUIDv4(), toString(number % 3), \
            toDateTime64('2026-11-02 00:00:00', 3, 'UTC') + number, number, 42 + number % 2 FROM numbers(10000)").await;
        app.sql("ALTER TABLE events ADD PROJECTION by_hand (SELECT name, count() GROUP BY name)").await;
        let own = folder(&cube("Rolled", TENANT));
        let app = app_with(&app, &[(&own, None)]);
        app.state.ensure_projections(&app.store).await;
        let built_in = projections(&app).await;
        let load = META_42.replace("/meta", "/load");
        let query = json!({"query": {
            "measures": ["Rolled.count"], "dimensions": ["Rolled.name"],
            "timeDimensions": [{"dimension": "Rolled.at", "granularity": "day", "dateRange": ["2026-11-02", "2026-11-03"]}],
            "order": {"Rolled.name": "asc"},
        }});
        let without = app.post(&load, ALICE, &query).await.json()["results"][0].clone();
        write(&own, &(cube("Rolled", TENANT) + ROLLUP));
        app.state.reload_models().unwrap();
        app.state.ensure_projections(&app.store).await;
        app.state.ensure_projections(&app.store).await;
        assert_eq!(projections(&app).await.len(), built_in.len() + 1);
        let with = app.post(&load, ALICE, &query).await.json()["results"][0].clone();
        assert_eq!(with["data"], without["data"]);
        assert!(with["data"].as_array().is_some_and(|rows| rows.len() == 3), "{with}");
        let used =
            with["usedPreAggregations"].as_object().map(|used| used.keys().cloned().collect::<Vec<_>>());
        assert_eq!(used, Some(vec!["Rolled.by_day".to_owned()]));
        let sql = app.post(&META_42.replace("/meta", "/sql"), ALICE, &query).await.json();
        assert!(sql["sql"]["preAggregations"].as_array().is_some_and(|used| !used.is_empty()), "{sql}");
        assert_is_read_from_projection(&app, &sql["sql"]["sql"]).await;
        write(&own, &cube("Rolled", TENANT));
        app.state.reload_models().unwrap();
        app.state.ensure_projections(&app.store).await;
        assert_eq!(projections(&app).await, built_in);
        let by_hand: u64 = app
            .store
            .client()
            .query("SELECT count() FROM system.projections WHERE database = currentDatabase() AND name = 'by_hand'")
            .fetch_one()
            .await
            .unwrap();
        assert_eq!(by_hand, 1);
    });
}

/// ClickHouse's own plan says so, once the projection is made.
async fn assert_is_read_from_projection(app: &TestApp, sql: &Value) {
    app.sql("OPTIMIZE TABLE events FINAL").await;
    let mut query = app.store.client().query_raw(&format!("EXPLAIN {}", sql[0].as_str().unwrap()));
    for (number, value) in sql[1].as_array().unwrap().iter().enumerate() {
        let name = tally_store::Statement::parameter_name(number);
        query = match value {
            Value::String(text) => query.param(&name, text),
            Value::Number(number) => query.param(&name, number.as_i64().unwrap()),
            other => panic!("{other}"),
        };
    }
    let plan = query.fetch_all::<String>().await.unwrap().join("\n");
    assert!(plan.contains("cube_rolled_by_day_"), "{plan}");
}
