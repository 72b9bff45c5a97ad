//! A collector on the embedded engine, with a database of its own for each test.

use std::io::Write as _;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use prometheus::Registry;
use serde_json::{Value, json};
use tally_collect::{CollectConfig, Collector, Dependencies, router};
use tally_schemas::clickhouse::MIGRATIONS;
use tally_service::api::with_fallbacks;
use tally_service::clock::FixedClock;
use tally_store::{Migration, Store, StoreConfig};
use tempfile::NamedTempFile;
use tower::ServiceExt;

use crate::engine;

/// The collector's clock.
pub const NOW: &str = "2026-11-21T10:00:00Z";

/// When payloads are recorded unless a test says otherwise.
pub const RECORDED_AT: &str = "2026-11-20T09:08:07.654Z";

const RELEASES: &str = "
- {version: 17.4.3, date: 2024-10-23, security: true}
- {version: 17.4.4, date: 2024-10-30}
- {version: 17.5.1, date: 2024-10-23, security: true}
- {version: 17.5.2, date: 2024-11-05}
";

/// Runs a test on a database of its own. Without the engine the test is left out, unless `TALLY_REQUIRE` is `all`.
pub fn with_app<F: Future<Output = ()>>(name: &str, test: impl FnOnce(TestApp) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match engine::url() {
        Ok(url) => runtime.block_on(async { test(TestApp::start(url, name).await).await }),
        Err(why) if std::env::var("TALLY_REQUIRE").is_ok_and(|required| required == "all") => {
            panic!("{name} needs the engine: {why}")
        }
        Err(why) => println!("left out: {name}: {why}"),
    }
}

/// A collector with its tables.
pub struct TestApp {
    pub store: Store,
    pub collector: Collector,
    pub releases: NamedTempFile,
    router: Router,
}

impl TestApp {
    async fn start(url: &str, name: &str) -> Self {
        let store = Store::new(StoreConfig { database: format!("collect_{name}"), ..StoreConfig::new(url) });
        let migrations = MIGRATIONS.iter().map(|(number, name, sql)| Migration {
            number: *number,
            name: (*name).into(),
            sql: (*sql).into(),
        });
        store.migrate(&migrations.collect::<Vec<_>>()).await.unwrap();
        Self::on(store)
    }

    /// One more collector on the same tables.
    pub fn beside(&self) -> Self {
        Self::on(self.store.clone())
    }

    fn on(store: Store) -> Self {
        let mut releases = NamedTempFile::new().unwrap();
        releases.write_all(RELEASES.as_bytes()).unwrap();
        let mut config =
            CollectConfig { releases_file: releases.path().to_owned(), ..CollectConfig::default() };
        config.body.max_body_bytes = 1 << 20;
        config.body.max_decompressed_bytes = 1 << 20;
        config.max_report_bytes = 1 << 16;
        Self::with_config(store, config, releases)
    }

    fn with_config(store: Store, config: CollectConfig, releases: NamedTempFile) -> Self {
        let dependencies = Dependencies {
            store: store.clone(),
            clock: std::sync::Arc::new(FixedClock(NOW.parse().unwrap())),
            registry: Registry::new(),
        };
        let collector = Collector::new(config, dependencies).unwrap();
        let router = with_fallbacks(router(collector.clone()).0);
        Self { store, collector, releases, router }
    }

    /// A collector whose store does not answer.
    pub fn without_store() -> Self {
        let releases = NamedTempFile::new().unwrap();
        let config = CollectConfig { store_timeout_s: 1, ..CollectConfig::default() };
        Self::with_config(Store::new(StoreConfig::new("http://127.0.0.1:1")), config, releases)
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.send(Request::post(path).header("content-type", "application/json"), body.to_string().into())
            .await
    }

    pub async fn send(&self, request: axum::http::request::Builder, body: Body) -> Answer {
        let response = self.router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 64 << 20).await.unwrap().to_vec();
        Answer { status, headers, bytes }
    }

    /// The rows of a query whose one column is text.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        self.store.client().query_raw(sql).fetch_all().await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }
}

/// A response.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// The body as JSON, of a response with this status.
    pub fn json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        serde_json::from_slice(&self.bytes).unwrap()
    }

    /// The payload's number, of a response that must be 201.
    pub fn usage_data_id(&self) -> u64 {
        self.json(201)["dev_ops_score"]["usage_data_id"].as_u64().unwrap()
    }
}

/// The UUID of an instance by a small number.
pub fn instance(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

/// A payload of an instance with so many active users and these counts.
pub fn payload(number: u64, active_users: i64, counts: &Value) -> Value {
    json!({
        "recorded_at": RECORDED_AT,
        "uuid": instance(number),
        "hostname": format!("gitlab-{number}.example.com"),
        "version": "17.5.2",
        "installation_type": "omnibus-gitlab",
        "edition": "EE Free",
        "active_user_count": active_users,
        "counts": counts,
    })
}
