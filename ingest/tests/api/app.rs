//! An ingest service on a real embedded log in a temporary folder, with the clock held still.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus::Registry;
use prometheus::proto::MetricFamily;
use serde_json::Value;
use tally_directory::{Directory, SecretHash};
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_ingest::{Dependencies, Ingest, IngestConfig};
use tally_schemas::{
    Contribution, ContributionIds, DeadLetter, Definitions, Framing, Framings, Matcher, TrackedEvent, topics,
};
use tally_service::api;
use tally_service::clock::FixedClock;
use tally_service::randomness::Randomness;
use tower::ServiceExt;

/// Where the clock stands.
pub const NOW: &str = "2026-03-01T12:00:00Z";

/// Tokens of the test directory: alice (user 2), root (user 1, administrator), and tokens that don't do.
pub const ALICE: &str = "glpat-alice";
pub const ROOT: &str = "glpat-root";

const TRACK_EVENT: &str = "/api/v4/usage_data/track_event";
const TRACK_EVENTS: &str = "/api/v4/usage_data/track_events";

const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice}
  - {id: 3, username: eve, state: blocked}
tokens:
  - {name: root, user: root, scopes: [api], sha256: "glpat-root"}
  - {name: alice, user: alice, scopes: [api], sha256: "glpat-alice"}
  - {name: ai, user: alice, scopes: [ai_workflows], sha256: "glpat-ai"}
  - {name: reader, user: alice, scopes: [read_api, read_user, read_service_ping], sha256: "glpat-reader"}
  - {name: expired, user: alice, scopes: [api], expires_at: 2026-03-01, sha256: "glpat-expired"}
  - {name: revoked, user: alice, scopes: [api], revoked: true, sha256: "glpat-revoked"}
  - {name: eve, user: eve, scopes: [api], sha256: "glpat-eve"}
projects:
  - {id: 10, path: group/open, namespace_id: 100, visibility: public}
  - {id: 11, path: group/closed, namespace_id: 101}
  - {id: 12, path: group/mine, members: [{user: alice, access_level: developer}]}
"#;

const DEFINITION: &str = "
description: An event that the tests know
action: known
internal_events: true
product_group: tests
milestone: '18.0'
introduced_by_url: https://gitlab.com/gitlab-org/gitlab/-/merge_requests/1
tiers: [free]
identifiers: [user, project, namespace]
additional_properties:
  label:
    description: declared
";

/// The log under test: a real one whose appends can be made to fail.
pub struct TestLog {
    inner: EmbeddedLog,
    /// What the log was given and took, in order, by topic.
    taken: Mutex<Vec<(String, Record)>>,
    fault: Mutex<Option<Fault>>,
}

/// How appends fail.
#[derive(Clone)]
pub enum Fault {
    /// The record with this index in each append fails, the others are taken.
    One(usize, AppendError),
    /// Appends never return.
    Hang,
}

#[async_trait]
impl EventLog for TestLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.inner.ensure_topic(spec).await
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        let fault = self.fault.lock().clone();
        if let Some(Fault::Hang) = fault {
            std::future::pending::<()>().await;
        }
        let mut results = self.inner.append(topic, records.clone()).await;
        if let Some(Fault::One(index, error)) = fault {
            // A dead letter is appended by itself, beside what the fault is for.
            if let Some(result) = results.get_mut(index) {
                *result = Err(error);
            }
        }
        let taken = records.into_iter().zip(&results).filter(|(_, result)| result.is_ok());
        self.taken.lock().extend(taken.map(|(record, _)| (topic.to_owned(), record)));
        results
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

/// Counts up, so that ids are foreseeable and distinct.
struct Counting(AtomicU64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(2) {
            let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            chunk.copy_from_slice(&next[8 - chunk.len()..]);
        }
    }
}

pub struct App {
    pub log: Arc<TestLog>,
    pub registry: Registry,
    pub ingest: Ingest,
    router: Router,
    _folder: tempfile::TempDir,
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
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }
}

impl App {
    pub async fn start() -> Self {
        Self::with(IngestConfig::default(), DIRECTORY).await
    }

    pub async fn configured(change: impl FnOnce(&mut IngestConfig)) -> Self {
        let mut config = IngestConfig::default();
        change(&mut config);
        Self::with(config, DIRECTORY).await
    }

    /// With a directory that does not keep projects.
    pub async fn without_projects() -> Self {
        let (directory, _) = DIRECTORY.split_once("projects:").unwrap();
        Self::with(IngestConfig::default(), directory).await
    }

