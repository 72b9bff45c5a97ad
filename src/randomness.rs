//! Randomness of the operating system, for secrets.

use anyhow::{Context, Result};
use rand::TryRng;
use tally_directory::TOKEN_RANDOM_BYTES;

/// Bytes that nobody can guess.
pub fn fresh_random() -> Result<[u8; TOKEN_RANDOM_BYTES]> {
    let mut random = [0; TOKEN_RANDOM_BYTES];
    rand::rngs::SysRng.try_fill_bytes(&mut random).context("the operating system gives no random bytes")?;
    Ok(random)
}
