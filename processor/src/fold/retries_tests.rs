//! The law of retries, for each topic whose records bear ids of clients: whatever was sent again, wherever batches are cut, and however
//! often a processor starts anew or writes a batch again, the rows are those of the same records without the repetitions.

use std::collections::BTreeMap;
use std::ops::Range;

use proptest::prelude::*;
use rustc_hash::FxHashSet;
use tally_eventlog::LogRecord;
use tally_schemas::contribution::Action;
use tally_schemas::{
    Contribution, Definitions, DropReason, Framing, Increment, Matcher, PageEvent, PropertyValue,
    TrackedEvent,
};
use uuid::Uuid;

use super::contributions::{self, ContributionsFolder};
use super::events::{self, EventsFolder};
use super::page_events::{self, PageEventsFolder};
use super::{Folded, Folder};
use crate::repetitions::{IdTable, REMEMBERED_MS, Seen, repetitions};

const NOV_20_2026: i64 = 1_795_132_800_000;
const DAY_MS: i64 = 86_400_000;
const PARTITION: u32 = 3;

/// What of a record matters here.
#[derive(Debug, Clone, Copy)]
struct Sent {
    /// `None` where the client chose no id.
    id: Option<u8>,
    project_id: i64,
    received_at: i64,
    /// What else the record says, for a retry as for the first try.
    says: u8,
}

/// A topic under test.
#[derive(Clone, Copy)]
struct Subject {
    folder: fn(usize) -> Box<dyn Folder>,
    encode: fn(&Sent, u128) -> Vec<u8>,
    ids: IdTable,
}

const SUBJECTS: [Subject; 3] = [
    Subject { folder: events_folder, encode: tracked_event, ids: events::IDS },
    Subject { folder: contributions_folder, encode: contribution, ids: contributions::IDS },
    Subject { folder: page_events_folder, encode: page_event, ids: page_events::IDS },
];

fn events_folder(bytes: usize) -> Box<dyn Folder> {
    Box::new(EventsFolder::new(Matcher::new(&Definitions::built_in()), Framing::SingleObject, bytes))
}

fn contributions_folder(bytes: usize) -> Box<dyn Folder> {
    Box::new(ContributionsFolder::new(Framing::SingleObject, bytes))
}

fn page_events_folder(bytes: usize) -> Box<dyn Folder> {
    Box::new(PageEventsFolder::new(Framing::SingleObject, bytes))
}

fn tracked_event(sent: &Sent, fresh_id: u128) -> Vec<u8> {
    let name =
        ["view_dashboard", "run_pipeline", "create_work_item", "never_defined"][sent.says as usize % 4];
    let label = ["success", "failed"][sent.says as usize % 2];
    let event = TrackedEvent {
        event_id: Uuid::from_u128(sent.id.map_or(fresh_id, u128::from)),
        name: name.into(),
        // A retry may be clamped to another time: what counts is what was taken in first.
        timestamp: sent.received_at - i64::from(sent.says) * DAY_MS / 4,
        received_at: sent.received_at,
        user_id: Some(1 + i64::from(sent.says) % 5),
        project_id: Some(sent.project_id),
        namespace_id: None,
        additional_properties: vec![
            ("value".into(), PropertyValue::Long(sent.says.into())),
            ("label".into(), PropertyValue::String(label.into())),
        ],
        send_to_snowplow: sent.says.is_multiple_of(3),
        timestamp_clamped: false,
        client_event_id: sent.id.is_some(),
        increment: Increment::ALL[usize::from(sent.says) % 7 % 3],
    };
    let mut value = Vec::new();
    event.encode(&mut value);
    value
}

