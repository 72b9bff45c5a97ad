//! Payloads and submissions in the tables `service_pings` and `service_ping_submissions`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use clickhouse::Row;
use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tally_query::service_ping::{MetricMetadata, PayloadKind};
use tally_store::{Insert, Store};

use super::{Storage, StorageError, row_binary};
use crate::payload::StoredPayload;
use crate::submission::{DevOpsScore, Submission};

const PAYLOAD_COLUMNS: [&str; 5] = ["organization_id", "recorded_at", "kind", "payload", "metadata"];

const SUBMISSION_COLUMNS: [&str; 7] =
    ["organization_id", "recorded_at", "attempt", "attempted_at", "usage_data_id", "dev_ops_score", "error"];

/// Keeps payloads in ClickHouse, all of one organization.
pub(crate) struct ClickHouseStorage {
    pub store: Store,
    pub organization_id: i64,
}

#[derive(Row, Deserialize)]
struct PayloadRow {
    recorded_at: i64,
    payload: String,
    metadata: String,
}

#[derive(Row, Deserialize)]
struct SubmissionRow {
    recorded_at: i64,
    attempt: u8,
    attempted_at: i64,
    usage_data_id: u64,
    dev_ops_score: String,
    error: String,
}

impl ClickHouseStorage {
    /// Inserts one row under a token made of its bytes: the same row again changes nothing.
    async fn insert(&self, table: &str, columns: &[&str], row: Vec<u8>) -> Result<(), StorageError> {
        let token = format!("{table}:{}", hex::encode(Sha256::digest(&row)));
        let insert = Insert { table, columns, body: Bytes::from(row), token, start_before: None };
        self.store.insert(&insert).await.map_err(|error| StorageError(error.to_string()))
    }

    async fn one_payload(
        &self,
        kind: PayloadKind,
        condition: &str,
        instant: Timestamp,
    ) -> Result<Option<StoredPayload>, StorageError> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(recorded_at) AS recorded_at, payload, metadata FROM service_pings FINAL \
             WHERE organization_id = {{organization_id:Int64}} AND kind = {{kind:String}} AND {condition} \
             ORDER BY service_pings.recorded_at DESC LIMIT 1"
        );
        let query = self.store.client().query_raw(&sql);
        let query = query.param("organization_id", self.organization_id).param("kind", kind.as_str());
        let row: Option<PayloadRow> =
            query.param("instant", instant.as_millisecond()).fetch_optional().await?;
        row.map(|row| payload(row, kind)).transpose()
    }

    async fn read_submissions(&self, rest: &str, parameter: i64) -> Result<Vec<Submission>, StorageError> {
        let sql = format!(
            "SELECT toUnixTimestamp64Milli(recorded_at) AS recorded_at, attempt, \
             toUnixTimestamp64Milli(attempted_at) AS attempted_at, usage_data_id, dev_ops_score, error \
             FROM service_ping_submissions FINAL WHERE organization_id = {{organization_id:Int64}} {rest}"
        );
        let query = self.store.client().query_raw(&sql).param("organization_id", self.organization_id);
        let rows: Vec<SubmissionRow> = query.param("parameter", parameter).fetch_all().await?;
        rows.into_iter().map(submission).collect()
    }
}

#[async_trait]
impl Storage for ClickHouseStorage {
    async fn put_payload(&self, payload: &StoredPayload) -> Result<(), StorageError> {
        let mut row = Vec::with_capacity(payload.payload.len() + 256);
        row_binary::int64(&mut row, self.organization_id);
        row_binary::milliseconds(&mut row, payload.recorded_at);
        row_binary::string(&mut row, payload.kind.as_str());
        row_binary::string(&mut row, &payload.payload);
        let metadata = serde_json::to_string(&payload.metadata).map_err(unreadable)?;
        row_binary::string(&mut row, &metadata);
        self.insert("service_pings", &PAYLOAD_COLUMNS, row).await
    }

    async fn payload(
        &self,
        recorded_at: Timestamp,
        kind: PayloadKind,
    ) -> Result<Option<StoredPayload>, StorageError> {
        let same = "service_pings.recorded_at = fromUnixTimestamp64Milli({instant:Int64})";
        self.one_payload(kind, same, recorded_at).await
    }

    async fn latest(
        &self,
        kind: PayloadKind,
        since: Timestamp,
    ) -> Result<Option<StoredPayload>, StorageError> {
        let later = "service_pings.recorded_at > fromUnixTimestamp64Milli({instant:Int64})";
        self.one_payload(kind, later, since).await
    }

    async fn put_submission(&self, submission: &Submission) -> Result<(), StorageError> {
        let mut row = Vec::new();
        row_binary::int64(&mut row, self.organization_id);
        row_binary::milliseconds(&mut row, submission.recorded_at);
        row.push(submission.attempt);
        row_binary::milliseconds(&mut row, submission.attempted_at);
        row_binary::uint64(&mut row, submission.usage_data_id.unwrap_or(0));
        let score = submission.dev_ops_score.as_ref().map(serde_json::to_string).transpose();
        row_binary::string(&mut row, &score.map_err(unreadable)?.unwrap_or_default());
        row_binary::string(&mut row, submission.error.as_deref().unwrap_or_default());
        self.insert("service_ping_submissions", &SUBMISSION_COLUMNS, row).await
    }

    async fn submissions(&self, recorded_at: Timestamp) -> Result<Vec<Submission>, StorageError> {
        let rest = "AND service_ping_submissions.recorded_at = fromUnixTimestamp64Milli({parameter:Int64}) \
                    ORDER BY attempt";
        self.read_submissions(rest, recorded_at.as_millisecond()).await
    }

    async fn recent_submissions(&self, limit: usize) -> Result<Vec<Submission>, StorageError> {
        let rest = "ORDER BY service_ping_submissions.recorded_at DESC, attempt DESC LIMIT {parameter:Int64}";
        self.read_submissions(rest, limit as i64).await
    }
}

fn payload(row: PayloadRow, kind: PayloadKind) -> Result<StoredPayload, StorageError> {
    let metadata: Vec<MetricMetadata> = serde_json::from_str(&row.metadata).map_err(unreadable)?;
    Ok(StoredPayload {
        recorded_at: timestamp(row.recorded_at)?,
        kind,
        payload: Arc::from(row.payload),
        metadata,
    })
}

fn submission(row: SubmissionRow) -> Result<Submission, StorageError> {
    let score: Option<DevOpsScore> = if row.dev_ops_score.is_empty() {
        None
    } else {
        Some(serde_json::from_str(&row.dev_ops_score).map_err(unreadable)?)
    };
    Ok(Submission {
        recorded_at: timestamp(row.recorded_at)?,
        attempt: row.attempt,
        attempted_at: timestamp(row.attempted_at)?,
        usage_data_id: Some(row.usage_data_id).filter(|id| *id > 0),
        dev_ops_score: score,
        error: Some(row.error).filter(|error| !error.is_empty()),
    })
}

fn timestamp(milliseconds: i64) -> Result<Timestamp, StorageError> {
    Timestamp::from_millisecond(milliseconds).map_err(unreadable)
}

fn unreadable(error: impl std::fmt::Display) -> StorageError {
    StorageError(error.to_string())
}

impl From<clickhouse::error::Error> for StorageError {
    fn from(error: clickhouse::error::Error) -> Self {
        Self(error.to_string())
    }
}
