//! Clients that send events and contributions again, over batches, restarts and filters that are too small: each counts once.

use std::sync::Arc;

use tally_eventlog::{EventLog, Record};
use tally_processor::serve;
use tally_schemas::contribution::Action;
use tally_schemas::{Contribution, DropReason, Framing, Increment, PropertyValue, TrackedEvent, topics};
use tally_store::Store;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::repetitions::{append, config, deps, log_in, log_of, number, process, wait_until};
use crate::tables::{rows, with_tables};

const NOV_20_2026: i64 = 1_795_132_800_000;
const WEEK_MS: i64 = 7 * 86_400_000;

fn keyed(id: u128, value: Vec<u8>, timestamp: i64) -> Record {
    Record { key: Some(Uuid::from_u128(id).as_bytes().to_vec().into()), value: value.into(), timestamp }
}

/// An event with a value, of another user each; each second one is a page event, too.
fn event(id: u128, received_at: i64) -> Record {
    let event = TrackedEvent {
        event_id: Uuid::from_u128(id),
        name: "run_pipeline".into(),
        timestamp: NOV_20_2026,
        received_at,
        user_id: Some(1 + id as i64),
        project_id: Some(5),
        namespace_id: None,
        additional_properties: vec![("label".into(), PropertyValue::String("success".into()))],
        send_to_snowplow: id.is_multiple_of(2),
        timestamp_clamped: false,
        client_event_id: true,
        increment: Increment::Event,
    };
    let mut value = Vec::new();
    event.encode(&mut value);
    keyed(id, value, received_at)
}

fn contribution(id: u128, received_at: i64) -> Record {
    let contribution = Contribution {
        event_id: Uuid::from_u128(id),
        id: id as i64,
        action: Action::Created,
        target_type: None,
        target_id: None,
        target_iid: None,
        target_title: None,
        project_id: Some(5),
        author_id: 1 + id as i64 % 3,
        created_at: NOV_20_2026,
        received_at,
        imported_from: None,
        confidential: false,
        target_author_id: None,
        assignee_ids: vec![],
        note: None,
        push_data: None,
        wiki_page: None,
        client_event_id: true,
    };
    let mut value = Vec::new();
    contribution.encode_framed(Framing::SingleObject, &mut value);
    keyed(id, value, received_at)
}

/// Counters and unique users of the events, and how many rows each table has.
async fn tracked(store: &Store) -> (Vec<(String, u64)>, Vec<u64>) {
    let counted = "SELECT counter, toUInt64(sum(count)) FROM counters GROUP BY counter ORDER BY counter";
    let mut found = Vec::new();
    for sql in [
        "SELECT count() FROM events",
        "SELECT count() FROM page_events",
        "SELECT toUInt64(sum(events_count)) FROM sessions",
        "SELECT count() FROM event_ids",
    ] {
        found.push(number(store, sql).await);
    }
    (rows(store, counted).await, found)
}

async fn send(log: &Arc<dyn EventLog>, topic: &str, ids: std::ops::Range<u128>, at: i64) {
    let record = if topic == topics::EVENTS { event } else { contribution };
    append(log, topic, ids.map(|id| record(id, at)).collect()).await;
}

#[test]
fn a_tracked_event_counts_once_over_requests_and_restarts_and_again_after_a_week() {
    with_tables("event_retries", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        let events = || number(&store, "SELECT count() FROM events");
        send(&log, topics::EVENTS, 0..200, NOV_20_2026).await;
        send(&log, topics::EVENTS, 150..200, NOV_20_2026 + 1).await;
        send(&log, topics::EVENTS, 900..901, NOV_20_2026 + 2).await;
        let metrics = process(&log, &store, async || events().await == 201).await;
        assert_eq!(metrics.dropped(DropReason::Duplicate), 50);
        let once = tracked(&store).await;

        // Another processor, which knows only what the store tells.
        send(&log, topics::EVENTS, 0..200, NOV_20_2026 + WEEK_MS).await;
        send(&log, topics::EVENTS, 901..902, NOV_20_2026 + WEEK_MS).await;
        let metrics = process(&log, &store, async || events().await == 202).await;
        assert_eq!(metrics.dropped(DropReason::Duplicate), 200);
        let (counters, found) = tracked(&store).await;
        let one_more: Vec<(String, u64)> =
            once.0.iter().map(|(name, count)| (name.clone(), count + 1)).collect();
        assert_eq!(counters, one_more, "only what was new has been added");
        assert_eq!(found, [once.1[0] + 1, once.1[1], once.1[2], once.1[3] + 1]);

        send(&log, topics::EVENTS, 0..10, NOV_20_2026 + WEEK_MS + 1).await;
        let metrics = process(&log, &store, async || events().await == 212).await;
        assert_eq!(metrics.dropped(DropReason::Duplicate), 0);
    });
}

#[test]
fn a_tracked_event_counts_once_while_its_partition_moves_between_processors() {
    with_tables("moved_retries", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_of(folder.path(), 4).await;
        let start = || {
            let (shutdown, deps) = (CancellationToken::new(), deps(&log, &store));
            let metrics = deps.metrics.clone();
            (tokio::spawn(serve(config(), deps, shutdown.clone())), shutdown, metrics)
        };
        let (first, end_of_first, _) = start();
        let mut counted_by_others = 0;
        let mut second = None;
        for round in 0..6_u8 {
            send(&log, topics::EVENTS, 0..200, NOV_20_2026 + i64::from(round)).await;
            // It takes partitions over, in the middle of all that is sent again, and gives them back.
            match second.take() {
                None => second = Some(start()),
                Some((processor, shutdown, metrics)) => {
                    shutdown.cancel();
                    processor.await.unwrap().unwrap();
                    counted_by_others += metrics.records.with_label_values(&[topics::EVENTS]).get();
                }
            }
            // These lie behind the others in each partition.
            let new = 1_000 * (1 + u128::from(round));
            send(&log, topics::EVENTS, new..new + 60, NOV_20_2026 + i64::from(round)).await;
            let expected = 200 + 60 * (1 + u64::from(round));
            wait_until(async || number(&store, "SELECT count() FROM events").await >= expected).await;
            assert_eq!(number(&store, "SELECT count() FROM events").await, expected);
            assert_eq!(number(&store, "SELECT uniqExact(event_id) FROM events").await, expected);
        }
        assert_eq!(number(&store, "SELECT uniqExact(partition) FROM events").await, 4);
        assert!(counted_by_others > 0, "the partitions stayed where they were");
        end_of_first.cancel();
        first.await.unwrap().unwrap();
    });
}

#[test]
fn a_contribution_counts_once_over_requests_and_restarts() {
    with_tables("contribution_retries", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        let listed = || number(&store, "SELECT count() FROM contributions");
        send(&log, topics::CONTRIBUTIONS, 0..120, NOV_20_2026).await;
        send(&log, topics::CONTRIBUTIONS, 100..121, NOV_20_2026 + 1).await;
        let metrics = process(&log, &store, async || listed().await == 121).await;
        assert_eq!(metrics.dropped(DropReason::Duplicate), 20);
        send(&log, topics::CONTRIBUTIONS, 0..122, NOV_20_2026 + 2).await;
        let metrics = process(&log, &store, async || listed().await == 122).await;
        assert_eq!(metrics.dropped(DropReason::Duplicate), 121);
        assert_eq!(number(&store, "SELECT count() FROM project_contributions").await, 122);
        assert_eq!(number(&store, "SELECT count() FROM contribution_ids").await, 122);
    });
}
