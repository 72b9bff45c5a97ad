//! The `additional_properties` object: names in order, each once, values as the record keeps them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use tally_schemas::PropertyValue;

use super::failures::{Failure, Failures};
use super::nested::Nested;
use super::strings::Text;
use super::{Levels, Rules, duplicate_key};

/// An event's properties in the order received.
pub(crate) type Properties<'a> = Vec<(Cow<'a, str>, PropertyValue<'a>)>;

/// Reads an object or null; everything else is a failure.
pub(super) struct PropertiesSeed<'r, 'c> {
    pub(super) rules: Rules<'c>,
    pub(super) levels: Levels,
    pub(super) failures: &'r mut Failures,
}

impl<'de> PropertiesSeed<'_, '_> {
    fn invalid(self) -> Properties<'de> {
        self.failures.add(Failure::PropertiesInvalid);
        Vec::new()
    }
}

impl<'de> DeserializeSeed<'de> for PropertiesSeed<'_, '_> {
    type Value = Properties<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for PropertiesSeed<'_, '_> {
    type Value = Properties<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    scalars_give!(Self::invalid; visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        Nested { levels: self.levels, out: None }.visit_seq(elements)?;
        Ok(self.invalid())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let levels = self.levels.enter()?;
        let limits = self.rules.limits;
        let mut properties: Properties<'de> = Vec::new();
        while let Some(name) = entries.next_key_seed(Text)? {
            if properties.iter().any(|(earlier, _)| *earlier == name) {
                return Err(duplicate_key(&name));
            }
            let value = entries.next_value_seed(ValueSeed(levels))?;
            if name.len() > limits.max_property_name_bytes {
                self.failures.add(Failure::PropertyNameTooLong);
            }
            if text_length(&value) > limits.max_property_value_bytes {
                self.failures.add(Failure::PropertyValueTooLong);
            }
            // The request is refused then; keeping more would only cost memory, and comparing names with them time.
            if properties.len() == limits.max_properties {
                self.failures.add(Failure::PropertiesTooMany);
            } else {
                properties.push((name, value));
            }
        }
        Ok(properties)
    }
}

fn text_length(value: &PropertyValue<'_>) -> usize {
    match value {
        PropertyValue::String(text) | PropertyValue::Json(text) => text.len(),
        PropertyValue::Null
        | PropertyValue::Boolean(_)
        | PropertyValue::Long(_)
        | PropertyValue::Double(_) => 0,
    }
}

/// One property's value.
#[derive(Clone, Copy)]
struct ValueSeed(Levels);

impl ValueSeed {
    /// The JSON text of what `write` visits.
    fn nested<'de, E>(
        self,
        write: impl FnOnce(Nested<'_>) -> Result<(), E>,
    ) -> Result<PropertyValue<'de>, E> {
        let mut text = Vec::new();
        write(Nested { levels: self.0, out: Some(&mut text) })?;
        let text = String::from_utf8(text).expect("JSON is written from strings only");
        Ok(PropertyValue::Json(Cow::Owned(text)))
    }
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = PropertyValue<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = PropertyValue<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(PropertyValue::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(PropertyValue::Boolean(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(PropertyValue::Long(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        // As text it is exact; a double would be another number.
        Ok(i64::try_from(value)
            .map_or_else(|_| PropertyValue::Json(value.to_string().into()), PropertyValue::Long))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        Ok(PropertyValue::Double(value))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(PropertyValue::String(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(PropertyValue::String(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        self.nested(|nested| nested.visit_seq(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        self.nested(|nested| nested.visit_map(entries))
    }
}
