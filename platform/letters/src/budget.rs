//! How many bytes of letters there may be in a period: for each sender, so that one of them can't keep those of others out,
//! and for all of them together, which bounds the disk that refused input takes.

use jiff::Timestamp;
use tally_service::api::Windows;

use crate::LettersConfig;
use crate::letters::Sender;

/// Senders that are counted apart.
const MAX_SENDERS: usize = 1 << 14;

pub(crate) struct Budget {
    per_sender: u32,
    in_all: u32,
    of_senders: Windows<Sender>,
    of_all: Windows<()>,
}

impl Budget {
    pub(crate) fn new(config: &LettersConfig) -> Self {
        Self {
            per_sender: config.bytes_per_sender,
            in_all: config.bytes_per_period,
            of_senders: Windows::new(config.period_s, MAX_SENDERS),
            of_all: Windows::new(config.period_s, 1),
        }
    }

    /// Whether there is room for so many bytes more.
    pub(crate) fn charge(&self, sender: Sender, bytes: usize, now: Timestamp) -> bool {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        // A sender that is past its own budget takes nothing of what is there for all.
        self.of_senders.count_many(sender, bytes, now).observed <= self.per_sender
            && self.of_all.count_many((), bytes, now).observed <= self.in_all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_are_bounded_apart_and_together_and_anew_in_each_period() {
        let config = LettersConfig {
            bytes_per_sender: 100,
            bytes_per_period: 150,
            period_s: 60,
            ..LettersConfig::default()
        };
        let budget = Budget::new(&config);
        let at = |second| Timestamp::from_second(second).unwrap();
        let (alice, bob) = (Sender::User(1), Sender::User(2));
        assert!(budget.charge(alice, 100, at(0)));
        assert!(!budget.charge(alice, 100, at(1)), "past alice's budget, which takes nothing of bob's");
        assert!(budget.charge(bob, 50, at(2)));
        assert!(!budget.charge(bob, 1, at(3)), "past what there is for all");
        assert!(budget.charge(alice, 100, at(60)));
    }
}
