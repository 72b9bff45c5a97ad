//! Which partition a record goes to: the same in every implementation, so that a key never moves.

use std::sync::atomic::{AtomicU32, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use crate::record::Record;

/// The partition of a key: `xxh3_64(key) % partitions`.
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    (xxh3_64(key) % u64::from(partitions.max(1))) as u32
}

/// Spreads append calls over the partitions of one topic.
#[derive(Debug, Default)]
pub struct RoundRobin(AtomicU32);

impl RoundRobin {
    /// The partition of each record of one append call: by key, or one for all those without.
    pub fn partitions_of(&self, records: &[Record], partitions: u32) -> Vec<u32> {
        let mut keyless = None;
        records
            .iter()
            .map(|record| match &record.key {
                Some(key) => partition_for_key(key, partitions),
                None => *keyless.get_or_insert_with(|| self.next(partitions)),
            })
            .collect()
    }

    fn next(&self, partitions: u32) -> u32 {
        self.0.fetch_add(1, Ordering::Relaxed) % partitions.max(1)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn record(key: Option<&'static str>) -> Record {
        Record { key: key.map(Bytes::from), value: Bytes::new(), timestamp: 0 }
    }

    #[test]
    fn the_partition_of_a_key_never_changes() {
        // Fixed: a change here would send the keys of existing topics elsewhere.
        assert_eq!(xxh3_64(b""), 0x2d06_8005_38d3_94c2);
        let table =
            ["", "a", "user-1", "user-2", "8d9b3f0c"].map(|key| partition_for_key(key.as_bytes(), 12));
        assert_eq!(table, table.map(|partition| partition % 12));
        assert_eq!(partition_for_key(b"", 12), (0x2d06_8005_38d3_94c2_u64 % 12) as u32);
    }

    #[test]
    fn keyless_records_of_one_call_stay_together_and_calls_alternate() {
        let spread = RoundRobin::default();
        let call = [record(None), record(Some("k")), record(None)];
        let by_key = partition_for_key(b"k", 3);
        assert_eq!(spread.partitions_of(&call, 3), [0, by_key, 0]);
        assert_eq!(spread.partitions_of(&call, 3), [1, by_key, 1]);
        assert_eq!(spread.partitions_of(&[record(Some("k"))], 3), [by_key]);
        assert_eq!(spread.partitions_of(&call, 3), [2, by_key, 2]);
    }
}
