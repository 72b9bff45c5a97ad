//! Which page events came before. A retry of a request brings the same ids again, in the same partition, since the id is the
//! record's key. A filter in memory says of almost all ids that they are new; of the others the table `page_event_ids` is asked. An
//! event is a repetition if its id, in its project, lies at a smaller offset of the partition, and was received within
//! [`REMEMBERED_MS`] before it. That does not depend on when it is asked, so that a replayed batch drops the same events.

mod filter;

use std::collections::HashMap;

use clickhouse::Row;
use rustc_hash::FxHashSet;
use serde::Deserialize;
use tally_store::{Store, StoreError};
use uuid::Uuid;

pub use filter::IdFilter;

/// For how long after an event one with its id counts as its repetition.
pub const REMEMBERED_MS: i64 = 7 * 24 * 60 * 60 * 1000;

/// Ids asked for in one statement: the text stays below ClickHouse's limit of 256 KiB.
const IDS_A_STATEMENT: usize = 4_000;

/// An event that may be a repetition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    pub project_id: i64,
    pub event_id: Uuid,
    pub received_at: i64,
    pub offset: u64,
}

#[derive(Debug, Row, Deserialize)]
struct Seen {
    project_id: i64,
    id: u128,
    received_ms: i64,
}

/// The offsets of those events that repeat one before `batch_start`. What lies before it must be in the table.
pub async fn look_up(
    store: &Store,
    partition: u32,
    batch_start: u64,
    doubts: &[Doubt],
) -> Result<FxHashSet<u64>, StoreError> {
    let mut repeated = FxHashSet::default();
    for doubts in doubts.chunks(IDS_A_STATEMENT) {
        let ids: Vec<String> = doubts.iter().map(|doubt| doubt.event_id.to_string()).collect();
        let seen: Vec<Seen> = store
            .client()
            .query(
                "SELECT project_id, toUInt128(event_id) AS id, toUnixTimestamp64Milli(received_at) AS received_ms FROM page_event_ids \
                 WHERE event_id IN ? AND partition = ? AND offset < ?",
            )
            .bind(ids)
            .bind(partition)
            .bind(batch_start)
            .fetch_all()
            .await?;
        repeated.extend(repetitions(doubts, &seen));
    }
    Ok(repeated)
}

fn repetitions(doubts: &[Doubt], seen: &[Seen]) -> impl Iterator<Item = u64> {
    let mut received: HashMap<(i64, u128), Vec<i64>> = HashMap::new();
    for seen in seen {
        received.entry((seen.project_id, seen.id)).or_default().push(seen.received_ms);
    }
    let is_repetition = move |doubt: &&Doubt| {
        let earlier = received.get(&(doubt.project_id, doubt.event_id.as_u128()));
        earlier.is_some_and(|times| times.iter().any(|time| *time >= doubt.received_at - REMEMBERED_MS))
    };
    doubts.iter().filter(is_repetition).map(|doubt| doubt.offset)
}

/// A filter that knows what the partition holds. `bytes` as for [`IdFilter::new`].
pub async fn load_filter(store: &Store, partition: u32, bytes: usize) -> Result<IdFilter, StoreError> {
    let mut filter = IdFilter::new(bytes);
    let mut rows = store
        .client()
        .query(
            "SELECT project_id, toUInt128(event_id) AS id, toUnixTimestamp64Milli(received_at) AS received_ms FROM page_event_ids \
             WHERE partition = ?",
        )
        .bind(partition)
        .fetch::<Seen>()?;
    while let Some(seen) = rows.next().await? {
        filter.insert(seen.project_id, Uuid::from_u128(seen.id), seen.received_ms);
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
        let doubt =
            |project_id, event_id, received_at, offset| Doubt { project_id, event_id, received_at, offset };
        let doubts = [
            doubt(1, id, 2_000, 10),
            doubt(2, id, 2_000, 11),
            doubt(1, Uuid::from_u128(8), 2_000, 12),
            doubt(1, id, 1_000 + REMEMBERED_MS, 13),
            doubt(1, id, 1_001 + REMEMBERED_MS, 14),
        ];
        assert_eq!(repetitions(&doubts, &seen).collect::<Vec<_>>(), [10, 13]);
    }
}
