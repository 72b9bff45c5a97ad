//! Secrets: how an access token is made from randomness, and the hash that is kept in a secret's place.

use std::borrow::Cow;
use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
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

/// SHA-256 of a secret that was made out of randomness: of a token, or of a recovery code. Such secrets need no salt and
/// no slow hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// The hash of a presented secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
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
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Serialize for SecretHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_hex())
    }
}

impl<'de> Deserialize<'de> for SecretHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(&text).ok_or_else(|| D::Error::custom("expected 64 hexadecimal digits"))
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SecretHash({}…)", hex::encode(&self.0[..4]))
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
        let hash = SecretHash::of("abc");
        assert_eq!(hash.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(SecretHash::from_hex(&hash.to_hex()), Some(hash));
        assert_eq!(SecretHash::from_hex("abc"), None);
        assert!(hash.matches(&hash));
        assert!(!hash.matches(&SecretHash::of("abd")));
    }

    #[test]
    fn a_hash_is_not_printed_in_full() {
        assert_eq!(format!("{:?}", SecretHash::of("abc")), "SecretHash(ba7816bf…)");
    }
}
