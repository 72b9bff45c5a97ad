//! Additional properties out of the JSON text that the events table keeps: the inverse of `fold::json`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use tally_schemas::PropertyValue;

type Properties<'a> = Vec<(Cow<'a, str>, PropertyValue<'a>)>;

/// Reads an object; the empty text is one without members.
pub fn read(text: &str) -> Result<Properties<'_>, serde_json::Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(PropertiesVisitor)
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

struct PropertiesVisitor;

impl<'de> Visitor<'de> for PropertiesVisitor {
    type Value = Properties<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut properties = Vec::new();
        while let Some((Text(name), value)) = entries.next_entry::<Text<'de>, &'de RawValue>()? {
            properties.push((name, value_of(value.get()).map_err(serde::de::Error::custom)?));
        }
        Ok(properties)
    }
}

fn value_of(text: &str) -> Result<PropertyValue<'_>, serde_json::Error> {
    Ok(match text.as_bytes() {
        b"null" => PropertyValue::Null,
        b"true" => PropertyValue::Boolean(true),
        b"false" => PropertyValue::Boolean(false),
        [b'"', ..] => PropertyValue::String(serde_json::from_str::<Text<'_>>(text)?.0),
        [b'{' | b'[', ..] => PropertyValue::Json(Cow::Borrowed(text)),
        digits if digits.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) => {
            PropertyValue::Double(serde_json::from_str(text)?)
        }
        // A whole number that only fits an unsigned integer is kept as its text.
        _ => text.parse().map_or(PropertyValue::Json(Cow::Borrowed(text)), PropertyValue::Long),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fold::json::write_properties;

    fn any_value() -> impl Strategy<Value = PropertyValue<'static>> {
        prop_oneof![
            Just(PropertyValue::Null),
            any::<bool>().prop_map(PropertyValue::Boolean),
            any::<i64>().prop_map(PropertyValue::Long),
            any::<f64>().prop_filter("finite", |value| value.is_finite()).prop_map(PropertyValue::Double),
            any::<String>().prop_map(|text| PropertyValue::String(text.into())),
            Just(PropertyValue::Json(r#"{"a":[1,"x"]}"#.into())),
            Just(PropertyValue::Json("[]".into())),
            (i64::MAX as u64 + 1..).prop_map(|number| PropertyValue::Json(number.to_string().into())),
        ]
    }

    proptest! {
        #[test]
        fn properties_are_read_as_they_were_folded(
            values in prop::collection::btree_map(any::<String>(), any_value(), 0..6)
        ) {
            let properties: Properties<'static> =
                values.into_iter().map(|(name, value)| (name.into(), value)).collect();
            let mut text = Vec::new();
            write_properties(&mut text, &properties);
            let text = String::from_utf8(text).unwrap();
            prop_assert_eq!(read(&text).unwrap(), properties);
        }
    }
}
