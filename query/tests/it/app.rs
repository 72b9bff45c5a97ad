//! A query service on the embedded engine, with a database of its own for each test.

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use tally_directory::{Directory, SecretHash};
use tally_query::cube::CubeConfig;
use tally_query::metrics::QueryMetrics;
use tally_query::service_ping::{Consent, Context, Payload, PayloadKind, Plan, generate};
use tally_query::warehouse::Warehouse;
use tally_query::{Deps, InstanceConfig, LicenseConfig, QueryConfig, QueryState, router};
use tally_schemas::Definitions;
use tally_schemas::clickhouse::MIGRATIONS;
use tally_service::api::{Access, with_fallbacks};
use tally_service::clock::FixedClock;
use tally_store::{Migration, Store, StoreConfig};
use tower::ServiceExt;

use crate::engine;

/// Wednesday: the last complete ISO week is 2026-11-09 to 2026-11-15, the last four begin on 2026-10-19.
pub const NOW: &str = "2026-11-18T10:30:00Z";

/// The tokens of the directory below, by name.
pub const ROOT: &str = "glpat-root";
pub const ALICE: &str = "glpat-alice";
pub const ALICE_READ_USER: &str = "glpat-alice-read-user";
pub const BOB: &str = "glpat-bob";

/// What tokens of Cube's own base path are signed with.
pub const API_SECRET: &str = "the secret of Cube's tokens";

const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, admin: true}
  - {id: 7, username: alice, name: Alice A.}
  - {id: 8, username: bob}
tokens:
  - {name: root, user: root, scopes: [api], sha256: "<glpat-root>"}
  - {name: alice, user: alice, scopes: [api], sha256: "<glpat-alice>"}
  - {name: alice-read-user, user: alice, scopes: [read_user], sha256: "<glpat-alice-read-user>"}
  - {name: bob, user: bob, scopes: [read_api], sha256: "<glpat-bob>"}
projects:
  - {id: 42, path: group/shop, namespace_id: 4, visibility: private, members: [{user: alice, access_level: developer}]}
  - {id: 43, path: group/other, namespace_id: 4, visibility: private, members: [{user: bob, access_level: developer}]}
  - {id: 44, path: group/open, namespace_id: 4, visibility: public, members: [{user: bob, access_level: guest}]}
"#;

/// Runs a test on a database of its own. Without the engine the test is left out, unless `TALLY_REQUIRE` is `all`.
pub fn with_app<F: Future<Output = ()>>(name: &str, test: impl FnOnce(TestApp) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be started");
    match engine::url() {
        Ok(url) => runtime.block_on(async { test(TestApp::start(url, name).await).await }),
        Err(why) if std::env::var("TALLY_REQUIRE").is_ok_and(|required| required == "all") => {
            panic!("{name} needs the engine: {why}")
        }
        Err(why) => println!("left out: {name}: {why}"),
    }
}

/// A query service with its tables.
pub struct TestApp {
    pub store: Store,
    pub warehouse: Warehouse,
    pub directory: Arc<Directory>,
    pub state: QueryState,
    router: Router,
}

impl TestApp {
    async fn start(url: &str, name: &str) -> Self {
        let config = StoreConfig { database: format!("query_{name}"), ..StoreConfig::new(url) };
        let store = Store::new(config);
        let migrations: Vec<Migration> = MIGRATIONS
            .iter()
            .map(|(number, name, sql)| Migration {
                number: *number,
                name: (*name).into(),
                sql: (*sql).into(),
            })
            .collect();
        store.migrate(&migrations).await.unwrap();
        Self::serve(store, DIRECTORY, always_fresh())
    }

    /// The same tables before another directory.
    pub fn with_directory(&self, yaml: &str) -> Self {
        Self::serve(self.store.clone(), yaml, always_fresh())
    }

    /// The same tables behind another Cube API, whose tokens are signed with [`API_SECRET`].
    pub fn with_cube(&self, cube: CubeConfig) -> Self {
        Self::serve(self.store.clone(), DIRECTORY, cube)
    }

