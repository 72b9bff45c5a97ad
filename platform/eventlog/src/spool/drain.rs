//! From the spool into the log, chunk by chunk and in order: announce on disk what is to be sent, send it, and go on once
//! the log has all of it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::entry::{Entry, Fate, Spooled};
use super::files::Located;
use super::progress::{Place, Progress, ProgressFile, Sending};
use super::search::{Found, search};
use crate::error::AppendError;
use crate::partition::partition_for_key;
use crate::record::Record;

/// How long to wait after the spool's own disk has failed.
const DISK_PAUSE: Duration = Duration::from_millis(500);

/// Why draining can't go on now.
#[derive(Debug)]
pub(super) enum Failure {
    /// The log does not answer, or not well.
    Log(String),
    /// The spool's folder can't be read or written.
    Disk(io::Error),
}

/// Whoever drains the spool.
pub(super) struct Drainer {
    shared: Arc<Shared>,
    file: Arc<Mutex<ProgressFile>>,
    progress: Progress,
    /// Whether the file says so.
    is_saved: bool,
    /// Which records in doubt the log has, as far as that is found out.
    found: Option<Found>,
    /// Spreads chunks without keys over the partitions.
    turn: u32,
}

/// Entries of one topic that are sent together.
struct Chunk {
    topic: String,
    records: Vec<Spooled>,
    end: Place,
    bytes: u64,
    /// When its oldest entry was spooled.
    spooled_at: i64,
}

/// A chunk of which it is known what is to be sent.
struct Prepared {
    chunk: Chunk,
    /// By partition.
    unsent: BTreeMap<u32, Vec<Spooled>>,
    sending: Sending,
    found_again: u64,
}

impl Drainer {
    pub(super) fn new(shared: Arc<Shared>, file: ProgressFile, progress: Progress) -> Self {
        let file = Arc::new(Mutex::new(file));
        Self { shared, file, progress, is_saved: true, found: None, turn: 0 }
    }

