//! A small counter-seeded random generator (`SplitMix64`), kept here so that a stream stays byte for byte the same when
//! a dependency changes its algorithm. Not for secrets.

/// A sequence of random numbers that depends on nothing but what [`Random::new`] was given.
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

const GOLDEN_GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// The sequence for one `index` of one `domain` (what the numbers are for) under `seed`.
    pub fn new(seed: u64, domain: u64, index: u64) -> Self {
        let state = mix(mix(mix(seed).wrapping_add(domain)).wrapping_add(index));
        Self { state }
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN_GAMMA);
        mix(self.state)
    }

    /// A number in `0..bound`; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        debug_assert!(low <= high, "an empty range has no number");
        low + self.below(low.abs_diff(high) + 1) as i64
    }

    /// True in `per_mille` of 1,000 cases.
    pub fn per_mille(&mut self, per_mille: u64) -> bool {
        self.below(1_000) < per_mille
    }

    /// A number in `0..bound` of which the small ones are much likelier: a tenth of the numbers gets almost half of
    /// the draws.
    pub fn skewed(&mut self, bound: u64) -> u64 {
        let unit = self.bits() as f64 / 18_446_744_073_709_551_616.0;
        let rank = (bound as f64 * unit * unit * unit) as u64;
        rank.min(bound.saturating_sub(1))
    }

    /// One of `items`, which must not be empty.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_the_published_splitmix64() {
        // The reference values of SplitMix64 for the state 1234567.
        let mut random = Random { state: 1_234_567 };
        let drawn: Vec<u64> = (0..3).map(|_| random.bits()).collect();
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn different_seeds_domains_and_indexes_give_different_sequences() {
        let first = |seed, domain, index| Random::new(seed, domain, index).bits();
        let drawn = [first(1, 1, 1), first(2, 1, 1), first(1, 2, 1), first(1, 1, 2)];
        for (position, value) in drawn.iter().enumerate() {
            assert!(!drawn[..position].contains(value), "{drawn:?}");
        }
    }

    #[test]
    fn numbers_stay_in_their_bounds() {
        let mut random = Random::new(7, 7, 7);
        for _ in 0..10_000 {
            assert!(random.below(3) < 3);
            assert!(random.skewed(5) < 5);
            assert!((-4..=4).contains(&random.between(-4, 4)));
        }
        assert_eq!((random.below(0), random.skewed(1)), (0, 0));
    }

    #[test]
    fn skewed_numbers_prefer_the_small_ones() {
        let mut random = Random::new(1, 2, 3);
        let small = (0..10_000).filter(|_| random.skewed(1_000) < 100).count();
        assert!((4_000..5_300).contains(&small), "{small}");
    }
}
