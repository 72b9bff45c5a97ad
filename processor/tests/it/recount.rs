//! Recounting finds what faults did to the tables: parts that are gone, inserts that came twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tally_eventlog::{EventLog, Record};
use tally_processor::recount::{
    Days, Difference, Rebuilt, Recount, Report, Selection, Source, Stretch, raw_topic, rebuild, replay,
    verify,
};
use tally_schemas::contribution::Action;
use tally_schemas::{
    Contribution, Definitions, Framings, Increment, Matcher, PageEvent, PropertyValue, TrackedEvent, topics,
};
use tally_store::Store;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::repetitions::{append, log_in, process, schemas};
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
        send_to_snowplow: id.is_multiple_of(3),
        timestamp_clamped: false,
        client_event_id: id.is_multiple_of(2),
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
        session_id: if id.is_multiple_of(2) { format!("session {}", id % 20) } else { String::new() },
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
    verify(&recount(store, &Matcher::new(&Definitions::built_in()), days), None).await.unwrap()
}

async fn rebuilt(store: &Store, days: Days, selection: &Selection) -> Rebuilt {
    rebuild(&recount(store, &Matcher::new(&Definitions::built_in()), days), selection).await.unwrap()
}

fn recount<'a>(store: &'a Store, matcher: &'a Matcher, days: Days) -> Recount<'a> {
    let run = Uuid::new_v4().simple().to_string();
    Recount { store, matcher, days, run, patience: Duration::ZERO, progress: &|_| {} }
}

/// The tables in which differences were found.
async fn different(store: &Store) -> BTreeSet<String> {
    let report = verified(store, Days::ALL).await;
    assert_eq!(report.count as usize, report.differences.len());
    report.differences.into_iter().map(|found| found.table).collect()
}

#[test]
fn parts_that_are_gone_and_inserts_that_came_twice_are_found_in_each_table() {
    with_tables("recount", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        counted(&log, &store).await;
        let report = verified(&store, Days::ALL).await;
        assert_eq!((report.differences, report.events), (vec![], 260));

        let raw = [
            ("events", "counters"),
            ("page_events", "session_parts"),
            ("contributions", "project_contributions"),
        ];
        let derived = [
            "counters",
            "unique_totals",
            "uniques",
            "session_parts",
            "event_ids",
            "page_event_ids",
            "project_contributions",
            "contribution_projects",
        ];
        // A doubled insert of identifiers or of times changes no set and no maximum, so that there is nothing to find.
        let same_twice = ["uniques", "contribution_projects"];
        for table in raw.map(|(table, _)| table).iter().chain(&derived) {
            run(&store, &format!("CREATE TABLE whole_{table} AS {table}")).await;
            run(&store, &format!("INSERT INTO whole_{table} SELECT * FROM {table}")).await;
        }

        for table in derived {
            drop_newest_part(&store, table).await;
        }
        run(&store, "ALTER TABLE page_events UPDATE user_id = 'x' WHERE source = 'tracked_event' AND offset = 3 SETTINGS mutations_sync = 2").await;
        let all = derived.iter().copied().chain(["page_events"]).map(str::to_owned).collect();
        assert_eq!(different(&store).await, all, "parts are gone, and a page event is another");
        rebuilt(&store, Days::ALL, &Selection::All).await;
        assert_eq!(different(&store).await, BTreeSet::new());
        for table in derived {
            run(&store, &format!("INSERT INTO {table} SELECT * FROM whole_{table} LIMIT 40")).await;
        }
        let twice =
            derived.iter().filter(|table| !same_twice.contains(table)).map(|table| (*table).to_owned());
        assert_eq!(different(&store).await, twice.collect(), "inserts came twice");
        rebuilt(&store, Days::ALL, &Selection::All).await;
        assert_eq!(different(&store).await, BTreeSet::new());

        for (table, _) in raw {
            drop_newest_part(&store, table).await;
        }
        let found = different(&store).await;
        assert!(raw.iter().all(|(_, shows_in)| found.contains(*shows_in)), "parts are gone: {found:?}");
        for (table, _) in raw {
            restore(&store, table).await;
            run(&store, &format!("INSERT INTO {table} SELECT * FROM whole_{table} LIMIT 40")).await;
        }
        let found = different(&store).await;
        assert!(raw.iter().all(|(table, _)| found.contains(*table)), "inserts came twice: {found:?}");
        for (table, _) in raw {
            restore(&store, table).await;
        }
        assert_eq!(different(&store).await, BTreeSet::new());
        let staged = number(
            &store,
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'recount%'",
        );
        assert_eq!(staged.await, 0);
    });
}

async fn drop_newest_part(store: &Store, table: &str) {
    let newest = format!(
        "SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = '{table}' \
         ORDER BY min_block_number DESC LIMIT 1"
    );
    let part: String = rows(store, &newest).await.remove(0);
    run(store, &format!("ALTER TABLE {table} DROP PART '{part}'")).await;
}

