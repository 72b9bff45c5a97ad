//! Records that another version of Tally wrote with a schema which this one doesn't bring: which schema they name, and what they say
//! by this version's schema once the other is known. What the other version added is left out, what it lacks has its default.

use apache_avro::Schema;
use apache_avro::rabin::Rabin;

use super::schema::{self, Versions};
use super::{CONFLUENT_MARKER, CodecError, Framing, SINGLE_OBJECT_MARKER};
use crate::topics;

/// Bytes before the body in single-object encoding.
const SINGLE_OBJECT_HEADER: usize = 10;

/// How a record names a schema that this version doesn't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ForeignSchema {
    /// By its CRC-64-AVRO fingerprint.
    Fingerprint(u64),
    /// By the id that a schema registry gave it.
    RegistryId(u32),
}

/// A schema that another version writes records with.
#[derive(Debug)]
pub struct WriterSchema {
    schema: Schema,
    fingerprint: u64,
}

/// The text is no Avro schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an Avro schema: {0}")]
pub struct InvalidSchema(String);

impl WriterSchema {
    /// Reads a schema in Avro's JSON form.
    pub fn parse(json: &str) -> Result<Self, InvalidSchema> {
        let schema = Schema::parse_str(json).map_err(|error| InvalidSchema(error.to_string()))?;
        Ok(Self { schema, fingerprint: fingerprint(json)? })
    }

    /// The CRC-64-AVRO fingerprint of its parsing canonical form.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }
}

/// The CRC-64-AVRO fingerprint of a schema's parsing canonical form, as the specification has it. `apache-avro` itself keeps
/// `{"type":"long"}` where only a logical type was stripped, though the canonical form, as Java has it, is `"long"`.
pub(super) fn fingerprint(json: &str) -> Result<u64, InvalidSchema> {
    let invalid = |error: &dyn std::fmt::Display| InvalidSchema(error.to_string());
    let json = serde_json::from_str(json).map_err(|error| invalid(&error))?;
    let plain = Schema::parse(&without_logical_types(json)).map_err(|error| invalid(&error))?;
    let bytes = plain.fingerprint::<Rabin>().bytes;
    Ok(u64::from_le_bytes(bytes.try_into().expect("CRC-64-AVRO has eight bytes")))
}

fn without_logical_types(json: serde_json::Value) -> serde_json::Value {
    match json {
        serde_json::Value::Array(items) => items.into_iter().map(without_logical_types).collect(),
        serde_json::Value::Object(mut fields) => {
            let logical = fields.remove("logicalType").is_some();
            if logical && fields.len() == 1 {
                return fields["type"].take();
            }
            fields.into_iter().map(|(name, value)| (name, without_logical_types(value))).collect()
        }
        other => other,
    }
}

/// Every schema that this version brings, for others to read what it writes.
pub fn schemas() -> impl Iterator<Item = &'static str> {
    let current = [
        super::TRACKED_EVENT_SCHEMA,
        super::CONTRIBUTION_SCHEMA,
        super::PAGE_EVENT_SCHEMA,
        super::DEAD_LETTER_SCHEMA,
    ];
    let older = [
        &super::TRACKED_EVENT_OLDER_SCHEMAS[..],
        &super::CONTRIBUTION_OLDER_SCHEMAS,
        &super::PAGE_EVENT_OLDER_SCHEMAS,
    ];
    current.into_iter().chain(older.into_iter().flatten().copied())
}

/// The records of one topic, as this version reads them.
#[derive(Clone, Copy)]
pub struct TopicRecords {
    versions: &'static Versions,
    framing: Framing,
}

impl TopicRecords {
    /// Those of a topic whose records name their schema by `framing`; `None` where they have no Avro schema.
    pub fn of(topic: &str, framing: Framing) -> Option<Self> {
        let versions = match topic {
            topics::EVENTS => &schema::TRACKED_EVENT,
            topics::CONTRIBUTIONS => &schema::CONTRIBUTION,
            topics::PAGE_EVENTS => &schema::PAGE_EVENT,
            topics::DEAD_LETTERS => &schema::DEAD_LETTER,
            _ => return None,
        };
        Some(Self { versions, framing })
    }

    /// The schema that a record names and that this version doesn't bring; `None` for one that it reads by itself, and for what is
    /// no record at all.
    pub fn foreign(&self, record: &[u8]) -> Option<ForeignSchema> {
        let (named, _) = self.split(record)?;
        let is_known = match named {
            ForeignSchema::Fingerprint(fingerprint) => {
                fingerprint == self.versions.current || self.versions.older(fingerprint).is_some()
            }
            ForeignSchema::RegistryId(id) => self.knows_id(id),
        };
        (!is_known).then_some(named)
    }

    /// The record as this version writes it, in single-object encoding.
    pub fn translate(&self, writer: &WriterSchema, record: &[u8]) -> Result<Vec<u8>, CodecError> {
        let (_, body) = self.split(record).ok_or(CodecError::Malformed("no schema marker"))?;
        let body = self.versions.resolve(&writer.schema, body)?;
        let mut translated = Vec::with_capacity(SINGLE_OBJECT_HEADER + body.len());
        translated.extend_from_slice(&SINGLE_OBJECT_MARKER);
        translated.extend_from_slice(&self.versions.current.to_le_bytes());
        translated.extend_from_slice(&body);
        Ok(translated)
    }

