//! Reads the fields of one JSON object into what a contribution wants, and notes in GitLab's words what does not fit.

use std::str::FromStr;

use serde_json::{Map, Value};

use crate::parse::{Scalar, coerce};

/// One object's fields. Without a value, or with a wrong one, a field reads as `None`; `problems` says why.
pub(super) struct Fields<'o, 'p> {
    object: &'o Map<String, Value>,
    /// The object's own name, empty for the body.
    name: String,
    max_text_bytes: usize,
    problems: &'p mut Vec<String>,
}

/// Adds a problem unless it is known.
pub(super) fn report(problems: &mut Vec<String>, problem: String) {
    if !problems.contains(&problem) {
        problems.push(problem);
    }
}

impl<'o, 'p> Fields<'o, 'p> {
    pub(super) fn new(
        object: &'o Map<String, Value>,
        name: String,
        max_text_bytes: usize,
        problems: &'p mut Vec<String>,
    ) -> Self {
        Self { object, name, max_text_bytes, problems }
    }

    pub(super) fn problem(&mut self, field: &str, problem: &str) {
        let text = format!("{} {problem}", self.full_name(field));
        report(self.problems, text);
    }

    /// The field's name as answers show it: `note[id]` within the body's `note`.
    fn full_name(&self, field: &str) -> String {
        if self.name.is_empty() { field.to_owned() } else { format!("{}[{field}]", self.name) }
    }

    /// The value of a field that must be given; `read` is one of the readers below.
    pub(super) fn required<T>(&mut self, field: &str, read: fn(&mut Self, &str) -> Option<T>) -> Option<T> {
        if self.value(field).is_none() {
            self.problem(field, "is missing");
            return None;
        }
        read(self, field)
    }

    pub(super) fn integer(&mut self, field: &str) -> Option<i64> {
        let coerced = coerce::integer(&self.scalar(field));
        self.or_invalid(field, coerced)
    }

    /// An integer that names something: ids count from 1.
    pub(super) fn id(&mut self, field: &str) -> Option<i64> {
        self.integer(field).filter(|id| *id > 0)
    }

    /// An array of ids. What counts as no id is left out.
    pub(super) fn ids(&mut self, field: &str) -> Vec<i64> {
        let items = match self.value(field) {
            None => return Vec::new(),
            Some(Value::Array(items)) => {
                items.iter().map(|item| coerce::integer(&Scalar::from(item))).collect()
            }
            Some(_) => Err(coerce::Invalid),
        };
        let ids: Option<Vec<Option<i64>>> = self.or_invalid(field, items.map(Some));
        ids.unwrap_or_default().into_iter().flatten().filter(|id| *id > 0).collect()
    }

    pub(super) fn boolean(&mut self, field: &str) -> bool {
        let coerced = coerce::boolean(&self.scalar(field));
        self.or_invalid(field, coerced).unwrap_or(false)
    }

    pub(super) fn timestamp(&mut self, field: &str) -> Option<i64> {
        let coerced = coerce::timestamp(&self.scalar(field));
        self.or_invalid(field, coerced)
    }

    pub(super) fn uuid(&mut self, field: &str) -> Option<uuid::Uuid> {
        let coerced = coerce::uuid(&self.scalar(field));
        self.or_invalid(field, coerced)
    }

    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        self.value(field)?;
        let coerced = coerce::string(self.scalar(field)).map(|text| Some(text.into_owned()));
        let text = self.or_invalid(field, coerced)?;
        if text.len() > self.max_text_bytes {
            self.problem(field, &format!("is too long (maximum is {} bytes)", self.max_text_bytes));
            return None;
        }
        Some(text)
    }

    /// One of a closed set of texts.
    pub(super) fn choice<T: FromStr>(&mut self, field: &str) -> Option<T> {
        let text = self.text(field).filter(|text| !text.is_empty())?;
        let choice = text.parse().ok();
        if choice.is_none() {
            self.problem(field, "does not have a valid value");
        }
        choice
    }

    /// The fields of an object within this one.
    pub(super) fn nested(&mut self, field: &str) -> Option<Fields<'o, '_>> {
        let Value::Object(object) = self.value(field)? else {
            self.problem(field, "is invalid");
            return None;
        };
        let name = self.full_name(field);
        Some(Fields { object, name, max_text_bytes: self.max_text_bytes, problems: self.problems })
    }

    /// The JSON text of whatever the field holds.
    pub(super) fn json(&mut self, field: &str) -> Option<String> {
        let text = self.value(field)?.to_string();
        if text.len() > self.max_text_bytes {
            self.problem(field, &format!("is too long (maximum is {} bytes)", self.max_text_bytes));
            return None;
        }
        Some(text)
    }

    /// Null is as if absent.
    fn value(&self, field: &str) -> Option<&'o Value> {
        self.object.get(field).filter(|value| !value.is_null())
    }

    fn scalar(&self, field: &str) -> Scalar<'o> {
        self.value(field).map_or(Scalar::Null, Scalar::from)
    }

    fn or_invalid<T>(&mut self, field: &str, coerced: Result<Option<T>, coerce::Invalid>) -> Option<T> {
        coerced.unwrap_or_else(|coerce::Invalid| {
            self.problem(field, "is invalid");
            None
        })
    }
}
