//! The exactly-once protocol on one partition. Before a batch is written its range is committed as pending; each insert
//! carries a token made of topic, partition, range and a hash of its records, which the tables deduplicate by; then the range is committed as
//! done. Whoever finds a pending range writes it again, with the same boundaries and so the same tokens.
//!
//! While a batch is being written the next one is read and folded.

mod progress;
mod refusal;
mod wait;
mod write;

use std::ops::Range;
use std::sync::Arc;

use tally_eventlog::{Assignment, CommitError, LogError, PartitionReader, Position};
use tally_schemas::DropReason;
use tally_service::clock::Clock;
use tally_store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::batch::{Batch, Collected, Collector};
use crate::config::ProcessorConfig;
use crate::fold::Folder;
use crate::metrics::{Metrics, PartitionSeries};
use crate::repetitions::{self, SharedFilter};

pub use progress::Progress;

use progress::WatchedReader;
use refusal::Resolved;
use wait::{ask, pause};
use write::{Announced, Written, write_once};

/// How many times as long as after an outage a batch that is refused as a whole waits at most.
const MOST_PATIENCE: u32 = 32;

/// Why work on a partition ended.
#[derive(Debug, thiserror::Error)]
pub enum PartitionError {
    /// The partition belongs to somebody else now; they go on from the committed position.
    #[error("the partition was taken away")]
    TakenAway,
    /// Shutdown came while the store was out of reach; the announced range is replayed on the next start.
    #[error("shut down while the store was out of reach")]
    Interrupted,
    /// The log failed.
    #[error(transparent)]
    Log(LogError),
}

impl From<LogError> for PartitionError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Revoked => Self::TakenAway,
            other => Self::Log(other),
        }
    }
}

impl From<CommitError> for PartitionError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Fenced | CommitError::Revoked => Self::TakenAway,
            CommitError::Log(error) => error.into(),
        }
    }
}

/// What the work on the partitions of a topic stands on.
#[derive(Clone)]
pub struct TopicContext {
    pub config: ProcessorConfig,
    pub folder: Arc<dyn Folder>,
    pub store: Store,
    pub metrics: Metrics,
    pub clock: Arc<dyn Clock>,
    pub shutdown: CancellationToken,
}

/// What the work on a partition stands on.
pub struct PartitionContext {
    config: ProcessorConfig,
    folder: Arc<dyn Folder>,
    store: Store,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    shutdown: CancellationToken,
    /// What is measured of the partition.
    pub series: Arc<PartitionSeries>,
    pub progress: Arc<Progress>,
}

impl PartitionContext {
    /// For work on this partition that is about to begin.
    pub fn new(topic: &TopicContext, partition: u32) -> Self {
        let TopicContext { config, folder, store, metrics, clock, shutdown } = topic.clone();
        let series = Arc::new(metrics.of_partition(folder.topic(), partition));
        Self { config, folder, store, metrics, clock, shutdown, series, progress: Arc::default() }
    }
}

/// Works on an assigned partition until it is taken away, the log fails, or shutdown; a batch that was announced is
/// finished first when it can be.
pub async fn work(context: PartitionContext, assignment: Assignment) -> Result<(), PartitionError> {
    let Assignment { partition, position, reader } = assignment;
    let reader = Box::new(WatchedReader { reader, progress: Arc::clone(&context.progress) });
    let mut worker = Worker {
        done: position.next_offset,
        announced: None,
        next_close: Instant::now(),
        has_reread: false,
        context,
        partition,
        reader,
    };
    let _held = worker.prepare().await?;
    worker.replay_pending(position.pending, position.without).await?;
    worker.run().await
}

struct Worker {
    context: PartitionContext,
    partition: u32,
    reader: Box<dyn PartitionReader>,
    /// Everything before this offset is in the tables.
    done: u64,
    announced: Option<Announced>,
    /// When the next batch may close for being old.
    next_close: Instant,
    /// The reader went back to the announced range: what was read past it before is to be read again.
    has_reread: bool,
}

