//! A topic of the embedded log in memory: how it is meant to be, and how far each partition reaches.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::LogError;
use crate::partition::RoundRobin;
use crate::topic::{TopicSpec, Watermarks};

/// What is stored of a topic, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StoredTopic {
    /// Stands for the topic in the keys of its chunks.
    pub(super) id: u32,
    pub(super) partitions: u32,
    pub(super) retention_ms: Option<u64>,
    pub(super) max_record_bytes: usize,
    /// Absent in what earlier versions have stored.
    #[serde(default)]
    pub(super) compacted: bool,
}

impl StoredTopic {
    pub(super) fn new(id: u32, spec: &TopicSpec) -> Self {
        let retention_ms = spec.retention.map(|retention| retention.as_millis() as u64);
        let TopicSpec { partitions, max_record_bytes, compacted, .. } = *spec;
        Self { id, partitions, retention_ms, max_record_bytes, compacted }
    }
}

/// An open topic.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) id: u32,
    pub(super) partitions: Vec<Partition>,
    pub(super) spread: RoundRobin,
    settings: RwLock<StoredTopic>,
}

/// How far one partition reaches; changed by the writer alone, after the write is durable.
#[derive(Debug)]
pub(super) struct Partition {
    low: AtomicU64,
    high: watch::Sender<u64>,
}

impl Topic {
    pub(super) fn new(name: &str, stored: StoredTopic, reach: &[Watermarks]) -> Self {
        let partitions = reach
            .iter()
            .map(|reach| Partition { low: AtomicU64::new(reach.low), high: watch::Sender::new(reach.high) })
            .collect();
        Self {
            name: name.to_owned(),
            id: stored.id,
            partitions,
            spread: RoundRobin::default(),
            settings: stored.into(),
        }
    }

    pub(super) fn settings(&self) -> StoredTopic {
        self.settings.read().clone()
    }

    pub(super) fn set_settings(&self, settings: StoredTopic) {
        *self.settings.write() = settings;
    }

    pub(super) fn max_record_bytes(&self) -> usize {
        self.settings.read().max_record_bytes
    }

    pub(super) fn partition_count(&self) -> u32 {
        self.partitions.len() as u32
    }

    pub(super) fn partition(&self, partition: u32) -> &Partition {
        &self.partitions[partition as usize]
    }
}

impl Partition {
    pub(super) fn watermarks(&self) -> Watermarks {
        // Low first: it never passes a high that is read after it.
        let low = self.low.load(Ordering::Acquire);
        Watermarks { low, high: *self.high.borrow() }
    }

    /// Follows the high watermark.
    pub(super) fn subscribe(&self) -> watch::Receiver<u64> {
        self.high.subscribe()
    }

    pub(super) fn raise_high(&self, high: u64) {
        self.high.send_if_modified(|known| high > std::mem::replace(known, high.max(*known)));
    }

    pub(super) fn raise_low(&self, low: u64) {
        self.low.fetch_max(low, Ordering::AcqRel);
    }
}

/// Refuses names that Kafka would refuse, too.
pub(super) fn check_spec(spec: &TopicSpec) -> Result<(), LogError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let reason = if spec.name.is_empty() || spec.name.len() > 249 || !spec.name.bytes().all(allowed) {
        "the name must be 1 to 249 letters, digits, '.', '_' or '-'"
    } else if spec.partitions == 0 {
        "it needs a partition"
    } else {
        return Ok(());
    };
    Err(LogError::TopicMismatch { topic: spec.name.clone(), reason: reason.to_owned() })
}
