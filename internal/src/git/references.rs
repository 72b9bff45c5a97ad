//! Reference counters: how many pushes are under way in a repository, so that nobody moves or packs it meanwhile. A count
//! that nobody touches for ten minutes is over.

use jiff::Timestamp;
use tally_directory::{Change, Directory, ReferenceCount, Unavailable};
use tokio::sync::Mutex;
use uuid::Uuid;

/// This process's share of the counters. Counts of several processes add up, so none waits for another.
pub(crate) struct References {
    writer: Uuid,
    /// One change at a time: each builds on the last.
    turn: Mutex<()>,
}

impl References {
    /// Counts as `writer`, whom no other process may be.
    pub(crate) fn new(writer: Uuid) -> Self {
        Self { writer, turn: Mutex::new(()) }
    }

    /// Adds `difference` to the repository's counter; `Ok` once that is durable.
    pub(crate) async fn add(
        &self,
        directory: &Directory,
        repository: String,
        difference: i64,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let _turn = self.turn.lock().await;
        let count = directory.read().reference_count(&repository, self.writer, now) + difference;
        let counted = ReferenceCount { repository, writer: self.writer, count, at: now };
        directory.record(now, vec![Change::ReferenceCount(counted)]).await
    }
}
