//! Sessions are the same for any order of arrival and any batches, and what a plain program makes of the same events.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use clickhouse::Row;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde::Deserialize;
use tally_eventlog::LogRecord;
use tally_processor::fold::Folder;
use tally_processor::fold::page_events::PageEventsFolder;
use tally_processor::sessions::{compare, recompute};
use tally_schemas::{Framing, PageEvent};
use tally_store::{Insert, Store};

use crate::tables::{rows, run, with_tables};

const NOV_30_2026: i64 = 1_795_996_800_000;
const MINUTE_MS: i64 = 60_000;

/// Half a day around the end of a month. Most distances are whole tens of minutes, and so often half an hour exactly.
fn any_event() -> impl Strategy<Value = PageEvent> {
    let moment = (0..12 * 6_i64, prop_oneof![3 => Just(0), 1 => -2..3_i64])
        .prop_map(|(tens, ms)| tens * 10 * MINUTE_MS + ms);
    let name = |prefix: &'static str, most: u8| {
        prop_oneof![Just(String::new()), (0..most).prop_map(move |number| format!("{prefix}{number}"))]
    };
    let names = (name("session ", 3), name("user ", 3), name("visitor ", 3), name("network ", 2));
    let kind = prop::sample::select(vec!["page_view", "link_click"]);
    let browser = prop::sample::select(vec!["", "Chrome", "Firefox"]);
    (moment, names, kind, browser, 0..4_u32).prop_map(
        |(at, (session_id, user_id, domain, network), kind, browser, index)| PageEvent {
            event: kind.to_owned(),
            timestamp: NOV_30_2026 + 18 * 60 * MINUTE_MS + at,
            received_at: NOV_30_2026,
            session_index: if session_id.is_empty() { 0 } else { index },
            session_id,
            user_id,
            domain_user_id: domain,
            network_user_id: network,
            agent_name: browser.to_owned(),
            ..PageEvent::default()
        },
    )
}

/// What is compared of a session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Row, Deserialize)]
struct Session {
    start_ms: i64,
    end_ms: i64,
    events_count: u64,
    page_views_count: u64,
    is_repeat: u8,
    user_id: String,
    visitor_id: String,
    agent_name: String,
}

/// The definition in plain words: the tracker's session; else what a visitor did without a pause of more than half an hour.
fn plainly(events: &[PageEvent]) -> Vec<Session> {
    let mut by_key: BTreeMap<(bool, &str), Vec<&PageEvent>> = BTreeMap::new();
    for event in events {
        let visitor = [&event.user_id, &event.domain_user_id, &event.network_user_id];
        let visitor = visitor.into_iter().find(|name| !name.is_empty());
        let of_tracker = !event.session_id.is_empty();
        let Some(key) = (if of_tracker { Some(&event.session_id) } else { visitor }) else { continue };
        by_key.entry((of_tracker, key)).or_default().push(event);
    }
    let mut sessions = Vec::new();
    for ((of_tracker, _), mut events) in by_key {
        events.sort_by_key(|event| event.timestamp);
        let runs = events
            .chunk_by(|earlier, later| of_tracker || later.timestamp - earlier.timestamp <= 30 * MINUTE_MS);
        for (number, run) in runs.enumerate() {
            let is_repeat =
                if of_tracker { run.iter().any(|event| event.session_index > 1) } else { number > 0 };
            sessions.push(session(run, is_repeat));
        }
    }
    sessions.sort();
    sessions
}

fn session(run: &[&PageEvent], is_repeat: bool) -> Session {
    let greatest = |text: &dyn Fn(&PageEvent) -> String| run.iter().map(|event| text(event)).max().unwrap();
    Session {
        start_ms: run[0].timestamp,
        end_ms: run[run.len() - 1].timestamp,
        events_count: run.len() as u64,
        page_views_count: run.iter().filter(|event| event.event == "page_view").count() as u64,
        is_repeat: is_repeat.into(),
        user_id: greatest(&|event| event.user_id.clone()),
        visitor_id: greatest(&|event| {
            let names = [&event.domain_user_id, &event.network_user_id];
            names.into_iter().find(|name| !name.is_empty()).cloned().unwrap_or_default()
        }),
        agent_name: greatest(&|event| event.agent_name.clone()),
    }
}

