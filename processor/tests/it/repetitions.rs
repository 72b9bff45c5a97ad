//! A tracker that sends again, over batches, restarts and a filter that is too small: each event counts once.

use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};
use tally_eventlog::{EventLog, Record, TopicSpec};
use tally_evolution::Schemas;
use tally_processor::{IdFilterBytes, Metrics, ProcessorConfig, ProcessorDeps, serve};
use tally_schemas::{Definitions, DropReason, Framings, Increment, PageEvent, TrackedEvent, topics};
use tally_service::clock::system_clock;
use tally_store::Store;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::tables::{rows, with_tables};

const NOV_20_2026: i64 = 1_795_132_800_000;
const DAY_MS: i64 = 86_400_000;

pub fn config() -> ProcessorConfig {
    ProcessorConfig {
        group: "tally-processor".to_owned(),
        batch_max_records: 50,
        batch_max_bytes: 1 << 20,
        batch_max_wait_ms: 20,
        batch_interval_ms: 0,
        announcement_ttl_s: 45,
        outage_pause_s: 1,
        stall_timeout_s: 60,
        // One block for both generations: nearly every id is in doubt.
        id_filter_bytes: IdFilterBytes { events: 1, page_events: 1, contributions: 1 },
        min_deduplication_window: 1_000,
    }
}

pub async fn log_in(folder: &std::path::Path) -> Arc<dyn EventLog> {
    log_of(folder, 1).await
}

/// A log whose topics have so many partitions, but for the directory's.
pub async fn log_of(folder: &std::path::Path, partitions: u32) -> Arc<dyn EventLog> {
    let log = EmbeddedLog::open(EmbeddedConfig::new(folder)).unwrap();
    for name in [topics::EVENTS, topics::CONTRIBUTIONS, topics::DIRECTORY, topics::PAGE_EVENTS] {
        let compacted = name == topics::DIRECTORY;
        let spec = TopicSpec {
            name: name.to_owned(),
            partitions: if compacted { 1 } else { partitions },
            retention: None,
            compacted,
            max_record_bytes: 1 << 20,
        };
        log.ensure_topic(&spec).await.unwrap();
    }
    Arc::new(log)
}

fn page_event(project_id: i64, id: u128, received_at: i64) -> Record {
    let event = PageEvent {
        event_id: Uuid::from_u128(id),
        client_event_id: true,
        project_id,
        event: "page_view".to_owned(),
        timestamp: received_at,
        received_at,
        session_id: format!("session {}", id % 3),
        ..PageEvent::default()
    };
    let mut value = Vec::new();
    event.encode_framed(Framings::default().page_event, &mut value);
    Record {
        key: Some(event.event_id.as_bytes().to_vec().into()),
        value: value.into(),
        timestamp: received_at,
    }
}

pub async fn append(log: &Arc<dyn EventLog>, topic: &str, records: Vec<Record>) {
    for result in log.append(topic, records).await {
        result.unwrap();
    }
}

/// What tells of the schemas that were published on the log.
pub fn schemas(log: &Arc<dyn EventLog>) -> Arc<Schemas> {
    Arc::new(Schemas::new(Arc::clone(log), Framings::default(), ""))
}

/// Runs a processor until `is_done`; what it did not count.
pub async fn process(log: &Arc<dyn EventLog>, store: &Store, is_done: impl AsyncFn() -> bool) -> Metrics {
    let deps = deps(log, store);
    let metrics = deps.metrics.clone();
    let shutdown = CancellationToken::new();
    let processor = tokio::spawn(serve(config(), deps, shutdown.clone()));
    wait_until(is_done).await;
    shutdown.cancel();
    processor.await.unwrap().unwrap();
    metrics
}

/// Waits until it is done, for a minute at most.
pub async fn wait_until(is_done: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting).await.expect("it is counted within a minute");
}

/// What a processor of its own stands on.
pub fn deps(log: &Arc<dyn EventLog>, store: &Store) -> ProcessorDeps {
    ProcessorDeps {
        schemas: schemas(log),
        log: Arc::clone(log),
        store: store.clone(),
        definitions: Arc::new(Definitions::built_in()),
        framings: Framings::default(),
        metrics: Metrics::register(&Registry::new()).unwrap(),
        clock: system_clock(),
    }
}

