//! Page events: each becomes a row and its part of a session. One whose id came before is counted as a repetition and
//! otherwise left out; those that may be are held back until the store has been asked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use tally_eventlog::LogRecord;
use tally_schemas::{DropReason, Framing, PageEvent, topics};
use tally_store::{Store, StoreError};
use uuid::Uuid;

use super::batch_rows::{BatchRows, interleave};
use super::calendar::day_of;
use super::page_event_row::{self, Source};
use super::session_parts::{self, SessionParts};
use super::{Fold, Folded, Folder, TableInsert, dead_letters};
use crate::repetitions::{Doubt, IdFilter, load_filter};
use crate::row_binary::RowWriter;

const IDS: &str = "page_event_ids";
const ID_COLUMNS: &[&str] = &["event_id", "project_id", "received_at", "partition", "offset"];

/// Folds the topic of page events.
pub struct PageEventsFolder {
    framing: Framing,
    filter_bytes: usize,
    /// Of the partitions that are worked on.
    filters: Mutex<HashMap<u32, Arc<Mutex<IdFilter>>>>,
}

impl PageEventsFolder {
    /// `filter_bytes` is what the filter of a partition's ids may take.
    pub fn new(framing: Framing, filter_bytes: usize) -> Self {
        Self { framing, filter_bytes, filters: Mutex::default() }
    }

    fn filter(&self, partition: u32) -> Arc<Mutex<IdFilter>> {
        let mut filters = self.filters.lock();
        let filter =
            filters.entry(partition).or_insert_with(|| Arc::new(IdFilter::new(self.filter_bytes).into()));
        Arc::clone(filter)
    }
}

impl Folder for PageEventsFolder {
    fn topic(&self) -> &'static str {
        topics::PAGE_EVENTS
    }

    fn tables(&self) -> &'static [&'static str] {
        &[page_event_row::TABLE, session_parts::TABLE, IDS, dead_letters::TABLE]
    }

    /// Others may have worked on the partition since it was last here: what its filter knows comes out of the store.
    fn prepare<'a>(&'a self, store: &'a Store, partition: u32) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let filter = load_filter(store, partition, self.filter_bytes).await?;
            self.filters.lock().insert(partition, Arc::new(filter.into()));
            Ok(())
        }
        .boxed()
    }

    fn start(&self, partition: u32) -> Box<dyn Fold> {
        Box::new(PageEventsFold {
            framing: self.framing,
            filter: self.filter(partition),
            rows: BatchRows::new(self.topic(), partition, page_event_row::TABLE, page_event_row::COLUMNS),
            sessions: SessionParts::default(),
            ids: BTreeMap::new(),
            in_batch: FxHashSet::default(),
            held: Vec::new(),
        })
    }
}

struct PageEventsFold {
    framing: Framing,
    filter: Arc<Mutex<IdFilter>>,
    rows: BatchRows,
    sessions: SessionParts,
    /// The ids that trackers chose, by the day of receipt, which is the table partition.
    ids: BTreeMap<u32, RowWriter>,
    /// The ids of this batch's events, by project.
    in_batch: FxHashSet<(i64, Uuid)>,
    held: Vec<Held>,
}

/// An event that may be a repetition, as the record that it came with: far smaller than what it decodes to.
struct Held {
    record: LogRecord,
    doubt: Doubt,
    days: Days,
    /// Where its rows would have been written.
    row_at: usize,
    id_at: usize,
}

/// The UTC days of an event and of its receipt.
#[derive(Clone, Copy)]
struct Days {
    event: u16,
    receipt: u16,
}

impl Fold for PageEventsFold {
    fn add(&mut self, record: &LogRecord) {
        let event = match PageEvent::decode_framed(self.framing, &record.value) {
            Ok(event) => event,
            Err(error) => return self.rows.set_aside_unreadable(record, &error),
        };
        let (Some(of_event), Some(of_receipt)) = (day_of(event.timestamp), day_of(event.received_at)) else {
            return self.rows.set_aside(
                record,
                DropReason::Invalid,
                "a timestamp is outside of 1970 to 2149",
            );
        };
        let days = Days { event: of_event, receipt: of_receipt };
        if !event.client_event_id {
            return self.add_event(event, days, record.offset);
        }
        if !self.in_batch.insert((event.project_id, event.event_id)) {
            return self.rows.drop_by(DropReason::Duplicate, 1);
        }
        if self.filter.lock().insert_event(&event) {
            return self.hold(record, &event, days);
        }
        self.add_event(event, days, record.offset);
    }

    fn doubts(&self) -> Vec<Doubt> {
        self.held.iter().map(|held| held.doubt).collect()
    }

    /// Puts what was held and is new where it would have been. So the rows are the same bytes whatever the filter knew.
    fn settle(&mut self, repeated: &FxHashSet<u64>) {
        let partition = self.rows.partition;
        let (mut rows, mut ids): (BTreeMap<u32, Vec<_>>, BTreeMap<u32, Vec<_>>) = Default::default();
        for held in std::mem::take(&mut self.held) {
            let offset = held.record.offset;
            if repeated.contains(&offset) {
                self.rows.drop_by(DropReason::Duplicate, 1);
                continue;
            }
            let event = PageEvent::decode_framed(self.framing, &held.record.value);
            let event = event.expect("the record was read when it was held");
            let (mut row, mut id) = (RowWriter::default(), RowWriter::default());
            page_event_row::write(&mut row, &event, Source::Tracker, partition, offset);
            write_id(&mut id, &event, partition, offset);
            rows.entry(self.rows.month_of(held.days.event)).or_default().push((held.row_at, row));
            ids.entry(self.rows.date_of(held.days.receipt)).or_default().push((held.id_at, id));
            self.sessions.add(event);
        }
        self.rows.interleave(rows);
        interleave(&mut self.ids, ids);
    }

    fn finish(self: Box<Self>) -> Folded {
        debug_assert!(self.held.is_empty(), "doubts are settled before");
        let ids = self.ids.into_iter().filter(|(_, rows)| !rows.is_empty());
        let ids = ids.map(|(day, rows)| rows.into_insert(IDS, ID_COLUMNS, day));
        let others: Vec<TableInsert> = self.sessions.finish().into_iter().chain(ids).collect();
        self.rows.finish(others)
    }
}

impl PageEventsFold {
    fn add_event(&mut self, event: PageEvent, days: Days, offset: u64) {
        let partition = self.rows.partition;
        let rows = self.rows.row(days.event, event.received_at);
        page_event_row::write(rows, &event, Source::Tracker, partition, offset);
        if event.client_event_id {
            let day = self.rows.date_of(days.receipt);
            write_id(self.ids.entry(day).or_default(), &event, partition, offset);
        }
        self.sessions.add(event);
    }

    fn hold(&mut self, record: &LogRecord, event: &PageEvent, days: Days) {
        let row_at = self.rows.row(days.event, event.received_at).position();
        let day = self.rows.date_of(days.receipt);
        self.held.push(Held {
            record: record.clone(),
            doubt: Doubt {
                project_id: event.project_id,
                event_id: event.event_id,
                received_at: event.received_at,
                offset: record.offset,
            },
            days,
            row_at,
            id_at: self.ids.entry(day).or_default().position(),
        });
    }
}

fn write_id(rows: &mut RowWriter, event: &PageEvent, partition: u32, offset: u64) {
    rows.uuid(event.event_id);
    rows.i64(event.project_id);
    rows.i64(event.received_at);
    rows.u32(partition);
    rows.u64(offset);
    rows.end_row();
}

#[cfg(test)]
mod tests;
