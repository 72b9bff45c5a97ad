//! Signs of life of the work on one partition: whoever watches it can tell a worker that waits for answers, however bad they
//! are, from one that gets none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tally_eventlog::{CommitError, FetchLimits, LogError, LogRecord, PartitionReader, Position};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// When the worker last heard something, and when it last got further.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    answered_ms: AtomicU64,
    advanced_ms: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self { began: Instant::now(), answered_ms: AtomicU64::new(0), advanced_ms: AtomicU64::new(0) }
    }
}

impl Progress {
    /// A fetch, a commit, an insert or a question ended, well or not.
    pub fn answered(&self) {
        self.answered_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// A batch was finished, or there was none.
    pub fn advanced(&self) {
        self.advanced_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// For how long nothing has ended.
    pub fn since_answer(&self) -> Duration {
        self.since(&self.answered_ms)
    }

    /// For how long the same batch has been tried.
    pub fn since_advance(&self) -> Duration {
        self.since(&self.advanced_ms)
    }

    fn since(&self, moment_ms: &AtomicU64) -> Duration {
        Duration::from_millis(self.now_ms().saturating_sub(moment_ms.load(Ordering::Relaxed)))
    }

    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }
}

/// A reader whose answers are signs of life.
pub struct WatchedReader {
    pub reader: Box<dyn PartitionReader>,
    pub progress: Arc<Progress>,
}

#[async_trait]
impl PartitionReader for WatchedReader {
    async fn fetch(&mut self, limits: FetchLimits) -> Result<Vec<LogRecord>, LogError> {
        let fetched = self.reader.fetch(limits).await;
        self.progress.answered();
        fetched
    }

    async fn seek(&mut self, offset: u64) -> Result<(), LogError> {
        let sought = self.reader.seek(offset).await;
        self.progress.answered();
        sought
    }

    async fn commit(&mut self, position: &Position) -> Result<(), CommitError> {
        let committed = self.reader.commit(position).await;
        self.progress.answered();
        committed
    }

    fn revoked(&self) -> &CancellationToken {
        self.reader.revoked()
    }

    fn high_watermark(&self) -> Option<u64> {
        self.reader.high_watermark()
    }
}
