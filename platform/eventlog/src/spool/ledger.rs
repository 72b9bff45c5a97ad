//! What the spool holds and how it fares: the one place where room is given out and where metrics and readiness look.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::files::Waiting;
use super::metrics::Metrics;
use crate::error::AppendError;

/// Room that readiness asks for, at the most.
const SPARE_BYTES: u64 = 1 << 20;

/// Entries that may be on their way to the disk, in bytes: they lie in memory, however many of their callers have left.
const MAX_WRITING: u64 = 64 << 20;

pub(super) struct Ledger {
    max_bytes: u64,
    /// On the way to the disk.
    writing: AtomicU64,
    /// On disk, drained entries of files that are still there included, and on the way to it.
    used: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Whether the last write failed, or did not end in time.
    broken: AtomicBool,
    /// Why the spool's own folder can't be drained.
    stuck: Mutex<Option<String>>,
    pub(super) metrics: Metrics,
    /// Wakes whoever drains.
    pub(super) appended: Notify,
}

impl Ledger {
    pub(super) fn new(max_bytes: u64, used: u64, waiting: Waiting, metrics: Metrics) -> Self {
        let ledger = Self {
            max_bytes,
            writing: AtomicU64::new(0),
            used: AtomicU64::new(used),
            waiting: Mutex::new(waiting),
            broken: AtomicBool::new(false),
            stuck: Mutex::default(),
            metrics,
            appended: Notify::new(),
        };
        ledger.metrics.show_waiting(&waiting);
        ledger
    }

    /// Takes room for an entry, if there is some. The error says where there is none.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), AppendError> {
        take(&self.writing, bytes, MAX_WRITING).ok_or_else(slow)?;
        take(&self.used, bytes, self.max_bytes).ok_or_else(|| {
            self.writing.fetch_sub(bytes, Ordering::AcqRel);
            full()
        })
    }

    /// Gives room back.
    pub(super) fn free(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// An entry that room was taken for was written, or not.
    pub(super) fn written(&self, bytes: u64, records: u64, spooled_at: i64, written: &io::Result<()>) {
        self.writing.fetch_sub(bytes, Ordering::AcqRel);
        if written.is_err() {
            self.free(bytes);
            self.broke();
            return;
        }
        self.metrics.spooled.inc_by(records);
        self.mended();
        self.change(|waiting| {
            waiting.records += records;
            waiting.bytes += bytes;
            waiting.oldest = waiting.oldest.or(Some(spooled_at));
        });
        self.appended.notify_one();
    }

    /// Entries that are in the log now.
    pub(super) fn drained(&self, bytes: u64, records: u64) {
        self.metrics.drained.inc_by(records);
        self.change(|waiting| {
            waiting.records = waiting.records.saturating_sub(records);
            waiting.bytes = waiting.bytes.saturating_sub(bytes);
            if waiting.records == 0 {
                waiting.oldest = None;
            }
        });
    }

    /// Draining can't go on, for a reason that lies in the spool's own folder; or it can again.
    pub(super) fn set_stuck(&self, reason: Option<String>) {
        self.metrics.stuck.set(i64::from(reason.is_some()));
        *self.stuck.lock() = reason;
    }

    pub(super) fn stuck(&self) -> Option<String> {
        self.stuck.lock().clone()
    }

    /// The oldest entry was met.
    pub(super) fn oldest(&self, spooled_at: i64) {
        self.change(|waiting| waiting.oldest = Some(spooled_at));
    }

    fn change(&self, change: impl FnOnce(&mut Waiting)) {
        let mut waiting = self.waiting.lock();
        change(&mut waiting);
        self.metrics.show_waiting(&waiting);
    }

    pub(super) fn waiting(&self) -> Waiting {
        *self.waiting.lock()
    }

    /// A write has failed, or is not done in time.
    pub(super) fn broke(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// Whether the last write failed, and nobody has found the disk to be in order since.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(super) fn mended(&self) {
        self.broken.store(false, Ordering::Release);
    }

    /// Whether there is room for more.
    pub(super) fn is_full(&self) -> bool {
        self.used.load(Ordering::Acquire) + self.spare_bytes() > self.max_bytes
    }

    /// Room that has to be there for the spool to count as ready.
    pub(super) fn spare_bytes(&self) -> u64 {
        SPARE_BYTES.min(self.max_bytes / 8)
    }
}

/// Counts so many bytes more, where that does not pass the limit.
fn take(counted: &AtomicU64, bytes: u64, limit: u64) -> Option<()> {
    let fits = |now: u64| now.checked_add(bytes).filter(|after| *after <= limit);
    counted.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).ok().map(drop)
}

pub(super) fn full() -> AppendError {
    AppendError::Unavailable("the spool is full".to_owned())
}

fn slow() -> AppendError {
    AppendError::Unavailable("the spool's disk is too slow".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_for_the_disk_is_bounded_apart_from_what_is_on_it() {
        let metrics = Metrics::register(&prometheus::Registry::new()).unwrap();
        let ledger = Ledger::new(MAX_WRITING + 10, 0, Waiting::default(), metrics);
        ledger.reserve(MAX_WRITING).unwrap();
        assert_eq!(ledger.reserve(1), Err(slow()));
        ledger.written(MAX_WRITING, 1, 0, &Ok(()));
        assert_eq!(ledger.reserve(11), Err(full()));
        ledger.reserve(10).unwrap();
        assert_eq!(ledger.reserve(1), Err(full()));
    }
}
