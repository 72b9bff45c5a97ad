//! The endpoints over a ping in memory, with a clock that the test moves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, request::Builder};
use jiff::{SignedDuration, Timestamp};
use prometheus::Registry;
use serde_json::{Map, Value, json};
use tally_directory::{Directory, SecretHash};
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_ping::http::{HttpState, router};
use tally_ping::{
    Answer as ReceiversAnswer, Generator, MemoryStorage, Outgoing, Parts, PayloadKind, Ping, PingConfig,
    SendError, Transport,
};
use tally_query::InstanceConfig;
use tally_query::service_ping::{Consent, MetricMetadata, Payload};
use tally_schemas::{Framings, TrackedEvent, topics};
use tally_service::api::{Access, Budget, Guard, GuardConfig, with_fallbacks};
use tally_service::clock::Clock;
use tally_service::randomness::Randomness;
use tower::ServiceExt as _;

/// Where the clock stands at first.
pub const NOW: &str = "2026-11-18T10:30:00Z";

/// The administrator's token.
pub const ROOT: &str = "glpat-root";

const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice}
tokens:
  - {name: root, user: root, scopes: [api], sha256: "<glpat-root>"}
  - {name: reader, user: root, scopes: [read_api], sha256: "<glpat-root-read-api>"}
  - {name: ping, user: root, scopes: [read_service_ping], sha256: "<glpat-root-read-service-ping>"}
  - {name: ai, user: root, scopes: [ai_workflows], sha256: "<glpat-root-ai>"}
  - {name: expired, user: root, scopes: [api], expires_at: 2026-11-18, sha256: "<glpat-expired>"}
  - {name: revoked, user: root, scopes: [api], revoked: true, sha256: "<glpat-revoked>"}
  - {name: alice, user: alice, scopes: [api, read_api, read_service_ping], sha256: "<glpat-alice>"}
"#;

/// The ping and the router in front of it.
pub struct App {
    pub ping: Ping,
    parts: Fakes,
    router: Router,
    _folder: tempfile::TempDir,
}

/// What the test looks at and turns.
#[derive(Clone)]
struct Fakes {
    clock: Arc<MovableClock>,
    generator: Arc<CountingGenerator>,
    receiver: Arc<Receiver>,
    log: Arc<BreakableLog>,
}

struct MovableClock(AtomicI64);

impl Clock for MovableClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.0.load(Ordering::Relaxed)).unwrap()
    }
}

/// Payloads that name their kind and their number.
struct CountingGenerator {
    full: AtomicU64,
}

#[async_trait]
impl Generator for CountingGenerator {
    async fn generate(&self, kind: PayloadKind, recorded_at: Timestamp, _consent: Consent) -> Payload {
        // Others get their turn while a payload is made.
        tokio::task::yield_now().await;
        let number = match kind {
            PayloadKind::Full => self.full.fetch_add(1, Ordering::Relaxed) + 1,
            PayloadKind::NonSql | PayloadKind::Queries => 0,
        };
        let document: Map<String, Value> = [
            ("recorded_at".to_owned(), json!(recorded_at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string())),
            ("counts".to_owned(), json!({"kind": kind.as_str(), "number": number, "share": 0.10})),
            ("licensee".to_owned(), json!({"Name": "</pre><script>alert('&')</script>"})),
        ]
        .into_iter()
        .collect();
        let metadata =
            vec![MetricMetadata { name: "counts.number".to_owned(), time_elapsed: 0.1, error: None }];
        Payload { document, metadata, queries: 0 }
    }

    async fn explain(&self, _key_path: &str, _recorded_at: Timestamp, _consent: Consent) -> Option<String> {
        None
    }
}

/// Takes payloads, or not, and answers the version check.
#[derive(Default)]
struct Receiver {
    severity: Mutex<Option<&'static str>>,
    is_away: AtomicBool,
    requests: Mutex<Vec<Outgoing>>,
}