    pub(super) async fn run(mut self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            if self.shared.link.is_up() {
                if let Err(failure) = self.step(shutdown).await {
                    self.failed(failure, shutdown).await;
                }
            } else {
                shutdown.run_until_cancelled(self.look_for_log()).await;
            }
            self.shared.show_state();
        }
        if !self.is_saved
            && let Err(error) = self.save(self.progress).await
        {
            // The next start finds again what was sent last.
            tracing::warn!(%error, "how far the spool is drained can't be written");
        }
    }

    async fn failed(&mut self, failure: Failure, shutdown: &CancellationToken) {
        // Some of what was found may have been counted off already.
        self.found = None;
        match failure {
            Failure::Log(reason) => self.shared.link.lost(&reason),
            Failure::Disk(error) => {
                tracing::error!(%error, "the spool can't be drained");
                self.shared.ledger.set_stuck(Some(error.to_string()));
                shutdown.run_until_cancelled(sleep(DISK_PAUSE)).await;
            }
        }
    }

    async fn look_for_log(&self) {
        let Shared { config, link, .. } = &*self.shared;
        sleep(config.probe_interval * link.patience()).await;
        match self.shared.ask().await {
            Ok(()) => link.found(),
            Err(reason) => tracing::debug!(reason, "the log is still out of reach"),
        }
    }

    /// Takes one chunk into the log, or waits until there is one.
    async fn step(&mut self, shutdown: &CancellationToken) -> Result<(), Failure> {
        let Some(prepared) = shutdown.run_until_cancelled(self.prepare()).await else { return Ok(()) };
        let prepared = prepared?;
        self.shared.ledger.set_stuck(None);
        if let Some(prepared) = prepared {
            return self.send(prepared).await;
        }
        if !self.is_saved {
            self.save(self.progress).await.map_err(Failure::Disk)?;
        }
        self.shared.show_state();
        tokio::select! {
            () = self.shared.ledger.appended.notified() => {}
            () = self.shared.link.changed.notified() => {}
            () = shutdown.cancelled() => {}
        }
        Ok(())
    }

    /// The next chunk, without what the log turns out to have. `None`: everything is drained.
    async fn prepare(&mut self) -> Result<Option<Prepared>, Failure> {
        let Some(chunk) = self.next_chunk().await? else { return Ok(None) };
        self.shared.ledger.oldest(chunk.spooled_at);
        let is_in_doubt = |spooled: &Spooled| self.progress.sending.is_some() || spooled.fate != Fate::Unsent;
        let is_known = self.found.as_ref().is_some_and(|found| chunk.end <= found.until);
        if !is_known && chunk.records.iter().any(is_in_doubt) {
            self.found = Some(search(&self.shared, self.progress).await?);
        }
        let sending = self.sending(&chunk).await?;
        let (mut unsent, mut found_again) = (BTreeMap::<_, Vec<_>>::new(), 0);
        for spooled in &chunk.records {
            let is_in_doubt = self.progress.sending.is_some() || spooled.fate != Fate::Unsent;
            let found = self.found.as_mut().filter(|_| is_in_doubt);
            if found.is_some_and(|found| found.take(spooled.identity(&chunk.topic))) {
                found_again += 1;
            } else {
                let partition = partition_of(spooled, sending.partitions, sending.keyless);
                unsent.entry(partition).or_default().push(spooled.clone());
            }
        }
        Ok(Some(Prepared { chunk, unsent, sending, found_again }))
    }

    async fn next_chunk(&self) -> Result<Option<Chunk>, Failure> {
        let Progress { at, sending } = self.progress;
        let max_bytes = match sending {
            Some(Sending { to, .. }) if to.segment == at.segment => (to.offset - at.offset) as usize,
            Some(Sending { to, .. }) => to.offset as usize,
            None => self.shared.config.chunk_bytes,
        };
        Ok(Chunk::of(self.shared.read(at, max_bytes).await?))
    }

    /// Where the records of the chunk go: as announced, if it is.
    async fn sending(&mut self, chunk: &Chunk) -> Result<Sending, Failure> {
        if let Some(sending) = self.progress.sending {
            return Ok(sending);
        }
        let partitions = self.shared.partitions(&chunk.topic).await?;
        self.turn = self.turn.wrapping_add(1);
        Ok(Sending { to: chunk.end, partitions, keyless: self.turn % partitions })
    }

    async fn send(&mut self, prepared: Prepared) -> Result<(), Failure> {
        let Prepared { chunk, unsent, sending, found_again } = prepared;
        if !unsent.is_empty() {
            let announced = Progress { at: self.progress.at, sending: Some(sending) };
            if announced != self.progress {
                self.save(announced).await.map_err(Failure::Disk)?;
            }
            self.deliver(&chunk, unsent).await?;
        }
        self.progress = Progress { at: chunk.end, sending: None };
        self.is_saved = false;
        self.shared.ledger.metrics.found_again.inc_by(found_again);
        self.shared.ledger.drained(chunk.bytes, chunk.records.len() as u64);
        Ok(())
    }

    /// Sends records to their partitions. What the log refuses for good is kept on disk.
    async fn deliver(&self, chunk: &Chunk, unsent: BTreeMap<u32, Vec<Spooled>>) -> Result<(), Failure> {
        let sent =
            unsent.into_iter().map(|(partition, records)| self.append(&chunk.topic, partition, records));
        let mut refused = Vec::new();
        for (spooled, result) in join_all(sent).await.into_iter().flatten() {
            match result {
                Ok(()) => {}
                // A topic is away for a moment when brokers start.
                Err(error) if error.is_retriable() || matches!(error, AppendError::UnknownTopic(_)) => {
                    return Err(Failure::Log(error.to_string()));
                }
                Err(error) => {
                    tracing::error!(topic = chunk.topic, %error, "the log refuses an acknowledged record for good");
                    refused.push(spooled);
                }
            }
        }
        if !refused.is_empty() {
            self.set_aside(chunk, refused).await.map_err(Failure::Disk)?;
        }
        Ok(())
    }

    async fn append(
        &self,
        topic: &str,
        partition: u32,
        spooled: Vec<Spooled>,
    ) -> Vec<(Spooled, Result<(), AppendError>)> {
        let limit = self.shared.config.append_timeout * 2;
        let records: Vec<Record> = spooled.iter().map(|spooled| spooled.record.clone()).collect();
        let appended = timeout(limit, self.shared.log.append_to(topic, partition, &records)).await;
        let hanging = |_| {
            let reason = format!("no answer within {} s", limit.as_secs());
            vec![Err(AppendError::InDoubt { partition: Some(partition), reason }); spooled.len()]
        };
        let results = appended.unwrap_or_else(hanging).into_iter().map(|result| result.map(drop));
        spooled.iter().cloned().zip(results).collect()
    }

    async fn set_aside(&self, chunk: &Chunk, records: Vec<Spooled>) -> io::Result<()> {
        let files = Arc::clone(&self.shared.files);
        let count = records.len() as u64;
        let entry = Entry { topic: chunk.topic.clone(), spooled_at: chunk.spooled_at, records };
        let path = blocking(move || files.set_aside(&entry)).await?;
        tracing::error!(records = count, file = %path.display(), "kept what the log refuses");
        self.shared.ledger.metrics.set_aside.inc_by(count);
        Ok(())
    }

    /// Writes the progress to disk, and removes the files that are drained by it.
    async fn save(&mut self, progress: Progress) -> io::Result<()> {
        let (file, files) = (Arc::clone(&self.file), Arc::clone(&self.shared.files));
        let freed = blocking(move || {
            file.lock().write(&progress)?;
            Ok(files.release(progress.at))
        });
        self.shared.ledger.free(freed.await?);
        self.progress = progress;
        self.is_saved = true;
        Ok(())
    }
}

