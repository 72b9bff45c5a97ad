//! Randomness as a dependency, so that a test can foresee ids and secrets.

use rand::Rng as _;

/// Makes random bytes.
pub trait Randomness: Send + Sync {
    /// Overwrites `bytes` with random ones.
    fn fill(&self, bytes: &mut [u8]);
}

/// The thread's cryptographic generator.
pub struct ThreadRandomness;

impl Randomness for ThreadRandomness {
    fn fill(&self, bytes: &mut [u8]) {
        rand::rng().fill_bytes(bytes);
    }
}
