//! Reference counters: how many pushes are under way in a repository, so that nobody moves or packs it meanwhile. A count
//! that nobody touches for ten minutes is over.

use jiff::Timestamp;
use tally_directory::{Change, Directory, ReferenceCount, Unavailable};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::recent_calls::RecentCalls;

/// This process's share of the counters. Counts of several processes add up, so none waits for another.
pub(crate) struct References {
    writer: Uuid,
    /// One change at a time: each builds on the last. Which calls have made theirs.
    turn: Mutex<RecentCalls>,
}

impl References {
    /// Counts as `writer`, whom no other process may be.
    pub(crate) fn new(writer: Uuid) -> Self {
        Self { writer, turn: Mutex::default() }
    }

    /// Adds `difference` to the repository's counter; `Ok` once that is durable. Another try of a `call` that was counted here
    /// changes nothing.
    pub(crate) async fn add(
        &self,
        directory: &Directory,
        repository: String,
        difference: i64,
        call: Option<Uuid>,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let mut turn = self.turn.lock().await;
        if call.is_some_and(|call| turn.contains(call, now)) {
            return Ok(());
        }
        let count = directory.read().reference_count(&repository, self.writer, now) + difference;
        let counted = ReferenceCount { repository, writer: self.writer, count, at: now };
        directory.record(now, vec![Change::ReferenceCount(counted)]).await?;
        if let Some(call) = call {
            turn.insert(call, now);
        }
        Ok(())
    }
}
