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
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
use self::ledger::{Ledger, full};
use self::link::Link;
use self::metrics::Metrics;
pub use self::upstream::Upstream;
use self::writer::Job;
use crate::error::{AppendError, LogError};
use crate::intake::Intake;
use crate::record::{Appended, Record};

/// How long readiness waits for the log, and for the disk.
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
    writer: Option<JoinHandle<()>>,
    drainer: Mutex<Option<Drainer>>,
    /// Fires when it is dropped.
    ended: CancellationToken,
}

struct Shared {
    config: SpoolConfig,
    log: Arc<dyn Upstream>,
    files: Arc<Files>,
    ledger: Arc<Ledger>,
    /// To the writer, which ends with it.
    jobs: Mutex<Option<Sender<Job>>>,
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
        let (jobs, link, partitions) = (Mutex::new(Some(jobs)), Link::default(), Mutex::default());
        let shared = Arc::new(Shared { config, log, files, ledger, jobs, link, partitions });
        let drainer = Drainer::new(Arc::clone(&shared), found.progress_file, found.progress);
        let (writer, drainer) = (Some(writer), Mutex::new(Some(drainer)));
        Ok(Self { shared, writer, drainer, ended: CancellationToken::new() })
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
            let records = waiting.records;
            return Ok(match self.shared.ledger.stuck() {
                Some(reason) => {
                    format!("ok, but {records} records can't be drained from the spool: {reason}")
                }
                None if records == 0 => "ok".to_owned(),
                None => format!("ok, draining: {records} records wait in the spool"),
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
            let tried = tokio::task::spawn_blocking(move || files.try_room(bytes));
            let tried = match timeout(CHECK_TIMEOUT, tried).await {
                Ok(tried) => tried.map_err(std::io::Error::other).flatten(),
                Err(_) => Err(ErrorKind::TimedOut.into()),
            };
            tried.map_err(|error| AppendError::Unavailable(format!("the spool can't write: {error}")))?;
            ledger.mended();
        }
        Ok(())
    }
}

impl Shared {
    async fn accept(&self, topic: &str, records: Vec<Record>) -> Vec<Result<(), AppendError>> {
        if !self.link.is_up() {
            return self.divert(topic, records).await;
        }
        match self.offer(topic, &records).await {
            Ok(settled) => settled,
            Err(results) => {
                let error = results
                    .iter()
                    .filter_map(|result| result.as_ref().err())
                    .find(|error| error.is_retriable());
                self.link.lost(&error.map(ToString::to_string).unwrap_or_default());
                self.settle(topic, records, results).await
            }
        }
    }

    /// Offers records to the log. The error, where it has not confirmed them all, is what it said to each.
    async fn offer(
        &self,
        topic: &str,
        records: &[Record],
    ) -> Result<Vec<Result<(), AppendError>>, Vec<Result<Appended, AppendError>>> {
        // Past it the log itself hangs.
        let limit = self.config.longest_offer();
        let hanging = |_| {
            let reason = format!("no answer within {} s", limit.as_secs());
            vec![Err(AppendError::InDoubt { partition: None, reason }); records.len()]
        };
        let results = timeout(limit, self.log.offer(topic, records)).await.unwrap_or_else(hanging);
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
        let limit = self.config.max_record_bytes;
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
            self.ledger.metrics.refused.inc_by(count);
            tracing::warn!(topic, records = count, %error, "neither the log nor the spool took records");
        }
        self.show_state();
        spooled
    }

    async fn write(&self, entry: Entry) -> Result<(), AppendError> {
        let (records, spooled_at) = (entry.records.len() as u64, entry.spooled_at);
        let entry = entry.encode();
        self.ledger.reserve(entry.len() as u64)?;
        let (answer, answered) = oneshot::channel();
        let job = Job { entry, records, spooled_at, answer };
        let gone = || AppendError::Unavailable("the spool's writer has ended".to_owned());
        let sent = self.jobs.lock().as_ref().map(|jobs| jobs.send(job));
        sent.and_then(Result::ok).ok_or_else(gone)?;
        let Ok(written) = timeout(self.config.write_timeout, answered).await else {
            self.ledger.broke();
            let reason = "the spool's disk did not answer in time".to_owned();
            return Err(AppendError::InDoubt { partition: None, reason });
        };
        written
            .map_err(|_| gone())?
            .map_err(|reason| AppendError::Unavailable(format!("the spool can't write: {reason}")))
    }

    fn now(&self) -> i64 {
        (self.config.clock)()
    }

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
    /// Goes on when the caller leaves: else callers who are less patient than the log is slow would each take the knowledge
    /// that it is out of reach away with them.
    async fn accept(&self, topic: &str, records: Vec<Record>) -> Vec<Result<(), AppendError>> {
        let (shared, topic, count) = (Arc::clone(&self.shared), topic.to_owned(), records.len());
        let accepting = async move { shared.accept(&topic, records).await };
        let accepting = tokio::spawn(self.ended.clone().run_until_cancelled_owned(accepting));
        accepting.await.ok().flatten().unwrap_or_else(|| {
            let reason = "the spool has ended".to_owned();
            vec![Err(AppendError::InDoubt { partition: None, reason }); count]
        })
    }

    async fn ready(&self) -> Result<(), LogError> {
        self.readiness().await.map(drop).map_err(LogError::Unavailable)
    }
}

impl Drop for SpoolingLog {
    /// Waits for what is being written, unless the disk hangs.
    fn drop(&mut self) {
        self.ended.cancel();
        drop(self.shared.jobs.lock().take());
        let Some(writer) = self.writer.take() else { return };
        let deadline = Instant::now() + self.shared.config.write_timeout;
        while !writer.is_finished() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{KafkaConfig, KafkaLog};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_disk_that_hangs_is_told_of_and_does_not_hold_up_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let nobody = KafkaLog::connect(KafkaConfig::new("127.0.0.1:1")).unwrap();
        let config = SpoolConfig {
            write_timeout: Duration::from_millis(100),
            ..SpoolConfig::new(folder.path(), ["topic"])
        };
        let spool = SpoolingLog::open(config, Arc::new(nobody), &Registry::new()).unwrap();
        spool.shared.link.lost("away");
        spool.readiness().await.expect("the disk is well");

        let files = Arc::clone(&spool.shared.files);
        let (recovers, recovered) = std::sync::mpsc::channel::<()>();
        let (hangs, hung) = oneshot::channel();
        let hanging = std::thread::spawn(move || {
            files.hang(|| {
                hangs.send(()).unwrap();
                let _ = recovered.recv();
            });
        });
        hung.await.unwrap();
        let record = Record { key: None, value: "value".into(), timestamp: 1 };
        let answers = spool.accept("topic", vec![record]).await;
        assert!(matches!(answers[..], [Err(AppendError::InDoubt { .. })]), "{answers:?}");
        let not_ready = spool.readiness().await.expect_err("the disk hangs");
        assert!(not_ready.contains("can't write"), "{not_ready}");

        let ending = Instant::now();
        drop(spool);
        assert!(ending.elapsed() < Duration::from_secs(5));
        drop(recovers);
        hanging.join().unwrap();
    }
}
