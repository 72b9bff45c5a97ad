//! Runs a listing: the page's rows, then what became of replaying them.

use std::collections::HashMap;

use uuid::Uuid;

use super::PURPOSE;
use super::compile::{self, Filter};
use super::cursor::Position;
use super::row::{Letter, LetterRow, Replay, ReplayRow, ReplayedRecordRow};
use super::selection::Readable;
use crate::warehouse::{Warehouse, WarehouseError};

/// Projects, or letters, that a statement names; the text stays below ClickHouse's limit of 256 KiB.
const IDS_IN_A_STATEMENT: usize = 4_000;

/// Which part of a listing is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Only what follows this letter.
    pub after: Option<Position>,
    pub limit: u64,
    pub with_payload: bool,
}

/// Letters, the newest first.
pub async fn list(
    warehouse: &Warehouse,
    readable: &Readable,
    filter: &Filter,
    wanted: Wanted,
) -> Result<Vec<Letter>, WarehouseError> {
    let Wanted { after, limit, with_payload } = wanted;
    let parts = parts(readable);
    let mut letters = Vec::new();
    for part in &parts {
        let statement = compile::page(part, filter, after, limit, with_payload);
        letters.extend(read(warehouse.rows(PURPOSE, &statement).await?));
    }
    if parts.len() > 1 {
        letters.sort_by_key(|letter| std::cmp::Reverse((letter.recorded_at_ms, order_of(letter.id))));
        letters.truncate(limit as usize);
    }
    with_replays(warehouse, letters).await
}

/// Those of the letters with these ids that may be read, the oldest first, with their payloads.
pub async fn find(
    warehouse: &Warehouse,
    readable: &Readable,
    ids: &[Uuid],
) -> Result<Vec<Letter>, WarehouseError> {
    let mut letters = Vec::new();
    for part in &parts(readable) {
        for ids in ids.chunks(IDS_IN_A_STATEMENT) {
            letters.extend(read(warehouse.rows(PURPOSE, &compile::by_ids(part, ids)).await?));
        }
    }
    with_replays(warehouse, letters).await
}

/// As the statements sort: ClickHouse would compare the halves of UUIDs the other way round.
fn order_of(id: Uuid) -> u128 {
    id.as_u128()
}

fn parts(readable: &Readable) -> Vec<Readable> {
    match readable {
        Readable::All => vec![Readable::All],
        Readable::Projects(ids) => {
            ids.chunks(IDS_IN_A_STATEMENT).map(|ids| Readable::Projects(ids.to_vec())).collect()
        }
    }
}

fn read(rows: Vec<LetterRow>) -> impl Iterator<Item = Letter> {
    rows.into_iter().filter_map(Letter::of)
}

async fn with_replays(
    warehouse: &Warehouse,
    mut letters: Vec<Letter>,
) -> Result<Vec<Letter>, WarehouseError> {
    let ids: Vec<Uuid> = letters.iter().map(|letter| letter.id).collect();
    let places: HashMap<String, usize> =
        ids.iter().enumerate().map(|(place, id)| (id.to_string(), place)).collect();
    for ids in ids.chunks(IDS_IN_A_STATEMENT) {
        let (replays, replayed) = (compile::replays(ids), compile::replayed_records(ids));
        let (replays, replayed) = tokio::try_join!(
            warehouse.rows::<ReplayRow>(PURPOSE, &replays),
            warehouse.rows::<ReplayedRecordRow>(PURPOSE, &replayed),
        )?;
        for row in replays {
            if let Some(place) = places.get(&row.letter) {
                letters[*place].replays.extend(Replay::of(row));
            }
        }
        for row in replayed {
            if let Some(place) = places.get(&row.letter) {
                letters[*place].replay_of = row.replay_of.parse().ok();
            }
        }
    }
    Ok(letters)
}
