//! Publishing and looking up on the embedded log, and at a registry that counts what it is asked.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Json, Router, routing};
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{AppendError, Appended, GroupConsumer, Record, TailReader, Watermarks};
use tally_schemas::avro::{self, TRACKED_EVENT_SCHEMA};
use tally_schemas::{Framing, Increment, TrackedEvent};

use super::*;

/// The schema of tracked events with one more optional field.
fn newer_schema() -> String {
    let field = r#"{"name": "locale", "type": ["null", "string"], "default": null}"#;
    let (fields, end) = TRACKED_EVENT_SCHEMA.rsplit_once(']').unwrap();
    format!("{fields}, {field}]{end}")
}

fn event() -> TrackedEvent<'static> {
    TrackedEvent {
        event_id: uuid::Uuid::from_u128(7),
        name: "search".into(),
        timestamp: 1,
        received_at: 2,
        user_id: Some(3),
        project_id: None,
        namespace_id: None,
        additional_properties: vec![],
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: false,
        increment: Increment::Event,
    }
}

/// The event with a locale, below such a header.
fn newer_event(offset: u64, header: &[u8]) -> LogRecord {
    let mut ours = Vec::new();
    event().encode(&mut ours);
    let value = [header, &ours[10..], &[2, 4, b'e', b'n']].concat();
    LogRecord { offset, timestamp: 0, key: None, value: value.into() }
}

fn by_fingerprint(offset: u64, fingerprint: u64) -> LogRecord {
    newer_event(offset, &[&[0xC3, 0x01], &fingerprint.to_le_bytes()[..]].concat())
}

async fn log_in(folder: &std::path::Path) -> Arc<CountingLog> {
    let log = EmbeddedLog::open(EmbeddedConfig::new(folder)).unwrap();
    log.ensure_topic(&topic()).await.unwrap();
    Arc::new(CountingLog { log, asked: AtomicUsize::default(), read: AtomicUsize::default() })
}

fn schemas(log: &Arc<CountingLog>) -> Schemas {
    Schemas::new(Arc::clone(log) as _, Framings::default(), "")
}

async fn put(log: &CountingLog, key: String, value: String) {
    let record = Record { key: Some(key.into()), value: value.into(), timestamp: 0 };
    log.append(topics::SCHEMAS, vec![record]).await.pop().unwrap().unwrap();
}

#[tokio::test]
async fn what_is_published_once_is_published_for_good() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_in(folder.path()).await;
    for _ in 0..3 {
        publish(&*log, 0).await.unwrap();
    }
    let published = log.watermarks(topics::SCHEMAS).await.unwrap()[0].high;
    assert_eq!(published, avro::schemas().count() as u64);
}

#[tokio::test]
async fn a_schema_is_found_that_was_published_before_its_record_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (log, newer) = (log_in(folder.path()).await, newer_schema());
    let fingerprint = WriterSchema::parse(&newer).unwrap().fingerprint();
    let schemas = schemas(&log);
    let records = [by_fingerprint(5, fingerprint)];
    assert!(schemas.translate(topics::EVENTS, &records).await.unwrap().is_empty());
    // Rubbish on the topic is passed over.
    put(&log, "7".to_owned(), "{".to_owned()).await;
    put(&log, format!("{:016x}", fingerprint ^ 1), newer.clone()).await;
    put(&log, format!("{fingerprint:016x}"), newer).await;
    let translated = schemas.translate(topics::EVENTS, &records).await.unwrap();
    assert_eq!(TrackedEvent::decode(&translated[&5]), Ok(event()));
    assert!(
        schemas.translate(topics::CONTRIBUTIONS, &records).await.unwrap().is_empty(),
        "it is no contribution"
    );
}

#[tokio::test]
async fn however_many_unknown_schemas_there_are_the_topic_is_asked_once_and_read_when_it_has_grown() {
    let folder = tempfile::tempdir().unwrap();
    let log = log_in(folder.path()).await;
    publish(&*log, 0).await.unwrap();
    let (asked, read) = (log.asked(), log.read());
    let schemas = schemas(&log);
    let garbage: Vec<LogRecord> = (0..2_000).map(|offset| by_fingerprint(offset, offset * 7919)).collect();
    for _ in 0..5 {
        assert!(schemas.translate(topics::EVENTS, &garbage).await.unwrap().is_empty());
    }
    assert_eq!((log.asked() - asked, log.read() - read), (5, 1));
    let mut known = Vec::new();
    event().encode(&mut known);
    let known = [LogRecord { offset: 1, timestamp: 0, key: None, value: known.into() }];
    schemas.translate(topics::EVENTS, &known).await.unwrap();
    assert_eq!(log.asked() - asked, 5, "who knows all schemas asks nobody");
}

