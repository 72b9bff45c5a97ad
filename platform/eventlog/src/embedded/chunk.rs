//! Chunks: the unit in which the embedded log stores records, many records of one partition in one value.
//!
//! A chunk is a header (format, flags, record count, length of the plain body, xxh3 of everything else) and a body,
//! compressed with LZ4 when that makes it smaller by an eighth. A record in the body is its timestamp, the length of
//! its key plus one (0: no key), the length of its value, key and value.

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::error::LogError;
use crate::record::{LogRecord, Record};

const FORMAT: u8 = 1;
const LZ4: u8 = 1;
/// Format, flags, record count, length of the plain body.
const FIELDS: usize = 1 + 1 + 4 + 4;
const HEADER: usize = FIELDS + 8;

/// Appends one record's encoding to a plain body.
pub(super) fn encode_record(record: &Record, body: &mut Vec<u8>) {
    body.extend_from_slice(&record.timestamp.to_le_bytes());
    put_varint(body, record.key.as_ref().map_or(0, |key| key.len() as u64 + 1));
    put_varint(body, record.value.len() as u64);
    if let Some(key) = &record.key {
        body.extend_from_slice(key);
    }
    body.extend_from_slice(&record.value);
}

/// The stored form of a body of `count` records.
pub(super) fn seal(body: &[u8], count: u32) -> Vec<u8> {
    let mut chunk = vec![0; HEADER + lz4_flex::block::get_maximum_output_size(body.len())];
    let (header, room) = chunk.split_at_mut(HEADER);
    let compressed = lz4_flex::block::compress_into(body, room).ok().filter(|len| len + len / 7 < body.len());
    let (flags, length) = if let Some(length) = compressed {
        (LZ4, length)
    } else {
        room[..body.len()].copy_from_slice(body);
        (0, body.len())
    };
    header[0] = FORMAT;
    header[1] = flags;
    header[2..6].copy_from_slice(&count.to_le_bytes());
    header[6..FIELDS].copy_from_slice(&(body.len() as u32).to_le_bytes());
    chunk.truncate(HEADER + length);
    let checksum = checksum(&chunk);
    chunk[FIELDS..HEADER].copy_from_slice(&checksum.to_le_bytes());
    chunk
}

fn checksum(chunk: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&chunk[..FIELDS]);
    hash.update(&chunk[HEADER..]);
    hash.digest()
}

/// Walks through the records of a chunk. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    body: Bytes,
    at: usize,
    next_offset: u64,
    end: u64,
}

impl Cursor {
    /// Opens a stored chunk whose first record has the offset `base`.
    pub(super) fn open(base: u64, chunk: &Bytes) -> Result<Self, LogError> {
        let damaged = |what: &str| LogError::Corrupt(format!("chunk at offset {base}: {what}"));
        if chunk.len() < HEADER || chunk[0] != FORMAT {
            return Err(damaged("unknown format"));
        }
        let stored = u64::from_le_bytes(array(&chunk[FIELDS..HEADER]));
        if stored != checksum(chunk) {
            return Err(damaged("wrong checksum"));
        }
        let count = u32::from_le_bytes(array(&chunk[2..6]));
        let length = u32::from_le_bytes(array(&chunk[6..FIELDS])) as usize;
        let body = if chunk[1] & LZ4 == 0 {
            chunk.slice(HEADER..)
        } else {
            let body = lz4_flex::block::decompress(&chunk[HEADER..], length);
            Bytes::from(body.map_err(|error| damaged(&error.to_string()))?)
        };
        if body.len() != length {
            return Err(damaged("wrong length"));
        }
        Ok(Self { body, at: 0, next_offset: base, end: base + u64::from(count) })
    }

    /// The offset after the chunk's last record.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// The offset of the record that `next` returns, or `end`.
    pub(super) fn next_offset(&self) -> u64 {
        self.next_offset
    }

    /// Moves forward to the given offset, or to the end of the chunk.
    pub(super) fn skip_to(&mut self, offset: u64) -> Result<(), LogError> {
        while self.next_offset < offset.min(self.end) {
            self.next()?;
        }
        Ok(())
    }