#[async_trait]
impl Transport for Receiver {
    async fn send(&self, request: Outgoing) -> Result<ReceiversAnswer, SendError> {
        self.requests.lock().unwrap().push(request.clone());
        if self.is_away.load(Ordering::Relaxed) {
            return Err(SendError::Unreachable("connection <refused>".to_owned()));
        }
        let severity = self.severity.lock().unwrap().unwrap_or("success");
        let body = if request.url.contains("/check.json") {
            json!({
                "latest_stable_versions": ["18.9.1"], "latest_version": "18.9.1", "severity": severity,
                "critical_vulnerability": false, "details": "see <the notes>",
            })
        } else {
            json!({"conv_index": {"usage_data_id": 41}, "dev_ops_score": score()})
        };
        Ok(ReceiversAnswer { status: 201, body: body.to_string().into() })
    }
}

fn score() -> Value {
    let features = [("issues", 10.0, 2.5, 25.0), ("ci_pipelines", 4.0, 4.0, 100.0)];
    let mut score = BTreeMap::from([("usage_data_id".to_owned(), json!(41))]);
    for (feature, leader, instance, percentage) in features {
        score.insert(format!("leader_{feature}"), json!(leader));
        score.insert(format!("instance_{feature}"), json!(instance));
        score.insert(format!("percentage_{feature}"), json!(percentage));
    }
    json!(score)
}

/// A log that remembers what it took, and can be made to hold back its answers' good part.
struct BreakableLog {
    inner: EmbeddedLog,
    taken: Mutex<Vec<Record>>,
    is_broken: AtomicBool,
}

#[async_trait]
impl EventLog for BreakableLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.inner.ensure_topic(spec).await
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        if self.is_broken.load(Ordering::Relaxed) {
            return records.iter().map(|_| Err(AppendError::Unavailable("broken".to_owned()))).collect();
        }
        self.taken.lock().unwrap().extend(records.iter().cloned());
        self.inner.append(topic, records).await
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, LogError> {
        self.inner.watermarks(topic).await
    }

    async fn join(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.inner.join(group, topic).await
    }

    async fn tail(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        self.inner.tail(topic, partition, from).await
    }

    async fn check(&self) -> Result<(), LogError> {
        self.inner.check().await
    }
}

/// Counts up, so that ids are distinct.
struct Counting(AtomicU64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        for (byte, digit) in bytes.iter_mut().rev().zip(number.iter().rev()) {
            *byte = *digit;
        }
    }
}

/// An answer, its body read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// A request without a token.
pub fn request(method: &str, path: &str) -> Builder {
    Request::builder().method(method).uri(path)
}

impl App {
    pub async fn start() -> Self {
        Self::with(
            PingConfig { base_url: "https://version.example.com".to_owned(), ..PingConfig::default() },
            0,
        )
        .await
    }

    /// With a configuration file that forbids sending.
    pub async fn forbidden_by_file() -> Self {
        Self::with(PingConfig { usage_ping_enabled: false, ..PingConfig::default() }, 0).await
    }

    /// Behind a guard that admits so many requests a token and minute.
    pub async fn with_limit(limit: u32) -> Self {
        Self::with(PingConfig::default(), limit).await
    }

