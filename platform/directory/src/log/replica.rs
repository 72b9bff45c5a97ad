//! This process's copy of the directory: brought up to the log's end before anybody sees it, and kept there by a task.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use tally_eventlog::{EventLog, FetchLimits, LogError, LogRecord, TailReader, Watermarks};
use tokio::sync::{Mutex as AsyncMutex, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::fold::{Fold, Folded, read};
use super::snapshot::{self, Snapshot};
use super::transaction::read_record;
use super::{MAX_TRANSACTION_BYTES, ReplicaConfig};
use crate::{Change, State};

/// One fetch. While it is folded nobody reads the state, so it is short.
const LIMITS: FetchLimits = FetchLimits {
    max_records: 500,
    max_bytes: MAX_TRANSACTION_BYTES / 2,
    max_wait: Duration::from_millis(500),
};
/// Before the log is read again after it failed.
const RETRY: Duration = Duration::from_secs(1);
/// Where the directory's identity has to show, or else the log is taken for one without.
const IDENTITY_WITHIN: u64 = 100_000;

/// A copy of the directory that follows the log.
pub(crate) struct Replica {
    pub(super) config: ReplicaConfig,
    pub(super) log: Arc<dyn EventLog>,
    /// This process, in the records that it writes.
    pub(super) writer: Uuid,
    /// Locked before the state, by whoever locks both.
    pub(super) fold: Mutex<Fold>,
    pub(super) state: Arc<RwLock<State>>,
    /// Everything before this offset is in the state.
    pub(super) position: watch::Sender<u64>,
    /// Held while a command is decided and written.
    pub(super) turn: AsyncMutex<()>,
    /// Counts this process's records.
    pub(super) records: AtomicU64,
    /// Held while a compaction goes on.
    pub(super) compacting: AsyncMutex<()>,
    snapshotting: AsyncMutex<()>,
    /// Changes since the last snapshot, or since one was last tried.
    changes: AtomicU64,
    /// The position of the last snapshot.
    saved: Mutex<Option<u64>>,
    /// Why the log can't be followed now.
    pub(super) failure: Mutex<Option<String>>,
    stopped: CancellationToken,
}

/// A state that was brought up to the end of the log, and the reader that goes on from there.
struct Caught {
    fold: Fold,
    state: State,
    tail: Box<dyn TailReader>,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("config", &self.config)
            .field("writer", &self.writer)
            .field("position", &self.position())
            .finish_non_exhaustive()
    }
}

impl Replica {
    /// Reads snapshot and log, then follows the log until `shutdown`. The state is filled when this returns.
    pub(crate) async fn open(
        config: ReplicaConfig,
        log: Arc<dyn EventLog>,
        state: Arc<RwLock<State>>,
        shutdown: CancellationToken,
    ) -> Result<Arc<Self>, LogError> {
        let writer = Uuid::new_v4();
        let started = Instant::now();
        let (fold, begun) = begin(&config, &*log, writer).await?;
        let from = fold.next();
        let saved = begun.identity().map(|_| from);
        let caught = catch_up(&config.topic, &*log, fold, begun).await?;
        let position = caught.fold.next();
        tracing::info!(from, position, elapsed = ?started.elapsed(), "the directory's log is read");
        *state.write() = caught.state;
        let replica = Arc::new(Self {
            config,
            log,
            writer,
            fold: Mutex::new(caught.fold),
            state,
            position: watch::Sender::new(position),
            turn: AsyncMutex::default(),
            records: AtomicU64::new(0),
            compacting: AsyncMutex::default(),
            snapshotting: AsyncMutex::default(),
            changes: AtomicU64::new(position.saturating_sub(from)),
            saved: Mutex::new(saved),
            failure: Mutex::default(),
            stopped: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&replica).follow(caught.tail, shutdown));
        Ok(replica)
    }

    /// The offset that the next command is decided at.
    pub(crate) fn position(&self) -> u64 {
        *self.position.borrow()
    }

    /// Waits until the replica has stopped after `shutdown` and written its snapshot.
    pub(crate) async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    async fn follow(self: Arc<Self>, mut tail: Box<dyn TailReader>, shutdown: CancellationToken) {
        while let Some(fetched) = shutdown.run_until_cancelled(tail.fetch(LIMITS)).await {
            let followed = match fetched {
                Ok(records) => self.fold_in(&records, tail.next_offset()),
                Err(error) => Err(Broken::Log(error)),
            };
            if let Err(broken) = followed {
                let Some(mended) = shutdown.run_until_cancelled(self.mend(broken)).await else { break };
                tail = mended;
            }
            if self.takes_snapshot() {
                let replica = Arc::clone(&self);
                tokio::spawn(async move { replica.snapshot_or_warn().await });
            }
        }
        if *self.saved.lock() != Some(self.position()) {
            self.snapshot_or_warn().await;
        }
        self.stopped.cancel();
    }

