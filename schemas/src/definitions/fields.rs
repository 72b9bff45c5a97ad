//! One definition file's fields, read with the rules of GitLab's JSON schemas. Every breach becomes an error that
//! names file, field, what was expected and what stands there; reading goes on, so that all are found at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_yaml_ng::{Mapping, Value};

use super::errors::LoadError;

/// A mapping of a definition file, and where its errors go.
pub(super) struct Fields<'a, 'e> {
    path: &'e Arc<str>,
    /// The field this mapping stands in, with a final dot; empty for the file's top.
    prefix: String,
    mapping: &'a Mapping,
    errors: &'e mut Vec<LoadError>,
}

impl<'a, 'e> Fields<'a, 'e> {
    pub(super) fn new(path: &'e Arc<str>, mapping: &'a Mapping, errors: &'e mut Vec<LoadError>) -> Self {
        Self { path, prefix: String::new(), mapping, errors }
    }

    /// Reads a mapping that stands in the field `name` of this one.
    pub(super) fn nested<'v, T>(
        &mut self,
        name: &str,
        mapping: &'v Mapping,
        read: impl FnOnce(&mut Fields<'v, '_>) -> T,
    ) -> T {
        let prefix = format!("{}{name}.", self.prefix);
        read(&mut Fields { path: self.path, prefix, mapping, errors: &mut *self.errors })
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.mapping.get(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Notes that the field isn't as it should be.
    pub(super) fn error(&mut self, name: &str, expected: impl Into<String>) {
        let got = self.get(name).map_or_else(|| "nothing".to_owned(), describe);
        self.error_got(name, expected, got);
    }

    /// Notes that part of the field isn't as it should be.
    pub(super) fn error_got(&mut self, name: &str, expected: impl Into<String>, got: impl Into<String>) {
        let field = format!("{}{name}", self.prefix);
        let error =
            LoadError { path: Arc::clone(self.path), field, expected: expected.into(), got: got.into() };
        self.errors.push(error);
    }

    /// The field's value, if it is there and `read` accepts it. A value it doesn't accept is an error.
    pub(super) fn optional<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let found = read(self.get(name)?);
        if found.is_none() {
            self.error(name, expected);
        }
        found
    }

    /// The field's value, if `read` accepts it. An absent field is an error, too.
    pub(super) fn required<T>(
        &mut self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            self.error(name, expected);
        }
        self.optional(name, expected, read)
    }

    /// A required text.
    pub(super) fn text(&mut self, name: &str) -> Option<&'a str> {
        self.required(name, "a string", Value::as_str)
    }

    /// Refuses fields the contract doesn't have.
    pub(super) fn only(&mut self, known: &[&str]) {
        for key in self.mapping.keys() {
            let name = key.as_str().map_or_else(|| describe(key), ToOwned::to_owned);
            if !known.contains(&name.as_str()) {
                self.error(&name, format!("no such field, only {}", known.join(", ")));
            }
        }
    }

    /// The mapping's entries whose keys are strings; other keys are errors.
    pub(super) fn entries(&mut self) -> Vec<(&'a str, &'a Value)> {
        let mut entries = Vec::with_capacity(self.mapping.len());
        for (key, value) in self.mapping {
            match key.as_str() {
                Some(name) => entries.push((name, value)),
                None => self.error_got(&describe(key), "a string as key", describe(key)),
            }
        }
        entries
    }
}

/// The text, or the JSON type, of what stands in a field, for error messages.
pub(super) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(value) => format!("the number {value}"),
        Value::String(text) => format!("{text:?}"),
        Value::Sequence(items) => {
            format!("the list [{}]", items.iter().map(describe).collect::<Vec<_>>().join(", "))
        }
        Value::Mapping(_) => "a mapping".to_owned(),
        Value::Tagged(tagged) => format!("a value tagged {}", tagged.tag),
    }
}

/// Accepts `null` beside what `read` accepts.
pub(super) fn nullable<'v, T>(
    read: impl FnOnce(&'v Value) -> Option<T>,
) -> impl FnOnce(&'v Value) -> Option<Option<T>> {
    |value| if value.is_null() { Some(None) } else { read(value).map(Some) }
}

/// A non-empty text.
pub(super) fn filled(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// An absolute URL: a scheme, a colon and something without blanks, as the JSON schema's `uri` asks.
pub(super) fn url(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let (scheme, rest) = text.split_once(':')?;
    let may_follow = |character: char| character.is_ascii_alphanumeric() || "+-.".contains(character);
    let is_scheme =
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.chars().all(may_follow);
    let has_blanks = rest.contains(|character: char| character.is_whitespace() || character.is_control());
    (is_scheme && !rest.is_empty() && !has_blanks).then_some(text)
}

/// `^<?[0-9]+\.[0-9]+$`
pub(super) fn milestone(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let (major, minor) = text.strip_prefix('<').unwrap_or(text).split_once('.')?;
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then_some(text)
}

/// A list of different words, each out of `words`.
pub(super) fn words<'v>(value: &'v Value, words: &[&str]) -> Option<Vec<&'v str>> {
    let found: Option<Vec<&str>> = value.as_sequence()?.iter().map(Value::as_str).collect();
    let found = found.filter(|found| found.iter().all(|word| words.contains(word)))?;
    let distinct: BTreeSet<_> = found.iter().collect();
    (distinct.len() == found.len()).then_some(found)
}

/// A list of strings.
pub(super) fn strings(value: &Value) -> Option<&[Value]> {
    value.as_sequence().map(Vec::as_slice).filter(|items| items.iter().all(Value::is_string))
}

pub(super) const MILESTONE: &str = "a quoted milestone such as \"16.9\" or \"<13.9\"";
pub(super) const URL: &str = "an absolute URL";
pub(super) const TIERS: &str = "a list of different tiers out of free, premium, ultimate";

/// The editions' tiers.
pub(super) fn tiers(value: &Value) -> Option<Vec<&str>> {
    words(value, &["free", "premium", "ultimate"])
}