impl Chunk {
    /// The entries from the first on that are of its topic.
    fn of(entries: Vec<Located>) -> Option<Self> {
        let (Entry { topic, spooled_at, .. }, _) = entries.first()?;
        let (topic, spooled_at) = (topic.clone(), *spooled_at);
        let mut chunk = Self { topic, records: Vec::new(), end: Place::default(), bytes: 0, spooled_at };
        for (entry, end) in entries {
            if entry.topic != chunk.topic {
                break;
            }
            chunk.bytes += entry.bytes() as u64;
            chunk.end = end;
            chunk.records.extend(entry.records);
        }
        Some(chunk)
    }
}

/// Where a record goes: to the partition where it may be already, else to that of its key.
pub(super) fn partition_of(spooled: &Spooled, partitions: u32, keyless: u32) -> u32 {
    match (spooled.fate, &spooled.record.key) {
        (Fate::InDoubt(Some(partition)), _) => partition,
        (_, Some(key)) => partition_for_key(key, partitions),
        (_, None) => keyless,
    }
}

impl Shared {
    /// Whether every partition can be reached. The error says why not.
    pub(super) async fn ask(&self) -> Result<(), String> {
        let limit = self.config.probe_timeout;
        for topic in &self.config.topics {
            match timeout(limit, self.log.watermarks(topic)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(error.to_string()),
                Err(_) => return Err(format!("no answer within {} s", limit.as_secs())),
            }
        }
        Ok(())
    }

    pub(super) async fn partitions(&self, topic: &str) -> Result<u32, Failure> {
        if let Some(known) = self.partitions.lock().get(topic) {
            return Ok(*known);
        }
        match timeout(self.config.append_timeout, self.log.watermarks(topic)).await {
            Ok(Ok(reach)) => {
                let partitions = (reach.len() as u32).max(1);
                self.partitions.lock().insert(topic.to_owned(), partitions);
                Ok(partitions)
            }
            Ok(Err(error)) => Err(Failure::Log(error.to_string())),
            Err(_) => Err(Failure::Log("the log does not tell how many partitions it has".to_owned())),
        }
    }

    pub(super) async fn read(&self, from: Place, max_bytes: usize) -> Result<Vec<Located>, Failure> {
        let files = Arc::clone(&self.files);
        blocking(move || files.read(from, max_bytes)).await.map_err(Failure::Disk)
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
