//! Answers kept for a while, within a bound on their bytes; the one that was not asked for the longest goes first. Whether
//! an answer still holds is not decided here.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::freshness::Fingerprint;

/// What a statement gave.
#[derive(Clone, Debug)]
pub struct Rows {
    /// Lines of `JSONCompactEachRow`.
    pub lines: Bytes,
    /// How many there are without limit and offset, if that was asked.
    pub total: Option<u64>,
    /// When it was read.
    pub read_at: Timestamp,
}

/// An answer, and what it depends on.
#[derive(Debug)]
pub struct Entry {
    pub rows: Rows,
    /// What the tables looked like before they were read; `None` where nobody knew.
    pub fingerprint: Option<Fingerprint>,
    pub kept_at: Instant,
}

/// Which statement of which project on which model.
pub type Key = Arc<str>;

/// What an entry takes beside its rows and its key, roughly.
const ENTRY_BYTES: usize = 256;

/// A cache of answers. Cheap to ask; shared behind an [`Arc`].
pub struct Cache {
    max_bytes: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    slots: HashMap<Key, Slot>,
    /// The slots' keys, by when they were last asked for.
    by_use: BTreeMap<u64, Key>,
    bytes: usize,
    uses: u64,
}

struct Slot {
    entry: Arc<Entry>,
    bytes: usize,
    used: u64,
}

impl Cache {
    pub fn new(max_bytes: usize) -> Self {
        Self { max_bytes, kept: Mutex::default() }
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        let mut kept = self.lock();
        let kept = &mut *kept;
        let slot = kept.slots.get_mut(key)?;
        kept.by_use.remove(&slot.used);
        kept.uses += 1;
        slot.used = kept.uses;
        kept.by_use.insert(slot.used, Arc::clone(key));
        Some(Arc::clone(&slot.entry))
    }

    /// Keeps an answer instead of the one before; one that takes a good part of all the room is not kept.
    pub fn put(&self, key: &Key, entry: Entry) {
        let bytes = entry.rows.lines.len() + key.len() + ENTRY_BYTES;
        let mut kept = self.lock();
        kept.remove(key);
        if bytes > self.max_bytes / 2 {
            return;
        }
        while kept.bytes + bytes > self.max_bytes {
            let Some((_, oldest)) = kept.by_use.pop_first() else { break };
            kept.remove(&oldest);
        }
        kept.uses += 1;
        let used = kept.uses;
        kept.by_use.insert(used, Arc::clone(key));
        kept.bytes += bytes;
        kept.slots.insert(Arc::clone(key), Slot { entry: Arc::new(entry), bytes, used });
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked with the lock held was between two consistent states at worst by an entry.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn remove(&mut self, key: &Key) {
        if let Some(slot) = self.slots.remove(key) {
            self.by_use.remove(&slot.used);
            self.bytes -= slot.bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(bytes: usize) -> Entry {
        let rows = Rows { lines: vec![b'x'; bytes].into(), total: None, read_at: Timestamp::UNIX_EPOCH };
        Entry { rows, fingerprint: None, kept_at: Instant::now() }
    }

    fn key(name: &str) -> Key {
        name.into()
    }

    #[test]
    fn the_least_used_makes_room() {
        let cache = Cache::new(4000);
        cache.put(&key("a"), entry(1000));
        cache.put(&key("b"), entry(1000));
        cache.put(&key("c"), entry(1000));
        assert!(cache.get(&key("a")).is_some());
        cache.put(&key("d"), entry(1000));
        let kept = ["a", "b", "c", "d"].map(|name| cache.get(&key(name)).is_some());
        assert_eq!(kept, [true, false, true, true]);
    }

    #[test]
    fn bytes_stay_within_the_bound_whatever_is_put() {
        let cache = Cache::new(10_000);
        for round in 0..1000_usize {
            cache.put(&key(&format!("{}", round % 17)), entry(round * 7 % 6000));
            let kept = cache.lock();
            let held: usize = kept.slots.values().map(|slot| slot.bytes).sum();
            assert_eq!((held, kept.slots.len()), (kept.bytes, kept.by_use.len()));
            assert!(held <= 10_000);
        }
    }

    #[test]
    fn an_answer_that_takes_most_of_the_room_is_not_kept() {
        let cache = Cache::new(4000);
        cache.put(&key("a"), entry(100));
        cache.put(&key("a"), entry(3000));
        assert!(cache.get(&key("a")).is_none());
    }
}
