//! The Service Ping's other sources against the real tables: the built-in SQL, a definition's own, settings, the directory,
//! Prometheus; and where each value comes from.

use std::collections::HashMap;

use axum::Json;
use axum::extract::Query;
use axum::routing::get;
use prometheus::Registry;
use serde_json::{Value, json};
use tally_directory::Change;
use tally_query::metrics::QueryMetrics;
use tally_query::service_ping::{PayloadKind, Plan, explain, generate};
use tally_query::warehouse::Warehouse;
use tally_query::{InstanceConfig, LicenseConfig, QueryLimits};
use tally_schemas::Definitions;

use crate::app::{NOW, TestApp, with_app};

const SHAPE: &str = "
description: A number
product_group: analytics_instrumentation
milestone: '17.6'
introduced_by_url: https://example.com/1
tiers: [free, premium, ultimate]
data_category: optional
status: active
";

/// A plan of metrics, each given by its fields that matter.
fn plan(metrics: &[&str]) -> Plan {
    let folder = tempfile::Builder::new().prefix("definitions").tempdir().unwrap();
    for (number, fields) in metrics.iter().enumerate() {
        std::fs::write(folder.path().join(format!("{number}.yml")), format!("{SHAPE}{fields}\n")).unwrap();
    }
    let paths = [folder.path().display().to_string()];
    Plan::new(&Definitions::load(&paths).unwrap_or_else(|errors| panic!("{errors}")))
}

/// A metric of the database by its `key_path`.
fn database(key_path: &str, frame: &str, kind: &str) -> String {
    format!("key_path: {key_path}\nvalue_type: {kind}\ndata_source: database\ntime_frame: {frame}")
}

/// A weekly count of the users of two events together.
fn users_of(key_path: &str, events: [&str; 2]) -> String {
    let rules = events.map(|event| format!("{{name: {event}, unique: user.id}}")).join(", ");
    format!(
        "key_path: {key_path}\nvalue_type: number\ndata_source: internal_events\ntime_frame: 7d\nevents: [{rules}]"
    )
}

/// A metric with SQL of its own.
fn own(key_path: &str, frame: &str, kind: &str, sql: &str) -> String {
    format!("{}\noptions: {{sql: \"{sql}\"}}", database(key_path, frame, kind))
}

async fn insert_directory(app: &TestApp) {
    app.sql(
        "INSERT INTO directory_users (id, username, state, admin, version, deleted) VALUES (1, 'root', 'active', 1, 1, 0), \
         (2, 'ann', 'active', 0, 2, 0), (3, 'bob', 'blocked', 0, 3, 0), (4, 'cid', 'active', 0, 4, 0), \
         (4, 'cid', 'active', 0, 5, 1), (5, 'eve', 'active', 0, 6, 0)",
    )
    .await;
    app.sql(
        "INSERT INTO directory_namespaces (id, path, kind, parent_id, version, deleted) VALUES \
         (1, 'a', 'group', 0, 1, 0), (2, 'a/b', 'group', 1, 1, 0), (3, 'root', 'user', 0, 1, 0)",
    )
    .await;
    app.sql(
        "INSERT INTO directory_projects (id, path, namespace_id, version, deleted) VALUES (7, 'a/p', 1, 1, 0), \
         (8, 'a/q', 1, 1, 0)",
    )
    .await;
    app.sql(
        "INSERT INTO directory_members (user_id, source_kind, source_id, access_level, version, deleted) VALUES \
         (2, 'namespace', 1, 30, 1, 0), (2, 'namespace', 2, 30, 1, 0), (1, 'project', 7, 30, 1, 0)",
    )
    .await;
}

/// Contributions as (what, author, target, project, created at).
async fn contribute(app: &TestApp, rows: &[(&str, &str, i64, i64, i64, &str)]) {
    for (action, target_type, author, target, project, created_at) in rows {
        app.sql(&format!(
            "INSERT INTO contributions (id, action, target_type, author_id, target_id, project_id, created_at) \
             VALUES ({target}, '{action}', '{target_type}', {author}, {target}, {project}, '{created_at}')"
        ))
        .await;
    }
}

