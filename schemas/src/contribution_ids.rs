//! The numbers that the Events API gives contributions and sorts them by.
//!
//! An id is 41 bits of the millisecond of receipt, 4 bits of the process that gives them and 8 bits of a sequence: unique among
//! the processes of one Tally as long as each has its own node, ascending within a process, and below 2^53,
//! up to which JavaScript clients read numbers exactly (until the year 2039). Like GitLab's own ids they follow the order
//! in which events came in, which is that of `created_at` except for imported history.

use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

const SEQUENCE_BITS: u32 = 8;
const NODE_BITS: u32 = 4;

/// Gives out ids. More than 256 in one millisecond borrow from the milliseconds to come.
pub struct ContributionIds {
    node: u64,
    /// The next free (millisecond, sequence), packed.
    next: AtomicU64,
}

impl ContributionIds {
    /// Ids of the process with this number, 0 to 15.
    pub fn new(node: u8) -> Self {
        Self { node: u64::from(node), next: AtomicU64::new(0) }
    }

    /// An id above every earlier one of this process.
    pub fn next(&self, now: Timestamp) -> i64 {
        let from_clock = (now.as_millisecond().max(0) as u64) << SEQUENCE_BITS;
        let taken = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |next| Some(next.max(from_clock) + 1))
            .expect("the update always gives a value")
            .max(from_clock);
        let (millis, sequence) = (taken >> SEQUENCE_BITS, taken & ((1 << SEQUENCE_BITS) - 1));
        ((millis << (NODE_BITS + SEQUENCE_BITS)) | (self.node << SEQUENCE_BITS) | sequence) as i64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ids_ascend_even_when_the_clock_stands_still_or_goes_back() {
        let ids = ContributionIds::new(3);
        let (now, earlier) = (at("2026-01-02T03:04:05Z"), at("2026-01-02T03:04:04Z"));
        let given: Vec<i64> =
            (0..1000).map(|index| ids.next(if index % 2 == 0 { now } else { earlier })).collect();
        assert!(given.is_sorted_by(|first, second| first < second));
        assert!(ids.next(at("2026-01-02T03:04:06Z")) > given[999]);
    }

    #[test]
    fn ids_of_different_nodes_never_meet() {
        let now = at("2026-01-02T03:04:05Z");
        let mut seen = HashSet::new();
        for node in 0..16 {
            let ids = ContributionIds::new(node);
            assert!((0..1000).all(|_| seen.insert(ids.next(now))));
        }
    }

    #[test]
    fn ids_are_exact_in_javascript() {
        assert!(ContributionIds::new(15).next(at("2039-09-01T00:00:00Z")) < 1 << 53);
    }
}
