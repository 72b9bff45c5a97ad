//! Counts of requests in fixed windows of time, one window at a time, sharded so that threads seldom meet.
//!
//! A shard forgets all its keys at once when a window begins, so that idle keys cost nothing to find and nothing beyond
//! their window to keep. Within a window a shard keeps a bounded number of keys; further ones share one count.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

use jiff::Timestamp;
use parking_lot::Mutex;

/// A power of two: enough that threads rarely want the same one.
const SHARDS: usize = 64;

/// How the counts stand after a request was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// Requests in this window, those just counted among them.
    pub observed: u32,
    /// Seconds since the epoch at which the window ends.
    pub ends_at_s: u64,
}

/// The counts of one kind of key.
pub struct Windows<K> {
    period_s: u64,
    max_keys_per_shard: usize,
    hasher: RandomState,
    shards: Vec<Mutex<Shard<K>>>,
}

struct Shard<K> {
    /// The window's number since the epoch.
    window: u64,
    counts: HashMap<K, u32>,
    /// Of all keys that came when the shard was full.
    others: u32,
}

impl<K: Eq + Hash> Windows<K> {
    /// Windows of `period_s` seconds that keep at most about `max_keys` keys.
    pub fn new(period_s: u64, max_keys: usize) -> Self {
        let shard = || Mutex::new(Shard { window: 0, counts: HashMap::new(), others: 0 });
        Self {
            period_s: period_s.max(1),
            max_keys_per_shard: max_keys.div_ceil(SHARDS),
            hasher: RandomState::new(),
            shards: std::iter::repeat_with(shard).take(SHARDS).collect(),
        }
    }

    /// Counts a request.
    pub fn count(&self, key: K, now: Timestamp) -> Count {
        self.count_many(key, 1, now)
    }

    /// Counts so many at once.
    pub fn count_many(&self, key: K, more: u32, now: Timestamp) -> Count {
        let window = self.window(now);
        let observed = self.shard(&key).lock().count(key, more, window, self.max_keys_per_shard);
        Count { observed, ends_at_s: (window + 1) * self.period_s }
    }

    fn window(&self, now: Timestamp) -> u64 {
        u64::try_from(now.as_second()).unwrap_or(0) / self.period_s
    }

    fn shard(&self, key: &K) -> &Mutex<Shard<K>> {
        &self.shards[self.hasher.hash_one(key) as usize % SHARDS]
    }

    #[cfg(test)]
    fn keys(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().counts.len()).sum()
    }
}

impl<K: Eq + Hash> Shard<K> {
    fn count(&mut self, key: K, more: u32, window: u64, max_keys: usize) -> u32 {
        // A thread that read the clock just before the window's end may come after one that read it later: it counts in
        // the new window. A clock that was set back by more begins anew.
        if window > self.window || window + 1 < self.window {
            self.window = window;
            self.others = 0;
            self.counts.clear();
            self.counts.shrink_to(max_keys / 16);
        }
        let is_full = self.counts.len() >= max_keys;
        let count = if is_full {
            self.counts.get_mut(&key).unwrap_or(&mut self.others)
        } else {
            self.counts.entry(key).or_insert(0)
        };
        *count = count.saturating_add(more);
        *count
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn keys_are_counted_apart_and_anew_in_each_window() {
        let windows = Windows::new(60, 1000);
        let observed = |key, second| windows.count(key, at(second)).observed;
        assert_eq!([observed("a", 600), observed("a", 659), observed("b", 601)], [1, 2, 1]);
        assert_eq!(observed("a", 660), 1);
        assert_eq!(windows.count("a", at(661)), Count { observed: 2, ends_at_s: 720 });
        assert_eq!(observed("b", 662), 1);
    }

    #[test]
    fn a_late_thread_does_not_begin_the_old_window_again_and_a_clock_set_back_does() {
        let windows = Windows::new(60, 1000);
        windows.count("a", at(660));
        assert_eq!(windows.count("a", at(659)).observed, 2);
        assert_eq!(windows.count("a", at(300)).observed, 1);
    }

    #[test]
    fn keys_are_bounded_and_idle_ones_are_forgotten() {
        let windows = Windows::new(60, 640);
        let last = (0..10_000).map(|key| windows.count(key, at(0)).observed).max().unwrap();
        assert!(windows.keys() <= 640, "{}", windows.keys());
        // Newcomers to a full shard share a count, about 9,360 / 64 each.
        assert!(last > 100, "{last}");
        // So few keys that some shard may see none of them; those that do forget the rest.
        (0..1000).for_each(|key| _ = windows.count(key % 100, at(60)));
        assert!(windows.keys() < 300, "{}", windows.keys());
    }

    #[test]
    fn threads_lose_no_count() {
        let windows = Arc::new(Windows::new(60, 1000));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| _ = windows.count("a", at(0))));
            }
        });
        assert_eq!(windows.count("a", at(0)).observed, 40_001);
    }
}
