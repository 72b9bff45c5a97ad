//! Which records came before. A retry of a request brings the ids that its client chose again, in the same partition, since the
//! id is the record's key. A filter in memory says of almost all ids that they are new; of the others the topic's table of ids is
//! asked. A record is a repetition if one that counted bears its id at a smaller offset of the partition, and was received within
//! [`REMEMBERED_MS`] before it. That does not depend on when it is asked, so that a replayed batch drops the same records, and batches may be cut
//! anywhere.

mod filter;
mod partition_filters;

use std::collections::HashMap;

use clickhouse::Row;
use rustc_hash::FxHashSet;
use serde::Deserialize;
use tally_store::{Store, StoreError};
use uuid::Uuid;

use crate::partition::Progress;

pub use filter::{FILTERED_MS, IdFilter};
pub use partition_filters::{PartitionFilters, SharedFilter};

/// For how long after a record one with its id counts as its repetition.
pub const REMEMBERED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// A filter that is loaded so often tells that it goes on.
const ROWS_A_SIGN_OF_LIFE: u64 = 100_000;

/// Ids asked for in one statement: the text stays below ClickHouse's limit of 256 KiB.
const IDS_A_STATEMENT: usize = 4_000;

/// The table that holds the ids of a topic's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdTable {
    pub name: &'static str,
    /// The same id in another project is another one; else an id is one whoever sends it.
    pub by_project: bool,
}

impl IdTable {
    /// In the order of its rows' fields.
    pub const fn columns(&self) -> &'static [&'static str] {
        if self.by_project {
            &["event_id", "project_id", "received_at", "partition", "offset"]
        } else {
            &["event_id", "received_at", "partition", "offset"]
        }
    }

    fn select(&self) -> String {
        let project = if self.by_project { "project_id" } else { "toInt64(0) AS project_id" };
        let Self { name, .. } = self;
        format!(
            "SELECT {project}, toUInt128(event_id) AS id, toUnixTimestamp64Milli(received_at) AS received_ms FROM {name}"
        )
    }
}

/// An id that a client chose, and the record that bears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientId {
    /// 0 in tables that don't tell projects apart.
    pub project_id: i64,
    pub event_id: Uuid,
    pub received_at: i64,
    pub offset: u64,
}

impl ClientId {
    /// Whether it repeats one before it that bears the same id and was received then.
    pub fn repeats(&self, received_at: i64) -> bool {
        received_at >= self.received_at.saturating_sub(REMEMBERED_MS)
    }
}

/// Records of a batch that may be repetitions.
#[derive(Debug, Clone)]
pub struct Doubts {
    table: IdTable,
    ids: Vec<ClientId>,
}

impl Doubts {
    /// Those which `table` is to be asked about.
    pub fn new(table: IdTable, ids: Vec<ClientId>) -> Self {
        Self { table, ids }
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The ids in doubt.
    #[cfg(test)]
    pub fn ids(&self) -> &[ClientId] {
        &self.ids
    }
}

#[derive(Debug, Clone, Row, Deserialize)]
pub struct Seen {
    pub project_id: i64,
    pub id: u128,
    pub received_ms: i64,
}

/// The offsets of those records that repeat one before `batch_start`. What lies before it must be in the table.
pub async fn look_up(
    store: &Store,
    partition: u32,
    batch_start: u64,
    doubts: &Doubts,
) -> Result<FxHashSet<u64>, StoreError> {
    let statement = format!("{} WHERE event_id IN ? AND partition = ? AND offset < ?", doubts.table.select());
    let mut repeated = FxHashSet::default();
    for doubtful in doubts.ids.chunks(IDS_A_STATEMENT) {
        let ids: Vec<String> = doubtful.iter().map(|id| id.event_id.to_string()).collect();
        let query = store.client().query(&statement).bind(ids).bind(partition).bind(batch_start);
        let seen: Vec<Seen> = query.fetch_all().await?;
        repeated.extend(repetitions(doubtful, &seen));
    }
    Ok(repeated)
}

/// The offsets of those that repeat one that was seen before them.
pub fn repetitions(doubtful: &[ClientId], seen: &[Seen]) -> impl Iterator<Item = u64> {
    let mut received: HashMap<(i64, u128), Vec<i64>> = HashMap::new();
    for seen in seen {
        received.entry((seen.project_id, seen.id)).or_default().push(seen.received_ms);
    }
    let is_repetition = move |id: &&ClientId| {
        let earlier = received.get(&(id.project_id, id.event_id.as_u128()));
        earlier.is_some_and(|times| times.iter().any(|time| id.repeats(*time)))
    };
    doubtful.iter().filter(is_repetition).map(|id| id.offset)
}

/// A filter that knows what the table holds of the partition, but for what is so old that it says of no id that it is new.
/// `bytes` as for [`IdFilter::new`].
async fn load_filter(
    store: &Store,
    table: IdTable,
    partition: u32,
    bytes: usize,
    progress: &Progress,
) -> Result<IdFilter, StoreError> {
    let mut filter = IdFilter::new(bytes);
    let of_partition = format!("partition = {partition}");
    let newest = format!("SELECT max(received_at) FROM {} WHERE {of_partition}", table.name);
    let statement = format!(
        "{} WHERE {of_partition} AND received_at >= ({newest}) - INTERVAL {FILTERED_MS} MILLISECOND",
        table.select()
    );
    let mut rows = store.client().query_raw(&statement).fetch::<Seen>()?;
    let mut count = 0_u64;
    while let Some(seen) = rows.next().await? {
        filter.insert(seen.project_id, Uuid::from_u128(seen.id), seen.received_ms);
        count += 1;
        if count.is_multiple_of(ROWS_A_SIGN_OF_LIFE) {
            progress.answered();
        }
    }
    Ok(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_a_repetition_in_its_own_project_and_for_seven_days() {
        let id = Uuid::from_u128(7);
        let seen = [
            Seen { project_id: 1, id: id.as_u128(), received_ms: 1_000 },
            Seen { project_id: 1, id: id.as_u128(), received_ms: 0 },
        ];
        let doubtful = |project_id, event_id, received_at, offset| ClientId {
            project_id,
            event_id,
            received_at,
            offset,
        };
        let doubts = [
            doubtful(1, id, 2_000, 10),
            doubtful(2, id, 2_000, 11),
            doubtful(1, Uuid::from_u128(8), 2_000, 12),
            doubtful(1, id, 1_000 + REMEMBERED_MS, 13),
            doubtful(1, id, 1_001 + REMEMBERED_MS, 14),
        ];
        assert_eq!(repetitions(&doubts, &seen).collect::<Vec<_>>(), [10, 13]);
    }
}
