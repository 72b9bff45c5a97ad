//! The dead letter's Avro form.

use super::binary::{Reader, put_bytes, put_long, put_option, put_str};
use super::schema::{self, Versions};
use super::{CodecError, Record};
use crate::dead_letter::{DeadLetter, Origin};

impl Record<'_> for DeadLetter {
    fn versions() -> &'static Versions {
        &schema::DEAD_LETTER
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.id.as_bytes());
        put_str(out, self.reason.as_str());
        put_str(out, &self.detail);
        put_origin(out, &self.origin);
        put_long(out, self.recorded_at);
        put_bytes(out, &self.payload);
        put_option(out, self.project_id, put_long);
        put_option(out, self.key.as_deref(), put_bytes);
        put_option(out, self.whole_size, |out, size| put_long(out, size as i64));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(DeadLetter {
            id: reader.uuid()?,
            reason: reader.str()?.parse().map_err(|_| CodecError::Malformed("an unknown drop reason"))?,
            detail: reader.string()?,
            origin: read_origin(reader)?,
            recorded_at: reader.long()?,
            payload: reader.bytes()?.to_vec(),
            project_id: reader.option(Reader::long)?,
            key: reader.option(|reader| reader.bytes().map(<[u8]>::to_vec))?,
            whole_size: reader.option(Reader::unsigned)?,
        })
    }

    fn read_owned(body: &[u8]) -> Result<Self, CodecError> {
        Self::read(&mut Reader::new(body))
    }
}

fn put_origin(out: &mut Vec<u8>, origin: &Origin) {
    match origin {
        Origin::Request { endpoint, user_id, content_type } => {
            put_long(out, 0);
            put_str(out, endpoint);
            put_option(out, *user_id, put_long);
            put_str(out, content_type);
        }
        Origin::Log { topic, partition, offset } => {
            put_long(out, 1);
            put_str(out, topic);
            put_long(out, i64::from(*partition));
            put_long(out, *offset as i64);
        }
    }
}

fn read_origin(reader: &mut Reader<'_>) -> Result<Origin, CodecError> {
    match reader.long()? {
        0 => Ok(Origin::Request {
            endpoint: reader.string()?,
            user_id: reader.option(Reader::long)?,
            content_type: reader.string()?,
        }),
        1 => Ok(Origin::Log {
            topic: reader.string()?,
            partition: reader.unsigned()?,
            offset: reader.unsigned()?,
        }),
        _ => Err(CodecError::Malformed("an unknown branch of a union")),
    }
}