    async fn with(config: IngestConfig, directory: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = Arc::new(TestLog {
            inner: EmbeddedLog::open(EmbeddedConfig::new(folder.path().join("log"))).unwrap(),
            taken: Mutex::default(),
            fault: Mutex::default(),
        });
        for topic in [topics::EVENTS, topics::CONTRIBUTIONS, topics::DEAD_LETTERS] {
            let spec = TopicSpec {
                name: topic.to_owned(),
                partitions: 2,
                retention: None,
                compacted: false,
                max_record_bytes: 1 << 20,
            };
            log.ensure_topic(&spec).await.unwrap();
        }
        let definition = folder.path().join("known.yml");
        std::fs::write(&definition, DEFINITION).unwrap();
        let definitions = Definitions::load(&[definition.to_str().unwrap()]).unwrap();
        let registry = Registry::new();
        let dependencies = Dependencies {
            log: Arc::clone(&log) as Arc<dyn EventLog>,
            directory: Arc::new(parse_directory(directory)),
            clock: Arc::new(FixedClock(now())),
            randomness: Arc::new(Counting(AtomicU64::new(0))),
            contribution_ids: Arc::new(ContributionIds::new(config.node)),
            definitions: Arc::new(Matcher::new(&definitions)),
            framings: Framings::default(),
            registry: registry.clone(),
        };
        let ingest = Ingest::new(config, dependencies).unwrap();
        let router = api::with_fallbacks(tally_ingest::router(ingest.clone()).0);
        Self { log, registry, ingest, router, _folder: folder }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// POSTs JSON with alice's token.
    pub async fn post(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.post_with(path, &[("PRIVATE-TOKEN", ALICE), ("Content-Type", "application/json")], body).await
    }

    /// POSTs JSON with the administrator's token.
    pub async fn post_as_root(&self, path: &str, body: impl Into<Body>) -> Answer {
        self.post_with(path, &[("PRIVATE-TOKEN", ROOT), ("Content-Type", "application/json")], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
        let mut request = Request::builder().method("POST").uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn track_event(&self, body: impl Into<Body>) -> Answer {
        self.post(TRACK_EVENT, body).await
    }

    pub async fn track_events(&self, body: impl Into<Body>) -> Answer {
        self.post(TRACK_EVENTS, body).await
    }

    /// Shows that the service is unharmed: an ordinary event is taken.
    pub async fn assert_works(&self, after: &str) {
        let before = self.records(topics::EVENTS).len();
        let answer = self.track_event(r#"{"event":"known"}"#).await;
        assert_eq!((answer.status.as_u16(), answer.text.as_str()), (200, "200"), "after {after}");
        assert_eq!(self.records(topics::EVENTS).len(), before + 1, "after {after}");
    }

    pub fn fail(&self, fault: Option<Fault>) {
        *self.log.fault.lock() = fault;
    }

    /// The records the log took, in order.
    pub fn records(&self, topic: &str) -> Vec<Record> {
        let taken = self.log.taken.lock();
        taken.iter().filter(|(of, _)| of == topic).map(|(_, record)| record.clone()).collect()
    }

    /// The events the log took.
    pub fn events(&self) -> Vec<TrackedEvent<'static>> {
        let records = self.records(topics::EVENTS);
        records.iter().map(|record| TrackedEvent::decode(&record.value).unwrap().into_owned()).collect()
    }

    /// The contributions the log took.
    pub fn contributions(&self) -> Vec<Contribution> {
        let records = self.records(topics::CONTRIBUTIONS);
        let decode =
            |record: &Record| Contribution::decode_framed(Framing::SingleObject, &record.value).unwrap();
        records.iter().map(decode).collect()
    }

    /// The dead letters the log took, once all are on it.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.ingest.letters_settled().await;
        let records = self.records(topics::DEAD_LETTERS);
        let decode = |record: &Record| DeadLetter::decode_framed(Framing::default(), &record.value).unwrap();
        records.iter().map(decode).collect()
    }

    /// The value of a counter or gauge, summed over the labels that are not given.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let families = self.registry.gather();
        let metrics =
            families.iter().filter(|family| family.name() == name).flat_map(MetricFamily::get_metric);
        let matching = metrics.filter(|metric| {
            labels.iter().all(|(label, value)| {
                metric.get_label().iter().any(|pair| pair.name() == *label && pair.value() == *value)
            })
        });
        matching
            .map(|metric| (metric.get_counter().get_value() + metric.get_gauge().get_value()) as u64)
            .sum()
    }
}

pub fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// Replaces each token's text, which stands where its hash belongs.
fn parse_directory(yaml: &str) -> Directory {
    let mut hashed = String::new();
    for line in yaml.lines() {
        let line = match line.split_once("sha256: \"") {
            None => line.to_owned(),
            Some((before, token)) => {
                let token = token.trim_end_matches("\"}");
                format!("{before}sha256: \"{}\"}}", SecretHash::of(token).to_hex())
            }
        };
        hashed += &line;
        hashed.push('\n');
    }
    Directory::from_yaml(&hashed, "directory.yml").unwrap()
}
