//! The one thread that writes to the spool: it gathers whatever is waiting into one write with one fsync.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use tokio::sync::oneshot;

use super::files::Files;
use super::ledger::Ledger;

/// Bytes gathered into one write. More waits for the next.
const WRITE_BYTES: usize = 8 << 20;

/// An entry to write. Its room has been taken.
pub(super) struct Job {
    pub(super) entry: Vec<u8>,
    pub(super) records: u64,
    pub(super) spooled_at: i64,
    /// Told once it is on disk. The error is the disk's.
    pub(super) answer: oneshot::Sender<Result<(), String>>,
}

/// Starts the thread, which ends when the sender is dropped.
pub(super) fn start(
    files: Arc<Files>,
    ledger: Arc<Ledger>,
) -> std::io::Result<(Sender<Job>, JoinHandle<()>)> {
    let (sender, jobs) = channel();
    let thread = std::thread::Builder::new().name("spool-writer".to_owned());
    let thread = thread.spawn(move || run(&files, &ledger, &jobs))?;
    Ok((sender, thread))
}

fn run(files: &Files, ledger: &Ledger, jobs: &Receiver<Job>) {
    while let Ok(first) = jobs.recv() {
        let mut entries = first.entry.clone();
        let mut gathered = vec![first];
        while entries.len() < WRITE_BYTES {
            let Ok(job) = jobs.try_recv() else { break };
            entries.extend_from_slice(&job.entry);
            gathered.push(job);
        }
        let written = files.append(&entries);
        if let Err(error) = &written {
            tracing::error!(%error, "write to the spool failed; nothing of it is acknowledged");
        }
        for Job { entry, records, spooled_at, answer } in gathered {
            ledger.written(entry.len() as u64, records, spooled_at, &written);
            // The caller may have gone away.
            let _ = answer.send(written.as_ref().map_err(ToString::to_string).copied());
        }
    }
}