    async fn with(config: PingConfig, limit: u32) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = BreakableLog {
            inner: EmbeddedLog::open(EmbeddedConfig::new(folder.path().join("log"))).unwrap(),
            taken: Mutex::default(),
            is_broken: AtomicBool::new(false),
        };
        let spec = TopicSpec {
            name: topics::EVENTS.to_owned(),
            partitions: 1,
            retention: None,
            compacted: false,
            max_record_bytes: 1 << 20,
        };
        log.ensure_topic(&spec).await.unwrap();
        let now: Timestamp = NOW.parse().unwrap();
        let fakes = Fakes {
            clock: Arc::new(MovableClock(AtomicI64::new(now.as_millisecond()))),
            generator: Arc::new(CountingGenerator { full: AtomicU64::new(0) }),
            receiver: Arc::default(),
            log: Arc::new(log),
        };
        let directory = Arc::new(directory());
        let registry = Registry::new();
        let access =
            Access { directory: Arc::clone(&directory), clock: Arc::clone(&fakes.clock) as Arc<dyn Clock> };
        let guard_config = GuardConfig { other_per_token: limit, ..GuardConfig::default() };
        let guard = Guard::new(access, guard_config, &registry).unwrap();
        let parts = Parts {
            generator: Arc::clone(&fakes.generator) as Arc<dyn Generator>,
            storage: Arc::new(MemoryStorage::default()),
            transport: Arc::clone(&fakes.receiver) as Arc<dyn Transport>,
            directory,
            log: Arc::clone(&fakes.log) as Arc<dyn EventLog>,
            framings: Framings::default(),
            clock: Arc::clone(&fakes.clock) as Arc<dyn Clock>,
            randomness: Arc::new(Counting(AtomicU64::new(0))),
            instance: InstanceConfig {
                uuid: "0f7e2d1a-3b4c-4d5e-8f60-718293a4b5c6".to_owned(),
                hostname: "tally.<example>.com".to_owned(),
                ..InstanceConfig::default()
            },
            registry: registry.clone(),
        };
        let ping = Ping::assemble(config, parts).unwrap();
        let state =
            HttpState::new(ping.clone(), tally_service::api::BodyLimits::default(), &registry).unwrap();
        let router = with_fallbacks(guard.protect(Budget::Other, router(state).0));
        Self { ping, parts: fakes, router, _folder: folder }
    }

    pub async fn send(&self, request: Builder, body: impl Into<Body>) -> Answer {
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 64 << 20).await.unwrap();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// Asks with the administrator's token.
    pub async fn get(&self, path: &str) -> Answer {
        self.as_root("GET", path, "").await
    }

    /// Posts JSON with the administrator's token.
    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.as_root("POST", path, body).await
    }

    /// Puts JSON with the administrator's token.
    pub async fn put(&self, path: &str, body: &str) -> Answer {
        self.as_root("PUT", path, body).await
    }

    /// Deletes with the administrator's token.
    pub async fn delete(&self, path: &str) -> Answer {
        self.as_root("DELETE", path, "").await
    }

    async fn as_root(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = request(method, path).header("PRIVATE-TOKEN", ROOT);
        self.send(request.header("Content-Type", "application/json"), body.to_owned()).await
    }

    /// How many full payloads were made.
    pub fn generated(&self) -> u64 {
        self.parts.generator.full.load(Ordering::Relaxed)
    }

    /// The tracked events that the log took.
    pub fn events(&self) -> Vec<TrackedEvent<'static>> {
        let taken = self.parts.log.taken.lock().unwrap();
        taken.iter().map(|record| TrackedEvent::decode(&record.value).unwrap().into_owned()).collect()
    }

    /// From now on the log takes nothing.
    pub fn break_log(&self) {
        self.parts.log.is_broken.store(true, Ordering::Relaxed);
    }

    /// From now on the receiver can't be reached.
    pub fn take_receiver_away(&self) {
        self.parts.receiver.is_away.store(true, Ordering::Relaxed);
    }

    /// What the receiver says about this version from now on.
    pub fn judge_version(&self, severity: &'static str) {
        *self.parts.receiver.severity.lock().unwrap() = Some(severity);
    }

    /// The addresses that the receiver was asked at.
    pub fn asked(&self) -> Vec<String> {
        let requests = self.parts.receiver.requests.lock().unwrap();
        requests.iter().map(|request| request.url.clone()).collect()
    }

    /// What was posted to the receiver at this path.
    pub fn posted(&self, path: &str) -> Vec<String> {
        let requests = self.parts.receiver.requests.lock().unwrap();
        let posts = requests.iter().filter(|request| request.url.ends_with(path));
        posts
            .filter_map(|request| Some(String::from_utf8(request.body.as_ref()?.to_vec()).unwrap()))
            .collect()
    }

    pub fn advance_hours(&self, hours: i64) {
        let by = SignedDuration::from_hours(hours).as_millis() as i64;
        self.parts.clock.0.fetch_add(by, Ordering::Relaxed);
    }
}

/// The directory, in which `<token>` stands for a token's hash.
fn directory() -> Directory {
    let mut pieces = DIRECTORY.split("\"<");
    let mut hashed = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (token, rest) = piece.split_once(">\"").unwrap();
        hashed.extend(["\"", &SecretHash::of(token).to_hex(), "\"", rest]);
    }
    Directory::from_yaml(&hashed, "directory.yml").unwrap()
}
