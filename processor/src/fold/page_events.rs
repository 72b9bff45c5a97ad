//! Page events: each becomes a row and its part of a session. One whose id came before is counted as a repetition and
//! otherwise left out.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use rustc_hash::FxHashSet;
use tally_eventlog::LogRecord;
use tally_schemas::{DropReason, Framing, PageEvent, topics};
use tally_store::{Store, StoreError};

use super::batch_ids::{BatchIds, Known};
use super::batch_rows::BatchRows;
use super::calendar::day_of;
use super::page_event_row::{self, Source};
use super::session_parts::{self, SessionParts};
use super::{DeadLetters, Fold, Folded, Folder, RawTable, TableInsert, dead_letters};
use crate::partition::Progress;
use crate::repetitions::{ClientId, Doubts, IdTable, PartitionFilters, SharedFilter};
use crate::row_binary::RowWriter;

/// Trackers are anybody's: who guesses ids can't spoil another project's events.
pub(crate) const IDS: IdTable = IdTable { name: "page_event_ids", by_project: true };

/// Folds the topic of page events.
pub struct PageEventsFolder {
    framing: Framing,
    filters: PartitionFilters,
}

impl PageEventsFolder {
    /// `filter_bytes` is what the filter of a partition's ids may take.
    pub fn new(framing: Framing, filter_bytes: usize) -> Self {
        Self { framing, filters: PartitionFilters::new(IDS, filter_bytes) }
    }
}

impl Folder for PageEventsFolder {
    fn topic(&self) -> &'static str {
        topics::PAGE_EVENTS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[page_event_row::TABLE, session_parts::TABLE, IDS.name, dead_letters::TABLE]
    }

    fn raw_tables(&self) -> &'static [RawTable] {
        &[
            RawTable {
                name: page_event_row::TABLE,
                of_topic: Some("source = 'tracker'"),
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
        letters.set_framing(self.framing);
        letters
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        Box::new(PageEventsFold {
            framing: self.framing,
            rows: BatchRows::new(self.topic(), partition, page_event_row::TABLE, page_event_row::COLUMNS)
                .with_framing(self.framing),
            sessions: SessionParts::default(),
            ids: BatchIds::new(&self.filters, partition),
        })
    }
}

struct PageEventsFold {
    framing: Framing,
    rows: BatchRows,
    sessions: SessionParts,
    ids: BatchIds<Place>,
}

/// Where the row of an event that is held would have been written.
struct Place {
    day: u16,
    row_at: usize,
}

impl Fold for PageEventsFold {
    fn add(&mut self, record: &LogRecord) {
        let event = match PageEvent::decode_framed(self.framing, &record.value) {
            Ok(event) => event,
            Err(error) => return self.rows.set_aside_unreadable(record, &error),
        };
        let (Some(day), Some(_)) = (day_of(event.timestamp), day_of(event.received_at)) else {
            return self.rows.set_aside(
                record,
                DropReason::Invalid,
                "a timestamp is outside of 1970 to 2149",
            );
        };
        if !event.client_event_id {
            return self.add_event(event, day, record.offset);
        }
        let id = ClientId {
            project_id: event.project_id,
            event_id: event.event_id,
            received_at: event.received_at,
            offset: record.offset,
        };
        match self.ids.meet(&id) {
            Known::New => self.add_event(event, day, record.offset),
            Known::Repeated => self.rows.drop_by(DropReason::Duplicate, 1),
            Known::Perhaps => {
                let row_at = self.rows.row(day, event.received_at).position();
                self.ids.hold(record, id, Place { day, row_at });
            }
        }
    }

    fn doubts(&self) -> Option<Doubts> {
        self.ids.doubts()
    }

    fn settle(&mut self, repeated: &FxHashSet<u64>) {
        let settled = self.ids.settle(repeated);
        self.rows.drop_by(DropReason::Duplicate, settled.repetitions);
        let mut rows: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        for (record, place) in settled.new {
            let event = PageEvent::decode_framed(self.framing, &record.value);
            let event = event.expect("the record was read when it was held");
            let mut row = RowWriter::default();
            page_event_row::write(&mut row, &event, Source::Tracker, self.rows.partition, record.offset);
            rows.entry(self.rows.month_of(place.day)).or_default().push((place.row_at, row));
            self.sessions.add(event);
        }
        self.rows.interleave(rows);
    }

    fn finish(self: Box<Self>) -> Folded {
        let others: Vec<TableInsert> = self.sessions.finish().into_iter().chain(self.ids.finish()).collect();
        self.rows.finish(others)
    }
}

impl PageEventsFold {
    fn add_event(&mut self, event: PageEvent, day: u16, offset: u64) {
        let partition = self.rows.partition;
        let rows = self.rows.row(day, event.received_at);
        page_event_row::write(rows, &event, Source::Tracker, partition, offset);
        self.sessions.add(event);
    }
}

#[cfg(test)]
mod tests;