    /// Whether a snapshot is due and none is being written. Says so once: a snapshot of a large state takes longer than
    /// many fetches, and one a fetch would queue up behind it.
    fn takes_snapshot(&self) -> bool {
        let is_due = self.changes.load(Ordering::Relaxed) >= self.config.snapshot_interval;
        let takes = is_due && self.snapshotting.try_lock().is_ok();
        if takes {
            self.changes.store(0, Ordering::Relaxed);
        }
        takes
    }

    /// Folds records that were fetched, up to `next_offset`.
    fn fold_in(&self, records: &[LogRecord], next_offset: u64) -> Result<(), Broken> {
        let reads: Vec<_> = records.iter().map(read).collect();
        let mut fold = self.fold.lock();
        let mut state = self.state.write();
        let mut result = Ok(());
        for (record, read) in records.iter().zip(reads) {
            match fold.take(&mut state, record, read) {
                Folded::Changes(count) => {
                    self.changes.fetch_add(count as u64, Ordering::Relaxed);
                }
                Folded::BeginAgain { from } => {
                    result = Err(Broken::Incomplete { from });
                    break;
                }
            }
        }
        if result.is_ok() {
            fold.pass_to(next_offset);
        }
        drop(state);
        self.position.send_replace(fold.next());
        result
    }

    /// Folds a record of this process's own as soon as the log has it, instead of waiting until it is read.
    pub(super) fn fold_own(&self, record: &LogRecord) {
        if self.position() == record.offset {
            // Only a rewrite can ask to begin again, and whoever follows the log meets it, too.
            let _ = self.fold_in(std::slice::from_ref(record), record.offset);
        }
    }

