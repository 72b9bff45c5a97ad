//! From the records of a batch to the rows of its tables. A fold is pure: the same records give the same bytes, which is
//! what makes a replayed batch the same inserts. One file a topic.

mod batch_ids;
mod batch_rows;
pub(crate) mod calendar;
pub mod contributions;
pub(crate) mod counters;
pub(crate) mod dead_letters;
pub mod directory;
pub mod events;
pub mod evolving;
pub(crate) mod json;
mod page_event_row;
pub mod page_events;
pub mod refused;
mod session_parts;
mod tracked_page_events;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use rustc_hash::FxHashSet;
use tally_eventlog::LogRecord;
use tally_evolution::Schemas;
use tally_schemas::DropReason;
use tally_store::{Store, StoreError};

pub(crate) use dead_letters::DeadLetters;

use crate::partition::Progress;
use crate::repetitions::{Doubts, SharedFilter};

/// What a topic's records become, and in which tables.
pub trait Folder: Send + Sync {
    /// The topic it folds.
    fn topic(&self) -> &'static str;
    /// Every table it may insert into.
    fn tables(&self) -> &'static [&'static str];
    /// Those of them that hold what the log says, record by record. A batch's rows in them are written first; whatever else
    /// it becomes is derived of the same records, so that no derived row is ever there without its raw ones.
    fn raw_tables(&self) -> &'static [RawTable];
    /// Gets ready for a partition that was just assigned. What it gives is held until the work on the partition ends.
    fn prepare<'a>(
        &'a self,
        _store: &'a Store,
        _partition: u32,
        _progress: &'a Progress,
    ) -> BoxFuture<'a, Result<Option<SharedFilter>, StoreError>> {
        std::future::ready(Ok(None)).boxed()
    }
    /// Dead letters of the topic's records, none yet.
    fn letters(&self, partition: u32) -> DeadLetters {
        DeadLetters::new(self.topic(), partition)
    }
    /// What tells of the schemas of other versions, where the topic's records have schemas.
    fn schemas(&self) -> Option<Arc<Schemas>> {
        None
    }
    /// A fold for a new batch of the topic's partition.
    fn start(&self, partition: u32) -> Box<dyn Fold>;
}

/// A table of raw rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTable {
    pub name: &'static str,
    /// The SQL condition that is true of the topic's rows, whose columns `partition` and `offset` tell which record they come of;
    /// `None` where the table has no such columns.
    pub of_topic: Option<&'static str>,
    /// Whether it has a column `received_at`. That tells the rows of a log from those of an earlier one that had the same offsets.
    pub has_timestamp: bool,
}

/// The fold of one batch.
pub trait Fold: Send {
    /// Takes in the batch's next record. Whatever can't be counted is counted as a drop and kept as a dead letter.
    fn add(&mut self, record: &LogRecord);
    /// The records that are left out for now because they may be repetitions, if there are any.
    fn doubts(&self) -> Option<Doubts> {
        None
    }
    /// Says which of them are repetitions, by offset; the others are taken in.
    fn settle(&mut self, _repeated: &FxHashSet<u64>) {}
    /// The rows of the batch. No doubts may be left.
    fn finish(self: Box<Self>) -> Folded;
}

/// A batch as rows.
#[derive(Debug, Default)]
pub struct Folded {
    /// One insert for each table and table partition that the batch touches.
    pub inserts: Vec<TableInsert>,
    /// How often something was not counted, by reason.
    pub drops: BTreeMap<DropReason, u64>,
    /// When ingest accepted the oldest event and the newest one, in milliseconds since the epoch.
    pub received_at: Option<(i64, i64)>,
}

impl Folded {
    /// Takes in when ingest accepted one more event.
    pub fn received_at(&mut self, moment: i64) {
        let (oldest, newest) = self.received_at.unwrap_or((moment, moment));
        self.received_at = Some((oldest.min(moment), newest.max(moment)));
    }
}

/// Rows of one table, all in one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInsert {
    pub table: &'static str,
    /// In the order of the row's fields.
    pub columns: &'static [&'static str],
    /// The month or the day that the table is partitioned by, as `YYYYMM` or `YYYYMMDD`; 0 where it isn't.
    pub month: u32,
    /// `RowBinary`.
    pub body: Bytes,
    pub rows: u64,
}

#[cfg(test)]
mod retries_tests;
#[cfg(test)]
mod tests;