    /// Bytes of key and value of the record that `next` returns; `None` at the end.
    pub(super) fn peek_size(&self) -> Result<Option<usize>, LogError> {
        if self.next_offset == self.end {
            return Ok(None);
        }
        let (_, key, value) = self.lengths(&mut self.at.clone())?;
        Ok(Some(key.unwrap_or(0) + value))
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<LogRecord>, LogError> {
        if self.next_offset == self.end {
            return Ok(None);
        }
        let mut at = self.at;
        let (timestamp, key, value) = self.lengths(&mut at)?;
        let key = key.map(|length| self.take(&mut at, length)).transpose()?;
        let value = self.take(&mut at, value)?;
        let offset = self.next_offset;
        self.at = at;
        self.next_offset += 1;
        Ok(Some(LogRecord { offset, timestamp, key, value }))
    }

    fn lengths(&self, at: &mut usize) -> Result<(i64, Option<usize>, usize), LogError> {
        let timestamp = self.body.get(*at..*at + 8).ok_or_else(|| self.torn())?;
        let timestamp = i64::from_le_bytes(array(timestamp));
        *at += 8;
        let key = self.varint(at)?;
        let value = self.varint(at)?;
        Ok((timestamp, key.checked_sub(1), value))
    }

    fn varint(&self, at: &mut usize) -> Result<usize, LogError> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = *self.body.get(*at).ok_or_else(|| self.torn())?;
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.torn())
    }

    fn take(&self, at: &mut usize, length: usize) -> Result<Bytes, LogError> {
        let range = *at..*at + length;
        if range.end > self.body.len() {
            return Err(self.torn());
        }
        *at = range.end;
        Ok(self.body.slice(range))
    }

    fn torn(&self) -> LogError {
        LogError::Corrupt(format!(
            "record at offset {}: its lengths point out of the chunk",
            self.next_offset
        ))
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("the slice is cut to the array's length")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Record> {
        let long = Bytes::from(vec![b'x'; 5000]);
        [(None, Bytes::new()), (Some(Bytes::new()), long.clone()), (Some(long), Bytes::from_static(b"value"))]
            .into_iter()
            .enumerate()
            .map(|(index, (key, value))| Record { key, value, timestamp: -1 + index as i64 })
            .collect()
    }

    fn chunk() -> Vec<u8> {
        let mut body = Vec::new();
        for record in records() {
            encode_record(&record, &mut body);
        }
        seal(&body, 3)
    }

    #[test]
    fn a_chunk_gives_back_its_records() {
        let mut cursor = Cursor::open(7, &chunk().into()).unwrap();
        for (index, record) in records().into_iter().enumerate() {
            assert_eq!(cursor.peek_size().unwrap(), Some(record.size()));
            let Record { key, value, timestamp } = record;
            let expected = LogRecord { offset: 7 + index as u64, timestamp, key, value };
            assert_eq!(cursor.next().unwrap(), Some(expected));
        }
        assert_eq!(cursor.next().unwrap(), None);
        assert_eq!((cursor.next_offset(), cursor.end()), (10, 10));
    }

    #[test]
    fn a_body_is_compressed_only_where_that_pays() {
        assert_eq!(chunk()[1], LZ4);
        let mut body = Vec::new();
        encode_record(
            &Record { key: None, value: Bytes::from_static(b"short"), timestamp: 0x0123_4567_89ab_cdef },
            &mut body,
        );
        assert_eq!(seal(&body, 1)[1], 0);
    }

    #[test]
    fn skipping_goes_to_the_offset_and_no_further_than_the_end() {
        for (to, next) in [(0, 7), (7, 7), (9, 9), (10, 10), (99, 10)] {
            let mut cursor = Cursor::open(7, &chunk().into()).unwrap();
            cursor.skip_to(to).unwrap();
            assert_eq!(cursor.next_offset(), next, "skip to {to}");
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let chunk = chunk();
        for at in 0..chunk.len() {
            let mut changed = chunk.clone();
            changed[at] ^= 0x10;
            assert!(matches!(Cursor::open(0, &changed.into()), Err(LogError::Corrupt(_))), "byte {at}");
            assert!(
                matches!(Cursor::open(0, &chunk[..at].to_vec().into()), Err(LogError::Corrupt(_))),
                "cut at {at}"
            );
        }
    }
}