fn contribution(sent: &Sent, fresh_id: u128) -> Vec<u8> {
    let contribution = Contribution {
        event_id: Uuid::from_u128(sent.id.map_or(fresh_id, u128::from)),
        id: fresh_id as i64,
        action: Action::ALL[usize::from(sent.says) % Action::ALL.len()],
        target_type: None,
        target_id: None,
        target_iid: None,
        target_title: None,
        project_id: (!sent.says.is_multiple_of(4)).then_some(sent.project_id),
        author_id: 1 + i64::from(sent.says) % 5,
        created_at: sent.received_at - i64::from(sent.says) * DAY_MS / 4,
        received_at: sent.received_at,
        imported_from: None,
        confidential: false,
        target_author_id: None,
        assignee_ids: vec![],
        note: None,
        push_data: None,
        wiki_page: None,
        client_event_id: sent.id.is_some(),
    };
    let mut value = Vec::new();
    contribution.encode_framed(Framing::SingleObject, &mut value);
    value
}

fn page_event(sent: &Sent, fresh_id: u128) -> Vec<u8> {
    let event = PageEvent {
        event_id: Uuid::from_u128(sent.id.map_or(fresh_id, u128::from)),
        client_event_id: sent.id.is_some(),
        project_id: sent.project_id,
        event: "page_view".to_owned(),
        timestamp: sent.received_at - i64::from(sent.says) * DAY_MS / 4,
        received_at: sent.received_at,
        domain_user_id: format!("visitor {}", sent.says % 5),
        ..PageEvent::default()
    };
    let mut value = Vec::new();
    event.encode_framed(Framing::SingleObject, &mut value);
    value
}

impl Subject {
    fn records(&self, sent: &[Sent]) -> Vec<LogRecord> {
        let record = |(offset, sent): (usize, &Sent)| LogRecord {
            offset: offset as u64,
            timestamp: sent.received_at,
            key: None,
            value: (self.encode)(sent, 1_000 + offset as u128).into(),
        };
        sent.iter().enumerate().map(record).collect()
    }

    /// Which records repeat one that counts, told by looking at all of them.
    fn repeated(&self, sent: &[Sent]) -> Vec<bool> {
        let mut repeated: Vec<bool> = Vec::new();
        for (index, of) in sent.iter().enumerate() {
            let repeats = |(earlier, counts): (&Sent, bool)| {
                counts
                    && earlier.id == of.id
                    && (!self.ids.by_project || earlier.project_id == of.project_id)
                    && earlier.received_at >= of.received_at - REMEMBERED_MS
            };
            let counted = sent[..index].iter().zip(repeated.iter().map(|repeated| !repeated));
            let is_repeated = of.id.is_some() && counted.into_iter().any(repeats);
            repeated.push(is_repeated);
        }
        repeated
    }
}

/// A processor and the table of ids that it writes.
struct Processor<'a> {
    subject: &'a Subject,
    filter_bytes: usize,
    folder: Box<dyn Folder>,
    /// The rows of the table of ids, with their offsets.
    ids: Vec<(u64, Seen)>,
}

impl<'a> Processor<'a> {
    fn new(subject: &'a Subject, filter_bytes: usize) -> Self {
        Self { subject, filter_bytes, folder: (subject.folder)(filter_bytes), ids: Vec::new() }
    }

    /// Another processor takes over. Its filter knows the ids that were written so far, which are those of `written`.
    fn restart(&mut self, written: &[LogRecord]) {
        self.folder = (self.subject.folder)(self.filter_bytes);
        let mut fold = self.folder.start(PARTITION);
        for record in written {
            fold.add(record);
        }
    }

    fn fold(&self, records: &[LogRecord]) -> Folded {
        let mut fold = self.folder.start(PARTITION);
        for record in records {
            fold.add(record);
        }
        if let Some(doubts) = fold.doubts() {
            let start = records[0].offset;
            let before = self.ids.iter().filter(|(offset, _)| *offset < start);
            let seen: Vec<Seen> = before.map(|(_, seen)| seen.clone()).collect();
            let repeated: FxHashSet<u64> = repetitions(doubts.ids(), &seen).collect();
            fold.settle(&repeated);
        }
        fold.finish()
    }

