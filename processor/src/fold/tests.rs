//! Laws of the folds: same records, same bytes; what can't be read is set aside; counting does not depend on where batches
//! are cut.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tally_eventlog::LogRecord;
use tally_schemas::contribution::Action;
use tally_schemas::dead_letter::Origin;
use tally_schemas::{
    Contribution, DeadLetter, Definitions, DropReason, Framing, Increment, LegacyNames, Matcher,
    PropertyValue, TrackedEvent, identifier_hash,
};
use uuid::Uuid;

use super::contributions::ContributionsFolder;
use super::events::EventsFolder;
use super::refused::RefusedFolder;
use super::{Folded, Folder, TableInsert};

const NOV_20_2026: i64 = 1_795_132_800_000;
const DAY_MS: i64 = 86_400_000;

fn folder() -> EventsFolder {
    let package = std::env::var("CARGO_MANIFEST_DIR").expect("cargo runs the tests");
    let names = LegacyNames::load(&[format!("{package}/src/fold/fixtures/legacy_names.yml")]).unwrap();
    let definitions = Definitions::built_in().with_legacy_names(names);
    EventsFolder::new(Matcher::new(&definitions), Framing::SingleObject, 1 << 16)
}

fn event(
    name: &str,
    timestamp: i64,
    user_id: i64,
    properties: Vec<(&'static str, PropertyValue<'static>)>,
) -> Vec<u8> {
    encoded(&tracked(name, timestamp, user_id, properties))
}

fn increment(increment: Increment, name: &str, user_id: Option<i64>) -> Vec<u8> {
    encoded(&TrackedEvent { increment, user_id, ..tracked(name, NOV_20_2026, 1, vec![]) })
}

fn encoded(event: &TrackedEvent<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    event.encode(&mut bytes);
    bytes
}

fn tracked(
    name: &str,
    timestamp: i64,
    user_id: i64,
    properties: Vec<(&'static str, PropertyValue<'static>)>,
) -> TrackedEvent<'static> {
    TrackedEvent {
        event_id: Uuid::from_u128(1),
        name: name.to_owned().into(),
        timestamp,
        received_at: timestamp,
        user_id: Some(user_id),
        project_id: Some(1),
        namespace_id: None,
        additional_properties: properties.into_iter().map(|(name, value)| (name.into(), value)).collect(),
        send_to_snowplow: false,
        timestamp_clamped: false,
        client_event_id: false,
        increment: Increment::Event,
    }
}

fn records(values: &[Vec<u8>]) -> Vec<LogRecord> {
    let record = |(offset, value): (usize, &Vec<u8>)| LogRecord {
        offset: offset as u64,
        timestamp: NOV_20_2026,
        key: None,
        value: value.clone().into(),
    };
    values.iter().enumerate().map(record).collect()
}

fn fold(records: &[LogRecord]) -> Folded {
    let mut fold = folder().start(3);
    for record in records {
        fold.add(record);
    }
    fold.finish()
}

fn of_table<'a>(folded: &'a Folded, table: &'static str) -> Vec<&'a TableInsert> {
    folded.inserts.iter().filter(|insert| insert.table == table).collect()
}

/// The rows of `counters` in `RowBinary`, read back: (day, counter) -> (count, sum in billionths).
fn counters(folded: &Folded) -> BTreeMap<(u16, String), (u64, i128)> {
    let mut read = BTreeMap::new();
    for insert in of_table(folded, "counters") {
        let mut rest = &insert.body[..];
        while !rest.is_empty() {
            let day = u16::from_le_bytes(rest[..2].try_into().unwrap());
            let length = usize::from(rest[2]);
            assert!(length < 128, "the test's counters have short names");
            let (name, numbers) = rest[3..].split_at(length);
            let count = u64::from_le_bytes(numbers[..8].try_into().unwrap());
            let sum = i128::from_le_bytes(numbers[8..24].try_into().unwrap());
            let before = read.insert((day, String::from_utf8(name.to_vec()).unwrap()), (count, sum));
            assert!(before.is_none(), "one row a day and counter");
            rest = &numbers[24..];
        }
    }
    read
}

