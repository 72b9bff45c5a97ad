//! Records on disk while the log is out of reach: [`SpoolingLog`] stands before a log, and takes records as long as either
//! the log or its own folder does.
//!
//! An append goes to the log first. What the log does not confirm in time is written to the spool, fsynced, and
//! acknowledged; from then on everything goes there at once, until the log answers again (`link`). Then new records
//! go to the log, and those of the spool follow in their order (`drain`). Order between the two is not kept.
//!
//! A record that was on its way when the answer got lost is spooled in doubt. Before such a record is sent again, the log
//! is searched for it (`search`). What is being sent from the spool is announced on disk first (`progress`), so that after
//! a crash it is in doubt, too, and nothing is sent twice.

mod config;
mod drain;
mod entry;
mod files;
mod ledger;
mod link;
mod metrics;
mod progress;
mod search;
mod upstream;
mod writer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use prometheus::Registry;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub use self::config::SpoolConfig;
use self::drain::Drainer;
use self::entry::{Entry, Fate, Spooled};
use self::files::Files;
use self::ledger::Ledger;
use self::link::Link;
use self::metrics::Metrics;
pub use self::upstream::Upstream;
use self::writer::Job;
use crate::error::{AppendError, LogError};
use crate::intake::Intake;
use crate::record::{Appended, Record};

/// How long readiness waits for the log.
const CHECK_TIMEOUT: Duration = Duration::from_millis(800);

/// Why a spool can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Another process has the folder open.
    #[error("the spool in {0} is in use by another process; give each process a spool.directory of its own")]
    InUse(PathBuf),
    /// The folder can't be read or written.
    #[error("the spool in {0} can't be opened: {1}")]
    Disk(PathBuf, std::io::Error),
    /// The registry already has a spool.
    #[error("the spool's metrics can't be registered: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Where records go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// To the log.
    Direct,
    /// To the disk, because the log is out of reach.
    Spooling,
    /// To the log, with those on disk following.
    Draining,
}

impl State {
    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Spooling => "spooling",
            Self::Draining => "draining",
        }
    }
}

/// A log with a spool beside it. [`SpoolingLog::run`] has to run for it to be drained.
pub struct SpoolingLog {
    shared: Arc<Shared>,
    jobs: Option<Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    drainer: Mutex<Option<Drainer>>,
}

struct Shared {
    config: SpoolConfig,
    log: Arc<dyn Upstream>,
    files: Arc<Files>,
    ledger: Arc<Ledger>,
    link: Link,
    /// How many partitions each topic has, as far as the log was asked.
    partitions: Mutex<BTreeMap<String, u32>>,
}

impl SpoolingLog {
    /// Opens the spool in its folder, and repairs what a crash has left. Blocks.
    pub fn open(
        config: SpoolConfig,
        log: Arc<dyn Upstream>,
        registry: &Registry,
    ) -> Result<Self, SpoolError> {
        let metrics = Metrics::register(registry)?;
        let (files, found) = Files::open(&config.directory, config.segment_bytes)?;
        let files = Arc::new(files);
        let ledger = Arc::new(Ledger::new(config.max_bytes, files.bytes(), found.waiting, metrics));
        let (jobs, writer) = writer::start(Arc::clone(&files), Arc::clone(&ledger))
            .map_err(|error| SpoolError::Disk(config.directory.clone(), error))?;
        if found.waiting.records > 0 {
            tracing::info!(
                records = found.waiting.records,
                bytes = found.waiting.bytes,
                "records of an earlier run wait in the spool"
            );
        }
        let (link, partitions) = (Link::default(), Mutex::default());
        let shared = Arc::new(Shared { config, log, files, ledger, link, partitions });
        let drainer = Drainer::new(Arc::clone(&shared), found.progress_file, found.progress);
        Ok(Self { shared, jobs: Some(jobs), writer: Some(writer), drainer: Mutex::new(Some(drainer)) })
    }

    /// Asks a log that is out of reach whether it is back, and drains the spool, until `shutdown`. Records that are being
    /// sent then are waited for, which is bounded. To be called once.
    pub async fn run(&self, shutdown: CancellationToken) {
        let drainer = self.drainer.lock().take();
        if let Some(drainer) = drainer {
            drainer.run(&shutdown).await;
        }
    }

