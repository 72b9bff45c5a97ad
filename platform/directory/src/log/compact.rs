//! Compaction: the whole state is written again at the log's end, and what came before is taken out by tombstones.
//!
//! Commands go on meanwhile. The state is written again in the order of `changes_after`, each piece valid like any other
//! transaction; what a command changes behind the piece lies after it. Once the last piece is written, no record before
//! the first is needed. A tombstone carries an older record's key, and the log forgets that record when it likes; who
//! reads on past such a gap begins again at the first piece (`fold`).

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tally_eventlog::{FetchLimits, LogError, Record, TailReader};

use super::MAX_TRANSACTION_BYTES;
use super::replica::Replica;
use super::transaction::Rewrite;
use super::writer::Decision;
use crate::{Change, Cursor, State, Unavailable};

/// Changes of one piece.
const PIECE: usize = 1000;
/// Bytes of one piece, if its changes are long; there is room left for what surrounds them.
const PIECE_BYTES: usize = MAX_TRANSACTION_BYTES / 2;
/// Tombstones written in one go.
const TOMBSTONES: usize = 1000;

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Where the state begins in the log now.
    pub from: u64,
    /// Changes that make the state.
    pub changes: u64,
    /// Records that were taken out.
    pub removed: u64,
}

impl Replica {
    /// Writes the state again and takes out everything before. Called again after a failure it begins anew.
    pub(crate) async fn compact(&self) -> Result<Compacted, Unavailable> {
        let _only = self.compacting.lock().await;
        let (from, changes) = self.rewrite().await?;
        let removed = self.take_out(from).await?;
        tracing::info!(from, changes, removed, "compacted the directory's log");
        Ok(Compacted { from, changes, removed })
    }

    /// Where the state begins, and of how many changes it is.
    async fn rewrite(&self) -> Result<(u64, u64), Unavailable> {
        let mut cursor = Cursor::default();
        let mut begun = None;
        let mut written = 0;
        loop {
            let piece = |state: &State, at| {
                let (changes, next) = piece_after(state, &cursor);
                let from = begun.unwrap_or(at);
                let rewrite = Some(Rewrite { from, done: changes.is_empty() });
                Decision::Write { answer: (next, changes.len()), changes, rewrite }
            };
            let ((next, count), at) = self.write(Timestamp::now(), piece).await?;
            let from = *begun.get_or_insert(at);
            if count == 0 {
                return Ok((from, written));
            }
            written += count as u64;
            cursor = next;
        }
    }

    /// Writes tombstones for all records before `end`, oldest first.
    async fn take_out(&self, end: u64) -> Result<u64, Unavailable> {
        let unavailable = |error: LogError| Unavailable(error.to_string());
        let topic = &self.config.topic;
        let low = self.log.watermarks(topic).await.map_err(unavailable)?.first().map_or(0, |reach| reach.low);
        let mut tail = self.log.tail(topic, 0, low).await.map_err(unavailable)?;
        let mut removed = 0;
        while tail.next_offset() < end {
            let keys = keys_before(&mut *tail, end).await.map_err(unavailable)?;
            removed += keys.len() as u64;
            self.write_tombstones(keys).await?;
        }
        Ok(removed)
    }

    async fn write_tombstones(&self, keys: Vec<Bytes>) -> Result<(), Unavailable> {
        let timestamp = Timestamp::now().as_millisecond();
        let records = keys.into_iter().map(|key| Record { key: Some(key), value: Bytes::new(), timestamp });
        let results = self.log.append(&self.config.topic, records.collect()).await;
        match results.into_iter().find_map(Result::err) {
            Some(error) => Err(Unavailable(error.to_string())),
            None => Ok(()),
        }
    }
}

/// The next changes, as many as one transaction can hold.
fn piece_after(state: &State, cursor: &Cursor) -> (Vec<Change>, Cursor) {
    let mut limit = PIECE;
    loop {
        let (changes, next) = state.changes_after(cursor, limit);
        if limit == 1 || encoded_bytes(&changes) <= PIECE_BYTES {
            return (changes, next);
        }
        limit = (limit / 4).max(1);
    }
}

fn encoded_bytes(changes: &[Change]) -> usize {
    serde_json::to_vec(changes).map_or(usize::MAX, |bytes| bytes.len())
}

/// The keys of the next records before `end` that are no tombstones.
async fn keys_before(tail: &mut dyn TailReader, end: u64) -> Result<Vec<Bytes>, LogError> {
    let limits = FetchLimits {
        max_records: TOMBSTONES,
        max_bytes: MAX_TRANSACTION_BYTES,
        max_wait: Duration::from_millis(500),
    };
    let records = tail.fetch(limits).await?;
    let older = records.into_iter().filter(|record| record.offset < end && !record.value.is_empty());
    Ok(older.filter_map(|record| record.key).collect())
}
