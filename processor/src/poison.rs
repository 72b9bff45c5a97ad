//! Poison: records whose rows the store refuses, so that it refuses every batch that holds one. Which they are is found out with
//! probes, tables that check what is inserted and keep nothing.

use rustc_hash::FxHashSet;
use tally_eventlog::LogRecord;
use tally_store::{Insert, InsertError, Store, StoreError};

use crate::fold::{Folder, RawTable, TableInsert, dead_letters};
use crate::partition::Progress;

/// Records that are tried one by one before a batch is searched, and how many of them there must be for a judgement.
const SAMPLE: usize = 32;
const SMALLEST_SAMPLE: usize = 8;

/// What the store makes of records.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It takes them all.
    Taken,
    /// It refuses nearly all, so that the fault is hardly theirs: a table has changed, or a constraint is wrong.
    Systematic,
    /// It refuses the records at these offsets, and perhaps later ones.
    Refused(Vec<u64>),
}

/// Probes of a topic's raw tables.
pub struct Probe<'a> {
    store: &'a Store,
    folder: &'a dyn Folder,
    partition: u32,
    progress: &'a Progress,
}

impl<'a> Probe<'a> {
    /// Makes the probes anew, as the tables are now. They are this partition's own.
    pub async fn open(
        store: &'a Store,
        folder: &'a dyn Folder,
        partition: u32,
        progress: &'a Progress,
    ) -> Result<Self, StoreError> {
        let probe = Self { store, folder, partition, progress };
        probe.close().await?;
        for table in probe.tables() {
            let (name, on_cluster) = (probe.name_of(table.name), store.on_cluster());
            store.run(&format!("CREATE TABLE {name}{on_cluster} AS {} ENGINE = Null", table.name)).await?;
        }
        Ok(probe)
    }

    /// Drops the probes.
    pub async fn close(&self) -> Result<(), StoreError> {
        for table in self.tables() {
            let (name, on_cluster) = (self.name_of(table.name), self.store.on_cluster());
            self.store.run(&format!("DROP TABLE IF EXISTS {name}{on_cluster} SYNC")).await?;
        }
        Ok(())
    }

    /// A dead letter that is refused can't be helped by another one.
    fn tables(&self) -> impl Iterator<Item = &'static RawTable> + use<> {
        self.folder.raw_tables().iter().filter(|table| **table != dead_letters::RAW)
    }

    fn name_of(&self, table: &str) -> String {
        let topic = self.folder.topic().replace(|character: char| !character.is_ascii_alphanumeric(), "_");
        format!("probe_{topic}_{}_{table}", self.partition)
    }

    /// Whether the store takes the raw rows of these records.
    async fn takes(&self, records: &[LogRecord]) -> Result<bool, StoreError> {
        let mut fold = self.folder.start(self.partition);
        for record in records {
            fold.add(record);
        }
        if fold.doubts().is_some() {
            fold.settle(&FxHashSet::default());
        }
        for insert in fold.finish().inserts {
            if self.tables().any(|table| table.name == insert.table) && !self.takes_rows(&insert).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn takes_rows(&self, insert: &TableInsert) -> Result<bool, StoreError> {
        let request = Insert {
            table: &self.name_of(insert.table),
            columns: insert.columns,
            body: insert.body.clone(),
            token: String::new(),
            start_before: None,
        };
        let outcome = self.store.insert(&request).await;
        self.progress.answered();
        match outcome {
            Ok(()) => Ok(true),
            Err(InsertError::Rejected { .. }) => Ok(false),
            Err(error) => Err(StoreError::Outage(error.to_string())),
        }
    }

    /// Searches the records of a batch, in their order, until `is_enough` of what was found. `neighbours` are records before and
    /// after the batch: where the store takes them, it is not the tables that are at fault.
    pub async fn judge(
        &self,
        records: &[LogRecord],
        neighbours: &[LogRecord],
        is_enough: impl Fn(&[u64]) -> bool + Send,
    ) -> Result<Verdict, StoreError> {
        if self.takes(records).await? {
            return Ok(Verdict::Taken);
        }
        if self.refuses_nearly_all(records, neighbours).await? {
            return Ok(Verdict::Systematic);
        }
        let (mut unknown, mut refused) = (vec![records], Vec::new());
        while let Some(records) = unknown.pop() {
            if self.takes(records).await? {
                continue;
            }
            if let [record] = records {
                refused.push(record.offset);
                if is_enough(&refused) {
                    break;
                }
            } else {
                let (first, second) = records.split_at(records.len() / 2);
                unknown.extend([second, first]);
            }
        }
        Ok(if refused.is_empty() { Verdict::Taken } else { Verdict::Refused(refused) })
    }

    async fn refuses_nearly_all(
        &self,
        records: &[LogRecord],
        neighbours: &[LogRecord],
    ) -> Result<bool, StoreError> {
        let every = records.len().div_ceil(SAMPLE).max(1);
        let sample: Vec<&LogRecord> = records.iter().step_by(every).chain(neighbours).collect();
        let mut taken = 0;
        for record in &sample {
            taken += usize::from(self.takes(std::slice::from_ref(*record)).await?);
        }
        Ok(sample.len() >= SMALLEST_SAMPLE && taken * 20 < sample.len())
    }
}
