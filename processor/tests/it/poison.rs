//! Records whose rows the engine refuses, and an engine that refuses everything for a while.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use prometheus::Registry;
use prometheus::proto::MetricFamily;
use tally_eventlog::{EventLog, Record};
use tally_evolution::Schemas;
use tally_processor::{Metrics, ProcessorConfig, ProcessorDeps, serve};
use tally_schemas::{Definitions, DropReason, Framings, Increment, TrackedEvent, topics};
use tally_service::clock::system_clock;
use tally_store::Store;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::repetitions::{append, config, log_in};
use crate::tables::{rows, run, with_tables};

const NOV_20_2026: i64 = 1_795_132_800_000;

/// An event that is counted, with a label, of project 5; each second one is a page event, too.
fn event(id: u128, label: &str) -> Record {
    let event = TrackedEvent {
        event_id: Uuid::from_u128(id),
        name: "create_work_item".into(),
        timestamp: NOV_20_2026,
        // As a dead letter that is replayed: received long before it was appended.
        received_at: if label == "worse" { NOV_20_2026 - 86_400_000 } else { NOV_20_2026 },
        user_id: Some(7),
        project_id: Some(5),
        namespace_id: Some(1),
        additional_properties: vec![(
            "label".into(),
            tally_schemas::PropertyValue::String(label.to_owned().into()),
        )],
        send_to_snowplow: id.is_multiple_of(2),
        timestamp_clamped: false,
        client_event_id: false,
        increment: Increment::Event,
    };
    let mut value = Vec::new();
    event.encode(&mut value);
    Record { key: None, value: value.into(), timestamp: NOV_20_2026 }
}

struct Processor {
    metrics: Metrics,
    registry: Registry,
    shutdown: CancellationToken,
    serving: JoinHandle<()>,
}

impl Processor {
    fn start(log: &Arc<dyn EventLog>, store: &Store) -> Self {
        let registry = Registry::new();
        let metrics = Metrics::register(&registry).unwrap();
        let deps = ProcessorDeps {
            schemas: Arc::new(Schemas::new(Arc::clone(log), Framings::default(), "")),
            log: Arc::clone(log),
            store: store.clone(),
            definitions: Arc::new(Definitions::built_in()),
            framings: Framings::default(),
            metrics: metrics.clone(),
            clock: system_clock(),
        };
        let shutdown = CancellationToken::new();
        let config = ProcessorConfig { batch_max_records: 200, ..config() };
        let ending = shutdown.clone();
        let serving = tokio::spawn(async move { serve(config, deps, ending).await.unwrap() });
        Self { metrics, registry, shutdown, serving }
    }

    async fn stop(self) -> Metrics {
        self.shutdown.cancel();
        self.serving.await.unwrap();
        self.metrics
    }

    /// Whether consumption of tracked events waits for the store.
    fn is_waiting(&self) -> bool {
        let families = self.registry.gather();
        let waiting = families.iter().find(|family| family.name() == "tally_processor_waiting");
        let series = waiting.into_iter().flat_map(MetricFamily::get_metric);
        series
            .filter(|series| series.get_label().iter().any(|label| label.value() == topics::EVENTS))
            .any(|series| series.get_gauge().get_value() > 0.0)
    }
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waiting)
        .await
        .unwrap_or_else(|_| panic!("not within a minute: {what}"));
}

async fn number(store: &Store, sql: &str) -> u64 {
    rows::<u64>(store, sql).await[0]
}

async fn counted(store: &Store) -> u64 {
    number(store, "SELECT toUInt64(sum(count)) FROM counters WHERE counter = 'create_work_item'").await
}

