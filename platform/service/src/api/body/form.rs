//! A URL-encoded form as the JSON it stands for, by Rack's rules, which GitLab's are: `a[b]=1` is an object,
//! `a[]=1` an array, `a[][b]=1` an array of objects where a repeated name begins the next object. Every value is a string;
//! a name without `=` is null. Where Rack lets the last of two equal names win, the form is refused.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

/// Pairs a form may have; each costs more memory than its text.
const MAX_PAIRS: usize = 4096;

/// Why a form has no meaning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormError {
    #[error("invalid UTF-8 in pair {0} of the form")]
    InvalidUtf8(usize),
    #[error("duplicate key {name:?} in pair {pair} of the form")]
    Duplicate { name: String, pair: usize },
    #[error("{name:?} in pair {pair} of the form is used as two different types")]
    TypeConflict { name: String, pair: usize },
    #[error("{name:?} in pair {pair} of the form is nested deeper than {limit} levels")]
    TooDeep { name: String, pair: usize, limit: usize },
    #[error("the form has more than {MAX_PAIRS} pairs")]
    TooMany,
}

/// The JSON object with the form's parameters.
pub(super) fn to_json(form: &str, max_depth: usize) -> Result<String, FormError> {
    let mut object = Map::new();
    let pairs = form.split('&').filter(|pair| !pair.is_empty());
    for (index, text) in pairs.enumerate() {
        let pair = index + 1;
        if pair > MAX_PAIRS {
            return Err(FormError::TooMany);
        }
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Value::String(decode(value, pair)?)),
            None => (text, Value::Null),
        };
        let name = decode(name, pair)?;
        let (first, rest) = split_name(&name);
        // The form itself is the first level.
        if rest.len() + 1 > max_depth {
            return Err(FormError::TooDeep { name, pair, limit: max_depth });
        }
        insert(&mut object, first, &rest, value).map_err(|conflict| match conflict {
            Conflict::Duplicate => FormError::Duplicate { name: name.clone(), pair },
            Conflict::Type => FormError::TypeConflict { name: name.clone(), pair },
        })?;
    }
    Ok(Value::Object(object).to_string())
}

fn decode(text: &str, pair: usize) -> Result<String, FormError> {
    let text = text.replace('+', " ");
    percent_decode_str(&text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| FormError::InvalidUtf8(pair))
}

/// `a[b][]` as `a` and `["b", ""]`. A name whose brackets don't pair is one name as it stands.
fn split_name(name: &str) -> (&str, Vec<&str>) {
    let brackets = name.find('[').filter(|start| *start > 0);
    let Some(start) = brackets else { return (name, Vec::new()) };
    let Some(inner) = name[start..].strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
        return (name, Vec::new());
    };
    let segments: Vec<&str> = inner.split("][").collect();
    if segments.iter().any(|segment| segment.contains(['[', ']'])) {
        return (name, Vec::new());
    }
    (&name[..start], segments)
}

/// Why a value has no place.
enum Conflict {
    Duplicate,
    Type,
}

fn insert(object: &mut Map<String, Value>, key: &str, rest: &[&str], value: Value) -> Result<(), Conflict> {
    match rest {
        [] => match object.insert(key.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(Conflict::Duplicate),
        },
        ["", rest @ ..] => {
            let entry = object.entry(key).or_insert_with(|| Value::Array(Vec::new()));
            push(entry.as_array_mut().ok_or(Conflict::Type)?, rest, value)
        }
        [next, rest @ ..] => {
            let entry = object.entry(key).or_insert_with(|| Value::Object(Map::new()));
            insert(entry.as_object_mut().ok_or(Conflict::Type)?, next, rest, value)
        }
    }
}

fn push(array: &mut Vec<Value>, rest: &[&str], value: Value) -> Result<(), Conflict> {
    match rest {
        [] => {
            array.push(value);
            Ok(())
        }
        ["", ..] => Err(Conflict::Type),
        [key, rest @ ..] => {
            // Into the last object, unless that one has the name already.
            if !array.last().and_then(Value::as_object).is_some_and(|object| has_room(object, key, rest)) {
                array.push(Value::Object(Map::new()));
            }
            let last = array.last_mut().and_then(Value::as_object_mut).ok_or(Conflict::Type)?;
            insert(last, key, rest, value)
        }
    }
}

/// Whether `key` and what follows it are not in the object yet.
fn has_room(object: &Map<String, Value>, key: &str, rest: &[&str]) -> bool {
    match (object.get(key), rest) {
        (None, _) | (Some(Value::Array(_)), ["", ..]) => true,
        (Some(Value::Object(nested)), [next, rest @ ..]) => has_room(nested, next, rest),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(form: &str) -> Result<String, FormError> {
        to_json(form, 4)
    }

    #[test]
    fn a_form_is_the_json_that_rack_makes_of_it() {
        let rows = [
            ("", "{}"),
            ("event=a", r#"{"event":"a"}"#),
            ("event=", r#"{"event":""}"#),
            ("event", r#"{"event":null}"#),
            ("event=a+b%20c&project_id=12", r#"{"event":"a b c","project_id":"12"}"#),
            ("additional_properties%5Blabel%5D=x", r#"{"additional_properties":{"label":"x"}}"#),
            ("p[label]=x&p[value]=1", r#"{"p":{"label":"x","value":"1"}}"#),
            ("a[]=1&a[]=1", r#"{"a":["1","1"]}"#),
            ("a[][x]=1&a[][y]=2&a[][x]=3", r#"{"a":[{"x":"1","y":"2"},{"x":"3"}]}"#),
            ("a[][p][x]=1&a[][p][y]=2&a[][p][x]=3", r#"{"a":[{"p":{"x":"1","y":"2"}},{"p":{"x":"3"}}]}"#),
            ("a[=1&[b]=2&a[x]y=3", r#"{"a[":"1","[b]":"2","a[x]y":"3"}"#),
        ];
        for (form, expected) in rows {
            assert_eq!(json(form).as_deref(), Ok(expected), "{form}");
        }
    }

    #[test]
    fn a_form_that_hides_something_is_refused_and_the_place_named() {
        let rows = [
            ("event=a&event=b", r#"duplicate key "event" in pair 2 of the form"#),
            ("p[a]=1&p[a]=2", r#"duplicate key "p[a]" in pair 2 of the form"#),
            ("p=1&p[a]=2", r#""p[a]" in pair 2 of the form is used as two different types"#),
            ("p[a]=1&p[]=2", r#""p[]" in pair 2 of the form is used as two different types"#),
            ("a=%ff", "invalid UTF-8 in pair 1 of the form"),
            ("a[b][c][d][e]=1", r#""a[b][c][d][e]" in pair 1 of the form is nested deeper than 4 levels"#),
        ];
        for (form, expected) in rows {
            assert_eq!(json(form).unwrap_err().to_string(), expected, "{form}");
        }
        assert_eq!(json(&"a[]=&".repeat(MAX_PAIRS + 1)), Err(FormError::TooMany));
    }
}
