//! Nested JSON that is kept as text or only checked: every key once per object, no deeper than allowed. The text is
//! written anew without white space; numbers and strings keep their value, not their spelling.

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use tally_service::api::MalformedBody;

use super::strings::Text;
use super::{Levels, duplicate_key, parse};

/// Checks a whole body that another parser will read.
pub(crate) fn check_json(body: &str, max_depth: usize) -> Result<(), MalformedBody> {
    parse(body, Nested { levels: Levels::new(max_depth), out: None })
}

/// Any JSON value; written to `out` if there is one.
pub(super) struct Nested<'o> {
    pub(super) levels: Levels,
    pub(super) out: Option<&'o mut Vec<u8>>,
}

impl Nested<'_> {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(out) = &mut self.out {
            out.extend_from_slice(bytes);
        }
    }

    fn write_scalar(&mut self, scalar: impl Serialize) {
        if let Some(out) = &mut self.out {
            serde_json::to_writer(&mut **out, &scalar).expect("writing a scalar to memory can't fail");
        }
    }

    fn inside(&mut self, levels: Levels) -> Nested<'_> {
        Nested { levels, out: self.out.as_deref_mut() }
    }
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(mut self) -> Result<(), E> {
        self.write_scalar(());
        Ok(())
    }

    fn visit_bool<E: Error>(mut self, value: bool) -> Result<(), E> {
        self.write_scalar(value);
        Ok(())
    }

    fn visit_i64<E: Error>(mut self, value: i64) -> Result<(), E> {
        self.write_scalar(value);
        Ok(())
    }

    fn visit_u64<E: Error>(mut self, value: u64) -> Result<(), E> {
        self.write_scalar(value);
        Ok(())
    }

    fn visit_f64<E: Error>(mut self, value: f64) -> Result<(), E> {
        self.write_scalar(value);
        Ok(())
    }

    fn visit_str<E: Error>(mut self, text: &str) -> Result<(), E> {
        self.write_scalar(text);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let levels = self.levels.enter()?;
        self.write(b"[");
        let written = self.out.as_ref().map_or(0, |out| out.len());
        loop {
            // Whether there is a further element shows only after its comma is written.
            let before = self.out.as_ref().map_or(0, |out| out.len());
            if before != written {
                self.write(b",");
            }
            if elements.next_element_seed(self.inside(levels))?.is_none() {
                if let Some(out) = &mut self.out {
                    out.truncate(before);
                }
                break;
            }
        }
        self.write(b"]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<(), A::Error> {
        let levels = self.levels.enter()?;
        let mut seen = HashSet::new();
        self.write(b"{");
        while let Some(key) = entries.next_key_seed(Text)? {
            if !seen.is_empty() {
                self.write(b",");
            }
            self.write_scalar(&key);
            self.write(b":");
            if seen.contains(&key) {
                return Err(duplicate_key(&key));
            }
            seen.insert(key);
            entries.next_value_seed(self.inside(levels))?;
        }
        self.write(b"}");
        Ok(())
    }
}
