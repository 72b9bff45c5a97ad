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

    /// A push into the repository begins; `Ok` once that is durable. Another try of a `call` that was counted here changes nothing.
    pub(crate) async fn raise(
        &self,
        directory: &Directory,
        repository: String,
        call: Option<Uuid>,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let mut turn = self.turn.lock().await;
        if call.is_some_and(|call| turn.contains(call, now)) {
            return Ok(());
        }
        self.add(directory, repository, 1, now).await?;
        if let Some(call) = call {
            turn.insert(call, now);
        }
        Ok(())
    }

    /// A push is over; the same of its `call`. The call by which it began is forgotten: pushes over one SSH connection share
    /// what identifies that.
    pub(crate) async fn lower(
        &self,
        directory: &Directory,
        repository: String,
        call: Option<Uuid>,
        began: Option<Uuid>,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let mut turn = self.turn.lock().await;
        if call.is_some_and(|call| turn.contains(call, now)) {
            return Ok(());
        }
        // Where no push is known to be under way, there is none to take away from those to come.
        if directory.read().references(&repository, now) > 0 {
            self.add(directory, repository, -1, now).await?;
        }
        if let Some(call) = call {
            turn.insert(call, now);
        }
        if let Some(began) = began {
            turn.forget(began);
        }
        Ok(())
    }

    async fn add(
        &self,
        directory: &Directory,
        repository: String,
        difference: i64,
        now: Timestamp,
    ) -> Result<(), Unavailable> {
        let count = directory.read().reference_count(&repository, self.writer, now) + difference;
        let counted = ReferenceCount { repository, writer: self.writer, count, at: now };
        directory.record(now, vec![Change::ReferenceCount(counted)]).await.map(drop)
    }
}
