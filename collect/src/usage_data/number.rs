//! A payload's number. It follows from what the payload is known by, its instance and its time, so several collectors
//! agree on it without asking each other, and a repeated payload has the number that it had.

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Bits of a number: all that a JSON reader with floating point numbers keeps exactly. Of ten million payloads two
/// share a number with a probability of about 1 in 180; nothing is found by it alone.
const BITS: u32 = 53;

/// Positive, and less than 2^53.
pub(super) fn usage_data_id(uuid: Uuid, recorded_at: Timestamp) -> u64 {
    let hash = Sha256::digest(identity(uuid, recorded_at));
    let first: [u8; 8] = hash[..8].try_into().expect("a SHA-256 has 32 bytes");
    (u64::from_be_bytes(first) >> (u64::BITS - BITS)).max(1)
}

/// What an insert of this payload is known by.
pub(super) fn token(uuid: Uuid, recorded_at: Timestamp) -> String {
    format!("usage_data:{}", identity(uuid, recorded_at))
}

fn identity(uuid: Uuid, recorded_at: Timestamp) -> String {
    format!("{uuid}:{}", recorded_at.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_from_instance_and_time_and_is_exact_in_json() {
        let uuid = Uuid::from_u128(0x0f9a_4a1e_5d3c_4b2a_9e1f_7a6b_5c4d_3e2f);
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let first = usage_data_id(uuid, at("2026-01-31T23:59:59.123Z"));
        // sha256("0f9a4a1e-5d3c-4b2a-9e1f-7a6b5c4d3e2f:1769903999123"), its first 53 bits.
        assert_eq!(first, 6_817_998_565_770_839);
        assert_eq!(
            first,
            usage_data_id(uuid, at("2026-02-01T00:59:59.123456+01:00")),
            "the same millisecond"
        );
        assert_ne!(first, usage_data_id(uuid, at("2026-01-31T23:59:59.124Z")));
        assert_ne!(first, usage_data_id(Uuid::from_u128(1), at("2026-01-31T23:59:59.123Z")));
        for millisecond in 0..1000 {
            let id = usage_data_id(uuid, Timestamp::from_millisecond(millisecond).unwrap());
            assert!((1..1 << 53).contains(&id), "{id}");
        }
    }
}
