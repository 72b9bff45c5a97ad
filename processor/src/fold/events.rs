//! Tracked events and increments of older clients: each becomes a raw row, and what the definitions make of it is added to
//! the aggregates; an event that asks for it becomes a page event, too. An increment changes what it asks for and nothing else.

use std::sync::Arc;

use tally_eventlog::LogRecord;
use tally_schemas::{
    CounterId, CounterKind, DropReason, EventMatcher, Framing, Increment, Matcher, TrackedEvent, topics,
};

use super::batch_rows::BatchRows;
use super::calendar::day_of;
use super::counters::{Aggregates, COUNTERS, UNIQUE_TOTALS, UNIQUES};
use super::json::write_properties;
use super::tracked_page_events::TrackedPageEvents;
use super::{Fold, Folded, Folder, dead_letters, page_event_row, session_parts};

const EVENTS: &str = "events";
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
}

struct Plan {
    matcher: Matcher,
    /// The counters' keys in the store, by [`CounterId`].
    names: Vec<String>,
    framing: Framing,
}

impl EventsFolder {
    pub fn new(matcher: Matcher, framing: Framing) -> Self {
        let names = matcher.counters().iter().map(ToString::to_string).collect();
        Self { plan: Arc::new(Plan { matcher, names, framing }) }
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
            dead_letters::TABLE,
        ]
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        Box::new(EventsFold {
            plan: Arc::clone(&self.plan),
            rows: BatchRows::new(self.topic(), partition, EVENTS, COLUMNS),
            aggregates: Aggregates::default(),
            page_events: TrackedPageEvents::default(),
            matched: Vec::new(),
        })
    }
}

struct EventsFold {
    plan: Arc<Plan>,
    rows: BatchRows,
    aggregates: Aggregates,
    page_events: TrackedPageEvents,
    /// Reused from event to event.
    matched: Vec<CounterId>,
}

impl Fold for EventsFold {
    fn add(&mut self, record: &LogRecord) {
        let event = match TrackedEvent::decode_framed(self.plan.framing, &record.value) {
            Ok(event) => event,
            Err(error) => return self.rows.set_aside_unreadable(record, &error),
        };
        match day_of(event.timestamp) {
            Some(day) => self.add_event(record, &event, day),
            None => {
                self.rows.set_aside(record, DropReason::Invalid, "the timestamp is outside of 1970 to 2149");
            }
        }
    }

    fn finish(self: Box<Self>) -> Folded {
        let mut others = self.aggregates.finish(&self.plan.names);
        others.extend(self.page_events.finish());
        self.rows.finish(others)
    }
}

impl EventsFold {
    fn add_event(&mut self, record: &LogRecord, event: &TrackedEvent<'_>, day: u16) {
        self.write_row(record, event, day);
        if event.send_to_snowplow {
            self.add_page_event(record, event, day);
        }
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

    fn add_page_event(&mut self, record: &LogRecord, event: &TrackedEvent<'_>, day: u16) {
        let Some(project_id) = event.project_id.filter(|id| *id != 0) else {
            return self.rows.drop_by(DropReason::MissingIdentifier, 1);
        };
        let (month, partition) = (self.rows.month_of(day), self.rows.partition);
        self.page_events.add(event, project_id, month, partition, record.offset);
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

    fn write_row(&mut self, record: &LogRecord, event: &TrackedEvent<'_>, day: u16) {
        let partition = self.rows.partition;
        let rows = self.rows.row(day, event.received_at);
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
        rows.u64(record.offset);
        rows.end_row();
    }
}

fn why_without_effect(matcher: &Matcher, id: CounterId) -> DropReason {
    match matcher.counters()[id.0 as usize].kind {
        CounterKind::SumOfValue => DropReason::UnusableValue,
        _ => DropReason::MissingIdentifier,
    }
}
