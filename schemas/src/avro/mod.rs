//! The Avro binary form of Tally's records, written by hand for the hot path and equal to what any Avro library
//! reads and writes for the schemas in `schemas/avro`. Framing, errors and entry points live here.

mod binary;
mod contribution;
mod dead_letter;
mod event;
mod evolution;
mod json;
mod page_event;
#[cfg(test)]
mod page_event_tests;
mod schema;
#[cfg(test)]
mod tests;

pub use self::evolution::{ForeignSchema, InvalidSchema, TopicRecords, WriterSchema, schemas};
pub use self::json::to_json;

use self::binary::Reader;
use self::schema::Versions;
use crate::{Contribution, DeadLetter, PageEvent, TrackedEvent};

/// The schema a `TrackedEvent` is written with, for a registry and for other languages.
pub const TRACKED_EVENT_SCHEMA: &str = include_str!("../../avro/tracked_event.avsc");
/// The schemas that older versions wrote a `TrackedEvent` with, newest first.
pub const TRACKED_EVENT_OLDER_SCHEMAS: [&str; 1] = [include_str!("../../avro/history/tracked_event.1.avsc")];
/// The schema a `Contribution` is written with.
pub const CONTRIBUTION_SCHEMA: &str = include_str!("../../avro/contribution.avsc");
/// The schemas that older versions wrote a `Contribution` with, newest first.
pub const CONTRIBUTION_OLDER_SCHEMAS: [&str; 1] = [include_str!("../../avro/history/contribution.1.avsc")];
/// The schema a `PageEvent` is written with.
pub const PAGE_EVENT_SCHEMA: &str = include_str!("../../avro/page_event.avsc");
/// The schemas that older versions wrote a `PageEvent` with, newest first.
pub const PAGE_EVENT_OLDER_SCHEMAS: [&str; 0] = [];
/// The schema a `DeadLetter` is written with.
pub const DEAD_LETTER_SCHEMA: &str = include_str!("../../avro/dead_letter.avsc");

/// What single-object encoding starts with.
const SINGLE_OBJECT_MARKER: [u8; 2] = [0xC3, 0x01];
/// What the Confluent wire format starts with.
const CONFLUENT_MARKER: u8 = 0;

/// How a record says which schema it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// Avro's single-object encoding: `C3 01`, then the schema's CRC-64-AVRO fingerprint, little endian.
    #[default]
    SingleObject,
    /// The Confluent wire format: `00`, then the registry's schema id, big endian.
    Confluent {
        /// The id the registry gave the current schema.
        schema_id: u32,
        /// The ids of older schemas that the registry knows, in the order of the record's `…_OLDER_SCHEMAS`.
        older_ids: [Option<u32>; MOST_OLDER_SCHEMAS],
    },
}

/// No record has more older schemas than this.
pub const MOST_OLDER_SCHEMAS: usize = 1;

/// Why bytes could not be read as a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A single-object record of a schema this version doesn't know, by fingerprint.
    #[error("written with an unknown schema, fingerprint {0:016x}")]
    UnknownSchema(u64),
    /// A Confluent-framed record of a schema id that isn't the configured one.
    #[error("written with an unknown schema, registry id {0}")]
    UnknownSchemaId(u32),
    /// Truncated, garbled or not a record at all.
    #[error("not a valid record: {0}")]
    Malformed(&'static str),
}

/// A record with an Avro schema of its own; `'a` is what it may borrow from.
trait Record<'a>: Sized {
    /// Its published schemas.
    fn versions() -> &'static Versions;

    /// Appends its body in the current schema.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads a body of the current schema.
    fn read(reader: &mut Reader<'a>) -> Result<Self, CodecError>;

    /// Reads a body of the current schema, borrowing nothing.
    fn read_owned(body: &[u8]) -> Result<Self, CodecError>;
}