    fn write_ids(&mut self, folded: &Folded) {
        let width = if self.subject.ids.by_project { 44 } else { 36 };
        for insert in folded.inserts.iter().filter(|insert| insert.table == self.subject.ids.name) {
            for row in insert.body.chunks(width) {
                let mut fields = row.chunks(8).map(|field| {
                    let mut whole = [0; 8];
                    whole[..field.len()].copy_from_slice(field);
                    u64::from_le_bytes(whole)
                });
                let mut next = || fields.next().unwrap();
                let id = Uuid::from_u64_pair(next(), next()).as_u128();
                let project_id = if self.subject.ids.by_project { next() as i64 } else { 0 };
                let received_ms = next() as i64;
                let offset = u64::from_le_bytes(row[width - 8..].try_into().unwrap());
                self.ids.push((offset, Seen { project_id, id, received_ms }));
            }
        }
    }
}

/// What happens to a batch besides being written.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// It is folded once more before it is written, as after a refusal.
    FoldedAgain,
    /// The processor ends after the rows were written and before that was noted: another one replays the batch.
    ReplayedElsewhere,
    /// The partition goes to another processor afterwards.
    Moved,
}

fn sent() -> impl Strategy<Value = Sent> {
    let id = prop_oneof![1 => Just(None), 4 => (0_u8..12).prop_map(Some)];
    (id, 1_i64..3, 0_i64..40, 0_u8..60).prop_map(|(id, project_id, step, says)| Sent {
        id,
        project_id,
        // Steps, for now: `in_order` adds them up.
        received_at: step,
        says,
    })
}

/// Times go up by quarters of days, now and then back by an hour, as clocks of several hosts do.
fn in_order(mut sent: Vec<Sent>) -> Vec<Sent> {
    let mut at = NOV_20_2026;
    for sent in &mut sent {
        at += if sent.received_at < 30 {
            sent.received_at * 60_000
        } else {
            (sent.received_at - 29) * DAY_MS / 4
        };
        sent.received_at = if sent.says.is_multiple_of(9) { at - DAY_MS / 24 } else { at };
    }
    sent
}

fn cuts() -> impl Strategy<Value = Vec<(usize, Event)>> {
    let event = prop::sample::select(vec![
        Event::Nothing,
        Event::FoldedAgain,
        Event::ReplayedElsewhere,
        Event::Moved,
    ]);
    prop::collection::vec((1_usize..15, event), 1..20)
}

/// The ranges of the batches, the last one up to the end.
fn batches(cuts: &[(usize, Event)], records: usize) -> Vec<(Range<usize>, Event)> {
    let mut start = 0;
    let mut batches = Vec::new();
    for &(length, event) in cuts.iter().cycle() {
        let end = (start + length).min(records);
        batches.push((start..end, event));
        start = end;
        if end == records {
            break;
        }
    }
    batches
}

proptest! {
    // Each case is three topics, each folded up to three times.
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_rows_are_those_of_the_records_without_the_repetitions(
        sent in prop::collection::vec(sent(), 1..80).prop_map(in_order),
        cuts in cuts(),
        // A filter that is too small takes nearly everything for known.
        filter_bytes in prop::sample::select(vec![1_usize, 1 << 14]),
    ) {
        for subject in &SUBJECTS {
            let (records, repeated) = (subject.records(&sent), subject.repeated(&sent));
            let mut processor = Processor::new(subject, filter_bytes);
            for (range, event) in batches(&cuts, records.len()) {
                let batch = &records[range.clone()];
                let mut folded = processor.fold(batch);
                if let Event::FoldedAgain = event {
                    let again = processor.fold(batch);
                    prop_assert_eq!(&again.inserts, &folded.inserts);
                    folded = again;
                }
                processor.write_ids(&folded);
                if let Event::ReplayedElsewhere | Event::Moved = event {
                    processor.restart(&records[..range.end]);
                }
                if let Event::ReplayedElsewhere = event {
                    let replayed = processor.fold(batch);
                    prop_assert_eq!(&replayed.inserts, &folded.inserts);
                }
                let once: Vec<LogRecord> =
                    batch.iter().filter(|record| !repeated[record.offset as usize]).cloned().collect();
                let expected = Processor::new(subject, 1 << 14).fold(&once);
                prop_assert_eq!(&folded.inserts, &expected.inserts);
                let mut drops = expected.drops;
                let repetitions = (batch.len() - once.len()) as u64;
                if repetitions > 0 {
                    prop_assert_eq!(drops.insert(DropReason::Duplicate, repetitions), None);
                }
                prop_assert_eq!(folded.drops, drops);
            }
        }
    }
}

