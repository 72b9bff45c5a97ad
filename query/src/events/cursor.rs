//! The cursor of keyset pagination: the position of a page's last event, opaque to clients. It carries a checksum, so that
//! a cursor that was cut, edited or made for the other direction is refused and not taken for some other place. It grants
//! nothing: whatever a position, the reader sees what they may see.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use xxhash_rust::xxh3::xxh3_64;

use super::execute::LAST_INSTANT;

/// What cursors begin with; another layout gets another number.
const VERSION: u8 = 1;
const HASHED: usize = 1 + 1 + 8 + 8;
const LENGTH: usize = HASHED + 8;

/// An event's place in its listing: events are sorted by this pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    /// Milliseconds since the epoch.
    pub created_at_ms: i64,
    pub id: u64,
}

impl Position {
    /// The cursor after this event in a listing of that direction.
    pub(super) fn to_cursor(self, ascending: bool) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend([VERSION, u8::from(ascending)]);
        bytes.extend(self.created_at_ms.to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(xxh3_64(&bytes).to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What [`Self::to_cursor`] made for that direction; `None` for anything else. The checksum is no signature: a time at
    /// which no event can lie is refused, whoever made the cursor.
    pub(super) fn from_cursor(cursor: &str, ascending: bool) -> Option<Self> {
        let bytes: [u8; LENGTH] = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?.try_into().ok()?;
        let (hashed, hash) = bytes.split_at(HASHED);
        let is_ours = hash == xxh3_64(hashed).to_be_bytes().as_slice();
        let eight = |from: usize| hashed[from..from + 8].try_into().expect("eight bytes are eight");
        let position =
            Self { created_at_ms: i64::from_be_bytes(eight(2)), id: u64::from_be_bytes(eight(10)) };
        let is_possible = (0..=LAST_INSTANT).contains(&position.created_at_ms);
        (is_ours && is_possible && hashed[..2] == [VERSION, u8::from(ascending)]).then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSITION: Position = Position { created_at_ms: 1_763_461_800_250, id: 7_223_139_532_800_513 };

    #[test]
    fn a_cursor_comes_back_as_the_position_it_was_made_of() {
        for ascending in [false, true] {
            let cursor = POSITION.to_cursor(ascending);
            assert_eq!(Position::from_cursor(&cursor, ascending), Some(POSITION));
            assert_eq!(Position::from_cursor(&cursor, !ascending), None);
        }
    }

    #[test]
    fn a_cursor_to_where_no_event_can_lie_is_invalid() {
        for (created_at_ms, is_valid) in [
            (i64::MIN, false),
            (-1, false),
            (0, true),
            (LAST_INSTANT, true),
            (LAST_INSTANT + 1, false),
            (i64::MAX, false),
        ] {
            let position = Position { created_at_ms, ..POSITION };
            let read = Position::from_cursor(&position.to_cursor(false), false);
            assert_eq!(read.is_some(), is_valid, "{created_at_ms}");
        }
    }

    #[test]
    fn whatever_is_changed_in_a_cursor_makes_it_invalid() {
        let cursor = POSITION.to_cursor(false);
        for at in 0..cursor.len() {
            let other = if cursor.as_bytes()[at] == b'A' { "B" } else { "A" };
            let mut changed = cursor.clone();
            changed.replace_range(at..=at, other);
            assert_eq!(Position::from_cursor(&changed, false), None, "{changed}");
            assert_eq!(Position::from_cursor(&cursor[..at], false), None, "the first {at}");
        }
        for other in ["", "x", "eyJpZCI6MX0", "ü", &"A".repeat(1000)] {
            assert_eq!(Position::from_cursor(other, false), None, "{other}");
        }
    }
}