#[test]
fn metrics_of_the_database_are_read_from_the_directory_and_from_contributions() {
    with_app("ping_catalog", |app| async move {
        insert_directory(&app).await;
        // The window of 28d is 2026-10-19 10:30 to 2026-11-16 10:30.
        contribute(
            &app,
            &[
                ("created", "Issue", 1, 10, 7, "2026-11-01 00:00:00"),
                ("created", "WorkItem", 2, 11, 7, "2026-10-19 10:30:00"),
                ("created", "Issue", 5, 12, 7, "2026-10-19 10:29:59"),
                ("created", "Issue", 6, 13, 7, "2026-11-16 10:30:01"),
                ("created", "Issue", 1, 10, 7, "2026-11-01 00:00:00"),
                ("updated", "Issue", 9, 10, 7, "2026-11-02 00:00:00"),
                ("created", "MergeRequest", 1, 10, 7, "2026-11-02 00:00:00"),
                ("created", "Milestone", 1, 1, 7, "2026-11-02 00:00:00"),
                ("commented", "Note", 1, 20, 7, "2026-11-02 00:00:00"),
                ("commented", "DiffNote", 1, 21, 7, "2026-01-02 00:00:00"),
                ("created", "", 2, 0, 7, "2026-11-02 00:00:00"),
                ("created", "", 2, 0, 8, "2026-01-02 00:00:00"),
                ("created", "Snippet", 1, 1, 0, "2026-11-02 00:00:00"),
                ("created", "Snippet", 1, 2, 7, "2026-11-02 00:00:00"),
            ],
        )
        .await;
        app.sql("INSERT INTO counters (day, counter, count) VALUES ('2025-03-04', 'a', 1), ('2026-01-01', 'a', 1)")
            .await;
        let expected = [
            ("active_user_count", "none", "number", json!(3)),
            ("counts.admins", "all", "number", json!(1)),
            ("counts.users_without_group_or_project_membership", "all", "number", json!(1)),
            ("usage_activity_by_stage.manage.users_created", "all", "number", json!(4)),
            ("usage_activity_by_stage_monthly.manage.users_created", "28d", "number", json!(-1)),
            ("usage_activity_by_stage.manage.groups", "all", "number", json!(1)),
            ("counts.projects", "all", "number", json!(2)),
            ("counts.groups", "all", "number", json!(2)),
            ("counts.total_top_level_groups", "all", "number", json!(1)),
            ("counts.orphaned_namespaces", "all", "boolean", json!(false)),
            ("installation_creation_date_approximation", "none", "string", json!("2025-03-04T00:00:00.000Z")),
            ("counts.issues", "all", "number", json!(4)),
            ("counts.merge_requests", "all", "number", json!(1)),
            ("counts.milestones", "all", "number", json!(1)),
            ("counts.notes", "all", "number", json!(2)),
            ("counts.snippets", "all", "number", json!(2)),
            ("counts.personal_snippets", "all", "number", json!(1)),
            ("counts_monthly.project_snippets", "28d", "number", json!(1)),
            ("counts_monthly.projects", "28d", "number", json!(1)),
            ("usage_activity_by_stage.plan.issues", "all", "number", json!(4)),
            ("usage_activity_by_stage_monthly.plan.issues", "28d", "number", json!(2)),
            ("usage_activity_by_stage_monthly.plan.notes", "28d", "number", json!(1)),
            ("usage_activity_by_stage.plan.projects", "all", "number", json!(1)),
            ("usage_activity_by_stage_monthly.manage.events", "28d", "number", json!(3)),
            ("usage_activity_by_stage.manage.events", "all", "number", json!(5)),
            ("counts.boards", "all", "number", json!(-1)),
            ("usage_activity_by_stage.manage.projects_imported.git", "all", "number", json!(-1000)),
        ];
        let definitions: Vec<_> =
            expected.iter().map(|(key_path, frame, kind, _)| database(key_path, frame, kind)).collect();
        let plan = plan(&definitions.iter().map(String::as_str).collect::<Vec<_>>());
        let payload = app.payload(&plan, PayloadKind::Full).await;
        assert_eq!(payload.queries, 3);
        let document = Value::from(payload.document);
        for (key_path, _, _, value) in &expected {
            assert_eq!(at(&document, key_path), value, "{key_path}");
        }
    });
}

