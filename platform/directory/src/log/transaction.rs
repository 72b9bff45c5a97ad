//! The record of the directory's log: changes that take effect together, or not at all.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tally_eventlog::Record;
use uuid::Uuid;

use crate::Change;

/// One record, as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Transaction {
    /// The only offset at which it is valid: that of the first record that its writer had not folded when it decided.
    /// `None`: valid anywhere, as the changes mean the same on every state.
    pub(super) at: Option<u64>,
    /// When it was decided, in milliseconds since the epoch; said for readers of the log, the fold does not look at it.
    pub(super) time: i64,
    /// The process that decided it.
    pub(super) writer: Uuid,
    /// Set where the whole state is being written again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rewrite: Option<Rewrite>,
    pub(super) changes: Vec<Change>,
}

/// A compaction under way: the records from `from` on hold all of the state once one of them says `done`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rewrite {
    pub(super) from: u64,
    pub(super) done: bool,
}

/// A record of the directory's log is no transaction that this version can read.
#[derive(Debug, thiserror::Error)]
#[error("the record is no transaction of the directory: {0}")]
pub struct Malformed(#[from] serde_json::Error);

impl Transaction {
    /// `None` for a tombstone.
    pub(super) fn read(value: &[u8]) -> Result<Option<Self>, Malformed> {
        if value.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(value)?)) }
    }

    pub(super) fn is_valid_at(&self, offset: u64) -> bool {
        self.at.is_none_or(|at| at == offset)
    }

    /// `number` tells the writer's own records apart. No two records have a key in common, so that the log's compaction
    /// never takes a valid one for superseded by one that is not.
    pub(super) fn record(&self, number: u64) -> Record {
        let at = self.at.map_or_else(|| "any".to_owned(), |at| at.to_string());
        let key = format!("{at}-{}-{number}", self.writer);
        let value = serde_json::to_vec(self).expect("changes have text keys only");
        Record { key: Some(Bytes::from(key)), value: value.into(), timestamp: self.time }
    }
}

/// What a record of the directory's log says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Valid {
    /// What takes effect with it, in this order.
    pub changes: Vec<Change>,
    /// The record ends a compaction: the records from this offset on hold all of the state, and whatever was written before
    /// only is gone.
    pub whole_since: Option<u64>,
}

/// Reads a record of the directory's log. One that is refused or a tombstone says nothing.
pub fn read_record(offset: u64, value: &[u8]) -> Result<Valid, Malformed> {
    let transaction = Transaction::read(value)?.filter(|transaction| transaction.is_valid_at(offset));
    let Some(Transaction { changes, rewrite, .. }) = transaction else { return Ok(Valid::default()) };
    let whole_since = rewrite.filter(|rewrite| rewrite.done).map(|rewrite| rewrite.from);
    Ok(Valid { changes, whole_since })
}
