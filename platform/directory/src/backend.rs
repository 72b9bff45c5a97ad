//! What stands behind a directory: memory alone, or a log that other processes share.

use std::fmt;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::{Change, error::Unavailable, state::State};

/// Decides on a state which changes to make; none means that nothing is to be written. It may be asked again, on a later
/// state, when its changes came too late; the last answer counts.
pub(crate) type Decide<'a> = dyn FnMut(&State) -> Vec<Change> + Send + 'a;

/// A log that makes decisions durable and folds them into the directory's state, which it shares with
/// [`crate::Directory`] as `Arc<RwLock<State>>` and is the only one to write to.
#[async_trait]
pub(crate) trait ChangeLog: fmt::Debug + Send + Sync {
    /// Asks `decide` on the state as of the log's end, appends its changes as one record, all or none, and returns once
    /// the state has them. Begins again when another process has written in between.
    async fn transact(&self, now: Timestamp, decide: &mut Decide<'_>) -> Result<(), Unavailable>;

    /// Appends changes that hold whatever was written before them, and returns once the state has them.
    async fn record(&self, now: Timestamp, changes: Vec<Change>) -> Result<(), Unavailable>;
}

/// Where a directory's changes go.
#[derive(Debug)]
pub(crate) enum Backend {
    /// Into the state, and nowhere else. The lock lets one transaction decide and apply before the next decides.
    Memory(Mutex<()>),
    /// To a log first.
    Log(Box<dyn ChangeLog>),
}