    /// Where records go now.
    pub fn state(&self) -> State {
        self.shared.state()
    }

    /// Records that wait on disk for the log.
    pub fn waiting_records(&self) -> u64 {
        self.shared.ledger.waiting().records
    }

    /// Whether records are taken now, and by whom, in words; the error says why they are not.
    pub async fn readiness(&self) -> Result<String, String> {
        let waiting = self.shared.ledger.waiting();
        let Some(reason) = self.log_is_down().await else {
            return Ok(match waiting.records {
                0 => "ok".to_owned(),
                records => format!("ok, draining: {records} records wait in the spool"),
            });
        };
        match self.check_room().await {
            Ok(()) => {
                let (records, bytes) = (waiting.records, waiting.bytes);
                Ok(format!("down, spooling: {records} records of {bytes} bytes wait ({reason})"))
            }
            Err(error) => Err(format!("down ({reason}), and {error}")),
        }
    }

    /// Whether it does the log's work now.
    pub async fn stands_in(&self) -> bool {
        self.log_is_down().await.is_some() && self.check_room().await.is_ok()
    }

    async fn log_is_down(&self) -> Option<String> {
        if let Some(reason) = self.shared.link.down() {
            return Some(reason);
        }
        match timeout(CHECK_TIMEOUT, self.shared.log.check()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {CHECK_TIMEOUT:?}")),
        }
    }

    /// Whether the spool would take records. One that has failed is tried again, as it may be that nobody else does.
    async fn check_room(&self) -> Result<(), AppendError> {
        let Shared { ledger, files, .. } = &*self.shared;
        if ledger.is_full() {
            return Err(full());
        }
        if ledger.is_broken() {
            let (files, bytes) = (Arc::clone(files), ledger.spare_bytes());
            let tried = tokio::task::spawn_blocking(move || files.try_room(bytes)).await;
            let tried = tried.map_err(std::io::Error::other).flatten();
            tried.map_err(|error| AppendError::Unavailable(format!("the spool can't write: {error}")))?;
            ledger.mended();
        }
        Ok(())
    }

    /// Offers records to the log. The error, where it has not confirmed them all, is what it said to each.
    async fn offer(
        &self,
        topic: &str,
        records: &[Record],
    ) -> Result<Vec<Result<(), AppendError>>, Vec<Result<Appended, AppendError>>> {
        // Twice: waiting for room, and for the answer. Past it the log itself hangs.
        let limit = self.shared.config.append_timeout * 2 + self.shared.config.probe_timeout;
        let hanging = |_| {
            let reason = format!("no answer within {} s", limit.as_secs());
            vec![Err(AppendError::InDoubt { partition: None, reason }); records.len()]
        };
        let results = timeout(limit, self.shared.log.offer(topic, records)).await.unwrap_or_else(hanging);
        if results.iter().any(|result| result.as_ref().is_err_and(AppendError::is_retriable)) {
            return Err(results);
        }
        Ok(results.into_iter().map(|result| result.map(drop)).collect())
    }

    /// Spools what the log has not confirmed of an append, and gives each record its answer.
    async fn settle(
        &self,
        topic: &str,
        records: Vec<Record>,
        results: Vec<Result<Appended, AppendError>>,
    ) -> Vec<Result<(), AppendError>> {
        let mut unsettled = Vec::new();
        for (record, result) in records.into_iter().zip(&results) {
            let fate = match result {
                Err(AppendError::InDoubt { partition, .. }) => Fate::InDoubt(*partition),
                Err(error) if error.is_retriable() => Fate::Unsent,
                _ => continue,
            };
            unsettled.push(Spooled { record, fate });
        }
        let spooled = self.spool(topic, unsettled).await;
        let answer = |result: Result<Appended, AppendError>| match (result, &spooled) {
            (Ok(_), _) => Ok(()),
            (Err(error), Ok(())) if error.is_retriable() => Ok(()),
            // What is in doubt stays so, whatever has become of the others.
            (Err(error @ AppendError::InDoubt { .. }), _) => Err(error),
            (Err(error), Err(refused)) if error.is_retriable() => Err(refused.clone()),
            (Err(error), _) => Err(error),
        };
        results.into_iter().map(answer).collect()
    }