    fn serve(store: Store, directory: &str, cube: CubeConfig) -> Self {
        let config = QueryConfig {
            external_url: "https://tally.example.com".to_owned(),
            cube: CubeConfig { api_secret: API_SECRET.to_owned(), ..cube },
            ..QueryConfig::default()
        };
        let metrics = QueryMetrics::register(&prometheus::Registry::new());
        let warehouse = Warehouse::new(&store, &config.limits, metrics.clone());
        let access = access(directory);
        let directory = Arc::clone(&access.directory);
        let deps =
            Deps { definitions: Arc::clone(&DEFINITIONS), access, warehouse: warehouse.clone(), metrics };
        let state = QueryState::new(config, deps).unwrap_or_else(|error| panic!("{error}"));
        let router = with_fallbacks(router(state.clone()).0);
        Self { store, warehouse, directory, state, router }
    }

    /// The full payload over the definitions below, as of `NOW`.
    pub async fn ping(&self) -> Value {
        self.payload(&plan(), PayloadKind::Full).await.document.into()
    }

    /// A payload as of `NOW`, of an instance without a licence.
    pub async fn payload(&self, plan: &Plan, kind: PayloadKind) -> Payload {
        let (instance, license) = (InstanceConfig::default(), LicenseConfig::default());
        generate(plan, &self.context(&instance, &license), &self.warehouse, kind).await
    }

    /// What a payload as of `NOW` depends on.
    pub fn context<'a>(&'a self, instance: &'a InstanceConfig, license: &'a LicenseConfig) -> Context<'a> {
        Context {
            instance,
            license,
            prometheus_url: "",
            directory: &self.directory,
            consent: Consent::default(),
            recorded_at: NOW.parse().expect("a timestamp"),
        }
    }

    /// Runs a statement as it stands.
    pub async fn sql(&self, sql: &str) {
        self.store
            .client()
            .query_raw(sql)
            .execute()
            .await
            .unwrap_or_else(|error| panic!("{sql:.300}: {error:.300}"));
    }

    pub async fn get(&self, path: &str, token: &str) -> Answer {
        self.send(Request::get(path), token, Body::empty()).await
    }

    pub async fn post(&self, path: &str, token: &str, body: &Value) -> Answer {
        self.send(
            Request::post(path).header("content-type", "application/json"),
            token,
            body.to_string().into(),
        )
        .await
    }

    pub async fn send(&self, request: http::request::Builder, token: &str, body: Body) -> Answer {
        let request = if token.is_empty() { request } else { request.header("PRIVATE-TOKEN", token) };
        let response = self
            .router
            .clone()
            .oneshot(request.body(body).expect("the request is sound"))
            .await
            .expect("a router always answers");
        let (status, headers) = (response.status(), response.headers().clone());
        let text = to_bytes(response.into_body(), 64 << 20).await.expect("the body ends");
        Answer { status, headers, text: String::from_utf8(text.to_vec()).expect("answers are text") }
    }
}

/// A response.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON, of a response that must be 200.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        self.any_json()
    }

    pub fn any_json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }
}

/// Rows that a test inserts between two requests are seen at once.
fn always_fresh() -> CubeConfig {
    CubeConfig { freshness_ms: 0, ..CubeConfig::default() }
}

/// A token of Cube's own base path, as GitLab makes them.
pub fn cube_token(project: i64) -> String {
    signed(&serde_json::json!({"appId": format!("gitlab_project_{project}")}))
}

/// A token of Cube's own base path with these claims.
pub fn signed(claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(API_SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).expect("claims are JSON")
}