pub async fn number(store: &Store, sql: &str) -> u64 {
    rows::<u64>(store, sql).await[0]
}

#[test]
fn an_event_counts_once_however_often_it_is_sent() {
    with_tables("repetitions", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        let sent: Vec<Record> = (0..200).map(|id| page_event(1, id, NOV_20_2026)).collect();
        let counted = || number(&store, "SELECT count() FROM page_events");
        let mark = |id| page_event(9, id, NOV_20_2026 + 8 * DAY_MS);
        let marked = async |id: u32| {
            let sql = format!(
                "SELECT count() FROM page_events WHERE project_id = 9 AND event_id = toUUID('{}')",
                Uuid::from_u128(id.into())
            );
            number(&store, &sql).await > 0
        };

        append(&log, topics::PAGE_EVENTS, sent.clone()).await;
        append(&log, topics::PAGE_EVENTS, [&sent[150..], &[mark(1)]].concat()).await;
        let metrics = process(&log, &store, async || marked(1).await).await;
        assert_eq!((counted().await, metrics.dropped(DropReason::Duplicate)), (201, 50));

        // Another processor, which knows only what the store tells.
        let other_project = page_event(2, 7, NOV_20_2026);
        let a_week_later = page_event(1, 7, NOV_20_2026 + 7 * DAY_MS);
        let past_the_week = page_event(1, 8, NOV_20_2026 + 7 * DAY_MS + 1);
        let again = [&sent[..], &[other_project, a_week_later, past_the_week, mark(2)]].concat();
        append(&log, topics::PAGE_EVENTS, again).await;
        let metrics = process(&log, &store, async || marked(2).await).await;
        assert_eq!((counted().await, metrics.dropped(DropReason::Duplicate)), (204, 201));
        assert_eq!(number(&store, "SELECT sum(events_count) FROM sessions").await, 204);
        assert_eq!(tally_processor::sessions::compare(&store).await.unwrap(), []);
    });
}

#[test]
fn a_tracked_event_that_asks_for_it_is_a_page_event_of_its_project() {
    with_tables("tracked_page_events", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        let tracked = |id: u128, project_id: Option<i64>, send_to_snowplow: bool| {
            let event = TrackedEvent {
                event_id: Uuid::from_u128(id),
                name: "search".into(),
                timestamp: NOV_20_2026,
                received_at: NOV_20_2026,
                user_id: Some(7),
                project_id,
                namespace_id: None,
                additional_properties: vec![(
                    "label".into(),
                    tally_schemas::PropertyValue::String("x".into()),
                )],
                send_to_snowplow,
                timestamp_clamped: false,
                client_event_id: false,
                increment: Increment::Event,
            };
            let mut value = Vec::new();
            event.encode(&mut value);
            Record { key: None, value: value.into(), timestamp: NOV_20_2026 }
        };
        let records = vec![tracked(1, Some(5), true), tracked(2, Some(5), false), tracked(3, None, true)];
        append(&log, topics::EVENTS, records).await;
        let all_counted = async || number(&store, "SELECT count() FROM events").await == 3;
        let metrics = process(&log, &store, all_counted).await;
        let found: Vec<(i64, String, String, String, String, i8)> = rows(
            &store,
            "SELECT project_id, event, custom_event_name, custom_event_props, user_id, toInt8(source) FROM page_events",
        )
        .await;
        let expected = (5, "custom".into(), "search".into(), r#"{"label":"x"}"#.into(), "7".into(), 1);
        assert_eq!(found, [expected]);
        let sessions: Vec<(i64, String, u64)> =
            rows(&store, "SELECT project_id, toString(user_id), toUInt64(events_count) FROM sessions").await;
        assert_eq!(sessions, [(5, "7".to_owned(), 1)]);
        assert_eq!(metrics.dropped(DropReason::MissingIdentifier), 1);
    });
}
