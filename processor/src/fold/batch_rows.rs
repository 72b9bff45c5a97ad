//! What the folds of all topics share: the rows of the topic's own table by month, the dead letters, and the tally of drops.

use std::collections::BTreeMap;

use tally_eventlog::LogRecord;
use tally_schemas::{CodecError, DropReason, Framing};

use super::calendar::Months;
use super::dead_letters::{DeadLetters, reason_of};
use super::{Folded, TableInsert};
use crate::row_binary::RowWriter;

/// The rows of one batch under construction.
pub struct BatchRows {
    table: &'static str,
    columns: &'static [&'static str],
    pub partition: u32,
    months: Months,
    rows: BTreeMap<u32, RowWriter>,
    dead_letters: DeadLetters,
    /// All that is known of the batch but its rows.
    folded: Folded,
}

impl BatchRows {
    /// No rows yet, for `table` and out of a partition of `topic`.
    pub fn new(
        topic: &'static str,
        partition: u32,
        table: &'static str,
        columns: &'static [&'static str],
    ) -> Self {
        Self {
            table,
            columns,
            partition,
            months: Months::default(),
            rows: BTreeMap::new(),
            dead_letters: DeadLetters::new(topic, partition),
            folded: Folded::default(),
        }
    }

    /// The same, where dead letters are to tell the project of records that name their schema so.
    pub fn with_framing(mut self, framing: Framing) -> Self {
        self.dead_letters.set_framing(framing);
        self
    }

    /// The month of a day, which is the table partition of its rows.
    pub fn month_of(&mut self, day: u16) -> u32 {
        self.months.month_of(day)
    }

    /// Puts rows in between, by month.
    pub fn interleave(&mut self, others: BTreeMap<u32, Vec<(usize, RowWriter)>>) {
        interleave(&mut self.rows, others);
    }

    /// Where a row of that day goes, for a record that ingest accepted at `received_at`.
    pub fn row(&mut self, day: u16, received_at: i64) -> &mut RowWriter {
        self.folded.received_at(received_at);
        self.rows.entry(self.months.month_of(day)).or_default()
    }

    /// Counts what is not counted.
    pub fn drop_by(&mut self, reason: DropReason, times: u64) {
        if times > 0 {
            *self.folded.drops.entry(reason).or_default() += times;
        }
    }

    /// Keeps a record that can't be decoded.
    pub fn set_aside_unreadable(&mut self, record: &LogRecord, error: &CodecError) {
        self.set_aside(record, reason_of(error), &error.to_string());
    }

    /// Keeps a record that the tables can't hold.
    pub fn set_aside(&mut self, record: &LogRecord, reason: DropReason, detail: &str) {
        self.drop_by(reason, 1);
        self.dead_letters.add(record, reason, detail);
    }

    /// All inserts of the batch, those of `other_tables` among them.
    pub fn finish(self, other_tables: Vec<TableInsert>) -> Folded {
        let (table, columns) = (self.table, self.columns);
        let rows = self.rows.into_iter().filter(|(_, rows)| !rows.is_empty());
        let rows = rows.map(|(month, rows)| rows.into_insert(table, columns, month));
        Folded {
            inserts: rows.chain(other_tables).chain(self.dead_letters.finish()).collect(),
            ..self.folded
        }
    }
}

/// Puts rows in between those of each table partition, as [`RowWriter::interleaved`] does it.
pub fn interleave(rows: &mut BTreeMap<u32, RowWriter>, others: BTreeMap<u32, Vec<(usize, RowWriter)>>) {
    for (partition, others) in others {
        let all = rows.entry(partition).or_default();
        *all = std::mem::take(all).interleaved(others);
    }
}