    /// A reader that goes on after a failure.
    async fn mend(&self, mut broken: Broken) -> Box<dyn TailReader> {
        loop {
            let mended = match &broken {
                Broken::Log(LogError::OffsetOutOfRange { low, high, requested, .. }) => {
                    tracing::error!(
                        low,
                        high,
                        requested,
                        "the directory's log does not reach here; beginning again"
                    );
                    self.begin_again(*low).await
                }
                Broken::Incomplete { from } => {
                    tracing::info!(from, "records are missing before a compaction; beginning again with it");
                    self.begin_again(*from).await
                }
                Broken::Log(error) => {
                    tracing::warn!(%error, "the directory's log can't be followed; trying again");
                    *self.failure.lock() = Some(error.to_string());
                    tokio::time::sleep(RETRY).await;
                    self.log.tail(&self.config.topic, 0, self.position()).await
                }
            };
            match mended {
                Ok(tail) => {
                    *self.failure.lock() = None;
                    return tail;
                }
                // What has to be done stays the same while the log can't be reached.
                Err(error @ LogError::OffsetOutOfRange { .. }) => broken = Broken::Log(error),
                Err(error) => {
                    tracing::warn!(%error, "the directory's log can't be read; trying again");
                    *self.failure.lock() = Some(error.to_string());
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// Makes the state anew from an offset on, beside the one that is served, and puts it in its place.
    async fn begin_again(&self, from: u64) -> Result<Box<dyn TailReader>, LogError> {
        let fold = Fold::from(from, self.writer);
        let caught = catch_up(&self.config.topic, &*self.log, fold, State::default()).await?;
        let mut fold = self.fold.lock();
        *self.state.write() = caught.state;
        *fold = caught.fold;
        self.position.send_replace(fold.next());
        Ok(caught.tail)
    }

    async fn snapshot_or_warn(&self) {
        if let Err(error) = self.snapshot().await {
            tracing::warn!(error, "no snapshot of the directory was written");
        }
    }

    /// Writes the snapshot, where there is a file for it.
    pub(crate) async fn snapshot(&self) -> Result<(), String> {
        let Some(file) = self.config.snapshot_file.clone() else { return Ok(()) };
        let _only = self.snapshotting.lock().await;
        let state = Arc::clone(&self.state);
        let fold = self.fold.lock().clone();
        self.changes.store(0, Ordering::Relaxed);
        let position = fold.next();
        let written = tokio::task::spawn_blocking(move || snapshot::write(&file, &fold, &state)).await;
        let written = written.map_err(|error| error.to_string())?;
        let changes = written.map_err(|error| error.to_string())?;
        *self.saved.lock() = Some(position);
        tracing::info!(position, changes, "wrote a snapshot of the directory");
        Ok(())
    }
}

/// Why the log can't be followed on.
enum Broken {
    Log(LogError),
    /// The state may hold what the log no longer does; it is whole from here on.
    Incomplete {
        from: u64,
    },
}

/// Where to begin: the snapshot, if it is one of this log, or else the log's beginning with nothing.
async fn begin(config: &ReplicaConfig, log: &dyn EventLog, writer: Uuid) -> Result<(Fold, State), LogError> {
    let reach = reach(log, &config.topic).await?;
    let snapshot = match &config.snapshot_file {
        Some(file) => load(config, file, log, reach).await?,
        None => None,
    };
    Ok(match snapshot {
        Some(Snapshot { position, base, gaps, state }) => {
            (Fold::resumed(position, base, gaps, writer), state)
        }
        None => (Fold::from(reach.low, writer), State::default()),
    })
}

/// The snapshot, unless it is missing, damaged or of another log.
async fn load(
    config: &ReplicaConfig,
    file: &Path,
    log: &dyn EventLog,
    reach: Watermarks,
) -> Result<Option<Snapshot>, LogError> {
    let path = file.to_owned();
    let loading = tokio::task::spawn_blocking(move || snapshot::read(&path));
    let loaded = loading.await.map_err(|error| LogError::Unavailable(error.to_string()))?;
    let snapshot = match loaded {
        Ok(snapshot) => snapshot,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the directory's snapshot is ignored");
            return Ok(None);
        }
    };
    if !(reach.low..=reach.high).contains(&snapshot.position) {
        tracing::warn!(file = %file.display(), position = snapshot.position, low = reach.low, high = reach.high,
            "the directory's snapshot is of another log, and ignored");
        return Ok(None);
    }
    let identity = identity(log, &config.topic, reach).await?;
    if identity.is_none() || identity != snapshot.state.identity() {
        tracing::warn!(file = %file.display(), of = ?snapshot.state.identity(), log = ?identity,
            "the directory's snapshot is of another directory, and ignored");
        return Ok(None);
    }
    Ok(Some(snapshot))
}

/// The identity that the log's first transactions give the directory.
async fn identity(log: &dyn EventLog, topic: &str, reach: Watermarks) -> Result<Option<Uuid>, LogError> {
    let mut tail = log.tail(topic, 0, reach.low).await?;
    let end = reach.high.min(reach.low + IDENTITY_WITHIN);
    while tail.next_offset() < end {
        for record in tail.fetch(FetchLimits { max_records: 10, ..LIMITS }).await? {
            let valid = read_record(record.offset, &record.value).unwrap_or_default();
            let named = valid.changes.iter().find_map(|change| match change {
                Change::Identity { id } => Some(*id),
                _ => None,
            });
            if named.is_some() {
                return Ok(named);
            }
        }
    }
    Ok(None)
}

async fn reach(log: &dyn EventLog, topic: &str) -> Result<Watermarks, LogError> {
    let reach = log.watermarks(topic).await?;
    let reason = "the directory's topic has one partition".to_owned();
    let mismatch = || LogError::TopicMismatch { topic: topic.to_owned(), reason };
    if let [only] = reach[..] { Ok(only) } else { Err(mismatch()) }
}

/// Folds everything that is in the log by now.
async fn catch_up(
    topic: &str,
    log: &dyn EventLog,
    mut fold: Fold,
    mut state: State,
) -> Result<Caught, LogError> {
    let high = reach(log, topic).await?.high;
    let mut tail = log.tail(topic, 0, fold.next()).await?;
    while fold.next() < high {
        let mut again = None;
        for record in tail.fetch(LIMITS).await? {
            if let Folded::BeginAgain { from } = fold.take(&mut state, &record, read(&record)) {
                again = Some(from);
                break;
            }
        }
        if let Some(from) = again {
            tracing::info!(from, "records are missing before a compaction; beginning again with it");
            fold = fold.begun_at(from);
            state = State::default();
            tail = log.tail(topic, 0, from).await?;
        } else {
            fold.pass_to(tail.next_offset());
        }
    }
    Ok(Caught { fold, state, tail })
}

#[cfg(test)]
mod tests {
    use tally_eventlog::embedded::{EmbeddedConfig, EmbeddedLog};

    use super::*;

    #[tokio::test]
    async fn snapshots_do_not_queue_up_behind_one_that_is_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let log = EmbeddedLog::open(EmbeddedConfig::new(folder.path())).unwrap();
        log.ensure_topic(&super::super::topic("t")).await.unwrap();
        let config = ReplicaConfig { snapshot_interval: 10, ..ReplicaConfig::new("t") };
        let shutdown = CancellationToken::new();
        let replica = Replica::open(config, Arc::new(log), Arc::default(), shutdown.clone()).await.unwrap();
        shutdown.cancel();
        replica.stopped().await;

        replica.changes.store(10, Ordering::Relaxed);
        assert!(replica.takes_snapshot());
        assert!(!replica.takes_snapshot(), "the same changes are taken once");
        let writing = replica.snapshotting.lock().await;
        replica.changes.store(10, Ordering::Relaxed);
        assert!(!replica.takes_snapshot());
        drop(writing);
        assert!(replica.takes_snapshot());
    }
}
