//! The Internal API over a small directory in memory and a log that keeps what it is given, with the clock held still.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use prometheus::Registry;
use serde_json::{Value, json};
use tally_directory::{Directory, SecretHash};
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_internal::{Dependencies, InternalConfig, InternalState};
use tally_schemas::{
    ContributionIds, DeadLetter, Definitions, Framing, Framings, Matcher, TrackedEvent, topics,
};
use tally_service::api::{Access, Budget, Guard, GuardConfig, with_fallbacks};
use tally_service::clock::Clock;
use tally_service::randomness::ThreadRandomness;
use tower::ServiceExt;

use crate::documented::assert_documented;

/// Where the clock stands.
pub const NOW: &str = "2026-03-01T12:00:00Z";

pub const ROOT: &str = "glpat-root";
pub const ALICE: &str = "glpat-alice";
pub const AGENT: &str = "agent-token-of-production";

/// The agent server's secret, and the one before it.
pub const KAS_SECRET: &str = "the agent server's secret";
pub const OLD_KAS_SECRET: &str = "what it was before";

const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, admin: true}
  - {id: 2, username: alice}
  - {id: 3, username: bob}
  - {id: 4, username: carol}
tokens:
  - {name: root, user: root, scopes: [api], sha256: "<glpat-root>"}
  - {name: reader, user: root, scopes: [read_api], sha256: "<glpat-root-reader>"}
  - {name: user-reader, user: root, scopes: [read_user], sha256: "<glpat-root-user-reader>"}
  - {name: alice, user: alice, scopes: [api], sha256: "<glpat-alice>"}
namespaces:
  - {id: 10, path: group, members: [{user: alice, access_level: owner}, {user: bob, access_level: developer}]}
  - {id: 11, path: group/sub, parent_id: 10, members: [{user: bob, access_level: guest}, {user: carol, access_level: guest}]}
  - {id: 12, path: other}
  - {id: 13, path: alice, kind: user}
projects:
  - {id: 100, path: group/clusters, namespace_id: 10, default_branch: trunk}
  - {id: 101, path: group/sub/open, namespace_id: 11, visibility: public, members: [{user: root, access_level: guest}]}
  - {id: 102, path: group/inside, namespace_id: 10, visibility: internal}
  - {id: 103, path: group/no-code, namespace_id: 10, visibility: public, features: {repository: private}}
agents:
  - {id: 7, name: production, project_id: 100, token_hashes: ["<agent-token-of-production>"]}
  - {id: 8, name: staging, project_id: 101, token_hashes: ["<agent-token-of-staging>"]}
"#;

/// Keeps what it is given, or refuses it.
#[derive(Default)]
pub struct KeepingLog {
    taken: Mutex<Vec<(String, Record)>>,
    refusal: Mutex<Option<AppendError>>,
}

#[async_trait]
impl EventLog for KeepingLog {
    async fn ensure_topic(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        if let Some(refusal) = self.refusal.lock().clone() {
            return vec![Err(refusal); records.len()];
        }
        let mut taken = self.taken.lock();
        let append = |record| {
            taken.push((topic.to_owned(), record));
            Ok(Appended { partition: 0, offset: taken.len() as u64 - 1 })
        };
        records.into_iter().map(append).collect()
    }

    async fn watermarks(&self, _: &str) -> Result<Vec<Watermarks>, LogError> {
        Ok(Vec::new())
    }

    async fn join(&self, topic: &str, _: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        Err(LogError::UnknownTopic(topic.to_owned()))
    }

    async fn tail(&self, topic: &str, _: u32, _: u64) -> Result<Box<dyn TailReader>, LogError> {
        Err(LogError::UnknownTopic(topic.to_owned()))
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// A clock that tests move.
pub struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// The service under test.
pub struct World {
    pub directory: Arc<Directory>,
    pub log: Arc<KeepingLog>,
    state: InternalState,
    pub registry: Registry,
    /// The OpenAPI document, as JSON.
    document: Value,
    clock: Arc<TestClock>,
    router: Router,
    folder: tempfile::TempDir,
}

/// An answer, its body read.
#[derive(Debug, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    /// The status and the body; a body that isn't JSON is a text.
    pub fn parts(&self) -> (u16, Value) {
        let body = serde_json::from_str(&self.text).unwrap_or_else(|_| Value::String(self.text.clone()));
        (self.status.as_u16(), body)
    }
}

impl World {
    pub fn new() -> Self {
        Self::with_definitions(&Definitions::built_in())
    }

