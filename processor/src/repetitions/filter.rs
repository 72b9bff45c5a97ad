//! A Bloom filter over the ids of one partition, in two generations: when the younger is as old as ids must be remembered, the
//! older is forgotten. It never denies an id that it was told within that time; the fuller it is, the more often it takes
//! an id for known that is new.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_128;

use super::REMEMBERED_MS;

/// An id's bits lie in one block, of a cache line: asking costs one access to memory.
const BLOCK_WORDS: usize = 8;
const BLOCK_BITS: u32 = BLOCK_WORDS as u32 * u64::BITS;
/// The bits of an id. With ten bits of memory an id, one of a hundred new ones is taken for known.
const BITS_OF_AN_ID: u32 = 7;
/// Clocks of those who receive may differ by so much.
const CLOCK_SKEW_MS: i64 = 60 * 60 * 1000;
/// Ids that were received so long before the newest one are no matter to a filter: it takes every id for known that could repeat
/// one of them.
pub const FILTERED_MS: i64 = REMEMBERED_MS + CLOCK_SKEW_MS;

/// The ids of a partition.
#[derive(Debug, Clone)]
pub struct IdFilter {
    blocks: usize,
    younger: Vec<[u64; BLOCK_WORDS]>,
    older: Vec<[u64; BLOCK_WORDS]>,
    /// When the first id of the younger generation was received.
    began_at: Option<i64>,
    /// When the newest of all was received.
    newest_at: i64,
}

impl IdFilter {
    /// A filter that knows nothing, in at most so many bytes.
    pub fn new(bytes: usize) -> Self {
        let blocks = (bytes / 2 / size_of::<[u64; BLOCK_WORDS]>()).max(1);
        Self {
            blocks,
            younger: vec![[0; BLOCK_WORDS]; blocks],
            older: Vec::new(),
            began_at: None,
            newest_at: i64::MIN,
        }
    }

    /// Takes in an id; whether it may be known already. Of a time long before the newest, as when a batch that spans hours is
    /// folded again, the filter has forgotten too much to tell: then any id may be known.
    pub fn insert(&mut self, project_id: i64, event_id: Uuid, received_at: i64) -> bool {
        self.age(received_at);
        self.newest_at = self.newest_at.max(received_at);
        let is_long_ago = self.newest_at.saturating_sub(received_at) > CLOCK_SKEW_MS;
        let (block, mask) = self.place_of(project_id, event_id);
        let younger = &mut self.younger[block];
        let in_younger = contains(younger, &mask);
        younger.iter_mut().zip(mask).for_each(|(word, bits)| *word |= bits);
        is_long_ago || in_younger || self.older.get(block).is_some_and(|older| contains(older, &mask))
    }

    fn age(&mut self, now: i64) {
        let began_at = *self.began_at.get_or_insert(now);
        if now - began_at > FILTERED_MS {
            let empty = vec![[0; BLOCK_WORDS]; self.blocks];
            self.older = std::mem::replace(&mut self.younger, empty);
            self.began_at = Some(now);
        }
    }

    fn place_of(&self, project_id: i64, event_id: Uuid) -> (usize, [u64; BLOCK_WORDS]) {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&project_id.to_le_bytes());
        bytes[8..].copy_from_slice(event_id.as_bytes());
        let hash = xxh3_128(&bytes);
        let (high, mut low) = ((hash >> 64) as u64, hash as u64);
        let mut mask = [0; BLOCK_WORDS];
        for _ in 0..BITS_OF_AN_ID {
            let bit = (low % u64::from(BLOCK_BITS)) as usize;
            low /= u64::from(BLOCK_BITS);
            mask[bit / 64] |= 1 << (bit % 64);
        }
        // The high half of a product spreads a hash over any number of blocks evenly.
        let block = ((u128::from(high) * self.blocks as u128) >> 64) as usize;
        (block, mask)
    }
}

fn contains(block: &[u64; BLOCK_WORDS], mask: &[u64; BLOCK_WORDS]) -> bool {
    block.iter().zip(mask).all(|(word, bits)| word & bits == *bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * 60 * 60 * 1000;

    fn id(number: u64) -> Uuid {
        Uuid::from_u64_pair(number, number.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    #[test]
    fn an_id_is_known_for_seven_days_whatever_comes_in_between() {
        let mut filter = IdFilter::new(1 << 16);
        for day in 0..40 {
            let received_at = day * DAY_MS;
            assert!(!filter.insert(1, id(day as u64), received_at), "day {day}");
            for earlier in (day - 7).max(0)..day {
                let known = filter.clone().insert(1, id(earlier as u64), received_at);
                assert!(known, "the id of day {earlier} on day {day}");
            }
        }
        assert!(!filter.clone().insert(1, id(0), 40 * DAY_MS), "ids of long ago are forgotten");
    }

    #[test]
    fn no_id_is_denied_of_a_time_that_the_filter_has_begun_to_forget() {
        let mut filter = IdFilter::new(1 << 16);
        for day in [0, 2, 8, 16] {
            filter.insert(1, id(day as u64), day * DAY_MS);
        }
        assert!(filter.clone().insert(1, id(2), 9 * DAY_MS), "it was known then");
        assert!(!filter.clone().insert(1, id(2), 16 * DAY_MS - CLOCK_SKEW_MS));
    }

    #[test]
    fn the_same_id_of_another_project_is_another_one() {
        let mut filter = IdFilter::new(1 << 16);
        assert!(!filter.insert(1, id(1), 0));
        assert!(!filter.insert(2, id(1), 0));
        assert!(filter.insert(1, id(1), 0));
    }

    #[test]
    fn few_new_ids_are_taken_for_known_at_ten_bits_each() {
        let ids = 50_000;
        let mut filter = IdFilter::new(2 * ids / 8 * 10);
        let mistaken = (0..ids as u64).filter(|number| filter.insert(1, id(*number), 0)).count();
        assert!(mistaken < ids / 100, "{mistaken} of {ids}");
        assert!((0..ids as u64).all(|number| filter.insert(1, id(number), 0)));
    }
}
