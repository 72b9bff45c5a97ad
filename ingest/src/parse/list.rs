//! The `events` of `track_events`: an array of objects, or a JSON string that holds one.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::event::{EventParameters, EventSeed, Item};
use super::failures::{Failure, Failures};
use super::nested::Nested;
use super::strings::Text;
use super::{Levels, Rules, duplicate_key};

/// The events of one request and what is wrong with them; only without failures are they to be used.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ParsedList<'a> {
    /// At most as many as are allowed, even if the request has more.
    pub(crate) events: Vec<EventParameters<'a>>,
    /// How many the request has.
    pub(crate) count: usize,
    pub(crate) failures: Failures,
}

impl ParsedList<'_> {
    /// No `events` at all.
    pub(super) fn missing() -> Self {
        Self::failed(&[Failure::EventsMissing, Failure::EventMissing])
    }

    /// `events` is null or blank.
    fn null() -> Self {
        Self::failed(&[Failure::EventMissing])
    }

    /// `events` is no list of objects: GitLab's checks of the items then fail as well.
    fn no_list() -> Self {
        Self::failed(&[Failure::EventsInvalid, Failure::EventMissing, Failure::EventInvalid])
    }

    fn failed(failures: &[Failure]) -> Self {
        Self { failures: Failures::of(failures), ..Self::default() }
    }

    fn into_owned(self) -> ParsedList<'static> {
        let events = self.events.into_iter().map(EventParameters::into_owned).collect();
        ParsedList { events, count: self.count, failures: self.failures }
    }
}

/// The whole body.
pub(super) struct BodySeed<'c>(pub(super) Rules<'c>);

impl<'de> DeserializeSeed<'de> for BodySeed<'_> {
    type Value = ParsedList<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BodySeed<'_> {
    type Value = ParsedList<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let levels = Levels::new(self.0.limits.max_json_depth).enter()?;
        let mut list = None;
        let mut unknown = HashSet::new();
        while let Some(key) = entries.next_key_seed(Text)? {
            if key == "events" {
                if list.is_some() {
                    return Err(duplicate_key(&key));
                }
                list = Some(entries.next_value_seed(ListSeed {
                    rules: self.0,
                    levels,
                    origin: Origin::Body,
                })?);
                continue;
            }
            if unknown.contains(&key) {
                return Err(duplicate_key(&key));
            }
            unknown.insert(key);
            entries.next_value_seed(Nested { levels, out: None })?;
        }
        Ok(list.unwrap_or_else(ParsedList::missing))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        let levels = Levels::new(self.0.limits.max_json_depth);
        Nested { levels, out: None }.visit_seq(elements).map(|()| ParsedList::missing())
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(ParsedList::missing())
    }

    scalars_give!(|_| ParsedList::missing(); visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}

/// Where the list stands. GitLab wraps a lone object only when it had to parse a string.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    Body,
    JsonString,
}

/// The value of `events`.
#[derive(Clone, Copy)]
struct ListSeed<'c> {
    rules: Rules<'c>,
    levels: Levels,
    origin: Origin,
}

impl<'c> ListSeed<'c> {
    fn item(self) -> EventSeed<'c> {
        EventSeed { rules: self.rules, levels: self.levels }
    }

    /// A string that may hold the list. What is no JSON is no list; a key twice in it refuses the request.
    fn parse_string<E: Error>(self, text: &str) -> Result<ParsedList<'static>, E> {
        if text.trim_ascii().is_empty() {
            return Ok(ParsedList::null());
        }
        if self.origin == Origin::JsonString {
            return Ok(ParsedList::no_list());
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let levels = Levels::new(self.rules.limits.max_json_depth);
        let seed = ListSeed { levels, origin: Origin::JsonString, ..self };
        let list = seed.deserialize(&mut deserializer).map(ParsedList::into_owned);
        match list.and_then(|list| deserializer.end().map(|()| list)) {
            Ok(list) => Ok(list),
            Err(error) if error.classify() == Category::Data => {
                Err(E::custom(format_args!("in the JSON string of \"events\": {error}")))
            }
            Err(_) => Ok(ParsedList::no_list()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for ListSeed<'_> {
    type Value = ParsedList<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ListSeed<'_> {
    type Value = ParsedList<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        let inside = Self { levels: self.levels.enter()?, ..self };
        let mut list = ParsedList::default();
        let mut only_objects = true;
        while let Some(item) = elements.next_element_seed(inside.item())? {
            list.count += 1;
            let Item::Object(event) = item else {
                only_objects = false;
                continue;
            };
            list.failures.add_all(event.failures);
            // Beyond the limit the request is refused; keeping more would only cost memory.
            if list.events.len() < self.rules.limits.max_events {
                list.events.push(event.parameters);
            }
        }
        Ok(if only_objects { list } else { ParsedList::no_list() })
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        let event = self.item().read(entries)?;
        let mut list = ParsedList { events: vec![event.parameters], count: 1, failures: event.failures };
        if self.origin == Origin::Body {
            list.failures.add(Failure::EventsInvalid);
        }
        Ok(list)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(ParsedList::null())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.parse_string(text)
    }

    scalars_give!(|_| ParsedList::no_list(); visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
}