/// The directory of a YAML text in which `<token>` stands for a token's hash.
fn access(yaml: &str) -> Access {
    let mut pieces = yaml.split("\"<");
    let mut hashed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (token, rest) = piece.split_once(">\"").expect("a token's name ends with >");
        hashed.extend(["\"", &SecretHash::of(token).to_hex(), "\"", rest]);
    }
    let now: Timestamp = NOW.parse().expect("a timestamp");
    Access {
        directory: Arc::new(Directory::from_yaml(&hashed, "directory.yml").expect("the directory is sound")),
        clock: Arc::new(FixedClock(now)),
    }
}

static DEFINITIONS: LazyLock<Arc<Definitions>> = LazyLock::new(|| Arc::new(definitions()));

/// What a ping over the definitions below reads.
pub fn plan() -> Plan {
    Plan::new(&DEFINITIONS)
}

/// Two events, and metrics of every kind over them.
fn definitions() -> Definitions {
    let folder = tempfile::Builder::new().prefix("definitions").tempdir().expect("a temporary folder");
    for (name, event) in [("created", "test_created"), ("closed", "test_closed")] {
        write(&folder, &format!("events/{name}.yml"), &EVENT.replace("<action>", event));
    }
    for (number, fields) in METRICS.iter().enumerate() {
        write(&folder, &format!("metrics/{number}.yml"), &format!("{METRIC}{fields}"));
    }
    let paths = ["events", "metrics"].map(|name| folder.path().join(name).display().to_string());
    Definitions::load(&paths).unwrap_or_else(|errors| panic!("{errors}"))
}

fn write(folder: &tempfile::TempDir, name: &str, text: &str) {
    let path = folder.path().join(name);
    std::fs::create_dir_all(path.parent().expect("files stand in folders")).expect("the folder can be made");
    std::fs::write(path, text).expect("the file can be written");
}

const EVENT: &str = "
description: Something happened
internal_events: true
action: <action>
identifiers: [project, namespace, user]
additional_properties:
  label: {description: A label}
  value: {description: A number}
product_group: analytics_instrumentation
milestone: '17.6'
introduced_by_url: https://example.com/1
tiers: [free, premium, ultimate]
";

const METRIC: &str = "
description: A number
product_group: analytics_instrumentation
milestone: '17.6'
introduced_by_url: https://example.com/1
tiers: [free, premium, ultimate]
data_category: optional
performance_indicator_type: []
";

const METRICS: [&str; 9] = [
    "
key_path: counts.created_or_closed
value_type: number
status: active
data_source: internal_events
time_frame: [7d, 28d, all]
events: [{name: test_created}, {name: test_closed}]
",
    "
key_path: counts.created_red_7d
value_type: number
status: broken
repair_issue_url: https://example.com/2
data_source: internal_events
time_frame: 7d
events: [{name: test_created, filter: {label: red}}]
",
    "
key_path: sums.minutes
value_type: number
status: active
data_source: internal_events
time_frame: [7d, 28d, all]
events: [{name: test_created, operator: sum(value)}]
",
    "
key_path: redis_hll_counters.test.creators
value_type: number
status: active
data_source: internal_events
time_frame: [7d, 28d]
events: [{name: test_created, unique: user.id}]
",
    "
key_path: redis_hll_counters.test.users
value_type: number
status: active
data_source: internal_events
time_frame: [7d, 28d]
events: [{name: test_created, unique: user.id}, {name: test_closed, unique: user.id}]
",
    "
key_path: counts.by_label
value_type: object
value_json_schema: schema.json
status: active
data_source: internal_events
time_frame: [7d, all]
events: [{name: test_created, unique: label, operator: total}]
",
    "
key_path: counts.never_happened
value_type: number
status: active
data_source: internal_events
time_frame: all
events: [{name: test_closed, filter: {label: never}}]
",
    "
key_path: counts.removed
value_type: number
status: removed
removed_by_url: https://example.com/3
milestone_removed: '17.7'
data_source: internal_events
time_frame: all
events: [{name: test_created}]
",
    "
key_path: counts.rows
value_type: number
status: active
data_source: database
instrumentation_class: CountRowsMetric
time_frame: all
",
];
