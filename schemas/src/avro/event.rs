//! The tracked event's Avro form. On the hot path of ingest and processor: one pass, text borrowed.

use std::borrow::Cow;

use super::binary::{Reader, put_bool, put_bytes, put_long, put_option, put_str};
use super::schema::{self, Versions};
use super::{CodecError, Record};
use crate::event::{Increment, PropertyValue, TrackedEvent};

/// The fields of fixed size, generously.
const FIXED_BYTES: usize = 80;
/// What a property takes beside its text, generously.
const PROPERTY_BYTES: usize = 16;
/// Room made before the first property is read; more is made as more arrive, never on a mere announcement.
const EXPECTED_PROPERTIES: u64 = 16;

impl<'a> Record<'a> for TrackedEvent<'a> {
    fn versions() -> &'static Versions {
        &schema::TRACKED_EVENT
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.reserve(FIXED_BYTES + self.name.len() + PROPERTY_BYTES * self.additional_properties.len());
        out.extend_from_slice(self.event_id.as_bytes());
        put_str(out, &self.name);
        put_long(out, self.timestamp);
        put_long(out, self.received_at);
        put_option(out, self.user_id, put_long);
        put_option(out, self.project_id, put_long);
        put_option(out, self.namespace_id, put_long);
        put_properties(out, &self.additional_properties);
        put_bool(out, self.send_to_snowplow);
        put_bool(out, self.timestamp_clamped);
        put_bool(out, self.client_event_id);
        put_long(out, i64::from(self.increment.number()));
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, CodecError> {
        Ok(TrackedEvent {
            event_id: reader.uuid()?,
            name: reader.text()?,
            timestamp: reader.long()?,
            received_at: reader.long()?,
            user_id: reader.option(Reader::long)?,
            project_id: reader.option(Reader::long)?,
            namespace_id: reader.option(Reader::long)?,
            additional_properties: read_properties(reader)?,
            send_to_snowplow: reader.bool()?,
            timestamp_clamped: reader.bool()?,
            client_event_id: reader.bool()?,
            increment: read_increment(reader)?,
        })
    }

    fn read_owned(body: &[u8]) -> Result<Self, CodecError> {
        TrackedEvent::read(&mut Reader::new(body)).map(TrackedEvent::into_owned)
    }
}

fn put_properties(out: &mut Vec<u8>, properties: &[(Cow<'_, str>, PropertyValue<'_>)]) {
    if !properties.is_empty() {
        put_long(out, properties.len() as i64);
        for (name, value) in properties {
            put_str(out, name);
            put_value(out, value);
        }
    }
    put_long(out, 0);
}

fn put_value(out: &mut Vec<u8>, value: &PropertyValue<'_>) {
    match value {
        PropertyValue::Null => put_long(out, 0),
        PropertyValue::Boolean(value) => {
            put_long(out, 1);
            put_bool(out, *value);
        }
        PropertyValue::Long(value) => {
            put_long(out, 2);
            put_long(out, *value);
        }
        PropertyValue::Double(value) => {
            put_long(out, 3);
            out.extend_from_slice(&value.to_le_bytes());
        }
        PropertyValue::String(text) => {
            put_long(out, 4);
            put_bytes(out, text.as_bytes());
        }
        PropertyValue::Json(text) => {
            put_long(out, 5);
            put_bytes(out, text.as_bytes());
        }
    }
}

fn read_properties<'a>(
    reader: &mut Reader<'a>,
) -> Result<Vec<(Cow<'a, str>, PropertyValue<'a>)>, CodecError> {
    let mut properties = Vec::new();
    loop {
        let count = reader.block()?;
        if count == 0 {
            return Ok(properties);
        }
        properties.reserve(count.min(EXPECTED_PROPERTIES) as usize);
        for _ in 0..count {
            properties.push((reader.text()?, read_value(reader)?));
        }
    }
}

fn read_value<'a>(reader: &mut Reader<'a>) -> Result<PropertyValue<'a>, CodecError> {
    match reader.long()? {
        0 => Ok(PropertyValue::Null),
        1 => reader.bool().map(PropertyValue::Boolean),
        2 => reader.long().map(PropertyValue::Long),
        3 => reader.double().map(PropertyValue::Double),
        4 => reader.text().map(PropertyValue::String),
        5 => reader.text().map(PropertyValue::Json),
        _ => Err(CodecError::Malformed("an unknown branch of a union")),
    }
}

fn read_increment(reader: &mut Reader<'_>) -> Result<Increment, CodecError> {
    let number = usize::try_from(reader.long()?).ok();
    let increment = number.and_then(|number| Increment::ALL.get(number));
    increment.copied().ok_or(CodecError::Malformed("an unknown symbol of an enum"))
}
