//! Versions of Tally side by side. Whoever writes records publishes the schemas that it writes with on a compacted topic, before
//! its first record; whoever reads a record of a schema that it doesn't know looks there, or at the schema registry where records
//! carry a registry's ids, and reads what it knows of the record. Resolving itself is `tally_schemas::avro`'s.

mod published;
mod registry;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use tally_eventlog::{EventLog, LogError, LogRecord, TopicSpec};
use tally_schemas::avro::{ForeignSchema, TopicRecords, WriterSchema};
use tally_schemas::{Framings, topics};
use tokio::sync::Mutex;

use published::Published;
use registry::Registry;

/// The longest schema that is published, in bytes.
const MAX_SCHEMA_BYTES: usize = 1 << 20;

/// How the topic of schemas is to be.
pub fn topic() -> TopicSpec {
    TopicSpec {
        name: topics::SCHEMAS.to_owned(),
        partitions: 1,
        retention: None,
        compacted: true,
        max_record_bytes: MAX_SCHEMA_BYTES,
    }
}

/// Publishes every schema of this version that the topic doesn't hold yet. Who writes records does so first.
pub async fn publish(log: &dyn EventLog, now: i64) -> Result<(), LogError> {
    Published::default().complete(log, now).await
}

/// The schemas that a reader of records has met.
pub struct Schemas {
    log: Arc<dyn EventLog>,
    framings: Framings,
    found: Mutex<Found>,
}

struct Found {
    published: Published,
    registry: Option<Registry>,
}

impl Schemas {
    /// Looks on the topic of `log`, and at the registry below `registry_url`, unless that is empty.
    pub fn new(log: Arc<dyn EventLog>, framings: Framings, registry_url: &str) -> Self {
        let registry = (!registry_url.is_empty()).then(|| Registry::new(registry_url));
        Self { log, framings, found: Mutex::new(Found { published: Published::default(), registry }) }
    }

    /// The values of those records of a topic whose schema is another version's, as this version writes them, by offset. Such a
    /// schema is looked for after its record was read, so that it is found if it was published before. Records of a schema that
    /// nobody published, or that does not resolve to this version's, are left out.
    ///
    /// Where all schemas are known this asks nobody. Otherwise it asks for the end of the topic once, however many records there
    /// are and whatever they name, and the registry once for each id.
    pub async fn translate(
        &self,
        topic: &str,
        records: &[LogRecord],
    ) -> Result<FxHashMap<u64, Bytes>, LogError> {
        let Some(of_topic) = self.records_of(topic) else { return Ok(FxHashMap::default()) };
        let foreign: Vec<(ForeignSchema, &LogRecord)> =
            records.iter().filter_map(|record| Some((of_topic.foreign(&record.value)?, record))).collect();
        if foreign.is_empty() {
            return Ok(FxHashMap::default());
        }
        let mut found = self.found.lock().await;
        found.look_for(foreign.iter().map(|(schema, _)| *schema), &*self.log).await?;
        let translated = foreign.into_iter().filter_map(|(schema, record)| {
            let writer = found.get(schema)?;
            match of_topic.translate(&writer, &record.value) {
                Ok(value) => Some((record.offset, value.into())),
                Err(error) => {
                    let offset = record.offset;
                    tracing::warn!(topic, offset, ?schema, %error, "a published schema does not fit this version's");
                    None
                }
            }
        });
        Ok(translated.collect())
    }

    fn records_of(&self, topic: &str) -> Option<TopicRecords> {
        let framing = match topic {
            topics::EVENTS => self.framings.tracked_event,
            topics::PAGE_EVENTS => self.framings.page_event,
            topics::CONTRIBUTIONS => self.framings.contribution,
            _ => tally_schemas::Framing::SingleObject,
        };
        TopicRecords::of(topic, framing)
    }
}

impl Found {
    fn get(&self, schema: ForeignSchema) -> Option<Arc<WriterSchema>> {
        match schema {
            ForeignSchema::Fingerprint(fingerprint) => self.published.get(fingerprint),
            ForeignSchema::RegistryId(id) => self.registry.as_ref()?.get(id),
        }
    }

    async fn look_for(
        &mut self,
        schemas: impl Iterator<Item = ForeignSchema>,
        log: &dyn EventLog,
    ) -> Result<(), LogError> {
        let mut has_read_topic = false;
        for schema in schemas {
            if self.get(schema).is_some() {
                continue;
            }
            match (schema, &mut self.registry) {
                (ForeignSchema::Fingerprint(_), _) if !has_read_topic => {
                    self.published.read_to_end(log).await?;
                    has_read_topic = true;
                }
                (ForeignSchema::RegistryId(id), Some(registry)) => registry.look_for(id).await?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// How long a look-up may take before it counts as a failure of the log, which is waited out.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
