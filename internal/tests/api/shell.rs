//! What gitlab-shell calls: the Internal API over a directory in memory and a real embedded log whose answers can be made
//! to fail, with the clock held still.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use prometheus::Registry;
use serde_json::Value;
use tally_directory::{Change, Directory, KeyUsage, SecretHash, SshKey};
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_internal::{Dependencies, GitalyConfig, InternalConfig, InternalState};
use tally_schemas::{Contribution, ContributionIds, Definitions, Framing, Framings, Matcher, topics};
use tally_service::api::with_fallbacks;
use tally_service::clock::Clock;
use tally_service::randomness::ThreadRandomness;
use tower::ServiceExt;

use crate::documented::assert_documented;
use crate::world::{Answer, NOW};

/// The secret shared with gitlab-shell.
pub const SECRET: &str = "shell's secret";

/// Who and what there is. `<…>` stands for the hash of a text, `[[…]]` for its Base64.
const DIRECTORY: &str = r#"
users:
  - {id: 1, username: root, name: Root, admin: true}
  - {id: 2, username: alice, name: Alice A}
  - {id: 3, username: guest}
  - {id: 4, username: dev}
  - {id: 5, username: maint}
  - {id: 6, username: stranger}
  - {id: 7, username: blocked, state: blocked}
  - {id: 8, username: gone, state: deactivated}
  - {id: 9, username: outside, external: true}
  - {id: 10, username: mfa, two_factor: true, recovery_codes: ["<old code>"]}
namespaces:
  - {id: 20, path: group}
  - {id: 21, path: closed, ip_ranges: ["10.0.0.0/8", "2001:db8::/32"]}
  - {id: 22, path: closed/sub, parent_id: 21, members: [{user: dev, access_level: developer}]}
  - {id: 23, path: alice, kind: user}
  - {id: 24, path: team, members: [{user: dev, access_level: developer}, {user: guest, access_level: reporter}]}
projects:
  - id: 3
    path: group/private
    namespace_id: 20
    protected_refs: [main, "release/*", "refs/tags/v*"]
    members:
      - {user: guest, access_level: guest}
      - {user: dev, access_level: developer}
      - {user: maint, access_level: maintainer}
      - {user: blocked, access_level: owner}
      - {user: gone, access_level: owner}
      - {user: stranger, access_level: owner, expires_at: 2026-03-01}
  - {id: 4, path: group/public, namespace_id: 20, visibility: public}
  - {id: 5, path: group/internal, namespace_id: 20, visibility: internal}
  - {id: 6, path: group/archived, namespace_id: 20, archived: true, members: [{user: maint, access_level: maintainer}]}
  - {id: 7, path: closed/sub/project, namespace_id: 22}
  - {id: 8, path: group/no-lfs, namespace_id: 20, visibility: public, lfs_enabled: false}
  - id: 9
    path: group/no-code
    namespace_id: 20
    visibility: public
    features: {repository: disabled, wiki: disabled, merge_requests: disabled}
    members: [{user: maint, access_level: maintainer}]
  - {id: 10, path: alice/lost, namespace_id: 23}
  - id: 11
    path: group/members-code
    namespace_id: 20
    visibility: public
    features: {repository: private}
    members: [{user: guest, access_level: guest}]
keys:
  - {id: 1, user: alice, title: "alice's key", key: "ssh-ed25519 [[alice]]", usage_type: auth, created_at: 2026-01-02T03:04:05Z}
  - {id: 2, title: reading, key: "ssh-ed25519 [[reading]]", deploy: true, deploy_projects: [{project_id: 3}], created_at: 2026-01-02T03:04:05Z}
  - {id: 3, user: maint, title: writing, key: "ssh-ed25519 [[writing]]", deploy: true, deploy_projects: [{project_id: 3, can_push: true}]}
  - {id: 4, user: alice, title: off, key: "ssh-ed25519 [[off]]", active: false}
  - {id: 5, user: dev, title: expired, key: "ssh-ed25519 [[expired]]", expires_at: 2026-03-01T12:00:00Z}
  - {id: 6, user: alice, title: signing, key: "ssh-ed25519 [[signing]]", usage_type: signing}
  - {id: 7, user: blocked, title: blocked, key: "ssh-ed25519 [[blocked]]"}
  - {id: 8, user: dev, title: dev, key: "ssh-ed25519 [[dev]]", expires_at: 2026-03-01T12:00:01Z, last_used_at: 2026-02-01T00:00:00Z}
  - {id: 9, user: mfa, title: mfa, key: "ssh-ed25519 [[mfa]]"}
  - {id: 10, user: gone, title: gone, key: "ssh-ed25519 [[gone]]"}
