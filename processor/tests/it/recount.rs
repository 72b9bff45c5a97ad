//! Recounting finds what faults did to the tables: parts that are gone, inserts that came twice.

use std::sync::Arc;

use tally_eventlog::{EventLog, Record};
use tally_processor::recount::{Days, Report, Verification, verify};
use tally_schemas::contribution::Action;
use tally_schemas::{
    Contribution, Definitions, Framings, Increment, Matcher, PageEvent, PropertyValue, TrackedEvent, topics,
};
use tally_store::Store;
use uuid::Uuid;

use crate::repetitions::{append, log_in, process};
use crate::tables::{rows, run, with_tables};

const NOV_20_2026: i64 = 1_795_132_800_000;
const HOUR_MS: i64 = 3_600_000;

async fn number(store: &Store, sql: &str) -> u64 {
    rows::<u64>(store, sql).await[0]
}

fn tracked(id: u64, at: i64) -> Record {
    let names = ["view_dashboard", "run_pipeline", "search", "create_work_item", "unheard_of"];
    let event = TrackedEvent {
        event_id: Uuid::from_u64_pair(1, id),
        name: names[id as usize % names.len()].into(),
        timestamp: at,
        received_at: at,
        user_id: Some((id % 97) as i64).filter(|id| *id != 0),
        project_id: Some((id % 7) as i64).filter(|id| *id != 0),
        namespace_id: Some(3),
        additional_properties: vec![
            ("label".into(), PropertyValue::String(format!("label \"{}\"", id % 11).into())),
            ("property".into(), PropertyValue::Double(1.5)),
            ("value".into(), PropertyValue::Long(id as i64 % 13 - 5)),
        ],
        send_to_snowplow: id % 3 == 0,
        timestamp_clamped: false,
        client_event_id: id % 2 == 0,
        increment: if id % 50 == 1 { Increment::UniqueUsers } else { Increment::Event },
    };
    let mut value = Vec::new();
    event.encode(&mut value);
    Record { key: None, value: value.into(), timestamp: at }
}

fn page_view(id: u64, at: i64) -> Record {
    let event = PageEvent {
        event_id: Uuid::from_u64_pair(2, id),
        client_event_id: true,
        project_id: 1 + (id % 3) as i64,
        event: "page_view".to_owned(),
        timestamp: at,
        received_at: at,
        session_id: if id % 2 == 0 { format!("session {}", id % 20) } else { String::new() },
        domain_user_id: format!("visitor {}", id % 9),
        ..PageEvent::default()
    };
    let mut value = Vec::new();
    event.encode_framed(Framings::default().page_event, &mut value);
    Record { key: Some(event.event_id.as_bytes().to_vec().into()), value: value.into(), timestamp: at }
}

fn contribution(id: u64, at: i64) -> Record {
    let contribution = Contribution {
        event_id: Uuid::from_u64_pair(3, id),
        id: id as i64,
        action: Action::Created,
        target_type: None,
        target_id: None,
        target_iid: None,
        target_title: None,
        project_id: Some((id % 4) as i64),
        author_id: 1 + (id % 5) as i64,
        created_at: at,
        received_at: at,
        imported_from: None,
        confidential: false,
        note: None,
        push_data: None,
        wiki_page: None,
        client_event_id: false,
        target_author_id: None,
        assignee_ids: vec![1, 2],
    };
    let mut value = Vec::new();
    contribution.encode_framed(Framings::default().contribution, &mut value);
    Record { key: None, value: value.into(), timestamp: at }
}

/// Appends events of eleven days around the end of a month, and counts them.
async fn counted(log: &Arc<dyn EventLog>, store: &Store) {
    let at = |id: u64| NOV_20_2026 + id as i64 * HOUR_MS;
    append(log, topics::EVENTS, (0..260).map(|id| tracked(id, at(id))).collect()).await;
    append(log, topics::PAGE_EVENTS, (0..120).map(|id| page_view(id, at(id))).collect()).await;
    append(log, topics::CONTRIBUTIONS, (0..120).map(|id| contribution(id, at(id))).collect()).await;
    let kept = "SELECT toUInt64(sum(rows)) FROM (SELECT count() AS rows FROM events UNION ALL SELECT count() FROM page_events \
        WHERE source = 'tracker' UNION ALL SELECT count() FROM contributions)";
    process(log, store, async || number(store, kept).await == 500).await;
}

async fn verified(store: &Store, days: Days) -> Report {
    let matcher = Matcher::new(&Definitions::built_in());
    let progress = |_: String| {};
    let run = Uuid::new_v4().simple().to_string();
    let verification = Verification { store, matcher: &matcher, days, run, progress: &progress };
    verify(&verification).await.unwrap()
}

/// The tables in which differences were found.
async fn different(store: &Store) -> Vec<String> {
    let report = verified(store, Days::ALL).await;
    assert_eq!(report.count as usize, report.differences.len());
    let mut tables: Vec<String> = report.differences.into_iter().map(|found| found.table).collect();
    tables.dedup();
    tables.sort();
    tables.dedup();
    tables
}

#[test]
fn parts_that_are_gone_and_inserts_that_came_twice_are_found_in_each_table() {
    with_tables("recount", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        counted(&log, &store).await;
        let report = verified(&store, Days::ALL).await;
        assert_eq!((report.differences, report.events), (vec![], 260));

        // Where each fault shows. A doubled insert of identifiers changes no set, so that there is nothing to find.
        let tables = [
            ("events", "counters", "events"),
            ("counters", "counters", "counters"),
            ("unique_totals", "unique_totals", "unique_totals"),
            ("uniques", "uniques", ""),
            ("page_events", "session_parts", "page_events"),
            ("session_parts", "session_parts", "session_parts"),
            ("page_event_ids", "page_event_ids", "page_event_ids"),
            ("contributions", "project_contributions", "contributions"),
            ("project_contributions", "project_contributions", "project_contributions"),
            ("contribution_projects", "contribution_projects", ""),
        ];
        for (table, where_gone, where_twice) in tables {
            run(&store, &format!("CREATE TABLE whole AS {table}")).await;
            run(&store, &format!("INSERT INTO whole SELECT * FROM {table}")).await;
            let part: String =
                rows(&store, &format!("SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = '{table}' ORDER BY min_block_number DESC LIMIT 1"))
                    .await
                    .remove(0);
            run(&store, &format!("ALTER TABLE {table} DROP PART '{part}'")).await;
            let found = different(&store).await;
            assert!(found.iter().any(|found| found == where_gone), "a part of {table} is gone: {found:?}");
            restore(&store, table).await;

            let columns =
                if table == "page_events" { "* FROM whole WHERE source = 'tracker'" } else { "* FROM whole" };
            run(&store, &format!("INSERT INTO {table} SELECT {columns} LIMIT 40")).await;
            let found = different(&store).await;
            let shows = if where_twice.is_empty() {
                found.is_empty()
            } else {
                found.iter().any(|found| found == where_twice)
            };
            assert!(shows, "{table} twice: {found:?}");
            restore(&store, table).await;
            run(&store, "DROP TABLE whole SYNC").await;
            assert_eq!(different(&store).await, Vec::<String>::new(), "{table} is whole again");
        }
        let staged = number(
            &store,
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'recount%'",
        );
        assert_eq!(staged.await, 0);
    });
}

async fn restore(store: &Store, table: &str) {
    run(store, &format!("TRUNCATE TABLE {table} SYNC")).await;
    run(store, &format!("INSERT INTO {table} SELECT * FROM whole")).await;
}
