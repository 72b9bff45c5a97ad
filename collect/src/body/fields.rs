//! Takes named fields out of a JSON object without taking the rest apart, and says of each what was expected and what
//! was found. All that doesn't fit is told at once.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::refusal::Refusal;

/// The named fields of an object, and what is wrong with them so far.
pub(crate) struct Fields<'a> {
    path: &'static str,
    found: Vec<(&'static str, &'a RawValue)>,
    problems: Vec<String>,
}

/// A field's value before anything is expected of it.
type Found<'a> = Option<&'a RawValue>;

impl<'a> Fields<'a> {
    /// The fields `names` of an object. Null counts as absent. `path` is what the object is called in problems, empty for
    /// the whole body.
    pub(crate) fn of(
        object: &'a RawValue,
        path: &'static str,
        names: &'static [&'static str],
    ) -> Result<Self, Refusal> {
        let mut fields = Self { path, found: Vec::new(), problems: Vec::new() };
        if kind_of(object.get()) != "an object" {
            let what = if path.is_empty() { "the body" } else { path };
            let found = kind_of(object.get());
            return Err(Refusal::UnknownShape(format!("{what}: expected an object, found {found}")));
        }
        let mut deserializer = serde_json::Deserializer::from_str(object.get());
        fields.found = Pick(names)
            .deserialize(&mut deserializer)
            .map_err(|error| Refusal::UnknownShape(error.to_string()))?;
        Ok(fields)
    }

    /// A field as it stands.
    pub(crate) fn get(&self, name: &str) -> Found<'a> {
        self.found.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A UUID that must be there, and not be the nil one, which unconfigured instances have in common. Until
    /// [`Self::finish`] is asked, a problem stands for the nil UUID.
    pub(crate) fn uuid(&mut self, name: &'static str) -> Uuid {
        let text = self.get(name).and_then(|value| serde_json::from_str::<Cow<'_, str>>(value.get()).ok());
        let uuid = text.and_then(|text| Uuid::try_parse(&text).ok());
        let expected =
            if uuid.is_some_and(|uuid| uuid.is_nil()) { "a UUID that is not nil" } else { "a UUID" };
        self.or_problem(name, uuid.filter(|uuid| !uuid.is_nil()), expected)
    }

    /// A time with zone that must be there; `None` where that is a problem.
    pub(crate) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        let text = self.get(name).and_then(|value| serde_json::from_str::<Cow<'_, str>>(value.get()).ok());
        let time = text.and_then(|text| parse_time(&text));
        self.or_problem(name, time.map(Some), "a time as 2026-01-31T23:59:59.000Z")
    }

    /// A text of 1 to `max` bytes that must be there.
    pub(crate) fn text(&mut self, name: &'static str, max: usize) -> String {
        let text = self.get(name).and_then(|value| text_within(value, max)).filter(|text| !text.is_empty());
        self.or_problem(name, text, &format!("a text of 1 to {max} bytes"))
    }

    /// A text of at most `max` bytes, empty when absent.
    pub(crate) fn optional_text(&mut self, name: &'static str, max: usize) -> String {
        let Some(value) = self.get(name) else { return String::new() };
        self.or_problem(name, text_within(value, max), &format!("a text of at most {max} bytes"))
    }

    /// A number, when there is one.
    pub(crate) fn optional_number(&mut self, name: &'static str) -> Option<f64> {
        let number = serde_json::from_str::<f64>(self.get(name)?.get()).ok();
        Some(self.or_problem(name, number, "a number"))
    }

    /// An object, when there is one.
    pub(crate) fn optional_object(&mut self, name: &'static str) -> Found<'a> {
        self.optional_kind(name, "an object")
    }

    /// Notes that a field was expected to be something else.
    pub(crate) fn problem(&mut self, name: &str, expected: &str) {
        let found = self.get(name).map_or("nothing", |value| kind_or_text(value.get()));
        let dot = if self.path.is_empty() { "" } else { "." };
        self.problems.push(format!("{}{dot}{name}: expected {expected}, found {found}", self.path));
    }

    /// Refuses when anything was wrong.
    pub(crate) fn finish(self) -> Result<(), Refusal> {
        if self.problems.is_empty() { Ok(()) } else { Err(Refusal::UnknownShape(self.problems.join("; "))) }
    }

    fn optional_kind(&mut self, name: &'static str, kind: &'static str) -> Found<'a> {
        let value = self.get(name)?;
        if kind_of(value.get()) != kind {
            self.problem(name, kind);
            return None;
        }
        Some(value)
    }

    fn or_problem<T: Default>(&mut self, name: &'static str, value: Option<T>, expected: &str) -> T {
        value.unwrap_or_else(|| {
            self.problem(name, expected);
            T::default()
        })
    }
}