tokens:
  - {name: taken, user: alice, scopes: [api], sha256: "<glpat-taken>"}
"#;

/// How the log fails.
#[derive(Clone)]
pub enum Fault {
    /// Every record is refused, and so is the check.
    Refuse(AppendError),
    /// Nothing ever returns.
    Hang,
    /// Whoever asks breaks.
    Break,
}

/// A real log whose answers can be made to fail.
pub struct FaultyLog {
    inner: EmbeddedLog,
    taken: Mutex<Vec<(String, Record)>>,
    fault: Mutex<Option<Fault>>,
}

#[async_trait]
impl EventLog for FaultyLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.inner.ensure_topic(spec).await
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        let fault = self.fault.lock().clone();
        match fault {
            None => {}
            Some(Fault::Refuse(error)) => return vec![Err(error); records.len()],
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Break) => panic!("the test breaks whoever appends"),
        }
        let results = self.inner.append(topic, records.clone()).await;
        self.taken.lock().extend(records.into_iter().map(|record| (topic.to_owned(), record)));
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
        let fault = self.fault.lock().clone();
        match fault {
            Some(Fault::Refuse(_)) => Err(LogError::UnknownTopic("the test refuses".to_owned())),
            _ => self.inner.check().await,
        }
    }
}

struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// The service under test.
pub struct Shell {
    pub directory: Arc<Directory>,
    log: Arc<FaultyLog>,
    clock: Arc<TestClock>,
    document: Value,
    router: Router,
    folder: tempfile::TempDir,
}

impl Shell {
    pub async fn start() -> Self {
        Self::configured(|_| {}).await
    }

    pub async fn configured(change: impl FnOnce(&mut InternalConfig)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret_file = folder.path().join("shared");
        std::fs::write(&secret_file, format!("{SECRET}\n")).unwrap();
        let mut config = InternalConfig {
            shared_secret_file: secret_file,
            external_url: "https://tally.example.com/".to_owned(),
            version: "18.1.0".to_owned(),
            revision: "abc123".to_owned(),
            gitaly: GitalyConfig { address: "tcp://gitaly:8075".to_owned(), ..GitalyConfig::default() },
            ..InternalConfig::default()
        };
        change(&mut config);
        let directory = Arc::new(Directory::from_yaml(&directory_yaml(), "directory.yml").unwrap());
        add_orphan(&directory).await;
        let log = Arc::new(log(folder.path().join("log")).await);
        let clock = Arc::new(TestClock(Mutex::new(NOW.parse().unwrap())));
        let dependencies = Dependencies {
            directory: Arc::clone(&directory),
            log: Arc::clone(&log) as Arc<dyn EventLog>,
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            randomness: Arc::new(ThreadRandomness),
            definitions: Arc::new(Matcher::new(&Definitions::built_in())),
            framings: Framings::default(),
            contribution_ids: Arc::new(ContributionIds::new(0)),
            registry: Registry::new(),
        };
        let (router, document) = tally_internal::router(InternalState::new(config, dependencies).unwrap());
        let document = serde_json::to_value(document).unwrap();
        Self { directory, log, clock, document, router: with_fallbacks(router), folder }
    }

    /// Replaces the secrets in the file.
    pub fn write_secrets(&self, secrets: &str) {
        std::fs::write(self.folder.path().join("shared"), secrets).unwrap();
    }

