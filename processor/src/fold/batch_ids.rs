//! The ids that clients chose for the records of one batch: which are new, which repeat another of the batch, and which the
//! store must be asked about. Records in doubt are held back, and put where they would have been once the store has answered,
//! so that the rows are the same bytes whatever the filter knew.

use std::collections::BTreeMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use tally_eventlog::LogRecord;
use uuid::Uuid;

use super::TableInsert;
use super::batch_rows::interleave;
use super::calendar::{Months, day_of};
use crate::repetitions::{ClientId, Doubts, IdFilter, IdTable, PartitionFilters};
use crate::row_binary::RowWriter;

/// What is known of a record by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// None before it bears the id.
    New,
    /// One that this batch has taken in does.
    Repeated,
    /// One before the batch may, or one of the batch that is held itself.
    Perhaps,
}

/// The ids of one batch. `P` says where a record's rows would have been written.
pub struct BatchIds<P> {
    table: IdTable,
    partition: u32,
    filter: Arc<Mutex<IdFilter>>,
    months: Months,
    /// By the day of receipt, which is the table partition.
    rows: BTreeMap<u32, RowWriter>,
    /// The ids of this batch's records, by project: when the one that was taken in was received, or `None` while none was.
    in_batch: FxHashMap<(i64, Uuid), Option<i64>>,
    held: Vec<Held<P>>,
}

/// A record that may be a repetition, as it came: far smaller than what it decodes to.
struct Held<P> {
    record: LogRecord,
    id: ClientId,
    id_at: usize,
    places: P,
}

/// What became of the records that were held.
pub struct Settled<P> {
    /// Those that are to be taken in, and where.
    pub new: Vec<(LogRecord, P)>,
    /// How many of the others there are.
    pub repetitions: u64,
}

impl<P> BatchIds<P> {
    /// No ids yet.
    pub fn new(filters: &PartitionFilters, partition: u32) -> Self {
        Self {
            table: filters.table(),
            partition,
            filter: filters.of(partition),
            months: Months::default(),
            rows: BTreeMap::new(),
            in_batch: FxHashMap::default(),
            held: Vec::new(),
        }
    }

    /// Takes in the id of the batch's next record; the day of its receipt must be one that [`day_of`] knows. The row of a new one is
    /// written; one that is known perhaps is to be held.
    pub fn meet(&mut self, id: &ClientId) -> Known {
        let first = self.in_batch.entry((id.project_id, id.event_id));
        if let Entry::Occupied(first) = &first
            && first.get().is_some_and(|first| id.repeats(first))
        {
            return Known::Repeated;
        }
        // Also where it is known: the filter forgets by when it was told last.
        let perhaps = self.filter.lock().insert(id.project_id, id.event_id, id.received_at);
        match first {
            Entry::Vacant(first) => first.insert((!perhaps).then_some(id.received_at)),
            Entry::Occupied(_) => return Known::Perhaps,
        };
        if perhaps {
            return Known::Perhaps;
        }
        let (table, partition) = (self.table, self.partition);
        write(table, self.rows_of(id), id, partition);
        Known::New
    }

    /// Holds a record back until the store was asked.
    pub fn hold(&mut self, record: &LogRecord, id: ClientId, places: P) {
        let id_at = self.rows_of(&id).position();
        self.held.push(Held { record: record.clone(), id, id_at, places });
    }

    /// What was held.
    pub fn doubts(&self) -> Option<Doubts> {
        let ids = self.held.iter().map(|held| held.id).collect();
        (!self.held.is_empty()).then(|| Doubts::new(self.table, ids))
    }

    /// Gives back those held records that are not at `repeated` offsets and repeat none of the batch, in their order.
    pub fn settle(&mut self, repeated: &FxHashSet<u64>) -> Settled<P> {
        let mut rows: BTreeMap<u32, Vec<_>> = BTreeMap::new();
        let (mut new, mut repetitions) = (Vec::new(), 0);
        for held in std::mem::take(&mut self.held) {
            let latest = self.in_batch.entry((held.id.project_id, held.id.event_id)).or_default();
            if repeated.contains(&held.id.offset) || latest.is_some_and(|latest| held.id.repeats(latest)) {
                repetitions += 1;
                continue;
            }
            *latest = Some(latest.map_or(held.id.received_at, |latest| latest.max(held.id.received_at)));
            let mut row = RowWriter::default();
            write(self.table, &mut row, &held.id, self.partition);
            rows.entry(self.date_of(&held.id)).or_default().push((held.id_at, row));
            new.push((held.record, held.places));
        }
        interleave(&mut self.rows, rows);
        Settled { new, repetitions }
    }

    /// The rows of the table of ids. No record may be held any more.
    pub fn finish(self) -> impl Iterator<Item = TableInsert> {
        debug_assert!(self.held.is_empty(), "doubts are settled before");
        let table = self.table;
        let rows = self.rows.into_iter().filter(|(_, rows)| !rows.is_empty());
        rows.map(move |(day, rows)| rows.into_insert(table.name, table.columns(), day))
    }

    fn rows_of(&mut self, id: &ClientId) -> &mut RowWriter {
        let date = self.date_of(id);
        self.rows.entry(date).or_default()
    }

    fn date_of(&mut self, id: &ClientId) -> u32 {
        let day = day_of(id.received_at).expect("whoever meets an id has checked when it was received");
        self.months.date_of(day)
    }
}

fn write(table: IdTable, rows: &mut RowWriter, id: &ClientId, partition: u32) {
    rows.uuid(id.event_id);
    if table.by_project {
        rows.i64(id.project_id);
    }
    rows.i64(id.received_at);
    rows.u32(partition);
    rows.u64(id.offset);
    rows.end_row();
}