#[derive(Default)]
struct Asked(AtomicUsize);

/// Knows the newer schema under 9; answers with the status of an id that is one; knows nothing else.
async fn answer(State(asked): State<Arc<Asked>>, Path(id): Path<u16>) -> Result<Json<Answer>, StatusCode> {
    asked.0.fetch_add(1, Ordering::Relaxed);
    match id {
        9 => Ok(Json(Answer { schema: newer_schema() })),
        id => Err(StatusCode::from_u16(id).unwrap_or(StatusCode::NOT_FOUND)),
    }
}

#[derive(serde::Serialize)]
struct Answer {
    schema: String,
}

#[tokio::test]
async fn the_registry_is_asked_once_for_each_id() {
    let asked = Arc::new(Asked::default());
    let url = serve_registry(Arc::clone(&asked)).await;
    let folder = tempfile::tempdir().unwrap();
    let log = log_in(folder.path()).await;
    let framing = Framing::Confluent { schema_id: 8, older_ids: [None] };
    let framings = Framings { tracked_event: framing, ..Framings::default() };
    let schemas = Schemas::new(log as _, framings, &url);
    let records: Vec<LogRecord> = (0..50).map(|offset| of_id(offset, 9 + offset as u32 % 2)).collect();
    for _ in 0..3 {
        let translated = schemas.translate(topics::EVENTS, &records).await.unwrap();
        assert_eq!(translated.len(), 25);
        assert_eq!(TrackedEvent::decode_framed(framing, &translated[&48]), Ok(event()));
    }
    assert_eq!(asked.0.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn only_what_time_may_change_at_the_registry_is_waited_for() {
    let url = serve_registry(Arc::default()).await;
    let folder = tempfile::tempdir().unwrap();
    let log = log_in(folder.path()).await;
    let framing = Framing::Confluent { schema_id: 8, older_ids: [None] };
    let framings = Framings { tracked_event: framing, ..Framings::default() };
    let schemas = Schemas::new(Arc::clone(&log) as _, framings, &url);
    // 70,000 is beyond what this registry takes for an id, and 200 answers without a schema.
    for id in [200, 204, 400, 403, 404, 422, 70_000] {
        let translated = schemas.translate(topics::EVENTS, &[of_id(0, id)]).await;
        assert!(translated.as_ref().is_ok_and(FxHashMap::is_empty), "{id}: {translated:?}");
    }
    for id in [401, 407, 408, 429, 500, 503] {
        let failed = schemas.translate(topics::EVENTS, &[of_id(0, id)]).await;
        assert!(matches!(failed, Err(LogError::Unavailable(_))), "{id}: {failed:?}");
    }
    let schemas = Schemas::new(log as _, framings, "http://127.0.0.1:1");
    assert!(matches!(schemas.translate(topics::EVENTS, &[of_id(0, 7)]).await, Err(LogError::Unavailable(_))));
}

/// The event with a locale, below an id of the registry.
fn of_id(offset: u64, id: u32) -> LogRecord {
    newer_event(offset, &[&[0], &id.to_be_bytes()[..]].concat())
}

/// The address at which the registry answers.
async fn serve_registry(asked: Arc<Asked>) -> String {
    let router = Router::new().route("/schemas/ids/{id}", routing::get(answer)).with_state(asked);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

/// Counts what the topic of schemas is asked.
struct CountingLog {
    log: EmbeddedLog,
    asked: AtomicUsize,
    read: AtomicUsize,
}

impl CountingLog {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }
}

#[async_trait::async_trait]
impl EventLog for CountingLog {
    async fn ensure_topic(&self, spec: &TopicSpec) -> Result<(), LogError> {
        self.log.ensure_topic(spec).await
    }

    async fn append(&self, topic: &str, records: Vec<Record>) -> Vec<Result<Appended, AppendError>> {
        self.log.append(topic, records).await
    }

    async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, LogError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.log.watermarks(topic).await
    }

    async fn join(&self, group: &str, topic: &str) -> Result<Box<dyn GroupConsumer>, LogError> {
        self.log.join(group, topic).await
    }

    async fn tail(&self, topic: &str, partition: u32, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.log.tail(topic, partition, from).await
    }

    async fn check(&self) -> Result<(), LogError> {
        self.log.check().await
    }
}
