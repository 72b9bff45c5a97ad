//! Writes rows in ClickHouse's `RowBinary` format: every value in its column's binary form, one after the other.

use axum::body::Bytes;
use jiff::Timestamp;
use uuid::Uuid;

/// Rows of one table under construction.
#[derive(Default)]
pub(super) struct RowWriter(Vec<u8>);

impl RowWriter {
    /// `UInt64`
    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `Float64`
    pub(super) fn f64(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// `DateTime64(3)`: milliseconds since the epoch.
    pub(super) fn time(&mut self, value: Timestamp) {
        self.0.extend_from_slice(&value.as_millisecond().to_le_bytes());
    }

    /// `UUID`: two 64-bit halves, the high one first, each little endian.
    pub(super) fn uuid(&mut self, value: Uuid) {
        let (high, low) = value.as_u64_pair();
        self.u64(high);
        self.u64(low);
    }

    /// `String`, and `LowCardinality(String)`.
    pub(super) fn string(&mut self, value: &str) {
        self.length(value.len());
        self.0.extend_from_slice(value.as_bytes());
    }

    /// The number of entries of a `Map`, before the entries: unsigned LEB128.
    pub(super) fn length(&mut self, length: usize) {
        let mut rest = length;
        while rest >= 0x80 {
            self.0.push((rest as u8 & 0x7f) | 0x80);
            rest >>= 7;
        }
        self.0.push(rest as u8);
    }

    pub(super) fn into_bytes(self) -> Bytes {
        self.0.into()
    }
}
