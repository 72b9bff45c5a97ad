//! Page events become the same bytes whatever the filter knew, and each id once.

use proptest::prelude::*;
use tally_schemas::Framing;
use uuid::Uuid;

use super::*;

const NOV_20_2026: i64 = 1_795_132_800_000;
const DAY_MS: i64 = 86_400_000;

fn event(project_id: i64, id: u128, timestamp: i64) -> PageEvent {
    PageEvent {
        event_id: Uuid::from_u128(id),
        client_event_id: true,
        project_id,
        event: "page_view".to_owned(),
        timestamp,
        received_at: NOV_20_2026 + timestamp % 3 * DAY_MS,
        domain_user_id: format!("visitor {}", id % 5),
        page_url: "x".repeat((id % 7) as usize),
        ..PageEvent::default()
    }
}

fn records(events: &[PageEvent]) -> Vec<LogRecord> {
    let record = |(offset, event): (usize, &PageEvent)| {
        let mut value = Vec::new();
        event.encode_framed(Framing::SingleObject, &mut value);
        LogRecord { offset: offset as u64, timestamp: NOV_20_2026, key: None, value: value.into() }
    };
    events.iter().enumerate().map(record).collect()
}

fn folder() -> PageEventsFolder {
    PageEventsFolder::new(Framing::SingleObject, 1 << 16)
}

/// Folds with `repeated` for the store's answer, whatever is asked; what was asked, and the rows.
fn fold(folder: &PageEventsFolder, records: &[LogRecord], repeated: &[u64]) -> (Vec<u64>, Folded) {
    let mut fold = folder.start(3);
    for record in records {
        fold.add(record);
    }
    let doubts = fold.doubts();
    let doubts = doubts.iter().flat_map(Doubts::ids).map(|id| id.offset).collect();
    fold.settle(&repeated.iter().copied().collect());
    (doubts, fold.finish())
}

fn rows_of(folded: &Folded, table: &str) -> u64 {
    folded.inserts.iter().filter(|insert| insert.table == table).map(|insert| insert.rows).sum()
}

#[test]
fn an_id_counts_once_in_a_batch_and_its_project() {
    let events = [event(1, 7, NOV_20_2026), event(1, 7, NOV_20_2026), event(2, 7, NOV_20_2026)];
    let (doubts, folded) = fold(&folder(), &records(&events), &[]);
    assert!(doubts.is_empty(), "what the batch itself shows needs no question");
    assert_eq!(rows_of(&folded, "page_events"), 2);
    assert_eq!(folded.drops, BTreeMap::from([(DropReason::Duplicate, 1)]));
}

#[test]
fn an_id_that_the_collector_made_is_never_a_repetition() {
    let made = PageEvent { client_event_id: false, ..event(1, 7, NOV_20_2026) };
    let (_, folded) = fold(&folder(), &records(&[made.clone(), made]), &[]);
    assert_eq!((rows_of(&folded, "page_events"), rows_of(&folded, "page_event_ids")), (2, 0));
}

#[test]
fn a_repetition_of_an_earlier_batch_leaves_no_trace_but_its_count() {
    let knowing = folder();
    let records = records(&[event(1, 7, NOV_20_2026), event(1, 8, NOV_20_2026)]);
    fold(&knowing, &records[..1], &[]);
    let (doubts, folded) = fold(&knowing, &records, &[0]);
    assert_eq!(doubts, [0]);
    let (_, without) = fold(&folder(), &records[1..], &[]);
    assert_eq!(folded.inserts, without.inserts);
    assert_eq!(folded.drops, BTreeMap::from([(DropReason::Duplicate, 1)]));
}

#[test]
fn an_event_without_session_and_visitor_is_kept_and_belongs_to_none() {
    let nobody = PageEvent { domain_user_id: String::new(), ..event(1, 7, NOV_20_2026) };
    let (_, folded) = fold(&folder(), &records(&[nobody]), &[]);
    assert_eq!((rows_of(&folded, "page_events"), rows_of(&folded, "session_parts")), (1, 0));
}

#[test]
fn what_the_tables_cannot_hold_becomes_a_dead_letter() {
    let late = PageEvent { received_at: i64::MAX, ..event(1, 7, NOV_20_2026) };
    let records = records(&[event(1, 7, -1), late]);
    let (_, folded) = fold(&folder(), &records, &[]);
    assert_eq!(folded.inserts.iter().map(|insert| insert.table).collect::<Vec<_>>(), ["dead_letters"]);
    assert_eq!(folded.drops, BTreeMap::from([(DropReason::Invalid, 2)]));
}

proptest! {
    #[test]
    fn the_rows_are_the_same_bytes_whatever_the_filter_knew(
        ids in prop::collection::vec((1..3_i64, 0..12_u128, 0..50_i64), 1..40),
        known in prop::collection::vec(any::<bool>(), 40),
        repeated in prop::collection::btree_set(0..40_u64, 0..10),
    ) {
        let events: Vec<_> = ids.iter().map(|(project, id, days)| event(*project, *id, NOV_20_2026 + days * DAY_MS)).collect();
        let records = records(&events);
        let first_of_its_id = |offset: &u64| {
            let of_id = |event: &PageEvent| (event.project_id, event.event_id);
            let event = events.get(*offset as usize);
            event.is_some_and(|event| !events[..*offset as usize].iter().any(|earlier| of_id(earlier) == of_id(event)))
        };
        let repeated: Vec<u64> = repeated.into_iter().filter(first_of_its_id).collect();
        // What is repeated must be known; of the others the filter may think so.
        let with_filter = |knows: &dyn Fn(u64) -> bool| {
            let folder = folder();
            let known: Vec<_> = records.iter().filter(|record| knows(record.offset)).cloned().collect();
            fold(&folder, &known, &[]);
            fold(&folder, &records, &repeated).1
        };
        let exact = with_filter(&|offset| repeated.contains(&offset));
        let vague = with_filter(&|offset| repeated.contains(&offset) || known[offset as usize]);
        prop_assert_eq!(exact.inserts, vague.inserts);
        prop_assert_eq!(exact.drops, vague.drops);
    }
}
