//! The topic of schemas: what was published, by fingerprint. Read on from where it was read to, and only when it has grown.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tally_eventlog::{AppendError, EventLog, FetchLimits, LogError, LogRecord, Record};
use tally_schemas::avro::{self, WriterSchema};
use tally_schemas::topics;
use tokio::time::timeout;

use crate::{LOOK_UP_LIMIT, MAX_SCHEMA_BYTES};

/// Schemas that are kept at most; a version brings a handful.
const MOST_SCHEMAS: usize = 1_000;

const LIMITS: FetchLimits = FetchLimits {
    max_records: MOST_SCHEMAS,
    max_bytes: 4 * MAX_SCHEMA_BYTES,
    max_wait: Duration::from_millis(100),
};

/// What was read of the topic.
#[derive(Debug, Default)]
pub struct Published {
    schemas: HashMap<u64, Arc<WriterSchema>>,
    next_offset: u64,
}

impl Published {
    /// The schema with that fingerprint, as far as the topic was read.
    pub fn get(&self, fingerprint: u64) -> Option<Arc<WriterSchema>> {
        self.schemas.get(&fingerprint).cloned()
    }

    /// Reads what the topic holds by now.
    pub async fn read_to_end(&mut self, log: &dyn EventLog) -> Result<(), LogError> {
        timeout(LOOK_UP_LIMIT, self.read_on(log)).await.unwrap_or_else(|_| {
            let seconds = LOOK_UP_LIMIT.as_secs();
            Err(LogError::Unavailable(format!("the topic of schemas was not read within {seconds} s")))
        })
    }

    /// Publishes what is missing of this version's schemas.
    pub async fn complete(&mut self, log: &dyn EventLog, now: i64) -> Result<(), LogError> {
        self.read_to_end(log).await?;
        let brought = avro::schemas().map(|json| {
            let schema = WriterSchema::parse(json).expect("the embedded schemas are valid, as a test shows");
            (schema.fingerprint(), json)
        });
        let missing: Vec<Record> = brought
            .filter(|(fingerprint, _)| self.get(*fingerprint).is_none())
            .map(|(fingerprint, json)| Record {
                key: Some(key_of(fingerprint)),
                value: Bytes::from_static(json.as_bytes()),
                timestamp: now,
            })
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let results = log.append(topics::SCHEMAS, missing).await;
        match results.into_iter().find_map(Result::err) {
            None => Ok(()),
            Some(AppendError::UnknownTopic(topic)) => Err(LogError::UnknownTopic(topic)),
            Some(error) => Err(LogError::Unavailable(format!("the schemas can't be published: {error}"))),
        }
    }

    async fn read_on(&mut self, log: &dyn EventLog) -> Result<(), LogError> {
        let watermarks = match log.watermarks(topics::SCHEMAS).await {
            Ok(watermarks) => watermarks,
            // Nobody has published anything.
            Err(LogError::UnknownTopic(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        let Some(end) = watermarks.first() else { return Ok(()) };
        if self.next_offset >= end.high {
            return Ok(());
        }
        let mut reader = log.tail(topics::SCHEMAS, 0, self.next_offset.max(end.low)).await?;
        while reader.next_offset() < end.high {
            for record in reader.fetch(LIMITS).await? {
                self.take(&record);
            }
            self.next_offset = reader.next_offset();
        }
        Ok(())
    }

    /// Keeps a schema that is what its key says.
    fn take(&mut self, record: &LogRecord) {
        let parsed = std::str::from_utf8(&record.value).ok().and_then(|json| WriterSchema::parse(json).ok());
        let schema = parsed.filter(|schema| record.key == Some(key_of(schema.fingerprint())));
        match schema {
            Some(schema) if self.schemas.len() < MOST_SCHEMAS => {
                self.schemas.insert(schema.fingerprint(), Arc::new(schema));
            }
            Some(_) => tracing::error!(offset = record.offset, "more schemas are published than are kept"),
            None => tracing::warn!(offset = record.offset, "what is published here is no schema of its key"),
        }
    }
}

/// A fingerprint as people write it.
fn key_of(fingerprint: u64) -> Bytes {
    format!("{fingerprint:016x}").into()
}
