//! Calls that were answered lately, by what identifies them, so that another try of one changes nothing again.

use std::collections::{HashSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

/// For how long a call is remembered: as long as what it counts.
const REMEMBERED: SignedDuration = SignedDuration::from_mins(10);

/// How many calls are remembered at most; past that the oldest is forgotten.
const MOST: usize = 10_000;

/// The calls of the last ten minutes.
#[derive(Default)]
pub(super) struct RecentCalls {
    known: HashSet<Uuid>,
    in_order: VecDeque<(Timestamp, Uuid)>,
}

impl RecentCalls {
    /// Whether the call was answered before.
    pub(super) fn contains(&mut self, call: Uuid, now: Timestamp) -> bool {
        while self.in_order.front().is_some_and(|(at, _)| now.duration_since(*at) >= REMEMBERED) {
            self.forget_oldest();
        }
        self.known.contains(&call)
    }

    /// Remembers a call.
    pub(super) fn insert(&mut self, call: Uuid, now: Timestamp) {
        if self.known.insert(call) {
            self.in_order.push_back((now, call));
        }
        if self.in_order.len() > MOST {
            self.forget_oldest();
        }
    }

    /// Forgets a call: whoever names it from now on means another.
    pub(super) fn forget(&mut self, call: Uuid) {
        if self.known.remove(&call) {
            self.in_order.retain(|(_, known)| *known != call);
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, call)) = self.in_order.pop_front() {
            self.known.remove(&call);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_known_for_ten_minutes_among_the_last_ten_thousand() {
        let mut recent = RecentCalls::default();
        let start = Timestamp::UNIX_EPOCH;
        recent.insert(Uuid::from_u128(0), start);
        assert!(recent.contains(Uuid::from_u128(0), start + SignedDuration::from_secs(599)));
        assert!(!recent.contains(Uuid::from_u128(1), start));
        assert!(!recent.contains(Uuid::from_u128(0), start + REMEMBERED));
        recent.forget(Uuid::from_u128(0));
        assert!(!recent.contains(Uuid::from_u128(0), start));
        recent.insert(Uuid::from_u128(0), start);
        for call in 0..=MOST as u128 {
            recent.insert(Uuid::from_u128(call), start);
        }
        assert!(!recent.contains(Uuid::from_u128(0), start));
        assert!(
            recent.contains(Uuid::from_u128(1), start)
                && recent.contains(Uuid::from_u128(MOST as u128), start)
        );
    }
}
