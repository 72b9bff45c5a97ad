//! Forwarding from an embedded log to a collector that fails as a test wants it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Value, json};
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{FetchLimits, Record, TopicSpec};
use tally_evolution::Schemas;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{DeadLetter, DropReason, Framings, Increment, PropertyValue, TrackedEvent};
use tally_service::clock::FixedClock;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::*;

/// What a test waits for at most.
const PATIENCE: Duration = Duration::from_secs(30);

fn now() -> Timestamp {
    "2026-11-18T10:30:00Z".parse().unwrap()
}

/// Takes payloads, but first answers what it was told to.
#[derive(Clone, Default)]
struct FakeCollector(Arc<Mutex<Scene>>);

#[derive(Default)]
struct Scene {
    failures: VecDeque<SendError>,
    /// Bytes that a payload may have; 0: any.
    most_bytes: usize,
    /// The actions of each payload that was taken.
    taken: Vec<Vec<String>>,
}

impl FakeCollector {
    fn failing(failures: impl IntoIterator<Item = SendError>) -> Self {
        let collector = Self::default();
        collector.0.lock().unwrap().failures.extend(failures);
        collector
    }

    fn taken(&self) -> Vec<Vec<String>> {
        self.0.lock().unwrap().taken.clone()
    }
}

#[async_trait]
impl Collector for FakeCollector {
    async fn send(&self, payload: Bytes) -> Result<(), SendError> {
        let mut scene = self.0.lock().unwrap();
        if let Some(failure) = scene.failures.pop_front() {
            return Err(failure);
        }
        if scene.most_bytes != 0 && payload.len() > scene.most_bytes {
            return Err(SendError::TooLarge);
        }
        let payload: Value = serde_json::from_slice(&payload).unwrap();
        let actions = payload["data"].as_array().unwrap().iter();
        scene.taken.push(actions.map(|event| event["se_ac"].as_str().unwrap().to_owned()).collect());
        Ok(())
    }
}

fn event(name: &str, send_to_snowplow: bool) -> TrackedEvent<'static> {
    TrackedEvent {
        event_id: Uuid::from_u128(7),
        name: name.to_owned().into(),
        timestamp: 1_790_000_000_000,
        received_at: 1_790_000_001_000,
        user_id: Some(3),
        project_id: Some(42),
        namespace_id: None,
        additional_properties: Vec::new(),
        send_to_snowplow,
        timestamp_clamped: false,
        client_event_id: true,
        increment: Increment::Event,
    }
}

/// A log with one partition of tracked events.
struct World {
    log: Arc<EmbeddedLog>,
    config: ForwardConfig,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
        for name in [topics::EVENTS, topics::DEAD_LETTERS] {
            let spec = TopicSpec {
                name: name.to_owned(),
                partitions: 1,
                retention: None,
                compacted: false,
                max_record_bytes: 1 << 20,
            };
            log.ensure_topic(&spec).await.unwrap();
        }
        let config = ForwardConfig { max_events: 2, ..ForwardConfig::default() };
        Self { log: Arc::new(log), config, _folder: folder }
    }

    async fn append(&self, events: &[TrackedEvent<'_>]) {
        let records = events.iter().map(|event| {
            let mut value = Vec::new();
            event.encode_framed(Framing::SingleObject, &mut value);
            Record { key: None, value: value.into(), timestamp: event.received_at }
        });
        for appended in self.log.append(topics::EVENTS, records.collect()).await {
            appended.unwrap();
        }
    }

    fn start(&self, collector: &FakeCollector) -> Running {
        let log = Arc::clone(&self.log) as Arc<dyn EventLog>;
        let dependencies = ForwardDependencies {
            schemas: Arc::new(Schemas::new(Arc::clone(&log), Framings::default(), "")),
            log,
            framing: Framing::SingleObject,
            clock: Arc::new(FixedClock(now())),
            registry: Registry::new(),
        };
        let forwarder =
            Forwarder::with_collector(&self.config, dependencies, Box::new(collector.clone())).unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn({
            let (forwarder, shutdown) = (forwarder.clone(), shutdown.clone());
            async move { forwarder.run(shutdown).await }
        });
        Running { forwarder, shutdown, task }
    }
}

