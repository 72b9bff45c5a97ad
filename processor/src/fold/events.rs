//! Tracked events and increments of older clients: each becomes a raw row, and what the definitions make of it is added to
//! the aggregates; an event that asks for it becomes a page event, too. An increment changes what it asks for and nothing else.
//! An event whose id came before is counted as a repetition and otherwise left out.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use rustc_hash::FxHashSet;
use tally_eventlog::LogRecord;
use tally_schemas::{
    CounterId, CounterKind, DropReason, EventMatcher, Framing, Increment, Matcher, TrackedEvent, topics,
};
use tally_store::{Store, StoreError};

use super::batch_ids::{BatchIds, Known};
use super::batch_rows::BatchRows;
use super::calendar::day_of;
use super::counters::{Aggregates, COUNTERS, UNIQUE_TOTALS, UNIQUES};
use super::json::write_properties;
use super::tracked_page_events::TrackedPageEvents;
use super::{DeadLetters, Fold, Folded, Folder, RawTable, dead_letters, page_event_row, session_parts};
use crate::partition::Progress;
use crate::repetitions::{ClientId, Doubts, IdTable, PartitionFilters, SharedFilter};
use crate::row_binary::RowWriter;

const EVENTS: &str = "events";
/// A retry may come with another token, or after its project was moved: an id is one whoever sends it.
pub(crate) const IDS: IdTable = IdTable { name: "event_ids", by_project: false };
const COLUMNS: &[&str] = &[
    "event_id",
    "name",
    "timestamp",
    "received_at",
    "user_id",
    "project_id",
    "namespace_id",
    "additional_properties",
    "send_to_snowplow",
    "timestamp_clamped",
    "client_event_id",
    "increment",
    "partition",
    "offset",
];

/// Folds the topic of tracked events by the definitions it was made with.
pub struct EventsFolder {
    plan: Arc<Plan>,
    filters: PartitionFilters,
}

struct Plan {
    matcher: Matcher,
    /// The counters' keys in the store, by [`CounterId`].
    names: Vec<String>,
    framing: Framing,
}

impl EventsFolder {
    /// `filter_bytes` is what the filter of a partition's ids may take.
    pub fn new(matcher: Matcher, framing: Framing, filter_bytes: usize) -> Self {
        let names = matcher.counters().iter().map(ToString::to_string).collect();
        let filters = PartitionFilters::new(IDS, filter_bytes);
        Self { plan: Arc::new(Plan { matcher, names, framing }), filters }
    }
}

impl Folder for EventsFolder {
    fn topic(&self) -> &'static str {
        topics::EVENTS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[
            EVENTS,
            COUNTERS,
            UNIQUE_TOTALS,
            UNIQUES,
            page_event_row::TABLE,
            session_parts::TABLE,
            IDS.name,
            dead_letters::TABLE,
        ]
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        &[
            RawTable { name: EVENTS, of_topic: Some("true"), has_timestamp: true },
            RawTable {
                name: page_event_row::TABLE,
                of_topic: Some("source = 'tracked_event'"),
                has_timestamp: true,
            },
            dead_letters::RAW,
        ]
    }

    fn prepare<'a>(
        &'a self,
        store: &'a Store,
        partition: u32,
        progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Option<SharedFilter>, StoreError>> {
        self.filters.load(store, partition, progress).map_ok(Some).boxed()
    }

    fn letters(&self, partition: u32) -> DeadLetters {
        let mut letters = DeadLetters::new(self.topic(), partition);
        letters.set_framing(self.plan.framing);
        letters
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        Box::new(EventsFold {
            plan: Arc::clone(&self.plan),
            rows: BatchRows::new(self.topic(), partition, EVENTS, COLUMNS).with_framing(self.plan.framing),
            aggregates: Aggregates::default(),
            page_events: TrackedPageEvents::default(),
            ids: BatchIds::new(&self.filters, partition),
            matched: Vec::new(),
        })
    }
}

struct EventsFold {
    plan: Arc<Plan>,
    rows: BatchRows,
    aggregates: Aggregates,
    page_events: TrackedPageEvents,
    ids: BatchIds<Places>,
    /// Reused from event to event.
    matched: Vec<CounterId>,
}

/// Where the rows of an event that is held would have been written.
struct Places {
    day: u16,
    row_at: usize,
    page_event_at: usize,
}

impl Fold for EventsFold {
    fn add(&mut self, record: &LogRecord) {
        let event = match TrackedEvent::decode_framed(self.plan.framing, &record.value) {
            Ok(event) => event,
            Err(error) => return self.rows.set_aside_unreadable(record, &error),
        };
        let Some(day) = day_of(event.timestamp) else {
            return self.rows.set_aside(
                record,
                DropReason::Invalid,
                "the timestamp is outside of 1970 to 2149",
            );
        };
        if !event.client_event_id {
            return self.add_event(record.offset, &event, day);
        }
        if day_of(event.received_at).is_none() {
            return self.rows.set_aside(
                record,
                DropReason::Invalid,
                "received_at is outside of 1970 to 2149",
            );
        }
        let id = ClientId {
            project_id: 0,
            event_id: event.event_id,
            received_at: event.received_at,
            offset: record.offset,
        };
        match self.ids.meet(&id) {
            Known::New => self.add_event(record.offset, &event, day),
            Known::Repeated => self.rows.drop_by(DropReason::Duplicate, 1),
            Known::Perhaps => {
                let places = self.places(&event, day);
                self.ids.hold(record, id, places);
            }
        }
    }