async fn restore(store: &Store, table: &str) {
    run(store, &format!("TRUNCATE TABLE {table} SYNC")).await;
    run(store, &format!("INSERT INTO {table} SELECT * FROM whole_{table}")).await;
}

#[test]
fn readers_see_a_month_as_it_was_or_as_it_is_and_a_crash_changes_nothing_more() {
    with_tables("rebuild", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        counted(&log, &store).await;
        let sum = "SELECT sum(count) FROM counters WHERE toYYYYMM(day) = 202611";
        let right = number(&store, sum).await;
        // What the definitions don't know stays as it is.
        run(&store, "INSERT INTO counters VALUES ('2026-11-21', 'forgotten', 5, 0)").await;
        run(&store, "INSERT INTO counters SELECT day, counter, 1000, 0 FROM counters").await;
        let wrong = number(&store, sum).await;
        let expected = right + 5 + 1000;
        assert!(wrong > expected);

        // Given up at any moment, a rebuild has replaced a month or it hasn't.
        for patience_ms in [0, 20, 40, 80, 160, 240, 320] {
            let matcher = Matcher::new(&Definitions::built_in());
            let work = recount(&store, &matcher, Days::ALL);
            let _ = tokio::time::timeout(Duration::from_millis(patience_ms), rebuild(&work, &Selection::All))
                .await;
            let found = number(&store, sum).await;
            assert!(found == wrong || found == expected, "{wrong} or {expected}, not {found}");
        }
        let done = CancellationToken::new();
        let reading = async {
            let mut seen = BTreeSet::new();
            while !done.is_cancelled() {
                seen.insert(number(&store, sum).await);
            }
            seen
        };
        let rebuilding = async {
            rebuilt(&store, Days::ALL, &Selection::All).await;
            done.cancel();
        };
        let (seen, ()) = tokio::join!(reading, rebuilding);
        assert!(seen.iter().all(|seen| [wrong, expected].contains(seen)), "{seen:?}");
        assert_eq!(number(&store, sum).await, expected);
        assert_eq!(different(&store).await, BTreeSet::new());
        let staged =
            "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name LIKE 'recount%'";
        assert_eq!(number(&store, staged).await, 0);
    });
}

#[test]
fn one_counter_of_some_days_is_rebuilt_without_touching_another() {
    with_tables("rebuild_one", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        counted(&log, &store).await;
        let counters = "SELECT toString(day), toString(counter), sum(count) FROM counters GROUP BY day, counter ORDER BY day, counter";
        let right: Vec<(String, String, u64)> = rows(&store, counters).await;
        run(&store, "ALTER TABLE counters DELETE WHERE counter = 'search' SETTINGS mutations_sync = 2").await;
        let days = Days { from: "2026-11-20".parse().unwrap(), to: "2026-11-22".parse().unwrap() };
        let one = Selection::Counters(["search".to_owned()].into());
        let done = rebuilt(&store, days, &one).await;
        assert_eq!(done.replaced, [("counters".to_owned(), "202611".to_owned())]);
        let found: Vec<(String, String, u64)> = rows(&store, counters).await;
        let is_there = |row: &&(String, String, u64)| {
            row.1 != "search" || ("2026-11-20"..="2026-11-22").contains(&row.0.as_str())
        };
        assert_eq!(found, right.iter().filter(is_there).cloned().collect::<Vec<_>>());

        // A counter that has no rows of the first days is backfilled on all of them.
        let done = rebuilt(&store, Days::ALL, &Selection::Missing).await;
        assert_eq!(done.replaced, [] as [(String, String); 0], "it has its first day");
        run(&store, "ALTER TABLE counters DELETE WHERE counter = 'search' AND day < '2026-11-22' SETTINGS mutations_sync = 2").await;
        rebuilt(&store, Days::ALL, &Selection::Missing).await;
        assert_eq!(rows::<(String, String, u64)>(&store, counters).await, right);
        assert_eq!(rebuilt(&store, Days::ALL, &Selection::Missing).await.replaced, []);
    });
}

/// Each table in a number that tells its contents, however far it is merged.
async fn contents(store: &Store) -> Vec<(String, u64)> {
    let of_rows = [
        "events",
        "page_events",
        "contributions",
        "project_contributions",
        "event_ids",
        "page_event_ids",
        "dead_letters",
    ]
    .map(|table| (table, format!("SELECT sum(cityHash64(toString(tuple(*)))) FROM {table}")));
    let of_sums = [
        ("counters", "SELECT day, toString(counter), sum(count), sum(sum) FROM counters GROUP BY day, counter"),
        ("unique_totals", "SELECT day, toString(counter), value, sum(count) FROM unique_totals GROUP BY day, counter, value"),
        ("uniques", "SELECT day, toString(counter), uniqCombined64Merge(state) FROM uniques GROUP BY day, counter"),
        ("session_parts", "SELECT * FROM session_parts FINAL"),
        ("contribution_projects", "SELECT author_id, project_id, max(latest) FROM contribution_projects GROUP BY author_id, project_id"),
    ]
    .map(|(table, sql)| (table, format!("SELECT sum(cityHash64(toString(tuple(*)))) FROM ({sql})")));
    let mut contents = Vec::new();
    for (table, sql) in of_rows.into_iter().chain(of_sums) {
        contents.push((table.to_owned(), number(store, &sql).await));
    }
    contents
}

