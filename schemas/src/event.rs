//! A tracked event as it travels on the log: what a producer sent, plus when and how Tally accepted it.
//! Borrowed where possible, so that decoding a record copies no text.

use std::borrow::Cow;

use uuid::Uuid;

/// One accepted event. Timestamps are milliseconds since the epoch, UTC.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackedEvent<'a> {
    /// Chosen by the client or, when it sent none, by ingest. Of several events with an id that a client chose only the first
    /// counts, for 7 days.
    pub event_id: Uuid,
    /// The internal event's name, known or not.
    pub name: Cow<'a, str>,
    /// When it happened, in milliseconds since the epoch.
    pub timestamp: i64,
    /// When ingest accepted it, in milliseconds since the epoch.
    pub received_at: i64,
    /// Who acted; `None` when the producer named nobody.
    pub user_id: Option<i64>,
    /// Where it happened; `None` when outside any project.
    pub project_id: Option<i64>,
    /// The namespace, given or derived from the project.
    pub namespace_id: Option<i64>,
    /// In the order received, before undeclared ones are cut. Names are distinct.
    pub additional_properties: Vec<(Cow<'a, str>, PropertyValue<'a>)>,
    /// The producer asked for the event to be forwarded to Snowplow.
    pub send_to_snowplow: bool,
    /// The producer's timestamp was outside what is accepted and was replaced.
    pub timestamp_clamped: bool,
    /// The client chose `event_id`: only such events can repeat.
    pub client_event_id: bool,
    /// What is counted of it.
    pub increment: Increment,
}

/// What is counted of an event: all that the definitions make of it, or one thing only, as the endpoints of older
/// clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Increment {
    /// A tracked event: whatever its definition says.
    #[default]
    Event,
    /// `increment_counter`: the total of the name, which may be a legacy one.
    Total,
    /// `increment_unique_users`: the user, among the unique users of the name, which may be a legacy one.
    UniqueUsers,
}

impl Increment {
    /// Each, in the order in which records and tables number them from 0.
    pub const ALL: [Self; 3] = [Self::Event, Self::Total, Self::UniqueUsers];

    /// The name in records and tables.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Total => "total",
            Self::UniqueUsers => "unique_users",
        }
    }

    /// The number in records and tables.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// The value of one additional property.
#[derive(Debug, Clone, PartialEq)]
pub enum PropertyValue<'a> {
    /// JSON null; counts as absent for filters, identifiers and sums.
    Null,
    /// A JSON boolean.
    Boolean(bool),
    /// A JSON number written without fraction or exponent that fits a signed 64-bit integer.
    Long(i64),
    /// A JSON number with fraction or exponent, or one beyond 64 bits: the nearest double.
    Double(f64),
    /// A JSON string.
    String(Cow<'a, str>),
    /// A nested array or object, or a whole number of 64 bits that only fits an unsigned integer: its JSON text.
    Json(Cow<'a, str>),
}

impl TrackedEvent<'_> {
    /// The value of the additional property `name`, if the event has it.
    pub fn property(&self, name: &str) -> Option<&PropertyValue<'_>> {
        self.additional_properties.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The same event, owning all its text.
    pub fn into_owned(self) -> TrackedEvent<'static> {
        TrackedEvent {
            event_id: self.event_id,
            name: Cow::Owned(self.name.into_owned()),
            timestamp: self.timestamp,
            received_at: self.received_at,
            user_id: self.user_id,
            project_id: self.project_id,
            namespace_id: self.namespace_id,
            additional_properties: self
                .additional_properties
                .into_iter()
                .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                .collect(),
            send_to_snowplow: self.send_to_snowplow,
            timestamp_clamped: self.timestamp_clamped,
            client_event_id: self.client_event_id,
            increment: self.increment,
        }
    }
}

impl PropertyValue<'_> {
    /// The value as text, as totals by value list it: strings as they are, all else as JSON. `None` for null.
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Null => None,
            Self::Boolean(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            Self::Long(value) => Some(Cow::Owned(value.to_string())),
            // Shortest and always with a point or an exponent, so that 1.0 and 1 stay two values.
            Self::Double(value) => Some(Cow::Owned(format!("{value:?}"))),
            Self::String(text) | Self::Json(text) => Some(Cow::Borrowed(text)),
        }
    }

    /// The same value, owning its text.
    pub fn into_owned(self) -> PropertyValue<'static> {
        match self {
            Self::Null => PropertyValue::Null,
            Self::Boolean(value) => PropertyValue::Boolean(value),
            Self::Long(value) => PropertyValue::Long(value),
            Self::Double(value) => PropertyValue::Double(value),
            Self::String(text) => PropertyValue::String(Cow::Owned(text.into_owned())),
            Self::Json(text) => PropertyValue::Json(Cow::Owned(text.into_owned())),
        }
    }
}
