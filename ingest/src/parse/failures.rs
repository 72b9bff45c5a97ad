//! What can be wrong with parameters, in declaration order, and how GitLab words it.

use crate::config::IngestConfig;

/// One thing that is wrong with a request's parameters. The order is that of GitLab's declarations, Tally's extensions
/// last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Failure {
    EventsMissing,
    EventsInvalid,
    EventMissing,
    EventInvalid,
    EventTooLong,
    NamespaceIdInvalid,
    ProjectIdInvalid,
    PropertiesInvalid,
    PropertiesTooMany,
    PropertyNameTooLong,
    PropertyValueTooLong,
    SendToSnowplowInvalid,
    EventIdInvalid,
    TimestampInvalid,
    UserIdInvalid,
}

/// How an answer names the parameters of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `track_event`: `project_id`.
    Single,
    /// `track_events`: `events[project_id]`.
    List,
}

impl Failure {
    const ALL: [Self; 15] = [
        Self::EventsMissing,
        Self::EventsInvalid,
        Self::EventMissing,
        Self::EventInvalid,
        Self::EventTooLong,
        Self::NamespaceIdInvalid,
        Self::ProjectIdInvalid,
        Self::PropertiesInvalid,
        Self::PropertiesTooMany,
        Self::PropertyNameTooLong,
        Self::PropertyValueTooLong,
        Self::SendToSnowplowInvalid,
        Self::EventIdInvalid,
        Self::TimestampInvalid,
        Self::UserIdInvalid,
    ];

    const fn bit(self) -> u16 {
        1 << self as u8
    }

    const fn parameter(self) -> &'static str {
        match self {
            Self::EventsMissing | Self::EventsInvalid => "events",
            Self::EventMissing | Self::EventInvalid | Self::EventTooLong => "event",
            Self::NamespaceIdInvalid => "namespace_id",
            Self::ProjectIdInvalid => "project_id",
            Self::PropertiesInvalid
            | Self::PropertiesTooMany
            | Self::PropertyNameTooLong
            | Self::PropertyValueTooLong => "additional_properties",
            Self::SendToSnowplowInvalid => "send_to_snowplow",
            Self::EventIdInvalid => "event_id",
            Self::TimestampInvalid => "timestamp",
            Self::UserIdInvalid => "user_id",
        }
    }

    fn problem(self, limits: &IngestConfig) -> String {
        match self {
            Self::EventsMissing | Self::EventMissing => "is missing".to_owned(),
            Self::EventTooLong => format!("is too long (maximum is {} bytes)", limits.max_event_name_bytes),
            Self::PropertiesTooMany => {
                format!("has too many properties (maximum is {})", limits.max_properties)
            }
            Self::PropertyNameTooLong => {
                format!("has a name that is too long (maximum is {} bytes)", limits.max_property_name_bytes)
            }
            Self::PropertyValueTooLong => {
                format!("has a value that is too long (maximum is {} bytes)", limits.max_property_value_bytes)
            }
            Self::EventsInvalid
            | Self::EventInvalid
            | Self::NamespaceIdInvalid
            | Self::ProjectIdInvalid
            | Self::PropertiesInvalid
            | Self::SendToSnowplowInvalid
            | Self::EventIdInvalid
            | Self::TimestampInvalid
            | Self::UserIdInvalid => "is invalid".to_owned(),
        }
    }

    fn message(self, naming: Naming, limits: &IngestConfig) -> String {
        let (parameter, problem) = (self.parameter(), self.problem(limits));
        match (naming, self) {
            (Naming::Single, _) | (_, Self::EventsMissing | Self::EventsInvalid) => {
                format!("{parameter} {problem}")
            }
            (Naming::List, _) => format!("events[{parameter}] {problem}"),
        }
    }
}

/// Everything that is wrong, each thing once, as GitLab reports it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Failures(u16);

impl Failures {
    pub(crate) fn of(failures: &[Failure]) -> Self {
        Self(failures.iter().fold(0, |bits, failure| bits | failure.bit()))
    }

    pub(crate) fn add(&mut self, failure: Failure) {
        self.0 |= failure.bit();
    }

    pub(crate) fn add_all(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Those of the parameter `event` only.
    pub(crate) fn of_event(self) -> Self {
        Self(self.0 & Self::of(&[Failure::EventMissing, Failure::EventInvalid, Failure::EventTooLong]).0)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The text of the answer: every failure in declaration order, joined by comma and space.
    pub(crate) fn message(self, naming: Naming, limits: &IngestConfig) -> String {
        let present = Failure::ALL.into_iter().filter(|failure| self.0 & failure.bit() != 0);
        present.map(|failure| failure.message(naming, limits)).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_listed_in_declaration_order_however_they_came() {
        let limits = IngestConfig::default();
        let mut failures = Failures::of(&[Failure::ProjectIdInvalid, Failure::EventMissing]);
        failures.add(Failure::NamespaceIdInvalid);
        failures.add_all(Failures::of(&[Failure::EventsInvalid, Failure::EventMissing]));
        assert_eq!(
            failures.message(Naming::List, &limits),
            "events is invalid, events[event] is missing, events[namespace_id] is invalid, \
             events[project_id] is invalid"
        );
        assert_eq!(failures.of_event(), Failures::of(&[Failure::EventMissing]));
        assert_eq!(
            Failures::of(&[Failure::EventIdInvalid]).message(Naming::Single, &limits),
            "event_id is invalid"
        );
    }

    #[test]
    fn the_list_of_all_failures_is_in_the_order_of_the_enum() {
        for (index, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
        }
    }
}
