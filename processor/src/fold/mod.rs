//! From the records of a batch to the rows of its tables. A fold is pure: the same records give the same bytes, which is
//! what makes a replayed batch the same inserts. One file a topic.

mod batch_rows;
mod calendar;
pub mod contributions;
mod counters;
mod dead_letters;
pub mod directory;
pub mod events;
mod json;

use std::collections::BTreeMap;

use bytes::Bytes;
use tally_eventlog::LogRecord;
use tally_schemas::DropReason;

/// What a topic's records become, and in which tables.
pub trait Folder: Send + Sync {
    /// The topic it folds.
    fn topic(&self) -> &'static str;
    /// Every table it may insert into.
    fn tables(&self) -> &'static [&'static str];
    /// A fold for a new batch of the topic's partition.
    fn start(&self, partition: u32) -> Box<dyn Fold>;
}

/// The fold of one batch.
pub trait Fold: Send {
    /// Takes in the batch's next record. Whatever can't be counted is counted as a drop and kept as a dead letter.
    fn add(&mut self, record: &LogRecord);
    /// The rows of the batch.
    fn finish(self: Box<Self>) -> Folded;
}

/// A batch as rows.
#[derive(Debug, Default)]
pub struct Folded {
    /// One insert for each table and table partition that the batch touches.
    pub inserts: Vec<TableInsert>,
    /// How often something was not counted, by reason.
    pub drops: BTreeMap<DropReason, u64>,
    /// When ingest accepted the newest event, in milliseconds since the epoch.
    pub newest_received_at: Option<i64>,
}

/// Rows of one table, all in one of its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableInsert {
    pub table: &'static str,
    /// In the order of the row's fields.
    pub columns: &'static [&'static str],
    /// The month that the table is partitioned by, as `YYYYMM`; 0 where it isn't.
    pub month: u32,
    /// `RowBinary`.
    pub body: Bytes,
    pub rows: u64,
}

#[cfg(test)]
mod tests;