/// Replays a whole topic; how many rows were put back, and how many records were repetitions.
async fn replayed(source: &Source, store: &Store, topic: &str) -> (u64, u64) {
    let matcher = Matcher::new(&Definitions::built_in());
    let end = source.log.watermarks(topic).await.unwrap()[0].high;
    let stretch = Stretch { topic: raw_topic(topic).unwrap(), partition: 0, offsets: 0..end };
    let work = recount(store, &matcher, Days::ALL);
    let replayed = replay(&work, source, &[stretch]).await.unwrap();
    assert_eq!(replayed.records, end);
    (replayed.put_back, replayed.repetitions)
}

#[test]
fn raw_rows_that_were_lost_come_back_out_of_the_log_and_with_them_the_numbers() {
    with_tables("replay", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        counted(&log, &store).await;
        // Of what is sent again, twenty have ids that clients chose; and then there is what can't be read.
        let again = (0..40).map(|id| tracked(id, NOV_20_2026 + id as i64 * HOUR_MS));
        let unreadable = Record { key: None, value: "x".into(), timestamp: NOV_20_2026 };
        append(&log, topics::EVENTS, again.chain([unreadable]).collect()).await;
        let letters = "SELECT count() FROM dead_letters";
        process(&log, &store, async || number(&store, letters).await == 1).await;
        let whole = contents(&store).await;
        assert_eq!(number(&store, "SELECT count() FROM events").await, 280);

        let source = Source { log: Arc::clone(&log), schemas: schemas(&log), framings: Framings::default() };
        let matcher = Matcher::new(&Definitions::built_in());
        // What differs by itself, and how many records have no rows.
        let lost = async || {
            let report = verify(&recount(&store, &matcher, Days::ALL), Some(&source)).await.unwrap();
            let is_of_log = |found: &&Difference| found.what.contains("offsets");
            let alone = report.differences.len() - report.differences.iter().filter(is_of_log).count();
            (alone as u64, report.count - alone as u64)
        };
        assert_eq!(lost().await, (0, 0));
        assert_eq!(replayed(&source, &store, topics::EVENTS).await, (0, 20));

        drop_newest_part(&store, "events").await;
        let (alone, _) = lost().await;
        assert!(alone > 0);
        let (put_back, repetitions) = replayed(&source, &store, topics::EVENTS).await;
        assert!(put_back > 0 && repetitions == 20, "{put_back} put back, {repetitions} repetitions");
        assert_eq!((contents(&store).await, lost().await), (whole.clone(), (0, 0)));

        // Nothing differs where nothing is left; only the log tells.
        for (table, _) in &whole {
            run(&store, &format!("TRUNCATE TABLE {table} SYNC")).await;
        }
        run(&store, "INSERT INTO events (partition, offset, timestamp, name) VALUES (0, 300, '2026-11-20 00:00:00', 'x')").await;
        assert_eq!(lost().await, (0, 280), "all that the log has of events before the newest row");
        run(&store, "TRUNCATE TABLE events SYNC").await;
        let mut put_back = Vec::new();
        for topic in [topics::EVENTS, topics::PAGE_EVENTS, topics::CONTRIBUTIONS] {
            put_back.push(replayed(&source, &store, topic).await);
        }
        assert_eq!(put_back, [(281, 20), (120, 0), (120, 0)]);
        assert_eq!((contents(&store).await, lost().await), (whole, (0, 0)));
    });
}

#[test]
fn repetitions_are_told_apart_however_many_there_are() {
    with_tables("replay_repetitions", async |store: Store| {
        let folder = tempfile::tempdir().unwrap();
        let log = log_in(folder.path()).await;
        // As many as are looked at at once, all with ids that clients chose.
        let events = || (0..5000).map(|id| tracked(2 * id, NOV_20_2026));
        let unreadable = Record { key: None, value: "x".into(), timestamp: NOV_20_2026 };
        append(&log, topics::EVENTS, events().chain(events()).chain([unreadable]).collect()).await;
        process(&log, &store, async || number(&store, "SELECT count() FROM dead_letters").await == 1).await;
        assert_eq!(number(&store, "SELECT count() FROM events").await, 5000);

        let source = Source { log: Arc::clone(&log), schemas: schemas(&log), framings: Framings::default() };
        assert_eq!(replayed(&source, &store, topics::EVENTS).await, (0, 5000));
    });
}