fn text_within(value: &RawValue, max: usize) -> Option<String> {
    serde_json::from_str::<String>(value.get()).ok().filter(|text| text.len() <= max)
}

/// RFC 3339, or as Ruby prints a time: `2026-01-31 23:59:59 UTC`.
fn parse_time(text: &str) -> Option<Timestamp> {
    let rubys = text.strip_suffix(" UTC").map(|bare| format!("{bare}Z"));
    rubys.as_deref().unwrap_or(text).parse().ok()
}

/// What kind of JSON value this text is, with its article.
pub(crate) fn kind_of(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a text",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// As [`kind_of`]; "another text" where a text doesn't do.
fn kind_or_text(json: &str) -> &'static str {
    match kind_of(json) {
        "a text" => "another text",
        kind => kind,
    }
}

/// Picks fields while it reads an object.
struct Pick(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for Pick {
    type Value = Vec<(&'static str, &'de RawValue)>;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Pick {
    type Value = Vec<(&'static str, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked: Self::Value = Vec::new();
        while let Some(key) = map.next_key::<Cow<'de, str>>()? {
            let Some(name) = self.0.iter().find(|name| **name == key) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let value = map.next_value::<&RawValue>()?;
            // Of a field that is given twice the last counts, as most readers of JSON have it.
            picked.retain(|(known, _)| known != name);
            if value.get() != "null" {
                picked.push((name, value));
            }
        }
        Ok(picked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        let body: &RawValue = serde_json::from_str(json).unwrap();
        let read = |body| -> Result<(), Refusal> {
            let mut fields = Fields::of(body, "", &["u", "t", "s", "n", "o"])?;
            fields.uuid("u");
            fields.time("t");
            fields.text("s", 3);
            fields.optional_number("n");
            fields.optional_object("o");
            fields.finish()
        };
        read(body).err().map_or_else(String::new, |refusal| refusal.to_string())
    }

    #[test]
    fn a_problem_says_what_was_expected_where() {
        const UUID: &str = r#""u":"0f9a4a1e-5d3c-4b2a-9e1f-7a6b5c4d3e2f""#;
        const TIME: &str = r#""t":"2026-01-31T23:59:59Z""#;
        for (json, text) in [
            (format!(r#"{{{UUID},{TIME},"s":"abc","x":[1]}}"#), ""),
            (format!(r#"{{{UUID},"t":"2026-01-31 23:59:59 UTC","s":"abc","n":null,"o":{{}}}}"#), ""),
            ("[]".into(), "the body: expected an object, found an array"),
            (format!(r#"{{"u":7,{TIME},"s":"a"}}"#), "u: expected a UUID, found a number"),
            (format!(r#"{{"u":"7",{TIME},"s":"a"}}"#), "u: expected a UUID, found another text"),
            (
                format!(r#"{{"u":"00000000-0000-0000-0000-000000000000",{TIME},"s":"a"}}"#),
                "u: expected a UUID that is not nil, found another text",
            ),
            (
                format!(r#"{{{UUID},"t":"yesterday","s":"abcd"}}"#),
                "t: expected a time as 2026-01-31T23:59:59.000Z, found another text; \
                 s: expected a text of 1 to 3 bytes, found another text",
            ),
            (
                format!(r#"{{{UUID},{TIME},"n":"1","o":[]}}"#),
                "s: expected a text of 1 to 3 bytes, found nothing; n: expected a number, found another text; \
                 o: expected an object, found an array",
            ),
            (format!(r#"{{{UUID},{UUID},"u":null,{TIME},"s":"a"}}"#), "u: expected a UUID, found nothing"),
        ] {
            assert_eq!(refused(&json), text, "{json}");
        }
    }
}