fn at<'a>(document: &'a Value, key_path: &str) -> &'a Value {
    key_path.split('.').fold(document, |branch, name| &branch[name])
}

#[test]
fn a_definitions_own_sql_is_read_in_its_window_and_fails_alone() {
    with_app("ping_own_sql", |app| async move {
        contribute(
            &app,
            &[
                ("created", "Issue", 1, 10, 7, "2026-11-09 10:30:00"),
                ("created", "Issue", 1, 11, 7, "2026-10-20 00:00:00"),
                ("created", "Issue", 1, 12, 7, "2026-11-17 00:00:00"),
            ],
        )
        .await;
        let windowed = "SELECT count() FROM contributions WHERE created_at BETWEEN {from:DateTime64(3, 'UTC')} \
                        AND {to:DateTime64(3, 'UTC')};";
        let good = [
            own("own.weekly", "7d", "number", windowed),
            own("own.monthly", "28d", "number", windowed),
            own("own.ever", "all", "number", windowed),
            own("own.mean", "all", "number", "SELECT avg(target_id) FROM contributions"),
            own("own.nothing", "all", "number", "SELECT number FROM numbers(0)"),
            own("own.object", "none", "object", "SELECT toJSONString(map('a', 1))"),
        ];
        let bad = [
            own("own.broken", "all", "number", "SELECT count() FROM nowhere"),
            own("own.many", "all", "number", "SELECT number FROM numbers(2)"),
            own("own.text", "all", "number", "SELECT 'x'"),
            own("own.huge", "all", "string", "SELECT repeat('0123', 1000000)"),
            own("own.two", "all", "number", "SELECT 1, 2"),
        ];
        let texts = |lists: &[&[String]]| lists.concat();
        let (fine, all) = (texts(&[&good]), texts(&[&good, &bad]));
        let values =
            json!({"weekly": 1, "monthly": 2, "ever": 3, "mean": 11, "nothing": -1, "object": {"a": 1}});
        let payload =
            app.payload(&plan(&fine.iter().map(String::as_str).collect::<Vec<_>>()), PayloadKind::Full).await;
        assert_eq!((payload.document["own"].clone(), payload.queries), (values.clone(), 3));

        let payload =
            app.payload(&plan(&all.iter().map(String::as_str).collect::<Vec<_>>()), PayloadKind::Full).await;
        for (name, value) in values.as_object().unwrap() {
            assert_eq!(&payload.document["own"][name], value, "{name}");
        }
        for name in ["broken", "many", "text", "huge", "two"] {
            assert_eq!(payload.document["own"][name], -1, "{name}");
            let told = payload.metadata.iter().find(|metric| metric.name == format!("own.{name}")).unwrap();
            let error = told.error.as_deref().unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("SELECT"), "{name}: {error}");
        }
    });
}

#[test]
fn a_definitions_own_sql_reaches_tables_only() {
    with_app("ping_sql_reach", |app| async move {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret.txt");
        std::fs::write(&path, "secret").unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let (path, address) = (path.display(), listener.local_addr().unwrap());
        let reads = [
            format!("SELECT any(line) FROM file('{path}', 'LineAsString', 'line String')"),
            format!("SELECT any(line) FROM url('http://{address}/', 'LineAsString', 'line String')"),
            format!("SELECT any(line) FROM s3('http://{address}/bucket/a', 'LineAsString', 'line String')"),
            format!("SELECT count() FROM remote('{address}', 'system', 'one')"),
        ];
        // What definitions may hold is refused by ClickHouse, which reads nothing but tables then.
        for (number, sql) in reads[1..].iter().enumerate() {
            let plan = plan(&[&own("own.reads", "all", "string", sql)]);
            let payload = app.payload(&plan, PayloadKind::Full).await;
            assert_eq!(payload.document["own"]["reads"], -1, "{number}");
            let error = payload.metadata[0].error.as_deref().unwrap_or_default();
            assert!(error.contains("readonly mode"), "{sql}: {error}");
        }
        // What would get past that is no definition.
        let lifted = reads.each_ref().map(|sql| format!("{sql} SETTINGS readonly = 0"));
        for sql in lifted.iter().chain([&reads[0], &format!("SELECT file('{path}')")]) {
            let definition = format!("{SHAPE}{}\n", own("own.lifted", "all", "string", sql));
            let file = folder.path().join("lifted.yml");
            std::fs::write(&file, definition).unwrap();
            let errors = Definitions::load(&[file.display().to_string()]).unwrap_err().to_string();
            assert!(errors.contains("options.sql"), "{errors}");
        }
        assert!(listener.accept().is_err(), "nobody was asked anything");
    });
}