#[test]
fn records_that_the_store_refuses_become_dead_letters_and_all_others_count_once() {
    with_tables("poison", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        run(&store, "ALTER TABLE events ADD CONSTRAINT no_bad CHECK additional_properties NOT LIKE '%bad%'")
            .await;
        // Refused by the second of its tables only, after the first has taken it.
        run(
            &store,
            "ALTER TABLE page_events ADD CONSTRAINT no_worse CHECK custom_event_props NOT LIKE '%worse%'",
        )
        .await;
        let label = |id: u128| match id {
            17 | 118 => "bad",
            // The last one comes in a batch of which the first table takes all.
            120 | 121 | 220 => "worse",
            _ => "good",
        };
        let mut records: Vec<Record> = (0..300).map(|id| event(id, label(id))).collect();
        records[40].value = "no event".into();
        append(&log, topics::EVENTS, records.clone()).await;
        let processor = Processor::start(&log, &store);
        until("all is counted", async || counted(&store).await == 295).await;
        let metrics = processor.stop().await;

        // An event that is no page event is good enough for its one table.
        let expected_letters = [
            (17, "rejected_by_store"),
            (40, "undecodable"),
            (118, "rejected_by_store"),
            (120, "rejected_by_store"),
            (220, "rejected_by_store"),
        ]
        .map(|(offset, reason)| (offset, reason.to_owned(), hex(&records[offset as usize].value)));
        let letters: Vec<(u64, String, String)> =
            rows(&store, "SELECT offset, toString(reason), hex(payload) FROM dead_letters ORDER BY offset")
                .await;
        assert_eq!(letters, expected_letters);
        assert_eq!(metrics.dropped(DropReason::RejectedByStore), 4);
        assert_eq!(number(&store, "SELECT count() FROM events").await, 295);
        assert_eq!(number(&store, "SELECT uniqExact(offset) FROM events").await, 295);
        assert_eq!(number(&store, "SELECT count() FROM page_events").await, 146);
        assert_eq!(number(&store, "SELECT toUInt64(sum(events_count)) FROM sessions").await, 146);
        assert_eq!(
            number(
                &store,
                "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'probe%'"
            )
            .await,
            0
        );
    });
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02X}").unwrap();
    }
    text
}

#[test]
fn where_nearly_all_is_refused_nothing_is_set_aside_and_counting_goes_on_by_itself_afterwards() {
    with_tables("poison_of_a_table", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        run(&store, "ALTER TABLE events ADD CONSTRAINT none CHECK project_id = 0").await;
        append(&log, topics::EVENTS, (0..50).map(|id| event(id, "good")).collect()).await;
        let processor = Processor::start(&log, &store);
        until("it waits", async || processor.is_waiting()).await;
        assert_eq!(number(&store, "SELECT count() FROM dead_letters").await, 0);
        run(&store, "ALTER TABLE events DROP CONSTRAINT none").await;
        until("all is counted", async || counted(&store).await == 50).await;
        until("it waits no more", async || !processor.is_waiting()).await;
        let metrics = processor.stop().await;
        assert_eq!(metrics.dropped(DropReason::RejectedByStore), 0);
    });
}

#[test]
fn too_many_parts_pause_consumption_which_goes_on_by_itself() {
    with_tables("too_many_parts", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        run(&store, "SYSTEM STOP MERGES events").await;
        append(&log, topics::EVENTS, (0..5).map(|id| event(id, "good")).collect()).await;
        let processor = Processor::start(&log, &store);
        until("the first are counted", async || counted(&store).await == 5).await;
        run(&store, "ALTER TABLE events MODIFY SETTING parts_to_throw_insert = 1").await;
        append(&log, topics::EVENTS, (5..900).map(|id| event(id, "good")).collect()).await;
        until("it waits", async || processor.is_waiting()).await;
        assert_eq!(counted(&store).await, 5, "what is derived waits for what it is derived of");
        run(&store, "ALTER TABLE events MODIFY SETTING parts_to_throw_insert = 3000").await;
        run(&store, "SYSTEM START MERGES events").await;
        until("all is counted", async || counted(&store).await == 900).await;
        let metrics = processor.stop().await;
        assert!(metrics.store_outages.get() > 0);
        assert_eq!(number(&store, "SELECT count() FROM events").await, 900);
    });
}
