//! A capture service behind the guard, on a log in memory, with the clock held still.

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
use serde_json::{Value, json};
use tally_capture::{Capture, CaptureConfig, Dependencies};
use tally_directory::Directory;
use tally_eventlog::{
    AppendError, Appended, EventLog, GroupConsumer, LogError, Record, TailReader, TopicSpec, Watermarks,
};
use tally_schemas::{DeadLetter, Framing, Framings, PageEvent, topics};
use tally_service::api::{self, Access, Budget, Guard, GuardConfig};
use tally_service::clock::FixedClock;
use tally_service::http::Peer;
use tally_service::randomness::Randomness;
use tower::ServiceExt;

/// Where the clock stands.
pub const NOW: &str = "2026-11-21T18:30:00Z";

pub const POST: &str = "/com.snowplowanalytics.snowplow/tp2";

/// A tracking key of the configuration, of project 7.
pub const KEY: &str = "site-key";
pub const PROJECT: i64 = 7;

/// Where requests come from.
pub const CLIENT: &str = "203.0.113.77";

const DIRECTORY: &str = r"
projects:
  - {id: 8, path: group/site, product_analytics: {instrumentation_key: directory-key}}
";

/// A log in memory whose appends can be made to fail.
#[derive(Default)]
pub struct TestLog {
    taken: Mutex<Vec<(String, Record)>>,
    pub fault: Mutex<Option<AppendError>>,
    /// The topic whose appends fail; all where it is `None`.
    pub faulty_topic: Mutex<Option<&'static str>>,
}

#[async_trait]
impl EventLog for TestLog {
    async fn ensure_topic(&self, _: &TopicSpec) -> Result<(), LogError> {
        Ok(())
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        let is_faulty = self.faulty_topic.lock().is_none_or(|faulty| faulty == topic);
        let fault = self.fault.lock().clone().filter(|_| is_faulty);
        let append = |record| {
            if let Some(error) = &fault {
                return Err(error.clone());
            }
            self.taken.lock().push((topic.to_owned(), record));
            Ok(Appended { partition: 0, offset: 0 })
        };
        records.into_iter().map(append).collect()
    }

    async fn watermarks(&self, _: &str) -> Result<Vec<Watermarks>, LogError> {
        Ok(Vec::new())
    }

    async fn join(&self, _: &str, _: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        Err(LogError::Unavailable("nobody reads here".to_owned()))
    }

    async fn tail(&self, _: &str, _: u32, _: u64) -> Result<Box<dyn TailReader>, LogError> {
        Err(LogError::Unavailable("nobody reads here".to_owned()))
    }

    async fn check(&self) -> Result<(), LogError> {
        Ok(())
    }
}

/// Counts up, so that ids are distinct.
struct Counting(AtomicU64);

impl Randomness for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        let next = self.0.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        bytes.fill(0);
        bytes[..8].copy_from_slice(&next);
    }
}

pub struct App {
    pub log: Arc<TestLog>,
    pub capture: Capture,
    router: Router,
    registry: Registry,
}

/// An answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The text of a refusal.
    pub fn message(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap();
        body["message"].as_str().or(body["error"].as_str()).unwrap().to_owned()
    }
}

impl App {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut CaptureConfig)) -> Self {
        let mut config = CaptureConfig::default();
        config.keys.insert(KEY.to_owned(), PROJECT);
        change(&mut config);
        let log = Arc::new(TestLog::default());
        let registry = Registry::new();
        let directory = Arc::new(Directory::from_yaml(DIRECTORY, "directory.yml").unwrap());
        let clock = Arc::new(FixedClock(NOW.parse().unwrap()));
        let access = Access { directory: Arc::clone(&directory), clock: clock.clone() };
        let dependencies = Dependencies {
            log: log.clone(),
            directory,
            clock,
            randomness: Arc::new(Counting(AtomicU64::new(1))),
            framings: Framings::default(),
            registry: registry.clone(),
        };
        let capture = Capture::new(config, dependencies).unwrap();
        let (router, _) = tally_capture::router(capture.clone());
        let guarded =
            GuardConfig { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..GuardConfig::default() };
        let guard = Guard::new(access, guarded, &registry).unwrap();
        Self { log, capture, router: api::with_fallbacks(guard.protect(Budget::Tracking, router)), registry }
    }

    pub async fn send(&self, mut request: Request<Body>) -> Answer {
        if request.extensions().get::<Peer>().is_none() {
            request.extensions_mut().insert(Peer(CLIENT.parse().unwrap()));
        }
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Answer { status: parts.status, headers: parts.headers, body }
    }

    pub async fn post_body(&self, body: impl Into<Body>) -> Answer {
        self.send(Request::post(POST).body(body.into()).unwrap()).await
    }

    /// Posts events of which each has [`KEY`] unless it says otherwise.
    pub async fn post(&self, events: &[Value]) -> Answer {
        self.post_body(payload(events)).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    /// The event that one that was posted alone became.
    pub async fn kept(&self, event: Value) -> PageEvent {
        let answer = self.post(&[event]).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        self.events().pop().unwrap()
    }

    pub fn events(&self) -> Vec<PageEvent> {
        let decode = |record: Record| PageEvent::decode_framed(Framing::default(), &record.value).unwrap();
        self.records(topics::PAGE_EVENTS).into_iter().map(decode).collect()
    }

    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        let decode = |record: Record| DeadLetter::decode_framed(Framing::default(), &record.value).unwrap();
        self.records(topics::DEAD_LETTERS).into_iter().map(decode).collect()
    }

    pub fn records(&self, topic: &str) -> Vec<Record> {
        let taken = self.log.taken.lock();
        taken.iter().filter(|(of, _)| of == topic).map(|(_, record)| record.clone()).collect()
    }

    /// How often something was dropped for this reason.
    pub fn dropped(&self, reason: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == "tally_capture_dropped_total").unwrap();
        let of_reason =
            family.get_metric().iter().find(|metric| metric.get_label()[0].value() == reason).unwrap();
        of_reason.get_counter().get_value()
    }
}

/// The body of a POST.
pub fn payload(events: &[Value]) -> String {
    let events = events.iter().cloned().map(|mut event| {
        if let Some(parameters) = event.as_object_mut()
            && !parameters.contains_key("aid")
        {
            parameters.insert("aid".to_owned(), json!(KEY));
        }
        event
    });
    let schema = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";
    json!({"schema": schema, "data": events.collect::<Vec<_>>()}).to_string()
}

pub fn now_ms() -> i64 {
    NOW.parse::<Timestamp>().unwrap().as_millisecond()
}