    /// Lets time pass.
    pub fn pass(&self, duration: SignedDuration) {
        *self.clock.0.lock() += duration;
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn fail(&self, fault: Option<Fault>) {
        *self.log.fault.lock() = fault;
    }

    /// The contributions that the log has.
    pub fn contributions(&self) -> Vec<Contribution> {
        let taken = self.log.taken.lock();
        let records = taken.iter().filter(|(topic, _)| topic == topics::CONTRIBUTIONS);
        records
            .map(|(_, record)| Contribution::decode_framed(Framing::SingleObject, &record.value).unwrap())
            .collect()
    }

    /// A call below `/internal/` as it is.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Answer {
        let path = format!("/internal/{path}");
        let mut request = Request::builder().method(method).uri(format!("/api/v4{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
        assert_documented(&self.document, method, &path, &parts, &text);
        Answer { status: parts.status, headers: parts.headers, text }
    }

    /// POSTs JSON as gitlab-shell does.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let secret = STANDARD.encode(SECRET);
        let headers = [("Gitlab-Shared-Secret", secret.as_str()), ("Content-Type", "application/json")];
        self.send("POST", path, &headers, body.to_string()).await.parts()
    }

    /// The same as a part of what the correlation id names.
    pub async fn post_for(&self, correlation_id: &str, path: &str, body: &Value) -> (u16, Value) {
        let secret = STANDARD.encode(SECRET);
        let headers = [
            ("Gitlab-Shared-Secret", secret.as_str()),
            ("Content-Type", "application/json"),
            ("X-Request-ID", correlation_id),
        ];
        self.send("POST", path, &headers, body.to_string()).await.parts()
    }

    /// The keys of the records of contributions that the log has.
    pub fn contribution_keys(&self) -> Vec<Option<Vec<u8>>> {
        let taken = self.log.taken.lock();
        let records = taken.iter().filter(|(topic, _)| topic == topics::CONTRIBUTIONS);
        records.map(|(_, record)| record.key.as_ref().map(|key| key.to_vec())).collect()
    }

    /// The same with a form.
    pub async fn post_form(&self, path: &str, body: &str) -> (u16, Value) {
        let secret = STANDARD.encode(SECRET);
        let form = "application/x-www-form-urlencoded";
        let headers = [("Gitlab-Shared-Secret", secret.as_str()), ("Content-Type", form)];
        self.send("POST", path, &headers, body.to_owned()).await.parts()
    }

    /// GETs as gitlab-shell does.
    pub async fn get(&self, path: &str) -> (u16, Value) {
        let secret = STANDARD.encode(SECRET);
        self.send("GET", path, &[("Gitlab-Shared-Secret", secret.as_str())], Body::empty()).await.parts()
    }

    /// Waits until the directory is as wanted.
    pub async fn wait_until(&self, is_wanted: impl Fn(&tally_directory::State) -> bool) {
        let wanted = async {
            while !is_wanted(&self.directory.read()) {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(10), wanted)
            .await
            .expect("the directory changes");
    }
}

async fn log(folder: PathBuf) -> FaultyLog {
    let log = FaultyLog {
        inner: EmbeddedLog::open(EmbeddedConfig::new(folder)).unwrap(),
        taken: Mutex::default(),
        fault: Mutex::default(),
    };
    let spec = TopicSpec {
        name: topics::CONTRIBUTIONS.to_owned(),
        partitions: 2,
        retention: None,
        compacted: false,
        max_record_bytes: 1 << 20,
    };
    log.ensure_topic(&spec).await.unwrap();
    log
}

/// Key 11, whose user is gone: no file could say so.
async fn add_orphan(directory: &Directory) {
    let key = format!("ssh-ed25519 {}", key_body("orphan"));
    let orphan = SshKey {
        id: 11,
        user_id: Some(99),
        title: "orphan".to_owned(),
        fingerprint_sha256: SshKey::fingerprint(&key).unwrap(),
        key,
        usage_type: KeyUsage::Auth,
        expires_at: None,
        created_at: NOW.parse().unwrap(),
        last_used_at: None,
        deploy: false,
        deploy_projects: Vec::new(),
        active: true,
    };
    let added =
        directory.transact(orphan.created_at, |_| Ok::<_, ()>(((), vec![Change::Key(orphan.clone())])));
    added.await.unwrap();
}

/// The body of the key with this name, in Base64.
pub fn key_body(name: &str) -> String {
    STANDARD.encode(format!("the key called {name}"))
}

fn directory_yaml() -> String {
    let hashed = replace(DIRECTORY, ("\"<", ">\""), |text| format!("{:?}", SecretHash::of(text).to_hex()));
    replace(&hashed, ("[[", "]]"), key_body)
}

fn replace(text: &str, (open, close): (&str, &str), with: impl Fn(&str) -> String) -> String {
    let mut replaced = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(open) {
        let (inner, after) = after.split_once(close).unwrap();
        replaced += before;
        replaced += &with(inner);
        rest = after;
    }
    replaced + rest
}
