//! Payloads and submissions in memory, for tests.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use tally_query::service_ping::PayloadKind;

use super::{Storage, StorageError};
use crate::payload::StoredPayload;
use crate::submission::Submission;

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStorage(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    payloads: BTreeMap<(Timestamp, &'static str), StoredPayload>,
    submissions: BTreeMap<(Timestamp, u8), Submission>,
}

impl MemoryStorage {
    /// When the stored payloads of this kind were recorded, oldest first.
    pub fn recorded(&self, kind: PayloadKind) -> Vec<Timestamp> {
        let kept = self.kept();
        kept.payloads
            .keys()
            .filter(|(_, of)| *of == kind.as_str())
            .map(|(recorded_at, _)| *recorded_at)
            .collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for MemoryStorage {
    async fn put_payload(&self, payload: &StoredPayload) -> Result<(), StorageError> {
        self.kept().payloads.insert((payload.recorded_at, payload.kind.as_str()), payload.clone());
        Ok(())
    }

    async fn payload(
        &self,
        recorded_at: Timestamp,
        kind: PayloadKind,
    ) -> Result<Option<StoredPayload>, StorageError> {
        Ok(self.kept().payloads.get(&(recorded_at, kind.as_str())).cloned())
    }

    async fn latest(
        &self,
        kind: PayloadKind,
        since: Timestamp,
    ) -> Result<Option<StoredPayload>, StorageError> {
        let kept = self.kept();
        let newest = kept.payloads.values().rev().find(|payload| payload.kind == kind);
        Ok(newest.filter(|payload| payload.recorded_at > since).cloned())
    }

    async fn put_submission(&self, submission: &Submission) -> Result<(), StorageError> {
        let key = (submission.recorded_at, submission.attempt);
        self.kept().submissions.insert(key, submission.clone());
        Ok(())
    }

    async fn submissions(&self, recorded_at: Timestamp) -> Result<Vec<Submission>, StorageError> {
        let kept = self.kept();
        Ok(kept
            .submissions
            .range((recorded_at, 0)..=(recorded_at, u8::MAX))
            .map(|(_, one)| one.clone())
            .collect())
    }

    async fn recent_submissions(&self, limit: usize) -> Result<Vec<Submission>, StorageError> {
        Ok(self.kept().submissions.values().rev().take(limit).cloned().collect())
    }
}
