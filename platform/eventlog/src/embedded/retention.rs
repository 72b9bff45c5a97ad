//! Retention: deletes the oldest chunks of a partition once they are too old, or too many, and no group needs them.

use std::sync::Arc;

use super::storage::{Changes, ChunkKey, IndexEntry, keys};
use super::topic::Topic;
use super::{Groups, Shared};
use crate::error::LogError;

/// Index entries looked at in one go.
const STEP: usize = 1024;

/// What may be deleted from one partition.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Chunks whose newest record is older may go. Milliseconds since the epoch.
    oldest_timestamp: Option<i64>,
    /// Chunks that reach past this offset stay.
    needed_from: u64,
}

/// Looks once at every partition of every topic. Returns how many chunks were deleted.
pub(super) fn run(shared: &Shared) -> Result<usize, LogError> {
    let topics: Vec<Arc<Topic>> = shared.topics.lock().values().cloned().collect();
    let mut deleted = 0;
    for topic in topics {
        for partition in 0..topic.partition_count() {
            deleted += run_partition(shared, &topic, partition)?;
        }
    }
    Ok(deleted)
}

fn run_partition(shared: &Shared, topic: &Arc<Topic>, partition: u32) -> Result<usize, LogError> {
    let now = (shared.config.clock)();
    let settings = topic.settings();
    let oldest_timestamp = settings.retention_ms.map(|retention| now.saturating_sub_unsigned(retention));
    // What lies in a compacted topic is a state, whose oldest records count as much as any.
    let mut excess = if settings.compacted { 0 } else { excess_bytes(shared, topic, partition)? };
    if oldest_timestamp.is_none() && excess == 0 {
        return Ok(0);
    }
    let mut deleted = 0;
    loop {
        let low = topic.partition(partition).watermarks().low;
        let key = ChunkKey { topic: topic.id, partition, base: low };
        let mut entries = shared.storage.entries_from(key, STEP)?;
        let expired = {
            // A group that joins now waits, and then begins after what is deleted here.
            let groups = shared.groups.lock();
            let rule = Rule { oldest_timestamp, needed_from: needed_from(shared, &groups, topic, partition) };
            let expired = entries.iter().take_while(|entry| rule.expired(entry, &mut excess)).count();
            if let Some(last) = entries[..expired].last() {
                topic.partition(partition).raise_low(last.end());
            }
            expired
        };
        entries.truncate(expired);
        delete(shared, topic, key, &entries)?;
        deleted += expired;
        if expired < STEP {
            return Ok(deleted);
        }
    }
}

impl Rule {
    fn expired(&self, entry: &IndexEntry, excess: &mut u64) -> bool {
        let too_old = self.oldest_timestamp.is_some_and(|oldest| entry.max_timestamp < oldest);
        let too_many = *excess >= u64::from(entry.bytes);
        let expired = entry.end() <= self.needed_from && (too_old || too_many);
        if expired {
            *excess = excess.saturating_sub(u64::from(entry.bytes));
        }
        expired
    }
}

/// The oldest offset that some group needs.
fn needed_from(shared: &Shared, groups: &Groups, topic: &Topic, partition: u32) -> u64 {
    if shared.config.delete_unread {
        return u64::MAX;
    }
    let of_topic = groups.iter().filter(|((_, name), _)| *name == topic.name);
    of_topic.filter_map(|(_, group)| group.oldest_needed(partition)).min().unwrap_or(u64::MAX)
}

/// By how much the partition is larger than it may be.
fn excess_bytes(shared: &Shared, topic: &Arc<Topic>, partition: u32) -> Result<u64, LogError> {
    let Some(limit) = shared.config.max_partition_bytes else { return Ok(0) };
    let entries =
        shared.storage.entries_from(ChunkKey { topic: topic.id, partition, base: 0 }, usize::MAX)?;
    let total: u64 = entries.iter().map(|entry| u64::from(entry.bytes)).sum();
    Ok(total.saturating_sub(limit))
}

fn delete(
    shared: &Shared,
    topic: &Arc<Topic>,
    key: ChunkKey,
    expired: &[IndexEntry],
) -> Result<(), LogError> {
    let Some(last) = expired.last() else { return Ok(()) };
    let low = last.end();
    let changes = Changes {
        removed_chunks: expired.iter().map(|entry| ChunkKey { base: entry.base, ..key }).collect(),
        meta: vec![(keys::low(topic.id, key.partition), low.to_be_bytes().to_vec())],
        ..Changes::default()
    };
    tracing::info!(
        topic = topic.name,
        partition = key.partition,
        low,
        chunks = expired.len(),
        "deleting old records"
    );
    shared.jobs.change_blocking(changes, || {})
}
