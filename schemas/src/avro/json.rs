//! Records as JSON, for people who look at one: by the schema that the record names, whichever topic it is of.

use apache_avro::reader::datum::GenericDatumReader;
use serde_json::Value;

use super::SINGLE_OBJECT_MARKER;
use super::schema::{CONTRIBUTION, DEAD_LETTER, PAGE_EVENT, TRACKED_EVENT, Versions};

/// The JSON of a record in single-object encoding; `None` if it can't be read.
pub fn to_json(record: &[u8]) -> Option<Value> {
    let (fingerprint, mut body) = record.strip_prefix(&SINGLE_OBJECT_MARKER)?.split_first_chunk()?;
    let fingerprint = u64::from_le_bytes(*fingerprint);
    let all: [&Versions; 4] = [&TRACKED_EVENT, &CONTRIBUTION, &PAGE_EVENT, &DEAD_LETTER];
    let schema = all.into_iter().find_map(|versions| {
        if versions.current == fingerprint { Some(&**versions.reader) } else { versions.older(fingerprint) }
    })?;
    let value = GenericDatumReader::builder(schema).build().ok()?.read_value(&mut body).ok()?;
    if body.is_empty() { value.try_into().ok() } else { None }
}