    fn split<'a>(&self, record: &'a [u8]) -> Option<(ForeignSchema, &'a [u8])> {
        match (self.framing, record) {
            (_, [a, b, framed @ ..]) if [*a, *b] == SINGLE_OBJECT_MARKER => {
                let (fingerprint, body) = framed.split_first_chunk()?;
                Some((ForeignSchema::Fingerprint(u64::from_le_bytes(*fingerprint)), body))
            }
            (Framing::Confluent { .. }, [CONFLUENT_MARKER, framed @ ..]) => {
                let (id, body) = framed.split_first_chunk()?;
                Some((ForeignSchema::RegistryId(u32::from_be_bytes(*id)), body))
            }
            _ => None,
        }
    }

    fn knows_id(&self, id: u32) -> bool {
        match self.framing {
            Framing::SingleObject => false,
            Framing::Confluent { schema_id, older_ids } => id == schema_id || older_ids.contains(&Some(id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use apache_avro::reader::datum::GenericDatumReader;
    use apache_avro::types::Value;
    use apache_avro::writer::datum::GenericDatumWriter;
    use serde_json::json;

    use super::*;
    use crate::{Increment, PropertyValue, TrackedEvent};

    /// The schema of tracked events with one more field, as a later version may have it.
    fn newer() -> String {
        let mut schema: serde_json::Value = serde_json::from_str(super::super::TRACKED_EVENT_SCHEMA).unwrap();
        let field = json!({"name": "locale", "type": ["null", "string"], "default": null});
        schema["fields"].as_array_mut().unwrap().push(field);
        schema.to_string()
    }

    fn event() -> TrackedEvent<'static> {
        TrackedEvent {
            event_id: uuid::Uuid::from_u128(7),
            name: "search".into(),
            timestamp: 1,
            received_at: 2,
            user_id: Some(3),
            project_id: None,
            namespace_id: None,
            additional_properties: vec![("label".into(), PropertyValue::String("x".into()))],
            send_to_snowplow: false,
            timestamp_clamped: false,
            client_event_id: true,
            increment: Increment::Event,
        }
    }

    #[test]
    fn an_older_reader_reads_what_it_knows_of_a_newer_record() {
        let (newer, records) = (newer(), TopicRecords::of(topics::EVENTS, Framing::SingleObject).unwrap());
        let writer = WriterSchema::parse(&newer).unwrap();
        let schema = Schema::parse_str(&newer).unwrap();
        let mut ours = Vec::new();
        event().encode(&mut ours);
        // Today's record read by the newer version: the field that it lacks has its default.
        let today = Schema::parse_str(super::super::TRACKED_EVENT_SCHEMA).unwrap();
        let Value::Record(mut fields) = GenericDatumReader::builder(&today)
            .maybe_reader_schema(Some(&schema))
            .build()
            .unwrap()
            .read_value(&mut &ours[10..])
            .unwrap()
        else {
            panic!("an event is a record")
        };
        let locale = fields.last_mut().unwrap();
        assert_eq!(*locale, ("locale".to_owned(), Value::Union(0, Box::new(Value::Null))));
        // And the newer version's record read today.
        locale.1 = Value::Union(1, Box::new(Value::String("en".to_owned())));
        let mut theirs = SINGLE_OBJECT_MARKER.to_vec();
        theirs.extend_from_slice(&writer.fingerprint().to_le_bytes());
        let body = GenericDatumWriter::builder(&schema)
            .build()
            .unwrap()
            .write_value_to_vec(Value::Record(fields))
            .unwrap();
        theirs.extend_from_slice(&body);
        assert_eq!(records.foreign(&theirs), Some(ForeignSchema::Fingerprint(writer.fingerprint())));
        let translated = records.translate(&writer, &theirs).unwrap();
        assert_eq!(TrackedEvent::decode(&translated), Ok(event()));
        assert_eq!(records.foreign(&translated), None);
    }

    #[test]
    fn what_this_version_reads_by_itself_is_not_foreign_and_neither_is_what_is_no_record() {
        let framing = Framing::Confluent { schema_id: 7, older_ids: [Some(5)] };
        let records = TopicRecords::of(topics::EVENTS, framing).unwrap();
        let mut single = Vec::new();
        event().encode(&mut single);
        let (mut current, mut older) = (vec![0, 0, 0, 0, 7], vec![0, 0, 0, 0, 5]);
        current.push(1);
        older.push(1);
        for known in [&single[..], &current, &older, b"", b"x", &[0, 0], &[0xC3, 0x01, 1]] {
            assert_eq!(records.foreign(known), None, "{known:?}");
        }
        assert_eq!(records.foreign(&[0, 0, 0, 1, 0, 9]), Some(ForeignSchema::RegistryId(256)));
        let without_registry = TopicRecords::of(topics::EVENTS, Framing::SingleObject).unwrap();
        assert_eq!(without_registry.foreign(&[0, 0, 0, 1, 0, 9]), None);
        assert!(TopicRecords::of(topics::DIRECTORY, Framing::SingleObject).is_none());
    }

    #[test]
    fn a_record_that_its_schema_does_not_fit_is_malformed() {
        let records = TopicRecords::of(topics::EVENTS, Framing::SingleObject).unwrap();
        let other = WriterSchema::parse(super::super::DEAD_LETTER_SCHEMA).unwrap();
        let mut ours = Vec::new();
        event().encode(&mut ours);
        assert!(records.translate(&other, &ours).is_err());
    }
}
