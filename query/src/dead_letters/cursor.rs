//! The cursor of the listing: the position of a page's last letter, opaque to clients. A checksum tells one that was cut or
//! edited. It grants nothing: whatever a position, the reader sees what they may see.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

/// What cursors begin with; other listings' begin with another number.
const VERSION: u8 = 0x4c;
const HASHED: usize = 1 + 8 + 16;
const LENGTH: usize = HASHED + 8;

/// The last instant that the table can hold, in milliseconds since the epoch: the end of 2299.
const LAST_INSTANT: i64 = 10_413_791_999_999;

/// A letter's place in the listing, which goes from the newest to the oldest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Milliseconds since the epoch.
    pub recorded_at_ms: i64,
    pub id: Uuid,
}

impl Position {
    /// The cursor after this letter.
    pub(super) fn to_cursor(self) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.push(VERSION);
        bytes.extend(self.recorded_at_ms.to_be_bytes());
        bytes.extend(self.id.as_bytes());
        bytes.extend(xxh3_64(&bytes).to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What [`Self::to_cursor`] made; `None` for anything else.
    pub(super) fn from_cursor(cursor: &str) -> Option<Self> {
        let bytes: [u8; LENGTH] = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let (hashed, hash) = bytes.split_at(HASHED);
        let is_ours = hashed[0] == VERSION && hash == xxh3_64(hashed).to_be_bytes().as_slice();
        let recorded_at_ms = i64::from_be_bytes(hashed[1..9].try_into().ok()?);
        let id = Uuid::from_slice(&hashed[9..]).ok()?;
        let is_possible = (0..=LAST_INSTANT).contains(&recorded_at_ms);
        (is_ours && is_possible).then_some(Self { recorded_at_ms, id })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_the_position_it_was_made_of_and_a_changed_one_not_at_all() {
        let position = Position { recorded_at_ms: 1_795_132_800_123, id: Uuid::from_u128(7 << 100 | 9) };
        let cursor = position.to_cursor();
        assert_eq!(Position::from_cursor(&cursor), Some(position));
        for at in 0..cursor.len() {
            let other = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, other);
            assert_eq!(Position::from_cursor(&changed), None, "{changed}");
        }
        for recorded_at_ms in [-1, i64::MIN, LAST_INSTANT + 1] {
            let impossible = Position { recorded_at_ms, ..position };
            assert_eq!(Position::from_cursor(&impossible.to_cursor()), None);
        }
        for other in ["", "x", "ü", &"A".repeat(100)] {
            assert_eq!(Position::from_cursor(other), None, "{other}");
        }
    }
}
