//! Avro's binary encoding of the primitive types: zigzag varints, length-prefixed text, union branches, maps.
//! Reading checks every length against the bytes that are there, so hostile input costs no more than its size.

use std::borrow::Cow;

use uuid::Uuid;

use super::CodecError;

/// Appends a long: zigzag, then seven bits a byte, low ones first.
#[inline]
pub(super) fn put_long(out: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    // Ten bytes hold any long; one append of a small array is faster than ten pushes.
    let mut bytes = [0; 10];
    let mut len = 0;
    while rest >= 0x80 {
        bytes[len] = rest as u8 | 0x80;
        rest >>= 7;
        len += 1;
    }
    bytes[len] = rest as u8;
    out.extend_from_slice(&bytes[..=len]);
}

/// Appends a boolean.
#[inline]
pub(super) fn put_bool(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

/// Appends a double: eight bytes, little endian.
#[inline]
pub(super) fn put_double(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

/// Appends bytes or a string: the length, then the bytes.
#[inline]
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_long(out, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

/// Appends a union of null and something else, in this order.
#[inline]
pub(super) fn put_option<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        None => put_long(out, 0),
        Some(value) => {
            put_long(out, 1);
            put(out, value);
        }
    }
}

/// Appends a string.
#[inline]
pub(super) fn put_str(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

/// Reads primitives from the front of what is left of a record.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Refuses bytes behind the record's end.
    pub(super) fn end(&self) -> Result<(), CodecError> {
        if self.rest.is_empty() { Ok(()) } else { Err(CodecError::Malformed("bytes after the end")) }
    }

    #[inline]
    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], CodecError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CodecError::Malformed("truncated"))?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, CodecError> {
        let (&first, rest) = self.rest.split_first().ok_or(CodecError::Malformed("truncated"))?;
        self.rest = rest;
        Ok(first)
    }

    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, CodecError> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(CodecError::Malformed("a number of more than 64 bits"))
    }

    /// A long that must fit an unsigned type.
    #[inline]
    pub(super) fn unsigned<T: TryFrom<i64>>(&mut self) -> Result<T, CodecError> {
        self.long()?.try_into().map_err(|_| CodecError::Malformed("a number out of range"))
    }

    #[inline]
    pub(super) fn bool(&mut self) -> Result<bool, CodecError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(CodecError::Malformed("a boolean that is neither 0 nor 1")),
        }
    }

    #[inline]
    pub(super) fn double(&mut self) -> Result<f64, CodecError> {
        let bytes = self.take(8)?.try_into().expect("eight bytes were taken");
        Ok(f64::from_le_bytes(bytes))
    }

    #[inline]
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let len = usize::try_from(self.long()?).map_err(|_| CodecError::Malformed("a negative length"))?;
        self.take(len)
    }

    #[inline]
    pub(super) fn str(&mut self) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| CodecError::Malformed("text that is not UTF-8"))
    }

    #[inline]
    pub(super) fn text(&mut self) -> Result<Cow<'a, str>, CodecError> {
        self.str().map(Cow::Borrowed)
    }

    pub(super) fn string(&mut self) -> Result<String, CodecError> {
        self.str().map(str::to_owned)
    }

    #[inline]
    pub(super) fn uuid(&mut self) -> Result<Uuid, CodecError> {
        let bytes = self.take(16)?.try_into().expect("sixteen bytes were taken");
        Ok(Uuid::from_bytes(bytes))
    }

    #[inline]
    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, CodecError>,
    ) -> Result<Option<T>, CodecError> {
        match self.long()? {
            0 => Ok(None),
            1 => read(self).map(Some),
            _ => Err(CodecError::Malformed("an unknown branch of a union")),
        }
    }

    /// The number of entries in the next block of a map or an array, which is 0 at its end. A negative count is followed by
    /// the block's size in bytes, which only matters to those who skip.
    #[inline]
    pub(super) fn block(&mut self) -> Result<u64, CodecError> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_have_the_encoding_of_the_specification() {
        let table: [(i64, &[u8]); 8] = [
            (0, &[0]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (8192, &[0x80, 0x80, 1]),
            (i64::MAX, &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ];
        for (value, bytes) in table {
            let mut out = Vec::new();
            put_long(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(Reader::new(bytes).long(), Ok(value));
        }
    }

    #[test]
    fn a_number_of_more_than_64_bits_is_malformed() {
        for last in [2, 0x7f, 0x80, 0xff] {
            let mut bytes = [0xff; 11];
            bytes[9] = last;
            assert!(matches!(Reader::new(&bytes).long(), Err(CodecError::Malformed(_))), "{last:#x}");
        }
    }

    #[test]
    fn lengths_beyond_the_input_are_malformed() {
        for length in [1, 1 << 40, i64::MAX, -1, i64::MIN] {
            let mut bytes = Vec::new();
            put_long(&mut bytes, length);
            assert!(matches!(Reader::new(&bytes).bytes(), Err(CodecError::Malformed(_))), "{length}");
        }
    }
}
