//! Additional properties as the JSON object text that the events table keeps.

use std::borrow::Cow;
use std::io::Write;

use tally_schemas::PropertyValue;

/// Appends the properties as one JSON object, nothing at all when there are none.
pub fn write_properties(out: &mut Vec<u8>, properties: &[(Cow<'_, str>, PropertyValue<'_>)]) {
    if properties.is_empty() {
        return;
    }
    out.push(b'{');
    for (index, (name, value)) in properties.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write_serialized(out, name.as_ref());
        out.push(b':');
        write_value(out, value);
    }
    out.push(b'}');
}

fn write_value(out: &mut Vec<u8>, value: &PropertyValue<'_>) {
    match value {
        PropertyValue::Null => out.extend_from_slice(b"null"),
        PropertyValue::Boolean(value) => write_serialized(out, value),
        PropertyValue::Long(value) => write!(out, "{value}").expect("writing to memory can't fail"),
        PropertyValue::Double(value) => write_serialized(out, value),
        PropertyValue::String(text) => write_serialized(out, text.as_ref()),
        PropertyValue::Json(text) => out.extend_from_slice(text.as_bytes()),
    }
}

fn write_serialized<T: serde::Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    serde_json::to_writer(out, value).expect("text, numbers and booleans always serialize");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_become_the_object_they_were_sent_as() {
        let properties = [
            ("label".into(), PropertyValue::String("a \"quoted\"\nline ü".into())),
            ("value".into(), PropertyValue::Double(12.5)),
            ("count".into(), PropertyValue::Long(-3)),
            ("on".into(), PropertyValue::Boolean(true)),
            ("none".into(), PropertyValue::Null),
            ("nested".into(), PropertyValue::Json("{\"a\":[1,2]}".into())),
        ];
        let mut out = Vec::new();
        write_properties(&mut out, &properties);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"label":"a \"quoted\"\nline ü","value":12.5,"count":-3,"on":true,"none":null,"nested":{"a":[1,2]}}"#
        );
    }

    #[test]
    fn no_properties_are_an_empty_text() {
        let mut out = Vec::new();
        write_properties(&mut out, &[]);
        assert!(out.is_empty());
    }
}