    fn doubts(&self) -> Option<Doubts> {
        self.ids.doubts()
    }

    fn settle(&mut self, repeated: &FxHashSet<u64>) {
        let settled = self.ids.settle(repeated);
        self.rows.drop_by(DropReason::Duplicate, settled.repetitions);
        let (mut rows, mut page_events): (BTreeMap<u32, Vec<_>>, BTreeMap<u32, Vec<_>>) = Default::default();
        for (record, places) in settled.new {
            let event = TrackedEvent::decode_framed(self.plan.framing, &record.value);
            let event = event.expect("the record was read when it was held");
            let month = self.rows.month_of(places.day);
            let mut row = RowWriter::default();
            write_row(&mut row, self.rows.partition, record.offset, &event);
            rows.entry(month).or_default().push((places.row_at, row));
            if let Some(project_id) = self.project_of_page_event(&event) {
                let row = self.page_events.held_row(&event, project_id, self.rows.partition, record.offset);
                page_events.entry(month).or_default().push((places.page_event_at, row));
            }
            self.aggregate(&event, places.day);
        }
        self.rows.interleave(rows);
        self.page_events.interleave(page_events);
    }

    fn finish(self: Box<Self>) -> Folded {
        let mut others = self.aggregates.finish(&self.plan.names);
        others.extend(self.page_events.finish());
        others.extend(self.ids.finish());
        self.rows.finish(others)
    }
}

impl EventsFold {
    fn add_event(&mut self, offset: u64, event: &TrackedEvent<'_>, day: u16) {
        let partition = self.rows.partition;
        write_row(self.rows.row(day, event.received_at), partition, offset, event);
        if let Some(project_id) = self.project_of_page_event(event) {
            let month = self.rows.month_of(day);
            self.page_events.add(event, project_id, month, partition, offset);
        }
        self.aggregate(event, day);
    }

    fn places(&mut self, event: &TrackedEvent<'_>, day: u16) -> Places {
        let month = self.rows.month_of(day);
        Places {
            day,
            row_at: self.rows.row(day, event.received_at).position(),
            page_event_at: self.page_events.position(month),
        }
    }

    /// What the event changes in the aggregates, which know no order.
    fn aggregate(&mut self, event: &TrackedEvent<'_>, day: u16) {
        let plan = Arc::clone(&self.plan);
        if event.increment != Increment::Event {
            return self.increment(&plan.matcher, event, day);
        }
        match plan.matcher.lookup(&event.name) {
            Some(matcher) => self.count(&plan.matcher, matcher, event, day),
            // GitLab accepts an event without a name and counts nothing; so does Tally, and says so.
            None => self.rows.drop_by(DropReason::UnknownEvent, 1),
        }
    }

    /// The project of the page event that the event asks for, if it asks for one.
    fn project_of_page_event(&mut self, event: &TrackedEvent<'_>) -> Option<i64> {
        if !event.send_to_snowplow {
            return None;
        }
        let project_id = event.project_id.filter(|id| *id != 0);
        if project_id.is_none() {
            self.rows.drop_by(DropReason::MissingIdentifier, 1);
        }
        project_id
    }

    fn count(&mut self, matcher: &Matcher, of_event: &EventMatcher, event: &TrackedEvent<'_>, day: u16) {
        let undeclared = of_event.undeclared(&event.additional_properties).count() as u64;
        self.rows.drop_by(DropReason::UndeclaredProperty, undeclared);
        self.matched.clear();
        of_event.matching(&event.additional_properties, &mut self.matched);
        for &id in &self.matched {
            match matcher.effect(id, event) {
                Some(effect) => self.aggregates.apply(day, id, effect),
                None => self.rows.drop_by(why_without_effect(matcher, id), 1),
            }
        }
    }

    fn increment(&mut self, matcher: &Matcher, event: &TrackedEvent<'_>, day: u16) {
        let Some(counters) = matcher.increment(event.increment, &event.name) else {
            return self.rows.drop_by(DropReason::UnknownEvent, 1);
        };
        for &id in counters {
            match Matcher::increment_effect(event.increment, event.user_id) {
                Some(effect) => self.aggregates.apply(day, id, effect),
                None => self.rows.drop_by(DropReason::MissingIdentifier, 1),
            }
        }
    }
}

fn write_row(rows: &mut RowWriter, partition: u32, offset: u64, event: &TrackedEvent<'_>) {
    rows.uuid(event.event_id);
    rows.string(&event.name);
    rows.i64(event.timestamp);
    rows.i64(event.received_at);
    rows.i64(event.user_id.unwrap_or_default());
    rows.i64(event.project_id.unwrap_or_default());
    rows.i64(event.namespace_id.unwrap_or_default());
    rows.string_with(|out| write_properties(out, &event.additional_properties));
    rows.bool(event.send_to_snowplow);
    rows.bool(event.timestamp_clamped);
    rows.bool(event.client_event_id);
    rows.u8(event.increment.number());
    rows.u32(partition);
    rows.u64(offset);
    rows.end_row();
}

fn why_without_effect(matcher: &Matcher, id: CounterId) -> DropReason {
    match matcher.counters()[id.0 as usize].kind {
        CounterKind::SumOfValue => DropReason::UnusableValue,
        _ => DropReason::MissingIdentifier,
    }
}
