//! What becomes of an announced batch whose raw rows the store refuses: the records that are at fault are searched, and the range
//! is announced again with their offsets to leave out, which whoever replays it reads there. Nothing was derived of it yet.
//!
//! The range, and with it every token, stays the same. Where the store did take some of the raw rows the insert without the bad
//! ones is taken for a repetition, and theirs are deleted; where that was done already it changes nothing. Only where the offsets
//! are too many for the announcement, and nothing of the batch is stored, is the range cut shorter.

use std::ops::Range;
use std::time::Duration;

use tally_eventlog::{LogError, LogRecord, Position};
use tally_store::{Store, StoreError};

use super::wait::{ask, unless_ended};
use super::{Announced, PartitionError, Worker};
use crate::batch::{Batch, Collector, translated};
use crate::fold::RawTable;
use crate::poison::{Probe, Verdict};

/// Records before a refused batch, and after it, that are tried, too.
const NEIGHBOURS: u64 = 16;

/// Fetches that bring nothing, one after the other, before what was read counts as all.
const MOST_IN_VAIN: u32 = 20;
const FETCH_WAIT: Duration = Duration::from_millis(50);

/// What became of a refused batch.
pub enum Resolved {
    /// It can be written now.
    Announced(Announced),
    /// As before: whoever runs the store has to act.
    Stuck(Announced),
}

/// Raw rows of some records of a batch.
#[derive(Clone, Copy)]
struct RawRows<'a> {
    partition: u32,
    oldest_ms: i64,
    /// A condition on `offset`.
    of_records: &'a str,
}

impl RawRows<'_> {
    /// The condition that is true of them in a table; `None` where its rows don't tell their record.
    fn condition(&self, table: &RawTable) -> Option<String> {
        let Self { partition, oldest_ms, of_records } = self;
        let of_topic = table.of_topic?;
        let since = if table.has_timestamp {
            format!(" AND received_at >= fromUnixTimestamp64Milli({oldest_ms})")
        } else {
            String::new()
        };
        Some(format!("partition = {partition} AND {of_records} AND {of_topic}{since}"))
    }

    async fn count(&self, store: &Store, table: &RawTable) -> Result<u64, StoreError> {
        let Some(condition) = self.condition(table) else { return Ok(0) };
        let sql = format!("SELECT count() FROM {} WHERE {condition}", table.name);
        Ok(store.client().query_raw(&sql).fetch_one().await?)
    }

    async fn delete(&self, store: &Store, table: &RawTable) -> Result<(), StoreError> {
        let Some(condition) = self.condition(table) else { return Ok(()) };
        let (name, on_cluster) = (table.name, store.on_cluster());
        let sql =
            format!("ALTER TABLE {name}{on_cluster} DELETE WHERE {condition} SETTINGS mutations_sync = 2");
        store.run(&sql).await
    }
}

/// Whether an announcement of the range can leave out these offsets, which ascend.
fn fits(next_offset: u64, range: &Range<u64>, without: &[u64]) -> bool {
    Position { without: without.to_vec(), ..Position::pending(next_offset, range.clone()) }.fits()
}

fn merged(left: &[u64], right: &[u64]) -> Vec<u64> {
    let mut offsets = [left, right].concat();
    offsets.sort_unstable();
    offsets
}

fn within(offsets: &Range<u64>) -> String {
    format!("offset >= {} AND offset < {}", offsets.start, offsets.end)
}

/// Deletes the raw rows of records that are left out of a batch: some may have been stored before others were refused. Such rows
/// are never to be there, so that it does no harm whenever and by whomever it is done.
pub async fn withdraw(
    store: &Store,
    raw_tables: &[RawTable],
    partition: u32,
    batch: &Batch,
) -> Result<(), StoreError> {
    let offsets: Vec<String> = batch.without.iter().map(u64::to_string).collect();
    let of_records = format!("offset IN ({})", offsets.join(", "));
    let rows = RawRows { partition, oldest_ms: batch.oldest_received_ms(), of_records: &of_records };
    for table in raw_tables {
        if rows.count(store, table).await? > 0 {
            rows.delete(store, table).await?;
        }
    }
    Ok(())
}

