//! Versions side by side: a newer one writes a field that this one doesn't know, next to this one's records.

use std::sync::Arc;

use serde_json::json;
use tally_eventlog::{EventLog, Record};
use tally_schemas::avro::{TRACKED_EVENT_SCHEMA, WriterSchema};
use tally_schemas::{DropReason, Increment, PropertyValue, TrackedEvent, topics};
use tally_store::Store;
use uuid::Uuid;

use crate::repetitions::{append, log_in, number, process};
use crate::tables::{rows, with_tables};

const NOV_20_2026: i64 = 1_795_132_800_000;
/// Marker and fingerprint of single-object encoding.
const HEADER: usize = 10;

/// The schema of tracked events with one more optional field.
fn newer_schema() -> String {
    let mut schema: serde_json::Value = serde_json::from_str(TRACKED_EVENT_SCHEMA).unwrap();
    let field = json!({"name": "locale", "type": ["null", "string"], "default": null});
    schema["fields"].as_array_mut().unwrap().push(field);
    schema.to_string()
}

fn event(id: u128) -> Vec<u8> {
    let event = TrackedEvent {
        event_id: Uuid::from_u128(id),
        name: "run_pipeline".into(),
        timestamp: NOV_20_2026,
        received_at: NOV_20_2026,
        user_id: Some(1 + id as i64 % 40),
        project_id: Some(5),
        namespace_id: None,
        additional_properties: vec![("label".into(), PropertyValue::String("success".into()))],
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: true,
        increment: Increment::Event,
    };
    let mut value = Vec::new();
    event.encode(&mut value);
    value
}

/// The same as the newer version writes it: fields are written in their order, so that the new one follows the others.
fn newer_event(id: u128, fingerprint: u64) -> Vec<u8> {
    let mut value = vec![0xC3, 0x01];
    value.extend_from_slice(&fingerprint.to_le_bytes());
    value.extend_from_slice(&event(id)[HEADER..]);
    // The second branch of the union, and a text of two bytes.
    value.extend_from_slice(&[2, 4, b'e', b'n']);
    value
}

fn record(value: Vec<u8>) -> Record {
    Record { key: None, value: value.into(), timestamp: NOV_20_2026 }
}

async fn publish(log: &Arc<dyn EventLog>, fingerprint: u64, schema: &str) {
    log.ensure_topic(&tally_evolution::topic()).await.unwrap();
    tally_evolution::publish(&**log, NOV_20_2026).await.unwrap();
    let key = format!("{fingerprint:016x}");
    let published = Record { key: Some(key.into()), value: schema.to_owned().into(), timestamp: NOV_20_2026 };
    append(log, topics::SCHEMAS, vec![published]).await;
}

async fn counters(store: &Store) -> Vec<(String, u64)> {
    rows(store, "SELECT counter, toUInt64(sum(count)) FROM counters GROUP BY counter ORDER BY counter").await
}

#[test]
fn records_of_a_newer_version_count_as_this_versions_do() {
    let schema = newer_schema();
    let fingerprint = WriterSchema::parse(&schema).unwrap().fingerprint();
    let run = async |store: Store, values: Vec<Vec<u8>>, expected: u64| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        publish(&log, fingerprint, &schema).await;
        append(&log, topics::EVENTS, values.into_iter().map(record).collect()).await;
        let counted = async || number(&store, "SELECT count() FROM events").await == expected;
        let metrics = process(&log, &store, counted).await;
        (metrics, counters(&store).await)
    };
    // The last one lies behind all that is sent again.
    let last = [event(1_000)];
    let alone: std::sync::Mutex<Vec<(String, u64)>> = std::sync::Mutex::default();
    with_tables("evolution_alone", async |store: Store| {
        let (_, counters) = run(store, (0..300).map(event).chain(last.clone()).collect(), 301).await;
        *alone.lock().unwrap() = counters;
    });
    with_tables("evolution", async |store: Store| {
        let side_by_side = (0..300_u128)
            .map(|id| if id.is_multiple_of(3) { event(id) } else { newer_event(id, fingerprint) });
        // A retry that goes through the other version is a repetition all the same.
        let retried = (0..50_u128)
            .map(|id| if id.is_multiple_of(3) { newer_event(id, fingerprint) } else { event(id) });
        let (metrics, counters) = run(store, side_by_side.chain(retried).chain(last).collect(), 301).await;
        assert_eq!(counters, *alone.lock().unwrap());
        assert_eq!(metrics.dropped(DropReason::Duplicate), 50);
        assert_eq!(metrics.dropped(DropReason::UnknownSchema), 0);
        assert_eq!(metrics.dropped(DropReason::Undecodable), 0);
    });
}

#[test]
fn a_schema_that_nobody_published_is_unknown_and_stops_nothing() {
    with_tables("evolution_unknown", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        let garbage = (0..100).map(|id| newer_event(id, 7 + id as u64));
        let values = garbage.chain([event(1_000)]);
        append(&log, topics::EVENTS, values.map(record).collect()).await;
        let counted = async || number(&store, "SELECT count() FROM events").await == 1;
        let metrics = process(&log, &store, counted).await;
        assert_eq!(metrics.dropped(DropReason::UnknownSchema), 100);
        let letters = "SELECT count() FROM dead_letters WHERE reason = 'unknown_schema'";
        assert_eq!(number(&store, letters).await, 100);
    });
}
