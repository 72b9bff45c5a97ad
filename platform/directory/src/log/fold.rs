//! From the records of the log to the state. Every process folds the same records alike, whatever else it knows.

use tally_eventlog::LogRecord;
use uuid::Uuid;

use super::transaction::{Malformed, Transaction};
use crate::State;

/// How a state came about, and how far.
#[derive(Clone, Debug)]
pub(super) struct Fold {
    /// Everything before this offset is folded.
    next: u64,
    /// Where the state was begun empty.
    base: u64,
    /// Offsets were missing on the way here, or may have been: what they took away may be in the state still.
    gaps: bool,
    /// The last of this process's own records that was valid, for which it may be waiting.
    own: Option<(u64, bytes::Bytes)>,
    writer: Uuid,
}

/// What one record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Folded {
    /// So many changes were applied; none by a record that is refused, can't be read or is a tombstone.
    Changes(usize),
    /// The record ends a compaction, and what was folded before may lack records that it took away. The state is to be
    /// begun again, empty, at `from`; the record was not folded.
    BeginAgain { from: u64 },
}

impl Fold {
    /// Of an empty state.
    pub(super) fn from(base: u64, writer: Uuid) -> Self {
        Self { next: base, base, gaps: false, own: None, writer }
    }

    /// Of a state that was folded before and put aside.
    pub(super) fn resumed(next: u64, base: u64, gaps: bool, writer: Uuid) -> Self {
        Self { next, base, gaps, own: None, writer }
    }

    /// Of an empty state at another place, by the same process.
    pub(super) fn begun_at(&self, base: u64) -> Self {
        Self::from(base, self.writer)
    }

    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn base(&self) -> u64 {
        self.base
    }

    pub(super) fn gaps(&self) -> bool {
        self.gaps
    }

    pub(super) fn is_own(&self, offset: u64, key: &[u8]) -> bool {
        self.own.as_ref().is_some_and(|(at, own)| *at == offset && own == key)
    }

    /// The log holds nothing more before `offset`.
    pub(super) fn pass_to(&mut self, offset: u64) {
        if offset > self.next {
            self.next = offset;
            self.gaps = true;
        }
    }

    /// Folds a record in, unless it was already.
    pub(super) fn take(&mut self, state: &mut State, record: &LogRecord, read: Read) -> Folded {
        let offset = record.offset;
        if offset < self.next {
            return Folded::Changes(0);
        }
        self.gaps |= offset > self.next;
        self.next = offset;
        let changes = match valid(record, read) {
            Some(transaction) => {
                if let Some(from) = self.begin_again(&transaction, state) {
                    return Folded::BeginAgain { from };
                }
                if transaction.writer == self.writer && transaction.at.is_some() {
                    self.own = record.key.clone().map(|key| (offset, key));
                }
                transaction.changes
            }
            None => Vec::new(),
        };
        self.next = offset + 1;
        let count = changes.len();
        for change in changes {
            state.apply(change);
        }
        Folded::Changes(count)
    }

    /// A rewrite that is done says that nothing before it is needed; a state with gaps on the way needs exactly that. One
    /// whose fold began there, or later, has nothing from before.
    fn begin_again(&mut self, transaction: &Transaction, state: &State) -> Option<u64> {
        let rewrite = transaction.rewrite?;
        if self.gaps && rewrite.from == self.next && *state == State::default() {
            self.base = rewrite.from;
            self.gaps = false;
        }
        (rewrite.done && self.gaps && rewrite.from > self.base).then_some(rewrite.from)
    }
}

/// The transaction, if it takes effect; it is said why it doesn't.
fn valid(record: &LogRecord, read: Read) -> Option<Transaction> {
    match read {
        Ok(Some(transaction)) if transaction.is_valid_at(record.offset) => Some(transaction),
        Ok(Some(transaction)) => {
            tracing::debug!(offset = record.offset, at = transaction.at, writer = %transaction.writer,
                "a command of the directory lost against another one");
            None
        }
        Ok(None) => None,
        Err(error) => {
            tracing::error!(offset = record.offset, %error, "a record of the directory is skipped");
            None
        }
    }
}

/// A record as read, which takes most of the time of a fold and needs no state.
pub(super) type Read = Result<Option<Transaction>, Malformed>;

/// Reads a record's transaction.
pub(super) fn read(record: &LogRecord) -> Read {
    Transaction::read(&record.value)
}