    /// Records that go to the disk without having been offered to the log.
    async fn divert(&self, topic: &str, records: Vec<Record>) -> Vec<Result<(), AppendError>> {
        let limit = self.shared.config.max_record_bytes;
        let too_large = |record: &Record| Some(record.size()).filter(|bytes| *bytes > limit);
        let mut answers: Vec<_> = records
            .iter()
            .map(|record| {
                too_large(record).map_or(Ok(()), |bytes| Err(AppendError::TooLarge { bytes, limit }))
            })
            .collect();
        let fitting = records.into_iter().filter(|record| too_large(record).is_none());
        let spooled = fitting.map(|record| Spooled { record, fate: Fate::Unsent }).collect();
        if let Err(refused) = self.spool(topic, spooled).await {
            answers
                .iter_mut()
                .filter(|answer| answer.is_ok())
                .for_each(|answer| *answer = Err(refused.clone()));
        }
        answers
    }

    /// Returns once the records are on disk.
    async fn spool(&self, topic: &str, records: Vec<Spooled>) -> Result<(), AppendError> {
        if records.is_empty() {
            return Ok(());
        }
        let count = records.len() as u64;
        let spooled = self.write(Entry { topic: topic.to_owned(), spooled_at: self.now(), records }).await;
        if let Err(error) = &spooled {
            self.shared.ledger.metrics.refused.inc_by(count);
            tracing::warn!(topic, records = count, %error, "neither the log nor the spool took records");
        }
        self.shared.show_state();
        spooled
    }

    async fn write(&self, entry: Entry) -> Result<(), AppendError> {
        let (records, spooled_at) = (entry.records.len() as u64, entry.spooled_at);
        let entry = entry.encode();
        if !self.shared.ledger.reserve(entry.len() as u64) {
            return Err(full());
        }
        let (answer, answered) = oneshot::channel();
        let jobs = self.jobs.as_ref().expect("the writer runs as long as the spool is there");
        let job = Job { entry, records, spooled_at, answer };
        let gone = || AppendError::Unavailable("the spool's writer has ended".to_owned());
        jobs.send(job).map_err(|_| gone())?;
        let Ok(written) = timeout(self.shared.config.write_timeout, answered).await else {
            let reason = "the spool's disk did not answer in time".to_owned();
            return Err(AppendError::InDoubt { partition: None, reason });
        };
        written
            .map_err(|_| gone())?
            .map_err(|reason| AppendError::Unavailable(format!("the spool can't write: {reason}")))
    }

    fn now(&self) -> i64 {
        (self.shared.config.clock)()
    }
}

fn full() -> AppendError {
    AppendError::Unavailable("the spool is full".to_owned())
}

impl Shared {
    fn state(&self) -> State {
        if !self.link.is_up() {
            State::Spooling
        } else if self.ledger.waiting().records > 0 {
            State::Draining
        } else {
            State::Direct
        }
    }

    fn show_state(&self) {
        self.ledger.metrics.show_state(self.state());
    }
}

#[async_trait]
impl Intake for SpoolingLog {
    async fn accept(&self, topic: &str, records: Vec<Record>) -> Vec<Result<(), AppendError>> {
        if !self.shared.link.is_up() {
            return self.divert(topic, records).await;
        }
        match self.offer(topic, &records).await {
            Ok(settled) => settled,
            Err(results) => {
                let error = results
                    .iter()
                    .filter_map(|result| result.as_ref().err())
                    .find(|error| error.is_retriable());
                self.shared.link.lost(&error.map(ToString::to_string).unwrap_or_default());
                self.settle(topic, records, results).await
            }
        }
    }

    async fn ready(&self) -> Result<(), LogError> {
        self.readiness().await.map(drop).map_err(LogError::Unavailable)
    }
}

impl Drop for SpoolingLog {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
