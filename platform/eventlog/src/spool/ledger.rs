//! What the spool holds and how it fares: the one place where room is given out and where metrics and readiness look.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::files::Waiting;
use super::metrics::Metrics;

/// Room that readiness asks for, at the most.
const SPARE_BYTES: u64 = 1 << 20;

pub(super) struct Ledger {
    max_bytes: u64,
    /// On disk, drained entries of files that are still there included, and on the way to it.
    used: AtomicU64,
    waiting: Mutex<Waiting>,
    /// Whether the last write failed.
    broken: AtomicBool,
    pub(super) metrics: Metrics,
    /// Wakes whoever drains.
    pub(super) appended: Notify,
}

impl Ledger {
    pub(super) fn new(max_bytes: u64, used: u64, waiting: Waiting, metrics: Metrics) -> Self {
        let (used, broken) = (AtomicU64::new(used), AtomicBool::new(false));
        let ledger =
            Self { max_bytes, used, waiting: Mutex::new(waiting), broken, metrics, appended: Notify::new() };
        ledger.metrics.show_waiting(&waiting);
        ledger
    }

    /// Takes room for an entry, if there is some.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let fits = |used: u64| used.checked_add(bytes).filter(|used| *used <= self.max_bytes);
        self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// Gives room back.
    pub(super) fn free(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// An entry that room was taken for was written, or not.
    pub(super) fn written(&self, bytes: u64, records: u64, spooled_at: i64, written: &io::Result<()>) {
        if written.is_err() {
            self.free(bytes);
            self.broken.store(true, Ordering::Release);
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
