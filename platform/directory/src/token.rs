//! Access tokens: how one is made from randomness, and the hash that is kept in its place.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The prefix of GitLab's personal access tokens, which secret scanners look for.
const PREFIX: &str = "glpat-";

/// How many random bytes a token holds: 120 bits, 20 characters.
pub const TOKEN_RANDOM_BYTES: usize = 15;

/// A token's text out of random bytes: `glpat-` and 20 characters of `[A-Za-z0-9_-]`.
pub fn token_from_random(random: [u8; TOKEN_RANDOM_BYTES]) -> String {
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// SHA-256 of a token. Tokens are random enough that no salt or slow hash is needed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of a presented token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits; `None` if `text` is anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// 64 lower case hexadecimal digits.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// Equality in a time that does not depend on where the two differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TokenHash({}…)", hex::encode(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_gitlabs_form() {
        let token = token_from_random([0xff; TOKEN_RANDOM_BYTES]);
        assert_eq!(token, "glpat-____________________");
        assert_ne!(token, token_from_random([0; TOKEN_RANDOM_BYTES]));
    }

    #[test]
    fn the_hash_is_sha256_and_survives_hex() {
        let hash = TokenHash::of("abc");
        assert_eq!(hash.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(TokenHash::from_hex(&hash.to_hex()), Some(hash));
        assert_eq!(TokenHash::from_hex("abc"), None);
        assert!(hash.matches(&hash));
        assert!(!hash.matches(&TokenHash::of("abd")));
    }

    #[test]
    fn a_hash_is_not_printed_in_full() {
        assert_eq!(format!("{:?}", TokenHash::of("abc")), "TokenHash(ba7816bf…)");
    }
}
