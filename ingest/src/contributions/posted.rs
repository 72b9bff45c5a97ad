//! A body to the JSON values of its contributions. Only what can be used is kept: records beyond the limit are skipped as
//! they are met, and all values together are bounded, because a small compressed body can stand for millions of them.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use tally_service::api::MalformedBody;

use crate::parse::{check_json, scalars_give};

/// Values that a request may have for each record it may have; a record with every field has about fifty.
const VALUES_PER_CONTRIBUTION: usize = 200;

/// The key of the form with many records.
const MANY: &str = "contributions";

/// The two forms of a body.
#[derive(Debug, PartialEq)]
pub(super) enum Posted {
    One(Map<String, Value>),
    Many(Items),
}

/// What `contributions` holds.
#[derive(Debug, PartialEq)]
pub(super) enum Items {
    /// Within the limit.
    All(Vec<Value>),
    /// More than the limit.
    TooMany,
    /// It is no array.
    NoArray,
}

impl Posted {
    /// Reads a body of at most `max_records` records and `max_depth` levels. JSON that is no object is one record
    /// without fields.
    pub(super) fn parse(body: &str, max_records: usize, max_depth: usize) -> Result<Self, MalformedBody> {
        let text = if body.trim_ascii().is_empty() { "{}" } else { body };
        check_json(text, max_depth)?;
        let values_left = Cell::new(max_records.saturating_mul(VALUES_PER_CONTRIBUTION));
        let seed = BodySeed { values: Values { left: &values_left }, max_records };
        Ok(seed.deserialize(&mut serde_json::Deserializer::from_str(text))?)
    }
}

/// The whole body.
struct BodySeed<'c> {
    values: Values<'c>,
    max_records: usize,
}

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = Posted;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Posted, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = Posted;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Posted, A::Error> {
        let mut fields = Map::new();
        let mut many = None;
        while let Some(key) = entries.next_key::<String>()? {
            if key == MANY {
                many =
                    Some(entries.next_value_seed(ItemsSeed { values: self.values, max: self.max_records })?);
            } else {
                fields.insert(key, entries.next_value_seed(self.values)?);
            }
        }
        Ok(many.map_or(Posted::One(fields), Posted::Many))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Posted, A::Error> {
        skip_rest(&mut elements)?;
        Ok(Posted::One(Map::new()))
    }

    fn visit_unit<E: Error>(self) -> Result<Posted, E> {
        Ok(Posted::One(Map::new()))
    }

    scalars_give!(|_| Posted::One(Map::new()); visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

/// The value of `contributions`.
struct ItemsSeed<'c> {
    values: Values<'c>,
    max: usize,
}

impl<'de> DeserializeSeed<'de> for ItemsSeed<'_> {
    type Value = Items;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Items, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ItemsSeed<'_> {
    type Value = Items;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Items, A::Error> {
        let mut items = Vec::new();
        while items.len() < self.max {
            match elements.next_element_seed(self.values)? {
                Some(item) => items.push(item),
                None => return Ok(Items::All(items)),
            }
        }
        let is_over = elements.next_element::<IgnoredAny>()?.is_none();
        skip_rest(&mut elements)?;
        Ok(if is_over { Items::All(items) } else { Items::TooMany })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Items, A::Error> {
        while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Items::NoArray)
    }

    fn visit_unit<E: Error>(self) -> Result<Items, E> {
        Ok(Items::NoArray)
    }

    scalars_give!(|_| Items::NoArray; visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

fn skip_rest<'de, A: SeqAccess<'de>>(elements: &mut A) -> Result<(), A::Error> {
    while elements.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

/// Reads a value as long as values are left.
#[derive(Clone, Copy)]
struct Values<'c> {
    left: &'c Cell<usize>,
}

impl Values<'_> {
    fn take<E: Error>(self) -> Result<(), E> {
        let left = self.left.get().checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        self.left.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Values<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.take()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Values<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(self)? {
            array.push(element);
        }
        Ok(array.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key()? {
            object.insert(key, entries.next_value_seed(self)?);
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Posted, String> {
        Posted::parse(body, 2, 8).map_err(|error| error.to_string())
    }

    #[test]
    fn records_are_kept_up_to_the_limit_and_skipped_beyond() {
        let zeros = |count: usize| format!(r#"{{"contributions":[{}]}}"#, vec!["0"; count].join(","));
        let all = |count: usize| Ok(Posted::Many(Items::All(vec![0.into(); count])));
        for count in 0..=2 {
            assert_eq!(parse(&zeros(count)), all(count));
        }
        // More values than are kept of any body: skipped ones aren't counted.
        for count in [3, 4, 1000] {
            assert_eq!(parse(&zeros(count)), Ok(Posted::Many(Items::TooMany)), "{count}");
        }
    }

    #[test]
    fn values_are_bounded_wherever_they_stand() {
        let zeros = vec!["0"; 2 * VALUES_PER_CONTRIBUTION].join(",");
        for body in [
            format!(r#"{{"x":[{zeros}]}}"#),
            format!(r#"{{"contributions":[[{zeros}]]}}"#),
            format!(r#"{{"contributions":[{{"x":{{"y":[{zeros}]}}}}]}}"#),
        ] {
            let refusal = parse(&body).unwrap_err();
            assert!(refusal.contains("too many values at line 1"), "{refusal}");
        }
    }

    #[test]
    fn everything_else_is_one_record() {
        let one = |fields: Value| Ok(Posted::One(fields.as_object().unwrap().clone()));
        let mixed = r#"{"a":[null,true,-1,18446744073709551615,1.5,"x",{"b":[]}]}"#;
        assert_eq!(parse(mixed), one(serde_json::from_str(mixed).unwrap()));
        for body in ["", " ", "null", "1", "[1,[2]]", "\"x\"", "true"] {
            assert_eq!(parse(body), one(serde_json::json!({})), "{body}");
        }
        for body in [r#"{"contributions":{"a":1}}"#, r#"{"contributions":null}"#, r#"{"contributions":"x"}"#]
        {
            assert_eq!(parse(body), Ok(Posted::Many(Items::NoArray)), "{body}");
        }
    }
}