async fn sessions_of(store: &Store, project_id: i64) -> Vec<Session> {
    let sql = format!(
        "SELECT toUnixTimestamp64Milli(start_at) AS start_ms, toUnixTimestamp64Milli(end_at) AS end_ms, \
            toUInt64(sessions.events_count) AS events_count, toUInt64(sessions.page_views_count) AS page_views_count, \
            is_repeat, toString(sessions.user_id) AS user_id, toString(sessions.visitor_id) AS visitor_id, agent_name \
         FROM sessions WHERE project_id = {project_id}"
    );
    let mut sessions: Vec<Session> = rows(store, &sql).await;
    sessions.sort();
    sessions
}

/// Folds the events in batches that end where `cuts` say, and inserts what they become.
async fn arrive(store: &Store, events: &[PageEvent], project_id: i64, cuts: &[bool]) {
    let folder = PageEventsFolder::new(Framing::SingleObject, 1 << 12);
    let mut fold = folder.start(0);
    for (index, event) in events.iter().enumerate() {
        let mut value = Vec::new();
        PageEvent { project_id, ..event.clone() }.encode_framed(Framing::SingleObject, &mut value);
        fold.add(&LogRecord { offset: index as u64, timestamp: 0, key: None, value: value.into() });
        let is_last = index + 1 == events.len();
        if is_last || cuts.get(index).is_some_and(|cut| *cut) {
            let batch = std::mem::replace(&mut fold, folder.start(0)).finish();
            for insert in batch.inserts {
                let token = format!("{project_id}:{index}:{}", insert.month);
                let request = Insert {
                    table: insert.table,
                    columns: insert.columns,
                    body: insert.body,
                    token,
                    start_before: None,
                };
                store.insert(&request).await.unwrap();
            }
        }
    }
}

#[test]
fn sessions_do_not_depend_on_the_order_of_arrival() {
    with_tables("sessions", async |store: Store| {
        let mut runner =
            TestRunner::new(Config { cases: 16, failure_persistence: None, ..Config::default() });
        let cases = prop::collection::vec(any_event(), 1..60).prop_flat_map(|events| {
            (
                Just(events.clone()),
                Just(events).prop_shuffle(),
                prop::collection::vec(prop::bool::weighted(0.1), 60),
            )
        });
        let projects = AtomicI64::new(0);
        let runtime = tokio::runtime::Handle::current();
        let outcome = runner.run(&cases, |(events, shuffled, cuts)| {
            let project_id = projects.fetch_add(1, Ordering::Relaxed);
            let found = tokio::task::block_in_place(|| {
                runtime.block_on(async {
                    arrive(&store, &shuffled, project_id, &cuts).await;
                    sessions_of(&store, project_id).await
                })
            });
            prop_assert_eq!(found, plainly(&events));
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{failure}"));
        run(&store, "OPTIMIZE TABLE session_parts FINAL").await;
        assert_eq!(compare(&store).await.unwrap(), []);
    });
}

#[test]
fn sessions_that_differ_from_the_page_events_are_told_and_made_anew() {
    with_tables("sessions_anew", async |store: Store| {
        let event = |session_id: &str, minute: i64| PageEvent {
            session_id: session_id.to_owned(),
            domain_user_id: "visitor".to_owned(),
            timestamp: NOV_30_2026 + minute * MINUTE_MS,
            received_at: NOV_30_2026,
            ..PageEvent::default()
        };
        let events = [event("a", 0), event("a", 50), event("", 10), event("", 60), event("b", 5)];
        arrive(&store, &events, 1, &[]).await;
        let before = sessions_of(&store, 1).await;
        assert_eq!((before.len(), compare(&store).await.unwrap()), (4, vec![]));

        run(&store, "ALTER TABLE session_parts DELETE WHERE key = 'b' SETTINGS mutations_sync = 2").await;
        run(&store, "INSERT INTO session_parts (project_id, by_visitor, key, slot, events_count) VALUES (1, false, 'a', 0, 3), (2, false, 'c', 0, 1)").await;
        let differences = compare(&store).await.unwrap();
        let shown: Vec<_> = differences
            .iter()
            .map(|found| {
                (found.project_id, found.key.as_str(), found.kept.is_empty(), found.recomputed.is_empty())
            })
            .collect();
        assert_eq!(shown, [(1, "a", false, false), (1, "b", true, false), (2, "c", false, true)]);

        recompute(&store).await.unwrap();
        assert_eq!((sessions_of(&store, 1).await, compare(&store).await.unwrap()), (before, vec![]));
        // A batch that was written before must still be known.
        arrive(&store, &events, 1, &[]).await;
        assert_eq!(compare(&store).await.unwrap(), []);
    });
}