struct Running {
    forwarder: Forwarder,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

async fn until(what: impl Fn() -> bool) {
    let waiting = async {
        while !what() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn events_that_ask_for_it_are_forwarded_once_in_their_order_over_restarts() {
    let world = World::new().await;
    let collector = FakeCollector::default();
    world.append(&[event("a", true), event("b", false), event("c", true), event("d", true)]).await;
    let running = world.start(&collector);
    until(|| collector.taken().concat().len() == 3).await;
    running.stop().await;
    world.append(&[event("e", true)]).await;
    let running = world.start(&collector);
    until(|| collector.taken().concat().len() == 4).await;
    assert_eq!(running.forwarder.0.metrics.forwarded.get(), 1);
    running.stop().await;
    assert_eq!(collector.taken(), [vec!["a", "c"], vec!["d"], vec!["e"]]);
}

#[tokio::test]
async fn nothing_is_lost_while_the_collector_fails() {
    let world = World::new().await;
    let collector = FakeCollector::failing([SendError::Status(503), SendError::TimedOut]);
    world.append(&[event("a", true), event("b", true), event("c", true)]).await;
    let running = world.start(&collector);
    until(|| collector.taken().concat().len() == 3).await;
    let failures = &running.forwarder.0.metrics.failures;
    assert_eq!(failures.with_label_values(&["status"]).get(), 1);
    assert_eq!(failures.with_label_values(&["timed_out"]).get(), 1);
    running.stop().await;
    assert_eq!(collector.taken().concat(), ["a", "b", "c"]);
}

#[tokio::test]
async fn what_was_not_taken_before_a_stop_is_forwarded_after_it() {
    let world = World::new().await;
    world.append(&[event("a", true), event("b", true), event("c", true)]).await;
    let broken = FakeCollector::failing(std::iter::repeat_n(SendError::Status(500), 1_000));
    let running = world.start(&broken);
    until(|| running.forwarder.0.metrics.failures.with_label_values(&["status"]).get() > 0).await;
    running.stop().await;
    assert!(broken.taken().is_empty());
    let collector = FakeCollector::default();
    let running = world.start(&collector);
    until(|| collector.taken().concat().len() == 3).await;
    running.stop().await;
    assert_eq!(collector.taken().concat(), ["a", "b", "c"]);
}

#[tokio::test]
async fn what_is_too_large_for_the_collector_is_split_and_at_last_set_aside() {
    let mut world = World::new().await;
    world.config.max_events = 50;
    let mut large = event("large", true);
    large.additional_properties.push(("label".into(), PropertyValue::String("x".repeat(5_000).into())));
    world.append(&[event("a", true), event("b", true), large, event("c", true)]).await;
    let collector = FakeCollector::default();
    collector.0.lock().unwrap().most_bytes = 3_000;
    let running = world.start(&collector);
    until(|| collector.taken().concat().len() == 3).await;
    running.stop().await;
    assert_eq!(collector.taken().concat(), ["a", "b", "c"]);

    let mut tail = world.log.tail(topics::DEAD_LETTERS, 0, 0).await.unwrap();
    let limits = FetchLimits { max_records: 10, max_bytes: 1 << 20, max_wait: PATIENCE };
    let letters = tail.fetch(limits).await.unwrap();
    let letter = DeadLetter::decode_framed(Framing::SingleObject, &letters[0].value).unwrap();
    let origin = Origin::Log { topic: topics::EVENTS.to_owned(), partition: 0, offset: 2 };
    assert_eq!((letters.len(), letter.reason, &letter.origin), (1, DropReason::Oversized, &origin));
    assert_eq!(TrackedEvent::decode_framed(Framing::SingleObject, &letter.payload).unwrap().name, "large");
}

#[tokio::test]
async fn a_letter_that_is_too_long_for_the_log_holds_up_nothing() {
    let world = World::new().await;
    let letters = TopicSpec {
        name: topics::DEAD_LETTERS.to_owned(),
        partitions: 1,
        retention: None,
        compacted: false,
        max_record_bytes: 100,
    };
    world.log.ensure_topic(&letters).await.unwrap();
    let mut large = event("large", true);
    large.additional_properties.push(("label".into(), PropertyValue::String("x".repeat(5_000).into())));
    world.append(&[large, event("after", true)]).await;
    let collector = FakeCollector::default();
    collector.0.lock().unwrap().most_bytes = 3_000;
    let running = world.start(&collector);
    until(|| collector.taken().concat() == ["after"]).await;
    running.stop().await;
}

#[test]
fn an_event_becomes_the_structured_event_that_gitlab_makes_of_it() {
    let mut tracked = event("viewed", true);
    tracked.additional_properties = vec![
        ("label".into(), PropertyValue::String("it's".into())),
        ("value".into(), PropertyValue::Double(2.5)),
        ("property".into(), PropertyValue::Null),
        ("lang".into(), PropertyValue::Json("[\"de\"]".into())),
    ];
    let payload = payload::payload(&[payload::SnowplowEvent::of(&tracked, "shop")], now());
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let sent = &payload["data"][0];
    let contexts: Value = serde_json::from_str(sent["co"].as_str().unwrap()).unwrap();
    assert_eq!(payload["schema"], "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4");
    for (name, expected) in [
        ("e", json!("se")),
        ("eid", json!("00000000-0000-0000-0000-000000000007")),
        ("aid", json!("shop")),
        ("p", json!("srv")),
        ("dtm", json!("1790000000000")),
        ("stm", json!("1794997800000")),
        ("uid", json!("3")),
        ("se_ca", json!("InternalEventTracking")),
        ("se_ac", json!("viewed")),
        ("se_la", json!("it's")),
        ("se_pr", Value::Null),
        ("se_va", json!("2.5")),
    ] {
        assert_eq!(sent[name], expected, "{name}");
    }
    let standard = &contexts["data"][0]["data"];
    assert_eq!(standard["project_id"], 42);
    assert_eq!(standard["namespace_id"], Value::Null);
    assert_eq!(standard["extra"], json!({"lang": ["de"]}));
    assert_eq!(standard["context_generated_at"], "2026-09-21T14:13:21Z");
    assert_eq!(contexts["data"][1]["data"]["event_name"], "viewed");
}

/// A collector on this machine that answers with this status.
async fn listening(status: StatusCode) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router =
        Router::new().route("/com.snowplowanalytics.snowplow/tp2", post(move || async move { status }));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

#[tokio::test]
async fn an_answer_counts_by_its_status_and_private_addresses_only_where_they_are_allowed() {
    for (status, expected) in [
        (StatusCode::OK, Ok(())),
        (StatusCode::PAYLOAD_TOO_LARGE, Err(SendError::TooLarge)),
        (StatusCode::FOUND, Err(SendError::Status(302))),
        (StatusCode::SERVICE_UNAVAILABLE, Err(SendError::Status(503))),
    ] {
        let collector_url = listening(status).await;
        let mut config =
            ForwardConfig { collector_url, allow_private_addresses: true, ..ForwardConfig::default() };
        let sent = HttpCollector::new(&config).unwrap().send(Bytes::from_static(b"{}")).await;
        assert_eq!(sent, expected, "{status}");
        config.allow_private_addresses = false;
        let refused = HttpCollector::new(&config).unwrap().send(Bytes::from_static(b"{}")).await;
        assert_eq!(refused, Err(SendError::ForbiddenAddress("127.0.0.1".to_owned())));
    }
}

#[test]
fn without_a_collector_nothing_is_forwarded() {
    let folder = tempfile::tempdir().unwrap();
    let log = EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
    let log: Arc<dyn EventLog> = Arc::new(log);
    let dependencies = ForwardDependencies {
        schemas: Arc::new(Schemas::new(Arc::clone(&log), Framings::default(), "")),
        log,
        framing: Framing::SingleObject,
        clock: Arc::new(FixedClock(now())),
        registry: Registry::new(),
    };
    assert!(Forwarder::new(&ForwardConfig::default(), dependencies).unwrap().is_none());
}