fn at(id: u8, received_at: i64) -> Sent {
    Sent { id: Some(id), project_id: 1, received_at, says: 1 }
}

fn duplicates(folded: &Folded) -> u64 {
    folded.drops.get(&DropReason::Duplicate).copied().unwrap_or_default()
}

#[test]
fn an_id_counts_again_a_millisecond_after_seven_days_in_the_same_batch_as_in_another() {
    let sent =
        [at(1, NOV_20_2026), at(1, NOV_20_2026 + REMEMBERED_MS), at(1, NOV_20_2026 + REMEMBERED_MS + 1)];
    for subject in &SUBJECTS {
        let records = subject.records(&sent);
        let at_once = Processor::new(subject, 1 << 14).fold(&records);
        assert_eq!(duplicates(&at_once), 1);
        let mut processor = Processor::new(subject, 1 << 14);
        let one_by_one: Vec<u64> = records
            .chunks(1)
            .map(|batch| {
                let folded = processor.fold(batch);
                processor.write_ids(&folded);
                duplicates(&folded)
            })
            .collect();
        assert_eq!(one_by_one, [0, 1, 0]);
    }
}

#[test]
fn an_id_that_counted_again_is_remembered_for_seven_days_more() {
    let hours = |hours: i64| NOV_20_2026 + hours * 3_600_000;
    // The filter forgets its older half at the third and at the last record.
    let sent = [at(1, hours(0)), at(8, hours(84)), at(2, hours(174)), at(8, hours(253)), at(8, hours(344))];
    for subject in &SUBJECTS {
        let records = subject.records(&sent);
        let mut processor = Processor::new(subject, 1 << 14);
        let folded = processor.fold(&records[..4]);
        processor.write_ids(&folded);
        assert_eq!(duplicates(&folded), 0);
        assert_eq!(duplicates(&processor.fold(&records[4..])), 1);
    }
}

#[test]
fn a_batch_that_spans_a_week_is_folded_again_to_the_same_rows() {
    let hours = |hours: i64| NOV_20_2026 + hours * 3_600_000;
    let sent = [at(1, hours(0)), at(8, hours(48)), at(2, hours(170)), at(8, hours(171)), at(2, hours(345))];
    for subject in &SUBJECTS {
        let records = subject.records(&sent);
        let mut processor = Processor::new(subject, 1 << 14);
        let folded = processor.fold(&records[..2]);
        processor.write_ids(&folded);
        let folded = processor.fold(&records[2..]);
        assert_eq!(duplicates(&folded), 1);
        assert_eq!(processor.fold(&records[2..]).inserts, folded.inserts);
    }
}

#[test]
fn ids_that_no_client_chose_leave_no_rows() {
    let sent = [Sent { id: None, ..at(1, NOV_20_2026) }; 3];
    for subject in &SUBJECTS {
        let folded = Processor::new(subject, 1 << 14).fold(&subject.records(&sent));
        assert_eq!(duplicates(&folded), 0);
        assert!(folded.inserts.iter().all(|insert| insert.table != subject.ids.name));
    }
}

#[test]
fn an_id_of_another_project_is_another_one_for_trackers_only() {
    let sent = [at(1, NOV_20_2026), Sent { project_id: 2, ..at(1, NOV_20_2026) }];
    let counted =
        SUBJECTS.map(|subject| duplicates(&Processor::new(&subject, 1 << 14).fold(&subject.records(&sent))));
    assert_eq!(counted, [1, 1, 0]);
}

#[test]
fn a_record_received_at_no_time_that_the_tables_hold_is_set_aside() {
    for subject in &SUBJECTS {
        let value = (subject.encode)(&Sent { says: 0, ..at(1, -1) }, 1);
        let record = LogRecord { offset: 0, timestamp: 0, key: None, value: value.into() };
        let folded = Processor::new(subject, 1 << 14).fold(&[record]);
        assert_eq!(folded.drops, BTreeMap::from([(DropReason::Invalid, 1)]));
    }
}