/// The rows of `uniques`, read back: (day, counter) -> hashes.
fn uniques(folded: &Folded) -> BTreeMap<(u16, String), Vec<u64>> {
    let mut read = BTreeMap::new();
    for insert in of_table(folded, "uniques") {
        let mut rest = &insert.body[..];
        while !rest.is_empty() {
            let day = u16::from_le_bytes(rest[..2].try_into().unwrap());
            let (name, after) = rest[3..].split_at(usize::from(rest[2]));
            assert!(after[0] < 128, "the test's counters have few identifiers");
            let (hashes, after) = after[1..].split_at(8 * usize::from(after[0]));
            let hashes = hashes.chunks(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            read.insert((day, String::from_utf8(name.to_vec()).unwrap()), hashes.collect());
            rest = after;
        }
    }
    read
}

fn any_event() -> impl Strategy<Value = Vec<u8>> {
    let names =
        prop::sample::select(vec!["view_dashboard", "run_pipeline", "create_work_item", "never_defined"]);
    let values = prop_oneof![
        (-1000_i64..1000).prop_map(PropertyValue::Long),
        (-1000_i64..1000).prop_map(|eighths| PropertyValue::Double(eighths as f64 / 8.0)),
        Just(PropertyValue::String("12".into())),
        Just(PropertyValue::Null),
    ];
    let labels = prop::sample::select(vec!["success", "failed", "incident", "ü"]);
    let increments = prop::sample::select(&Increment::ALL[..]);
    (names, 0_i64..60, 1_i64..9, values, labels, increments).prop_map(
        |(name, days_back, user_id, value, label, increment)| {
            let properties = vec![("value", value), ("label", PropertyValue::String(label.into()))];
            let event = tracked(name, NOV_20_2026 - days_back * DAY_MS, user_id, properties);
            encoded(&TrackedEvent { increment, ..event })
        },
    )
}

proptest! {
    #[test]
    fn the_same_records_always_give_the_same_inserts(values in prop::collection::vec(any_event(), 0..80)) {
        let records = records(&values);
        prop_assert_eq!(fold(&records).inserts, fold(&records).inserts);
    }

    #[test]
    fn counts_do_not_depend_on_where_batches_are_cut(
        values in prop::collection::vec(any_event(), 1..80),
        cut in any::<prop::sample::Index>(),
    ) {
        let records = records(&values);
        let (first, second) = records.split_at(cut.index(records.len()));
        let mut added = counters(&fold(first));
        for (key, (count, sum)) in counters(&fold(second)) {
            let both = added.entry(key).or_default();
            both.0 += count;
            both.1 += sum;
        }
        prop_assert_eq!(added, counters(&fold(&records)));
    }

    #[test]
    fn every_insert_stays_in_one_month(values in prop::collection::vec(any_event(), 1..80)) {
        let folded = fold(&records(&values));
        for (index, insert) in folded.inserts.iter().enumerate() {
            let same_place = |other: &TableInsert| (other.table, other.month) == (insert.table, insert.month);
            prop_assert!(!folded.inserts[..index].iter().any(same_place), "one insert a table and month");
        }
        for ((day, _), _) in counters(&folded) {
            let in_its_month = of_table(&folded, "counters").iter().any(|insert| {
                insert.month == super::calendar::Months::default().month_of(day)
            });
            prop_assert!(in_its_month);
        }
    }

    #[test]
    fn no_bytes_stop_a_fold(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folded = fold(&records(&[bytes, event("view_dashboard", NOV_20_2026, 1, vec![])]));
        prop_assert_eq!(of_table(&folded, "events").iter().map(|insert| insert.rows).sum::<u64>(), 1);
    }
}

#[test]
fn a_record_that_is_no_event_becomes_a_dead_letter_with_its_bytes() {
    let folded = fold(&records(&[b"garbage".to_vec()]));
    let letters = of_table(&folded, "dead_letters");
    assert_eq!(letters.len(), 1);
    assert!(letters[0].body.windows(7).any(|window| window == b"garbage"));
    assert_eq!(folded.drops, BTreeMap::from([(DropReason::Undecodable, 1)]));
}

#[test]
fn letters_of_a_service_and_unreadable_ones_are_one_insert() {
    let letter = DeadLetter {
        id: Uuid::from_u128(7),
        reason: DropReason::Invalid,
        detail: "a letter".to_owned(),
        origin: Origin::Request { endpoint: "/i".to_owned(), user_id: Some(7), content_type: String::new() },
        recorded_at: NOV_20_2026,
        payload: b"what came".to_vec(),
        project_id: Some(5),
        key: None,
        whole_size: None,
    };
    let mut value = Vec::new();
    letter.encode_framed(Framing::SingleObject, &mut value);
    let mut fold = RefusedFolder.start(0);
    for record in records(&[value, b"garbage".to_vec()]) {
        fold.add(&record);
    }
    let folded = fold.finish();
    // Two inserts into one month of one table would bear the same token, and the second would be taken for the first.
    assert_eq!(folded.inserts.len(), 1);
    assert_eq!(folded.inserts[0].rows, 2);
    for text in [&b"what came"[..], b"/i", b"garbage"] {
        assert!(folded.inserts[0].body.windows(text.len()).any(|window| window == text));
    }
    assert_eq!(folded.drops, BTreeMap::from([(DropReason::Undecodable, 1)]));
    assert_eq!(folded.received_at, Some((NOV_20_2026, NOV_20_2026)));
}

#[test]
fn an_event_that_no_definition_knows_is_kept_and_counted_nowhere() {
    let folded = fold(&records(&[event("never_defined", NOV_20_2026, 1, vec![])]));
    let tables: Vec<&str> = folded.inserts.iter().map(|insert| insert.table).collect();
    assert_eq!(tables, ["events"]);
    assert_eq!(folded.drops, BTreeMap::from([(DropReason::UnknownEvent, 1)]));
}

#[test]
fn an_increment_changes_what_it_asks_for_and_nothing_else() {
    use Increment::{Total, UniqueUsers};

    let table = [
        (Total, "run_pipeline", "run_pipeline"),
        (Total, "pipelines_run", "run_pipeline"),
        (Total, "view_dashboard", "view_dashboard"),
        (Total, "i_nothing_here", "i_nothing_here"),
        (UniqueUsers, "view_dashboard", "view_dashboard.unique(user.id)"),
        (UniqueUsers, "i_dashboard_viewed", "view_dashboard.unique(user.id)"),
        // Of an event that no metric counts users of.
        (UniqueUsers, "create_work_item", "create_work_item.unique(user.id)"),
        (UniqueUsers, "pipelines_run", "pipelines_run.unique(user.id)"),
        (UniqueUsers, "i_nothing_here", "i_nothing_here.unique(user.id)"),
    ];
    let today = (NOV_20_2026 / DAY_MS) as u16;
    for (kind, name, counter) in table {
        let folded = fold(&records(&[increment(kind, name, Some(7)), increment(kind, name, Some(7))]));
        let key = (today, counter.to_owned());
        let (counts, hashes) = match kind {
            Total => (BTreeMap::from([(key, (2, 0))]), BTreeMap::new()),
            _ => (BTreeMap::new(), BTreeMap::from([(key, vec![identifier_hash(7)])])),
        };
        assert_eq!((counters(&folded), uniques(&folded)), (counts, hashes), "{kind:?} {name}");
        assert_eq!(folded.drops, BTreeMap::new(), "{kind:?} {name}");
        assert_eq!(of_table(&folded, "events")[0].rows, 2, "{kind:?} {name}");
    }
}

#[test]
fn an_increment_that_can_not_be_counted_is_kept_with_its_reason() {
    use Increment::{Total, UniqueUsers};

    let table = [
        (Total, "never_defined", Some(7), DropReason::UnknownEvent),
        (Total, "", Some(7), DropReason::UnknownEvent),
        (UniqueUsers, "never_defined", Some(7), DropReason::UnknownEvent),
        (UniqueUsers, "view_dashboard", None, DropReason::MissingIdentifier),
    ];
    for (kind, name, user_id, reason) in table {
        let folded = fold(&records(&[increment(kind, name, user_id)]));
        let tables: Vec<&str> = folded.inserts.iter().map(|insert| insert.table).collect();
        assert_eq!(tables, ["events"], "{kind:?} {name}");
        assert_eq!(folded.drops, BTreeMap::from([(reason, 1)]), "{kind:?} {name}");
    }
}

#[test]
fn a_tracked_event_of_a_legacy_name_is_unknown() {
    let folded = fold(&records(&[event("i_dashboard_viewed", NOV_20_2026, 1, vec![])]));
    assert_eq!(folded.drops, BTreeMap::from([(DropReason::UnknownEvent, 1)]));
}

#[test]
fn a_time_that_the_tables_can_not_hold_becomes_a_dead_letter() {
    let folded = fold(&records(&[event("view_dashboard", -1, 1, vec![])]));
    assert_eq!(of_table(&folded, "dead_letters").len(), 1);
    assert!(of_table(&folded, "events").is_empty());
}

fn contribution(id: i64, project_id: Option<i64>, author_id: i64, created_at: i64) -> Vec<u8> {
    let contribution = Contribution {
        event_id: Uuid::from_u128(1),
        id,
        action: Action::Created,
        target_type: None,
        target_id: None,
        target_iid: None,
        target_title: None,
        project_id,
        author_id,
        created_at,
        received_at: created_at,
        imported_from: None,
        confidential: false,
        note: None,
        push_data: None,
        wiki_page: None,
        client_event_id: false,
        target_author_id: Some(7),
        assignee_ids: vec![8, 9],
    };
    let mut bytes = Vec::new();
    contribution.encode_framed(Framing::SingleObject, &mut bytes);
    bytes
}

#[test]
fn what_happened_in_projects_is_written_for_them_and_their_authors_are_noted_once() {
    let month_ago = NOV_20_2026 - 30 * DAY_MS;
    let in_projects = [
        contribution(1, Some(5), 2, NOV_20_2026),
        contribution(2, Some(5), 2, NOV_20_2026 + 1),
        contribution(3, Some(6), 2, NOV_20_2026),
        contribution(4, Some(5), 2, month_ago),
    ];
    let without = [contribution(5, None, 2, NOV_20_2026)];
    let fold = |values: &[Vec<u8>]| {
        let mut fold = ContributionsFolder::new(Framing::SingleObject, 1 << 16).start(3);
        for record in &records(values) {
            fold.add(record);
        }
        fold.finish()
    };
    let folded = fold(&[in_projects.as_slice(), &without].concat());
    let rows = |table| {
        let inserts = of_table(&folded, table);
        inserts.iter().map(|insert| (insert.month, insert.rows)).collect::<Vec<_>>()
    };
    assert_eq!(rows("contributions"), [(202_610, 1), (202_611, 4)]);
    assert_eq!(rows("project_contributions"), [(202_610, 1), (202_611, 3)]);
    assert_eq!(rows("contribution_projects"), [(202_610, 1), (202_611, 2)]);
    let only_projects = fold(&in_projects);
    for (of_author, of_project) in of_table(&only_projects, "contributions")
        .iter()
        .zip(of_table(&only_projects, "project_contributions"))
    {
        assert_eq!((&of_author.body, of_author.columns), (&of_project.body, of_project.columns));
    }
    let [_, noted] = of_table(&folded, "contribution_projects")[..] else { panic!("two months") };
    let numbers: Vec<i64> =
        noted.body.chunks(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect();
    assert_eq!(numbers, [2, 5, NOV_20_2026 + 1, 2, 6, NOV_20_2026]);
}
