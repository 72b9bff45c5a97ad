//! Notes who asked for a version check. The answer doesn't wait for it: checks of a second are stored together, and what
//! can't be stored is counted as lost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;
use uuid::Uuid;

use crate::storage::{Storage, VersionCheck};

/// How long the first check of a group waits for others.
const GATHER: Duration = Duration::from_secs(1);

/// Checks that wait at once; further ones are lost.
const MAX_WAITING: usize = 10_000;

/// Checks on their way to the store. Cloning shares them.
#[derive(Clone)]
pub(crate) struct CheckLog {
    waiting: Arc<Mutex<Vec<VersionCheck>>>,
    storage: Storage,
    lost: IntCounter,
}

impl CheckLog {
    pub(crate) fn new(storage: Storage, lost: IntCounter) -> Self {
        Self { waiting: Arc::default(), storage, lost }
    }

    /// Takes a check; it is stored within a second or two.
    pub(super) fn record(&self, check: VersionCheck) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MAX_WAITING {
            self.lost.inc();
            return;
        }
        waiting.push(check);
        if waiting.len() == 1 {
            let log = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(GATHER).await;
                log.flush().await;
            });
        }
    }

    /// Stores what is waiting.
    pub(crate) async fn flush(&self) {
        let checks = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if checks.is_empty() {
            return;
        }
        let token = format!("version_checks:{}", Uuid::new_v4());
        if let Err(error) = self.storage.insert(&checks, token).await {
            tracing::warn!(%error, count = checks.len(), "version checks are lost");
            self.lost.inc_by(checks.len() as u64);
        }
    }
}