fn encode<'a, R: Record<'a>>(record: &R, framing: Framing, out: &mut Vec<u8>) {
    match framing {
        Framing::SingleObject => {
            out.extend_from_slice(&SINGLE_OBJECT_MARKER);
            out.extend_from_slice(&R::versions().current.to_le_bytes());
        }
        Framing::Confluent { schema_id, .. } => {
            out.push(CONFLUENT_MARKER);
            out.extend_from_slice(&schema_id.to_be_bytes());
        }
    }
    record.write(out);
}

fn decode<'a, R: Record<'a>>(
    versions: &Versions,
    framing: Framing,
    bytes: &'a [u8],
) -> Result<R, CodecError> {
    let (fingerprint, body) = match (framing, bytes) {
        (_, [a, b, framed @ ..]) if [*a, *b] == SINGLE_OBJECT_MARKER => {
            let (fingerprint, body) = framed.split_first_chunk().ok_or(CodecError::Malformed("truncated"))?;
            (u64::from_le_bytes(*fingerprint), body)
        }
        (Framing::Confluent { schema_id, older_ids }, [CONFLUENT_MARKER, framed @ ..]) => {
            let (id, body) = framed.split_first_chunk().ok_or(CodecError::Malformed("truncated"))?;
            let id = u32::from_be_bytes(*id);
            let fingerprint = if id == schema_id {
                versions.current
            } else {
                let place = older_ids.iter().position(|older| *older == Some(id));
                let older = place.and_then(|place| versions.older.get(place));
                older.ok_or(CodecError::UnknownSchemaId(id))?.0
            };
            (fingerprint, body)
        }
        _ => return Err(CodecError::Malformed("no schema marker")),
    };
    if fingerprint == versions.current {
        let mut reader = Reader::new(body);
        let record = R::read(&mut reader)?;
        reader.end()?;
        return Ok(record);
    }
    let writer = versions.older(fingerprint).ok_or(CodecError::UnknownSchema(fingerprint))?;
    R::read_owned(&versions.resolve(writer, body)?)
}

impl TrackedEvent<'_> {
    /// Appends the record to `out`, in single-object encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_framed(Framing::SingleObject, out);
    }

    /// Appends the record to `out`, framed as given.
    pub fn encode_framed(&self, framing: Framing, out: &mut Vec<u8>) {
        encode(self, framing, out);
    }
}

impl<'a> TrackedEvent<'a> {
    /// Reads a record in single-object encoding; text is borrowed from `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, CodecError> {
        Self::decode_framed(Framing::SingleObject, bytes)
    }

    /// Reads a record framed as given, or in single-object encoding: a topic may hold both after a registry was
    /// configured. Text is borrowed from `bytes`, unless the record was written with an older schema.
    pub fn decode_framed(framing: Framing, bytes: &'a [u8]) -> Result<Self, CodecError> {
        decode(Self::versions(), framing, bytes)
    }
}

impl Contribution {
    /// Appends the record to `out`, framed as given.
    pub fn encode_framed(&self, framing: Framing, out: &mut Vec<u8>) {
        encode(self, framing, out);
    }

    /// Reads a record framed as given, or in single-object encoding.
    pub fn decode_framed(framing: Framing, bytes: &[u8]) -> Result<Self, CodecError> {
        decode(Self::versions(), framing, bytes)
    }
}

impl PageEvent {
    /// Appends the record to `out`, framed as given.
    pub fn encode_framed(&self, framing: Framing, out: &mut Vec<u8>) {
        encode(self, framing, out);
    }

    /// Reads a record framed as given, or in single-object encoding.
    pub fn decode_framed(framing: Framing, bytes: &[u8]) -> Result<Self, CodecError> {
        decode(Self::versions(), framing, bytes)
    }
}

impl DeadLetter {
    /// Appends the record to `out`, framed as given.
    pub fn encode_framed(&self, framing: Framing, out: &mut Vec<u8>) {
        encode(self, framing, out);
    }

    /// Reads a record framed as given, or in single-object encoding.
    pub fn decode_framed(framing: Framing, bytes: &[u8]) -> Result<Self, CodecError> {
        decode(Self::versions(), framing, bytes)
    }
}
