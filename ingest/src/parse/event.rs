//! One event's parameters out of one JSON object.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use uuid::Uuid;

use super::coerce::{self, Invalid};
use super::failures::{Failure, Failures};
use super::nested::Nested;
use super::properties::{Properties, PropertiesSeed};
use super::scalar::ScalarSeed;
use super::strings::Text;
use super::{Levels, Rules, duplicate_key};

/// What a producer says about one event. `None` is not given, null or empty.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct EventParameters<'a> {
    pub(crate) event: Cow<'a, str>,
    pub(crate) namespace_id: Option<i64>,
    pub(crate) project_id: Option<i64>,
    pub(crate) additional_properties: Properties<'a>,
    pub(crate) send_to_snowplow: bool,
    pub(crate) event_id: Option<Uuid>,
    /// Milliseconds since the epoch.
    pub(crate) timestamp: Option<i64>,
    /// Administrators only.
    pub(crate) user_id: Option<i64>,
}

impl EventParameters<'_> {
    /// The same, owning its text.
    pub(super) fn into_owned(self) -> EventParameters<'static> {
        let properties = self.additional_properties.into_iter();
        EventParameters {
            event: Cow::Owned(self.event.into_owned()),
            namespace_id: self.namespace_id,
            project_id: self.project_id,
            additional_properties: properties
                .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                .collect(),
            send_to_snowplow: self.send_to_snowplow,
            event_id: self.event_id,
            timestamp: self.timestamp,
            user_id: self.user_id,
        }
    }
}

/// An event's parameters and what is wrong with them; only without failures are they to be used.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ParsedEvent<'a> {
    pub(crate) parameters: EventParameters<'a>,
    pub(crate) failures: Failures,
}

impl ParsedEvent<'_> {
    pub(super) fn without_parameters() -> Self {
        Self { failures: Failures::of(&[Failure::EventMissing]), ..Self::default() }
    }
}

/// A JSON value where an event is expected.
pub(super) enum Item<'a> {
    Object(ParsedEvent<'a>),
    Other,
}

impl<'a> Item<'a> {
    pub(super) fn or_without_parameters(self) -> ParsedEvent<'a> {
        match self {
            Self::Object(event) => event,
            Self::Other => ParsedEvent::without_parameters(),
        }
    }
}

/// The declared parameters, one bit each, to notice a key that comes twice.
#[derive(Clone, Copy)]
#[repr(u8)]
enum Parameter {
    Event,
    NamespaceId,
    ProjectId,
    AdditionalProperties,
    SendToSnowplow,
    EventId,
    Timestamp,
    UserId,
}

impl Parameter {
    fn named(key: &str) -> Option<Self> {
        Some(match key {
            "event" => Self::Event,
            "namespace_id" => Self::NamespaceId,
            "project_id" => Self::ProjectId,
            "additional_properties" => Self::AdditionalProperties,
            "send_to_snowplow" => Self::SendToSnowplow,
            "event_id" => Self::EventId,
            "timestamp" => Self::Timestamp,
            "user_id" => Self::UserId,
            _ => return None,
        })
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Reads one event.
#[derive(Clone, Copy)]
pub(super) struct EventSeed<'c> {
    pub(super) rules: Rules<'c>,
    pub(super) levels: Levels,
}

impl<'c> EventSeed<'c> {
    /// For an event that is the whole body.
    pub(super) fn body(rules: Rules<'c>) -> Self {
        Self { rules, levels: Levels::new(rules.limits.max_json_depth) }
    }

    /// Reads the entries of an event's object.
    pub(super) fn read<'de, A: MapAccess<'de>>(self, mut entries: A) -> Result<ParsedEvent<'de>, A::Error> {
        let inside = Self { levels: self.levels.enter()?, ..self };
        let mut event = ParsedEvent::default();
        let mut seen = 0;
        // Empty, and then without allocation, as long as producers send only what is declared.
        let mut unknown = HashSet::new();
        while let Some(key) = entries.next_key_seed(Text)? {
            let Some(parameter) = Parameter::named(&key) else {
                if unknown.contains(&key) {
                    return Err(duplicate_key(&key));
                }
                unknown.insert(key);
                entries.next_value_seed(Nested { levels: inside.levels, out: None })?;
                continue;
            };
            if seen & parameter.bit() != 0 {
                return Err(duplicate_key(&key));
            }
            seen |= parameter.bit();
            inside.read_parameter(parameter, &mut event, &mut entries)?;
        }
        if seen & Parameter::Event.bit() == 0 {
            event.failures.add(Failure::EventMissing);
        }
        Ok(event)
    }

    fn read_parameter<'de, A: MapAccess<'de>>(
        self,
        parameter: Parameter,
        event: &mut ParsedEvent<'de>,
        entries: &mut A,
    ) -> Result<(), A::Error> {
        let ParsedEvent { parameters, failures } = event;
        if let Parameter::AdditionalProperties = parameter {
            let seed = PropertiesSeed { rules: self.rules, levels: self.levels, failures };
            parameters.additional_properties = entries.next_value_seed(seed)?;
            return Ok(());
        }
        let scalar = entries.next_value_seed(ScalarSeed(self.levels))?;
        match parameter {
            Parameter::Event => {
                parameters.event = or_failure(coerce::string(scalar), Failure::EventInvalid, failures);
                if parameters.event.len() > self.rules.limits.max_event_name_bytes {
                    failures.add(Failure::EventTooLong);
                }
            }
            Parameter::NamespaceId => {
                parameters.namespace_id =
                    or_failure(coerce::integer(&scalar), Failure::NamespaceIdInvalid, failures);
            }
            Parameter::ProjectId => {
                parameters.project_id =
                    or_failure(coerce::integer(&scalar), Failure::ProjectIdInvalid, failures);
            }
            Parameter::SendToSnowplow => {
                let given = or_failure(coerce::boolean(&scalar), Failure::SendToSnowplowInvalid, failures);
                parameters.send_to_snowplow = given.unwrap_or(false);
            }
            Parameter::EventId => {
                parameters.event_id = or_failure(coerce::uuid(&scalar), Failure::EventIdInvalid, failures);
            }
            Parameter::Timestamp => {
                parameters.timestamp =
                    or_failure(coerce::timestamp(&scalar), Failure::TimestampInvalid, failures);
            }
            Parameter::UserId if self.rules.administrator => {
                parameters.user_id = or_failure(coerce::integer(&scalar), Failure::UserIdInvalid, failures);
            }
            Parameter::UserId | Parameter::AdditionalProperties => {}
        }
        Ok(())
    }
}

/// The coerced value, or its default after noting the failure.
fn or_failure<T: Default>(coerced: Result<T, Invalid>, failure: Failure, failures: &mut Failures) -> T {
    coerced.unwrap_or_else(|Invalid| {
        failures.add(failure);
        T::default()
    })
}

impl<'de> DeserializeSeed<'de> for EventSeed<'_> {
    type Value = Item<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EventSeed<'_> {
    type Value = Item<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, entries: A) -> Result<Self::Value, A::Error> {
        self.read(entries).map(Item::Object)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<Self::Value, A::Error> {
        Nested { levels: self.levels, out: None }.visit_seq(elements).map(|()| Item::Other)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Item::Other)
    }

    scalars_give!(|_| Item::Other; visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
}
