//! The few types of ClickHouse's `RowBinary` that this crate's rows have.

use jiff::Timestamp;

/// Appends an integer of 64 bits.
pub(super) fn int64(row: &mut Vec<u8>, value: i64) {
    row.extend(value.to_le_bytes());
}

/// Appends an unsigned integer of 64 bits.
pub(super) fn uint64(row: &mut Vec<u8>, value: u64) {
    row.extend(value.to_le_bytes());
}

/// Appends a `DateTime64(3)`.
pub(super) fn milliseconds(row: &mut Vec<u8>, value: Timestamp) {
    int64(row, value.as_millisecond());
}

/// Appends a string: its length in LEB128, then its bytes.
pub(super) fn string(row: &mut Vec<u8>, value: &str) {
    let mut length = value.len();
    while length >= 0x80 {
        row.push(length as u8 | 0x80);
        length >>= 7;
    }
    row.push(length as u8);
    row.extend(value.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strings_length_is_leb128() {
        for (length, prefix) in [(0, &[0][..]), (127, &[127]), (128, &[0x80, 1]), (300, &[0xac, 2])] {
            let mut row = Vec::new();
            string(&mut row, &"x".repeat(length));
            assert_eq!(&row[..prefix.len()], prefix);
            assert_eq!(row.len(), prefix.len() + length);
        }
    }
}