#[test]
fn a_slow_definition_costs_its_own_value_only() {
    with_app("ping_slow_sql", |app| async move {
        let definitions = [
            own("own.slow", "all", "number", "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"),
            own("own.quick", "all", "number", "SELECT 7"),
        ];
        let plan = plan(&definitions.each_ref().map(String::as_str));
        let limits = QueryLimits { max_seconds: 1, max_rows_read: 0, ..QueryLimits::default() };
        let warehouse = Warehouse::new(&app.store, &limits, QueryMetrics::register(&Registry::new()));
        let (instance, license) = (InstanceConfig::default(), LicenseConfig::default());
        let context = app.context(&instance, &license);
        let payload = generate(&plan, &context, &warehouse, PayloadKind::Full).await;
        assert_eq!(payload.document["own"], json!({"slow": -1, "quick": 7}));
        let errors: Vec<_> = payload.metadata.iter().filter_map(|metric| metric.error.as_deref()).collect();
        assert!(matches!(errors[..], [error] if error.contains("Code: 159")), "{errors:?}");
    });
}

#[test]
fn settings_flags_and_records_come_from_the_directory() {
    with_app("ping_settings", |app| async move {
        let system = |key_path: &str, kind: &str, class: &str, options: &str| {
            format!(
                "key_path: {key_path}\nvalue_type: {kind}\ndata_source: system\ntime_frame: none\n\
                 instrumentation_class: {class}\noptions: {options}"
            )
        };
        let definitions = [
            system(
                "gravatar_enabled",
                "boolean",
                "GitlabSettingsMetric",
                "{setting_method: gravatar_enabled?}",
            ),
            system("signup_enabled", "boolean", "GitlabSettingsMetric", "{setting_method: allow_signup?}"),
            system("gitpod_enabled", "boolean", "GitlabSettingsMetric", "{setting_method: gitpod_enabled?}"),
            system("instance_feature_flags", "object", "InstanceFeatureFlagsMetric", "{}"),
            system("settings.collected_data_categories", "object", "CollectedDataCategoriesMetric", "{}"),
            system("settings.clickhouse_configured", "boolean", "ClickHouseConfiguredMetric", "{}"),
            database("counts.kubernetes_agents", "all", "number"),
        ];
        let changes = vec![
            Change::Setting { name: "gravatar_enabled".to_owned(), value: json!(true) },
            Change::Setting { name: "signup_enabled".to_owned(), value: json!(false) },
            Change::FeatureFlag { name: "a_flag".to_owned(), enabled: true },
        ];
        let now = NOW.parse().unwrap();
        app.directory.transact(now, |_| Ok::<_, ()>(((), changes.clone()))).await.unwrap();
        let plan = plan(&definitions.each_ref().map(String::as_str));
        let payload = app.payload(&plan, PayloadKind::Full).await;
        let document = Value::from(payload.document);
        let flags = json!([{"name": "a_flag", "status": "on", "type": "ops", "actor_counts": {}}]);
        for (key_path, value) in [
            ("gravatar_enabled", json!(true)),
            ("signup_enabled", json!(false)),
            ("gitpod_enabled", json!(-1)),
            ("instance_feature_flags", flags),
            (
                "settings.collected_data_categories",
                json!(["standard", "subscription", "operational", "optional"]),
            ),
            ("settings.clickhouse_configured", json!(true)),
            ("counts.kubernetes_agents", json!(0)),
        ] {
            assert_eq!(at(&document, key_path), &value, "{key_path}");
        }
    });
}

