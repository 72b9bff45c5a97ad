//! The fixed 64-bit hash of identifiers that unique metrics are built on. It is stored inside sketches, so it
//! may never change; `xxh3()` of ClickHouse over the same bytes gives the same number.

use xxhash_rust::xxh3::xxh3_64;

use crate::PropertyValue;

/// The hash of a record's id: XXH3 (64 bits, seed 0) of its eight bytes, little endian.
pub fn identifier_hash(id: i64) -> u64 {
    xxh3_64(&id.to_le_bytes())
}

/// The hash of a property used as identifier, or `None` for null, which is no identifier.
///
/// Integers hash like ids; doubles by the eight bytes of their IEEE form, little endian, and a `d`, since the eight bytes
/// of 0.0 are those of 0; strings and JSON
/// text by their UTF-8; booleans by one byte, 1 or 0. So `1`, `1.0` and `"1"` are three, and `true` isn't `"true"`.
pub fn property_hash(value: &PropertyValue<'_>) -> Option<u64> {
    match value {
        PropertyValue::Null => None,
        PropertyValue::Boolean(value) => Some(xxh3_64(&[u8::from(*value)])),
        PropertyValue::Long(value) => Some(identifier_hash(*value)),
        PropertyValue::Double(value) => Some(double_hash(*value)),
        PropertyValue::String(text) | PropertyValue::Json(text) => Some(xxh3_64(text.as_bytes())),
    }
}

fn double_hash(value: f64) -> u64 {
    let mut bytes = [b'd'; 9];
    bytes[..8].copy_from_slice(&value.to_le_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    /// The numbers are what ClickHouse's `xxh3` says of `toInt64(1)`, `concat(reinterpretAsFixedString(toFloat64(1)), 'd')`, `'1'` …
    #[test]
    fn hashes_never_change_and_are_those_of_clickhouse() {
        let text = |text: &'static str| PropertyValue::String(Cow::Borrowed(text));
        let table = [
            (PropertyValue::Long(1), 3_439_722_301_264_460_078),
            (PropertyValue::Long(-1), 5_841_669_975_847_748_627),
            (PropertyValue::Double(1.0), 6_769_384_436_236_981_866),
            (text("1"), 7_335_560_060_985_733_464),
            (text(""), 3_244_421_341_483_603_138),
            (PropertyValue::Boolean(true), 16_226_181_191_752_404_715),
            (PropertyValue::Json(Cow::Borrowed("[1,2]")), 2_538_728_629_773_961_662),
        ];
        for (value, hash) in table {
            assert_eq!(property_hash(&value), Some(hash), "{value:?}");
        }
        assert_eq!(property_hash(&PropertyValue::Null), None);
    }

    #[test]
    fn values_that_differ_in_type_hash_apart() {
        let text = |text: &'static str| PropertyValue::String(Cow::Borrowed(text));
        let values = [
            PropertyValue::Long(0),
            PropertyValue::Double(0.0),
            PropertyValue::Boolean(false),
            text("0"),
            text("0.0"),
            text("false"),
            PropertyValue::Long(1),
            PropertyValue::Double(1.0),
            PropertyValue::Boolean(true),
            text("true"),
        ];
        let hashes: std::collections::BTreeSet<_> = values.iter().map(property_hash).collect();
        assert_eq!(hashes.len(), values.len());
    }

    #[test]
    fn a_property_of_an_id_hashes_like_the_id() {
        assert_eq!(property_hash(&PropertyValue::Long(42)), Some(identifier_hash(42)));
    }
}
