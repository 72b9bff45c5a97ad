//! The fjall database under the embedded log: which keyspaces there are, what their keys look like, and how the
//! database is opened again after a write failed.
//!
//! `chunks` holds the records, values apart from keys so that compaction doesn't copy them; `index` holds a small
//! entry beside every chunk for lookups and retention; `meta` holds topics, low watermarks and group positions.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, PersistMode};
use parking_lot::RwLock;

use super::repair;
use crate::error::LogError;
use crate::topic::Watermarks;

/// Journals that are kept until everything in them is in files of its keyspace. They are the larger part of what a log
/// with a short retention takes on disk.
const JOURNAL_BYTES: u64 = 192 << 20;

/// Where a chunk is: (topic id, partition, base offset), big-endian, so that byte order is offset order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ChunkKey {
    pub(super) topic: u32,
    pub(super) partition: u32,
    pub(super) base: u64,
}

impl ChunkKey {
    pub(super) fn encode(self) -> [u8; 16] {
        let mut key = [0; 16];
        key[..4].copy_from_slice(&self.topic.to_be_bytes());
        key[4..8].copy_from_slice(&self.partition.to_be_bytes());
        key[8..].copy_from_slice(&self.base.to_be_bytes());
        key
    }
}

/// What the index knows of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) base: u64,
    pub(super) count: u32,
    /// As stored.
    pub(super) bytes: u32,
    /// The newest record's, in milliseconds since the epoch.
    pub(super) max_timestamp: i64,
}

impl IndexEntry {
    pub(super) fn end(&self) -> u64 {
        self.base + u64::from(self.count)
    }

    pub(super) fn encode(&self) -> [u8; 16] {
        let mut value = [0; 16];
        value[..4].copy_from_slice(&self.count.to_le_bytes());
        value[4..8].copy_from_slice(&self.bytes.to_le_bytes());
        value[8..].copy_from_slice(&self.max_timestamp.to_le_bytes());
        value
    }

    fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        Some(Self {
            base: u64::from_be_bytes(key.get(8..16)?.try_into().ok()?),
            count: u32::from_le_bytes(value.get(..4)?.try_into().ok()?),
            bytes: u32::from_le_bytes(value.get(4..8)?.try_into().ok()?),
            max_timestamp: i64::from_le_bytes(value.get(8..16)?.try_into().ok()?),
        })
    }
}

/// One write, all of it or nothing.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) chunks: Vec<(ChunkKey, IndexEntry, Vec<u8>)>,
    pub(super) removed_chunks: Vec<ChunkKey>,
    pub(super) meta: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Changes {
    /// Makes one write of both.
    pub(super) fn join(&mut self, other: Self) {
        self.chunks.extend(other.chunks);
        self.removed_chunks.extend(other.removed_chunks);
        self.meta.extend(other.meta);
    }
}

/// The database, which is out of reach between a failed write and its reopening.
pub(super) struct Storage {
    directory: PathBuf,
    memtable_bytes: u64,
    open: RwLock<Option<Open>>,
}

struct Open {
    database: Database,
    chunks: Keyspace,
    index: Keyspace,
    meta: Keyspace,
}

impl Storage {
    pub(super) fn open(directory: &Path, memtable_bytes: u64) -> Result<Self, LogError> {
        let open = Open::recover(directory, memtable_bytes)?;
        Ok(Self { directory: directory.to_owned(), memtable_bytes, open: RwLock::new(Some(open)) })
    }

    /// Lets go of the directory. Every call from here on fails as unavailable, until `reopen`.
    pub(super) fn close(&self) {
        self.open.write().take();
    }

    /// Opens the directory again: fjall refuses every write after one has failed, because it can't know how much of
    /// it reached the disk. Recovery finds out.
    pub(super) fn reopen(&self) -> Result<(), LogError> {
        let mut open = self.open.write();
        // The old one has the directory locked.
        drop(open.take());
        *open = Some(Open::recover(&self.directory, self.memtable_bytes)?);
        Ok(())
    }

    /// Writes the changes and waits for the disk to have them.
    pub(super) fn write(&self, changes: Changes) -> Result<(), LogError> {
        self.with(|open| {
            let mut batch = open.database.batch().durability(Some(PersistMode::SyncAll));
            for (key, entry, chunk) in changes.chunks {
                let key = key.encode();
                batch.insert(&open.index, key, entry.encode());
                batch.insert(&open.chunks, key, chunk);
            }
            for key in changes.removed_chunks {
                let key = key.encode();
                batch.remove(&open.index, key);
                batch.remove(&open.chunks, key);
            }
            for (key, value) in changes.meta {
                batch.insert(&open.meta, key, value);
            }
            batch.commit()
        })
    }

    /// The chunk that begins at exactly this offset.
    pub(super) fn chunk(&self, key: ChunkKey) -> Result<Option<Bytes>, LogError> {
        self.with(|open| Ok(open.chunks.get(key.encode())?.map(Bytes::from_owner)))
    }

    /// The index entry of the last chunk that begins at or before `key.base`, in the same partition.
    pub(super) fn last_entry_up_to(&self, key: ChunkKey) -> Result<Option<IndexEntry>, LogError> {
        let first = ChunkKey { base: 0, ..key };
        self.with(|open| {
            open.index.range(first.encode()..=key.encode()).next_back().map(decode_entry).transpose()
        })?
        .transpose()
    }

    /// The index entries of a partition from `key.base` on, at most `limit` of them.
    pub(super) fn entries_from(&self, key: ChunkKey, limit: usize) -> Result<Vec<IndexEntry>, LogError> {
        let last = ChunkKey { base: u64::MAX, ..key };
        self.with(|open| {
            open.index
                .range(key.encode()..=last.encode())
                .take(limit)
                .map(decode_entry)
                .collect::<fjall::Result<Vec<_>>>()
        })?
        .into_iter()
        .collect()
    }