impl Worker {
    /// Searches the records at fault and announces the range without them. The reader is anywhere afterwards.
    pub(super) async fn leave_out_refused(
        &mut self,
        mut announced: Announced,
    ) -> Result<Resolved, PartitionError> {
        if self.forget_stored(&mut announced).await? {
            return Ok(Resolved::Announced(announced));
        }
        let batch = &announced.batch;
        let (records, neighbours) = self.read_around(&batch.offsets, &batch.without).await?;
        let verdict = self.judge(batch, &records, &neighbours).await?;
        let Verdict::Refused(refused) = verdict else {
            return Ok(self.stuck(announced, &format!("{verdict:?}")));
        };
        drop((records, neighbours));
        let mut without = merged(&announced.batch.without, &refused);
        let offsets = announced.batch.offsets.clone();
        let counts: Vec<usize> = (1..=without.len()).collect();
        let kept = counts.partition_point(|count| fits(self.done, &offsets, &without[..*count]));
        let offsets = if kept == without.len() {
            offsets
        } else if self.is_stored_in_part(&announced.batch).await? {
            return Ok(self.stuck(announced, "its other raw rows are stored, and the records at fault are more than an announcement can name; take those rows away by hand"));
        } else {
            offsets.start..without[kept]
        };
        without.truncate(kept);
        tracing::error!(
            topic = self.topic(),
            partition = self.partition,
            range = ?offsets,
            records = refused.len(),
            first = refused[0],
            "the store refuses records' rows; they become dead letters"
        );
        drop(announced);
        let batch = self.read_again(offsets, without).await?;
        self.announce(batch).await?;
        Ok(Resolved::Announced(self.announced.take().expect("it was just announced")))
    }

    fn stuck(&self, announced: Announced, why: &str) -> Resolved {
        tracing::error!(
            topic = self.topic(),
            partition = self.partition,
            range = ?announced.batch.offsets,
            why,
            "the store refuses a batch, and not for the sake of some of its records; consumption waits"
        );
        Resolved::Stuck(announced)
    }

    /// Takes inserts as written whose rows are in their table: whoever announced the range before may have stored what is refused
    /// by now. Whether there were any.
    async fn forget_stored(&mut self, announced: &mut Announced) -> Result<bool, PartitionError> {
        let Self { context, partition, reader, .. } = self;
        let mut unstored = Vec::new();
        let unwritten = std::mem::take(&mut announced.raw);
        let oldest_ms = announced.batch.oldest_received_ms();
        let before = unwritten.len();
        for insert in unwritten {
            let table = context.folder.raw_tables().iter().find(|table| table.name == insert.table);
            let table = table.expect("raw rows are of raw tables");
            let of_insert =
                format!("{} AND _partition_id = '{}'", within(&announced.batch.offsets), insert.month);
            let rows = RawRows { partition: *partition, oldest_ms, of_records: &of_insert };
            if ask(context, reader.revoked(), || rows.count(&context.store, table)).await? == 0 {
                unstored.push(insert);
            }
        }
        announced.raw = unstored;
        Ok(announced.raw.len() < before)
    }