#[test]
fn prometheus_is_asked_where_there_is_one() {
    with_app("ping_prometheus", |app| async move {
        let answer = |Query(asked): Query<HashMap<String, String>>| async move {
            assert_eq!(asked["time"], "1794997800");
            let result = match asked["query"].as_str() {
                "up" => json!({"resultType": "vector", "result": [{"metric": {}, "value": [1.5, "0.75"]}]}),
                "scalar(up)" => json!({"resultType": "scalar", "result": [1.5, "3"]}),
                _ => json!({"resultType": "vector", "result": []}),
            };
            Json(json!({"status": "success", "data": result}))
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            axum::serve(listener, axum::Router::new().route("/api/v1/query", get(answer))).await
        });
        let metric = |key_path: &str, query: &str| {
            format!(
                "key_path: {key_path}\nvalue_type: number\ndata_source: prometheus\ntime_frame: none\n\
                 options: {{query: \"{query}\"}}"
            )
        };
        let definitions =
            [metric("p.up", "up"), metric("p.scalar", "scalar(up)"), metric("p.nothing", "down")];
        let plan = plan(&definitions.each_ref().map(String::as_str));
        let (instance, license) = (InstanceConfig::default(), LicenseConfig::default());
        let context = app.context(&instance, &license);
        for (url, expected, errors) in [
            (url.as_str(), json!({"up": 0.75, "scalar": 3.0, "nothing": -1}), 1),
            ("", json!({"up": -1, "scalar": -1, "nothing": -1}), 0),
            ("http://127.0.0.1:1", json!({"up": -1, "scalar": -1, "nothing": -1}), 3),
        ] {
            let mut context = context;
            context.prometheus_url = url;
            let payload = generate(&plan, &context, &app.warehouse, PayloadKind::Full).await;
            assert_eq!(payload.document["p"], expected, "{url}");
            let failed = payload.metadata.iter().filter(|metric| metric.error.is_some()).count();
            assert_eq!(failed, errors, "{url}");
        }
        server.abort();
    });
}

#[test]
fn an_explanation_says_where_a_value_comes_from() {
    with_app("ping_explain", |app| async move {
        contribute(&app, &[("created", "Issue", 1, 10, 7, "2026-11-09 10:30:00")]).await;
        app.sql(
            "INSERT INTO counters (day, counter, count) VALUES ('2026-11-09', 'test_created', 8), \
             ('2026-11-10', 'test_closed', 3), ('2026-11-17', 'test_closed', 5)",
        )
        .await;
        let (instance, license) = (InstanceConfig::default(), LicenseConfig::default());
        let context = app.context(&instance, &license);
        let own_plan =
            plan(&[&database("counts.issues", "all", "number"), &database("counts.boards", "all", "number")]);
        let shown = async |plan: &Plan, key_path: &str| {
            let explanation = explain(plan, &context, &app.warehouse, key_path).await.unwrap();
            let lines = explanation.to_string();
            let kept = lines.lines().filter(|line| !line.starts_with("definition:"));
            kept.map(str::trim_end).collect::<Vec<_>>().join("\n")
        };
        let app_plan = crate::app::plan();
        let texts = [
            shown(&app_plan, "counts.created_or_closed_weekly").await,
            shown(&app_plan, "redis_hll_counters.test.users_monthly").await,
            shown(&own_plan, "counts.issues").await,
            shown(&own_plan, "counts.boards").await,
        ];
        insta::assert_snapshot!(texts.join("\n\n"));
        assert_eq!(explain(&own_plan, &context, &app.warehouse, "counts.nothing").await, None);

        let unions = plan(&[&users_of("u.first", ["a", "b"]), &users_of("u.second", ["c", "d"])]);
        for (key_path, counters) in [
            ("u.first", "a.unique(user.id), b.unique(user.id)"),
            ("u.second", "c.unique(user.id), d.unique(user.id)"),
        ] {
            let shown = shown(&unions, key_path).await;
            assert!(shown.contains(&format!("counters:       {counters}\n")), "{shown}");
        }
    });
}