    /// How far a partition reaches, by what is stored of it.
    pub(super) fn reach(&self, topic: u32, partition: u32) -> Result<Watermarks, LogError> {
        let key = ChunkKey { topic, partition, base: 0 };
        let deleted = self.meta(&keys::low(topic, partition))?;
        let deleted = deleted.and_then(|value| value.as_ref().try_into().ok()).map_or(0, u64::from_be_bytes);
        let first = self.entries_from(key, 1)?.first().map_or(deleted, |entry| entry.base);
        let last =
            self.last_entry_up_to(ChunkKey { base: u64::MAX, ..key })?.map_or(deleted, |entry| entry.end());
        Ok(Watermarks { low: deleted.max(first), high: deleted.max(last) })
    }

    pub(super) fn meta(&self, key: &[u8]) -> Result<Option<Bytes>, LogError> {
        self.with(|open| Ok(open.meta.get(key)?.map(Bytes::from_owner)))
    }

    /// All entries of `meta` whose key has the prefix, which is cut off.
    pub(super) fn meta_entries(&self, prefix: &[u8]) -> Result<Vec<(Vec<u8>, Bytes)>, LogError> {
        self.with(|open| {
            open.meta
                .prefix(prefix)
                .map(|entry| {
                    entry
                        .into_inner()
                        .map(|(key, value)| (key[prefix.len()..].to_vec(), Bytes::from_owner(value)))
                })
                .collect()
        })
    }

    /// Bytes of the whole database on disk.
    pub(super) fn disk_bytes(&self) -> Result<u64, LogError> {
        self.with(|open| open.database.disk_space())
    }

    fn with<T>(&self, work: impl FnOnce(&Open) -> fjall::Result<T>) -> Result<T, LogError> {
        let open = self.open.read();
        let open = open.as_ref().ok_or_else(|| LogError::Unavailable("the log is closed".to_owned()))?;
        work(open).map_err(|error| unavailable(&error))
    }
}

impl Open {
    fn recover(directory: &Path, memtable_bytes: u64) -> Result<Self, LogError> {
        let database = match open_database(directory) {
            Err(fjall::Error::JournalRecovery(error)) => {
                tracing::warn!(?error, "the journal can't be read to its end; looking for a torn last write");
                repair::cut_torn_tail(directory)?;
                open_database(directory)
            }
            other => other,
        };
        let database = database.map_err(|error| open_error(directory, &error))?;
        Self::keyspaces(database, memtable_bytes).map_err(|error| open_error(directory, &error))
    }

    fn keyspaces(database: Database, memtable_bytes: u64) -> fjall::Result<Self> {
        // Chunks are compressed and checked by themselves.
        let blobs = KvSeparationOptions::default()
            .separation_threshold(512)
            .compression(fjall::CompressionType::None);
        let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
        let chunks = database.keyspace("chunks", || options().with_kv_separation(Some(blobs)))?;
        let index = database.keyspace("index", options)?;
        let meta = database.keyspace("meta", options)?;
        Ok(Self { database, chunks, index, meta })
    }
}

fn open_database(directory: &Path) -> fjall::Result<Database> {
    Database::builder(directory)
        .journal_compression(fjall::CompressionType::None)
        .manual_journal_persist(true)
        .max_journaling_size(JOURNAL_BYTES)
        .worker_threads(2)
        .open()
}

fn decode_entry(entry: fjall::Guard) -> fjall::Result<Result<IndexEntry, LogError>> {
    let (key, value) = entry.into_inner()?;
    Ok(IndexEntry::decode(&key, &value).ok_or_else(|| LogError::Corrupt(format!("index entry {key:?}"))))
}

fn unavailable(error: &fjall::Error) -> LogError {
    LogError::Unavailable(error.to_string())
}

fn open_error(directory: &Path, error: &fjall::Error) -> LogError {
    match error {
        fjall::Error::Locked => LogError::InUse(directory.to_owned()),
        fjall::Error::Io(error) => LogError::Unavailable(format!("{}: {error}", directory.display())),
        error => LogError::Corrupt(format!("{}: {error}", directory.display())),
    }
}

/// Keys of the keyspace `meta`.
pub(super) mod keys {
    pub(crate) const TOPICS: &[u8] = b"topic\0";
    pub(crate) const GROUPS: &[u8] = b"group\0";

    pub(crate) fn topic(name: &str) -> Vec<u8> {
        [TOPICS, name.as_bytes()].concat()
    }

    /// The low watermark of a partition that retention has deleted from.
    pub(crate) fn low(topic: u32, partition: u32) -> Vec<u8> {
        [b"low\0".as_slice(), &topic.to_be_bytes(), &partition.to_be_bytes()].concat()
    }

    /// A group's position in a partition. Neither name has a zero byte in it.
    pub(crate) fn position(group: &str, topic: &str, partition: u32) -> Vec<u8> {
        [GROUPS, group.as_bytes(), b"\0", topic.as_bytes(), b"\0", &partition.to_be_bytes()].concat()
    }

    /// Group, topic and partition of what follows `GROUPS` in a key of `position`.
    pub(crate) fn read_position(rest: &[u8]) -> Option<(String, String, u32)> {
        let (names, partition) = rest.split_last_chunk::<4>()?;
        let (group, topic) = std::str::from_utf8(names.strip_suffix(b"\0")?).ok()?.split_once('\0')?;
        Some((group.to_owned(), topic.to_owned(), u32::from_be_bytes(*partition)))
    }
}