    async fn is_stored_in_part(&mut self, batch: &Batch) -> Result<bool, PartitionError> {
        let Self { context, partition, reader, .. } = self;
        let of_records = within(&batch.offsets);
        let rows =
            RawRows { partition: *partition, oldest_ms: batch.oldest_received_ms(), of_records: &of_records };
        for table in context.folder.raw_tables() {
            if ask(context, reader.revoked(), || rows.count(&context.store, table)).await? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The records of a range but those `without`, and some before and after it.
    async fn read_around(
        &mut self,
        offsets: &Range<u64>,
        without: &[u64],
    ) -> Result<(Vec<LogRecord>, Vec<LogRecord>), PartitionError> {
        let (mut records, mut neighbours) = (Vec::new(), Vec::new());
        let (mut read_to, mut in_vain, end) = (0, 0, offsets.end + NEIGHBOURS);
        self.reader.seek(offsets.start.saturating_sub(NEIGHBOURS)).await?;
        loop {
            let limits = self.context.config.fetch_limits(0, 0, FETCH_WAIT);
            let revoked = self.reader.revoked().clone();
            let fetched = match unless_ended(&self.context, &revoked, self.reader.fetch(limits)).await? {
                Err(LogError::OffsetOutOfRange { low, .. }) if low <= offsets.start => {
                    self.reader.seek(offsets.start).await?;
                    continue;
                }
                fetched => fetched?,
            };
            in_vain = if fetched.is_empty() { in_vain + 1 } else { 0 };
            read_to = fetched.last().map_or(read_to, |last| last.offset + 1);
            for record in fetched {
                if !offsets.contains(&record.offset) {
                    neighbours.push(record);
                } else if without.binary_search(&record.offset).is_err() {
                    records.push(record);
                }
            }
            // The last record of a range may be gone from a compacted topic.
            if read_to >= end || (in_vain > 0 && read_to >= offsets.end) || in_vain > MOST_IN_VAIN {
                neighbours.retain(|record| record.offset < end);
                return Ok((self.readable(records).await?, self.readable(neighbours).await?));
            }
        }
    }

    /// The records as they are folded, those of other versions as this one writes them.
    async fn readable(&mut self, mut records: Vec<LogRecord>) -> Result<Vec<LogRecord>, LogError> {
        let folder = &self.context.folder;
        let schemas = folder.schemas();
        let mut translated = translated(schemas.as_deref(), folder.topic(), &records).await?;
        for record in &mut records {
            if let Some(value) = translated.remove(&record.offset) {
                record.value = value;
            }
        }
        Ok(records)
    }

    async fn judge(
        &mut self,
        batch: &Batch,
        records: &[LogRecord],
        neighbours: &[LogRecord],
    ) -> Result<Verdict, PartitionError> {
        let (next_offset, partition) = (self.done, self.partition);
        let is_enough =
            |refused: &[u64]| !fits(next_offset, &batch.offsets, &merged(&batch.without, refused));
        let Self { context, reader, .. } = self;
        ask(context, reader.revoked(), || async {
            let probe = Probe::open(&context.store, &*context.folder, partition, &context.progress).await?;
            let verdict = probe.judge(records, neighbours, is_enough).await?;
            probe.close().await?;
            Ok(verdict)
        })
        .await
    }

    /// Folds a range again, without some of its records. The reader is at its end afterwards.
    pub(super) async fn read_again(
        &mut self,
        offsets: Range<u64>,
        without: Vec<u64>,
    ) -> Result<Batch, PartitionError> {
        let collector = Collector::new(&*self.context.folder, self.partition).leaving_out(
            &*self.context.folder,
            self.partition,
            without,
        );
        let revoked = self.reader.revoked().clone();
        let replay = collector.replay(&mut *self.reader, &offsets, &self.context.config);
        let collected = unless_ended(&self.context, &revoked, replay).await??;
        let gone = || LogError::Unavailable(format!("the log holds no record of {offsets:?} any more"));
        self.settle(collected.ok_or_else(gone)?).await
    }

    /// A batch whose rows are too many bytes for one insert is cut shorter before it is announced.
    pub(super) async fn cut_to_size(&mut self, mut batch: Batch) -> Result<Batch, PartitionError> {
        let is_too_large = |batch: &Batch| {
            let mut inserts = batch.folded.inserts.iter();
            inserts.any(|insert| insert.body.len() > tally_store::LARGEST_BODY)
        };
        while is_too_large(&batch) && batch.offsets.end - batch.offsets.start > 1 {
            let Range { start, end } = batch.offsets;
            batch = self.read_again(start..start + (end - start) / 2, Vec::new()).await?;
        }
        Ok(batch)
    }
}