    pub fn with_definitions(definitions: &Definitions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = |name: &str, secrets: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::write(&path, secrets).unwrap();
            path
        };
        let config = InternalConfig {
            shared_secret_file: secret("shared", "shell's secret\n"),
            kas_secret_file: secret("kas", &format!("{KAS_SECRET}\n{OLD_KAS_SECRET}\n")),
            ..InternalConfig::default()
        };
        let directory = Arc::new(directory());
        let log = Arc::new(KeepingLog::default());
        let clock = Arc::new(TestClock(Mutex::new(NOW.parse().unwrap())));
        let registry = Registry::new();
        let dependencies = Dependencies {
            directory: Arc::clone(&directory),
            log: Arc::clone(&log) as Arc<dyn EventLog>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            randomness: Arc::new(ThreadRandomness),
            definitions: Arc::new(Matcher::new(definitions)),
            framings: Framings::default(),
            contribution_ids: Arc::new(ContributionIds::new(0)),
            registry: registry.clone(),
        };
        let access =
            Access { directory: Arc::clone(&directory), clock: Arc::clone(&clock) as Arc<dyn Clock> };
        let guard = Guard::new(access, GuardConfig::default(), &registry).unwrap();
        let state = InternalState::new(config, dependencies).unwrap();
        let (router, document) = tally_internal::router(state.clone());
        // As a process serves it.
        let router = guard.protect(Budget::Unlimited, router);
        let document = serde_json::to_value(document).unwrap();
        Self { directory, log, state, registry, document, clock, router: with_fallbacks(router), folder }
    }

    /// Replaces the agent server's secrets.
    pub fn rotate_kas_secret(&self, secrets: &str) {
        std::fs::write(self.folder.path().join("kas"), secrets).unwrap();
    }

    /// Lets time pass.
    pub fn pass(&self, seconds: i64) {
        let mut now = self.clock.0.lock();
        *now += jiff::SignedDuration::from_secs(seconds);
    }

    /// From now on the log refuses records in this way.
    pub fn refuse(&self, refusal: Option<AppendError>) {
        *self.log.refusal.lock() = refusal;
    }

    /// The tracked events that the log has.
    pub fn events(&self) -> Vec<TrackedEvent<'static>> {
        let taken = self.log.taken.lock();
        let events = taken.iter().filter(|(topic, _)| topic == topics::EVENTS);
        events.map(|(_, record)| TrackedEvent::decode(&record.value).unwrap().into_owned()).collect()
    }

    /// The dead letters that the log has, once all are there.
    pub async fn dead_letters(&self) -> Vec<DeadLetter> {
        self.state.letters_settled().await;
        let taken = self.log.taken.lock();
        let letters = taken.iter().filter(|(topic, _)| topic == topics::DEAD_LETTERS);
        letters
            .map(|(_, record)| DeadLetter::decode_framed(Framing::default(), &record.value).unwrap())
            .collect()
    }

    /// A call with a JSON body, or none.
    pub async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let Some(body) = body else { return self.send(method, path, headers, Vec::new()).await };
        let headers = [headers, &[("content-type", "application/json")]].concat();
        self.send(method, path, &headers, body.to_string().into_bytes()).await
    }

    /// A call whose headers say what its body is.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("/api/v4{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        assert_documented(&self.document, method, path, &parts, &text);
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// The same with the administrator's token.
    pub async fn administer(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.call(method, path, &[("PRIVATE-TOKEN", ROOT)], Some(&body)).await.parts()
    }

    /// The same by the agent server, and with the agent's token.
    pub async fn call_for_agent(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let (signed, bearer) = (kas_token(), format!("Bearer {AGENT}"));
        let headers = [("Gitlab-Kas-Api-Request", signed.as_str()), ("Authorization", bearer.as_str())];
        self.call(method, path, &headers, body).await
    }
}

/// What the agent server shows now.
pub fn kas_token() -> String {
    let now = NOW.parse::<Timestamp>().unwrap().as_second();
    let claims = json!({"iss": "gitlab-kas", "aud": "gitlab", "iat": now, "nbf": now - 5, "exp": now + 5});
    sign(KAS_SECRET, Algorithm::HS256, &claims)
}

pub fn sign(secret: impl AsRef<[u8]>, algorithm: Algorithm, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_ref());
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
}

/// Replaces each secret's text, which stands where its hash belongs.
fn directory() -> Directory {
    let mut yaml = String::new();
    let mut rest = DIRECTORY;
    while let Some((before, after)) = rest.split_once("\"<") {
        let (secret, after) = after.split_once(">\"").unwrap();
        yaml += &[before, "\"", &SecretHash::of(secret).to_hex(), "\""].concat();
        rest = after;
    }
    yaml += rest;
    Directory::from_yaml(&yaml, "directory.yml").unwrap()
}