impl Worker {
    async fn prepare(&mut self) -> Result<Option<SharedFilter>, PartitionError> {
        let Self { context, partition, reader, .. } = self;
        ask(context, reader.revoked(), || {
            context.folder.prepare(&context.store, *partition, &context.progress)
        })
        .await
    }

    async fn replay_pending(
        &mut self,
        pending: Option<Range<u64>>,
        without: Vec<u64>,
    ) -> Result<(), PartitionError> {
        let Some(range) = pending else { return Ok(()) };
        tracing::info!(
            topic = self.topic(),
            partition = self.partition,
            ?range,
            "replaying an announced range"
        );
        let collector = Collector::new(&*self.context.folder, self.partition).leaving_out(
            &*self.context.folder,
            self.partition,
            without,
        );
        let replayed = tokio::select! {
            replayed = collector.replay(&mut *self.reader, &range, &self.context.config) => replayed,
            () = self.context.shutdown.cancelled() => return Err(PartitionError::Interrupted),
        };
        match replayed {
            Ok(Some(collected)) => {
                self.context.metrics.replayed_batches.with_label_values(&[self.topic()]).inc();
                let batch = self.settle(collected).await?;
                self.announce(batch).await
            }
            Ok(None) => Ok(()),
            // What is left of the range can't be written under the range's token, and may have been written already.
            Err(LogError::OffsetOutOfRange { low, .. }) if low > range.start => {
                self.skip_expired(low.max(range.end)).await
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn run(&mut self) -> Result<(), PartitionError> {
        loop {
            let stopping = self.context.shutdown.is_cancelled();
            if stopping && self.announced.is_none() {
                return Ok(());
            }
            let collected = if stopping { Ok(None) } else { self.collect_while_writing().await };
            let (next, expired_to) = match collected {
                Err(PartitionError::Log(LogError::OffsetOutOfRange { low, requested, .. }))
                    if low > requested =>
                {
                    (None, Some(low))
                }
                collected => (collected?, None),
            };
            let finished = self.finish_announced().await?;
            let has_reread = std::mem::take(&mut self.has_reread);
            if has_reread {
                self.reader.seek(self.done).await?;
            }
            if let Some(offset) = expired_to.filter(|_| !has_reread) {
                self.skip_expired(offset).await?;
            }
            match next.filter(|_| !has_reread) {
                Some(collected) => {
                    let batch = self.settle(collected).await?;
                    let batch = self.cut_to_size(batch).await?;
                    self.announce(batch).await?;
                }
                None if finished => self.reader.commit(&Position::at(self.done)).await?,
                None => {}
            }
            self.context.progress.advanced();
            self.report_lag();
        }
    }

    /// Goes on at `offset`, since the log has deleted what lies before it. That is loss, and is said as loudly.
    async fn skip_expired(&mut self, offset: u64) -> Result<(), PartitionError> {
        let lost = offset.saturating_sub(self.done);
        tracing::error!(
            topic = self.topic(),
            partition = self.partition,
            lost,
            from = self.done,
            to = offset,
            "the log deleted records before they were counted"
        );
        self.context.metrics.drop_by(DropReason::Expired, lost);
        self.reader.seek(offset).await?;
        self.done = offset;
        Ok(self.reader.commit(&Position::at(offset)).await?)
    }

    /// Reads the next batch; meanwhile the announced one is written, though perhaps not to its end.
    async fn collect_while_writing(&mut self) -> Result<Option<Collected>, PartitionError> {
        let Self { context, partition, reader, announced, next_close, .. } = self;
        let revoked = reader.revoked().clone();
        let writing = async {
            match announced {
                Some(announced) => write_once(context, *partition, announced, &revoked).await.map(|_| ()),
                None => Ok(()),
            }
        };
        let collecting = async {
            let collector = Collector::new(&*context.folder, *partition);
            let collected = collector.collect(&mut **reader, &context.config, *next_close).await?;
            if collected.is_some() {
                *next_close = Instant::now() + context.config.batch_interval();
            }
            Ok(collected)
        };
        let (written, collected) = tokio::join!(writing, collecting);
        written?;
        collected
    }

    /// Writes what is left of the announced batch, however long the store is out of reach. Whether there was a batch.
    async fn finish_announced(&mut self) -> Result<bool, PartitionError> {
        let Some(mut announced) = self.announced.take() else { return Ok(false) };
        let revoked = self.reader.revoked().clone();
        let mut patience = 1;
        loop {
            match write_once(&self.context, self.partition, &mut announced, &revoked).await? {
                Written::All => break,
                Written::InPart => {
                    self.report_waiting(&announced.batch);
                    pause(&self.context, &revoked, 1).await?;
                }
                Written::Refused => {
                    self.has_reread = true;
                    announced = match self.leave_out_refused(announced).await? {
                        Resolved::Announced(announced) => announced,
                        Resolved::Stuck(announced) => {
                            self.report_waiting(&announced.batch);
                            pause(&self.context, &revoked, patience).await?;
                            patience = (patience * 2).min(MOST_PATIENCE);
                            announced
                        }
                    };
                }
                Written::Stale => {
                    let at = Instant::now();
                    self.reader.commit(&self.pending_position(&announced.batch)).await?;
                    announced.at = at;
                }
            }
        }
        self.context.series.set_waiting(false);
        self.done = announced.batch.offsets.end;
        self.report_batch(&announced.batch);
        Ok(true)
    }

    /// Takes repetitions out of what was collected. Everything before it must be in the tables.
    async fn settle(&mut self, collected: Collected) -> Result<Batch, PartitionError> {
        let doubtful = match collected {
            Collected::Batch(batch) => return Ok(batch),
            Collected::Doubtful(doubtful) => doubtful,
        };
        let Self { context, partition, reader, .. } = self;
        let (start, doubts) = (doubtful.start(), doubtful.doubts());
        context.metrics.doubtful_ids.inc_by(doubts.len() as u64);
        let look_up = || repetitions::look_up(&context.store, *partition, start, &doubts);
        let repeated = ask(context, reader.revoked(), look_up).await?;
        Ok(doubtful.settle(&repeated))
    }

    /// Commits the batch's range as pending, and everything before it as done.
    async fn announce(&mut self, batch: Batch) -> Result<(), PartitionError> {
        debug_assert!(self.announced.is_none(), "one range is pending at a time");
        // Taken before the commit: however long its answer takes, the announcement is no younger than this.
        let at = Instant::now();
        self.reader.commit(&self.pending_position(&batch)).await?;
        self.announced = Some(Announced::new(batch, self.context.folder.raw_tables(), at));
        Ok(())
    }

    fn pending_position(&self, batch: &Batch) -> Position {
        let without = batch.without.clone();
        Position { without, ..Position::pending(self.done, batch.offsets.clone()) }
    }

    fn topic(&self) -> &'static str {
        self.context.folder.topic()
    }

    fn report_batch(&self, batch: &Batch) {
        let (metrics, topic) = (&self.context.metrics, self.topic());
        metrics.records.with_label_values(&[topic]).inc_by(batch.records);
        metrics.batches.with_label_values(&[topic]).inc();
        metrics.batch_records.with_label_values(&[topic]).observe(batch.records as f64);
        for (&reason, &times) in &batch.folded.drops {
            metrics.drop_by(reason, times);
        }
    }

    fn report_lag(&self) {
        if let Some(high) = self.reader.high_watermark() {
            let lag = high.saturating_sub(self.done);
            self.context.series.set_lag(lag);
            if lag == 0 {
                self.context.series.set_freshness(0.0);
            }
        }
    }

    fn report_waiting(&self, batch: &Batch) {
        self.report_lag();
        if let Some(age) = write::age_of(&self.context, batch) {
            self.context.series.set_freshness(age);
        }
    }
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
#[cfg(test)]
pub use tests::config as test_config;
