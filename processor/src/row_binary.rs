//! Writes rows in ClickHouse's `RowBinary` format: every value in its column's binary form, one after the other. A batch's
//! rows are written once, so that every try of an insert sends the same bytes.

use uuid::Uuid;

use crate::fold::TableInsert;

/// Rows of one table under construction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RowWriter {
    bytes: Vec<u8>,
    rows: u64,
}

impl RowWriter {
    /// Marks the end of a row; all its columns must have been written.
    pub fn end_row(&mut self) {
        self.rows += 1;
    }

    /// Adds the rows of another writer, of the same columns.
    pub fn append(&mut self, other: &RowWriter) {
        self.bytes.extend_from_slice(&other.bytes);
        self.rows += other.rows;
    }

    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Where the next row will begin.
    pub fn position(&self) -> usize {
        self.bytes.len()
    }

    /// The rows with others put in between, each at a position that this writer had between two rows, in ascending order.
    pub fn interleaved(self, others: impl IntoIterator<Item = (usize, RowWriter)>) -> Self {
        let mut whole = Self { bytes: Vec::with_capacity(self.bytes.len()), rows: self.rows };
        let mut copied = 0;
        for (position, other) in others {
            whole.bytes.extend_from_slice(&self.bytes[copied..position]);
            copied = position;
            whole.append(&other);
        }
        whole.bytes.extend_from_slice(&self.bytes[copied..]);
        whole
    }

    /// The rows as an insert into one partition of a table.
    pub fn into_insert(
        self,
        table: &'static str,
        columns: &'static [&'static str],
        month: u32,
    ) -> TableInsert {
        TableInsert { table, columns, month, rows: self.rows, body: self.bytes.into() }
    }

    /// `Bool`
    pub fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// `UInt8`
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// `UInt16`
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `Nullable(Float64)`: whether it is null, then the value.
    pub fn optional_f64(&mut self, value: Option<f64>) {
        self.bool(value.is_none());
        if let Some(value) = value {
            self.bytes.extend_from_slice(&value.to_le_bytes());
        }
    }

    /// `Date`: days since 1970-01-01.
    pub fn date(&mut self, days: u16) {
        self.bytes.extend_from_slice(&days.to_le_bytes());
    }

    /// `UInt32`
    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `UInt64`
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `Int64`, and `DateTime64(3)` as milliseconds since the epoch.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `Decimal(38, s)`: the value times 10^s.
    pub fn i128(&mut self, value: i128) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// `UUID`: two 64-bit halves, the high one first, each little endian.
    pub fn uuid(&mut self, value: Uuid) {
        let (high, low) = value.as_u64_pair();
        self.u64(high);
        self.u64(low);
    }

    /// `String`, and `LowCardinality(String)`.
    pub fn string(&mut self, value: &str) {
        self.byte_string(value.as_bytes());
    }

    /// `String` of any bytes.
    pub fn byte_string(&mut self, value: &[u8]) {
        self.length(value.len());
        self.bytes.extend_from_slice(value);
    }

    /// `String` whose bytes `write` appends; its length is put before them afterwards.
    pub fn string_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        let length = self.bytes.len() - start;
        let mut prefix = Vec::with_capacity(10);
        varint(&mut prefix, length as u64);
        self.bytes.splice(start..start, prefix);
    }

    /// The number of elements of an `Array`, before the elements.
    pub fn length(&mut self, length: usize) {
        varint(&mut self.bytes, length as u64);
    }
}

/// Unsigned LEB128, as ClickHouse writes lengths.
fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut RowWriter)) -> Vec<u8> {
        let mut rows = RowWriter::default();
        write(&mut rows);
        rows.bytes
    }

    #[test]
    fn rows_put_in_between_lie_where_they_would_have_been_written() {
        let row = |rows: &mut RowWriter, value: &str| {
            rows.string(value);
            rows.end_row();
        };
        let (mut whole, mut most, mut others) = (RowWriter::default(), RowWriter::default(), Vec::new());
        for (value, later) in [("a", true), ("b", false), ("cc", true), ("", true), ("d", false), ("e", true)]
        {
            row(&mut whole, value);
            if later {
                let mut other = RowWriter::default();
                row(&mut other, value);
                others.push((most.position(), other));
            } else {
                row(&mut most, value);
            }
        }
        assert_eq!(most.interleaved(others), whole);
    }

    #[test]
    fn strings_carry_their_length_in_leb128() {
        assert_eq!(written(|rows| rows.string("ab")), [2, b'a', b'b']);
        let long = "x".repeat(300);
        assert_eq!(written(|rows| rows.string(&long))[..2], [0xac, 0x02]);
    }

    #[test]
    fn a_string_written_in_place_equals_one_written_whole() {
        for text in ["", "a", &"y".repeat(127), &"y".repeat(128), &"z".repeat(70_000)] {
            let in_place = written(|rows| rows.string_with(|bytes| bytes.extend_from_slice(text.as_bytes())));
            assert_eq!(in_place, written(|rows| rows.string(text)), "{} bytes", text.len());
        }
    }

    #[test]
    fn a_uuid_is_two_little_endian_halves() {
        let uuid = Uuid::from_u128(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        let expected =
            [0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00, 0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88];
        assert_eq!(written(|rows| rows.uuid(uuid)), expected);
    }
}
