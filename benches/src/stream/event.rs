//! One generated event and its JSON form, exactly as `track_event` takes it.

use std::borrow::Cow;
use std::io::Write;

use jiff::Timestamp;
use jiff::tz::Offset;
use uuid::Uuid;

/// The parameters of one `track_event` call, with Tally's extensions `event_id`, `timestamp` and `user_id`.
#[derive(Clone, Debug, PartialEq)]
pub struct TrackEvent<'a> {
    /// `event`
    pub name: Cow<'a, str>,
    /// `event_id`
    pub event_id: Uuid,
    /// `timestamp`
    pub moment: Moment,
    /// `user_id`, the actor; an administrator's token may name one.
    pub user_id: Reference,
    /// `project_id`
    pub project_id: Reference,
    /// `namespace_id`
    pub namespace_id: Reference,
    /// `additional_properties`; `None` leaves the parameter out.
    pub additional_properties: Option<Vec<(Cow<'a, str>, PropertyValue)>>,
    /// `send_to_snowplow`
    pub send_to_snowplow: Option<bool>,
}

/// A moment as a client writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Microseconds since the epoch, UTC.
    pub microseconds: i64,
    /// The offset from UTC that the text is written with, in hours; 0 is written as `Z`.
    pub offset_hours: i8,
    /// Whether the text has six decimals and not three.
    pub fine: bool,
}

/// An optional integer parameter in the forms that the API takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The parameter is left out.
    Missing,
    /// `null`
    Null,
    /// `12`
    Integer(i64),
    /// `"12"`, which is 12.
    Text(i64),
    /// `12.5`, which is 12.
    Fraction(i64),
}

/// The value of an additional property.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyValue {
    /// `null`
    Null,
    /// `true` or `false`
    Boolean(bool),
    /// A number without a decimal point.
    Integer(i64),
    /// A decimal number, given in thousandths and written without trailing zeros: `12.375`, `0.1`, `4.0`.
    Thousandths(i64),
    /// A string.
    Text(Cow<'static, str>),
    /// A nested value, given as its JSON text.
    Nested(&'static str),
}

impl TrackEvent<'_> {
    /// Appends the event as one JSON object on one line, without the line feed.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"event\":");
        write_text(&self.name, out);
        format_into(out, format_args!(",\"event_id\":\"{}\",\"timestamp\":\"", self.event_id));
        self.moment.write(out);
        out.push(b'"');
        self.user_id.write("user_id", out);
        self.project_id.write("project_id", out);
        self.namespace_id.write("namespace_id", out);
        if let Some(properties) = &self.additional_properties {
            out.extend_from_slice(b",\"additional_properties\":{");
            write_properties(properties, out);
            out.push(b'}');
        }
        if let Some(send) = self.send_to_snowplow {
            format_into(out, format_args!(",\"send_to_snowplow\":{send}"));
        }
        out.push(b'}');
    }
}

impl Moment {
    fn write(self, out: &mut Vec<u8>) {
        let timestamp = Timestamp::from_microsecond(self.microseconds)
            .expect("moments are drawn from a span between two valid timestamps");
        match (self.offset_hours, self.fine) {
            (0, false) => format_into(out, format_args!("{timestamp:.3}")),
            (0, true) => format_into(out, format_args!("{timestamp:.6}")),
            (hours, fine) => {
                let written = timestamp.display_with_offset(Offset::constant(hours));
                let digits = if fine { 6 } else { 3 };
                format_into(out, format_args!("{written:.digits$}"));
            }
        }
    }
}

impl Reference {
    fn write(self, parameter: &str, out: &mut Vec<u8>) {
        match self {
            Self::Missing => {}
            Self::Null => format_into(out, format_args!(",\"{parameter}\":null")),
            Self::Integer(id) => format_into(out, format_args!(",\"{parameter}\":{id}")),
            Self::Text(id) => format_into(out, format_args!(",\"{parameter}\":\"{id}\"")),
            Self::Fraction(id) => format_into(out, format_args!(",\"{parameter}\":{id}.5")),
        }
    }
}

impl PropertyValue {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Boolean(value) => format_into(out, format_args!("{value}")),
            Self::Integer(value) => format_into(out, format_args!("{value}")),
            Self::Thousandths(value) => write_thousandths(*value, out),
            Self::Text(value) => write_text(value, out),
            Self::Nested(json) => out.extend_from_slice(json.as_bytes()),
        }
    }
}

fn write_properties(properties: &[(Cow<'_, str>, PropertyValue)], out: &mut Vec<u8>) {
    for (position, (name, value)) in properties.iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write_text(name, out);
        out.push(b':');
        value.write(out);
    }
}

fn write_thousandths(value: i64, out: &mut Vec<u8>) {
    let sign = if value < 0 { "-" } else { "" };
    let whole = value.unsigned_abs() / 1_000;
    let decimals = format!("{:03}", value.unsigned_abs() % 1_000);
    let significant = decimals.trim_end_matches('0');
    let written = if significant.is_empty() { "0" } else { significant };
    format_into(out, format_args!("{sign}{whole}.{written}"));
}

fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("writing a string to memory can't fail");
}

fn format_into(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("writing to memory can't fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(event: &TrackEvent<'_>) -> String {
        let mut out = Vec::new();
        event.write_json(&mut out);
        String::from_utf8(out).unwrap()
    }

    fn plain() -> TrackEvent<'static> {
        TrackEvent {
            name: "push_package".into(),
            event_id: Uuid::from_u128(1),
            moment: Moment { microseconds: 0, offset_hours: 0, fine: false },
            user_id: Reference::Missing,
            project_id: Reference::Missing,
            namespace_id: Reference::Missing,
            additional_properties: None,
            send_to_snowplow: None,
        }
    }

    #[test]
    fn an_event_without_options_has_name_id_and_timestamp_only() {
        assert_eq!(
            json(&plain()),
            r#"{"event":"push_package","event_id":"00000000-0000-0000-0000-000000000001","timestamp":"1970-01-01T00:00:00.000Z"}"#
        );
    }

    #[test]
    fn references_are_written_in_every_form_the_api_takes() {
        let event = TrackEvent {
            user_id: Reference::Null,
            project_id: Reference::Text(12),
            namespace_id: Reference::Fraction(7),
            ..plain()
        };
        assert!(json(&event).ends_with(r#","user_id":null,"project_id":"12","namespace_id":7.5}"#));
    }

    #[test]
    fn property_values_keep_their_type() {
        let cases = [
            (PropertyValue::Null, "null"),
            (PropertyValue::Boolean(true), "true"),
            (PropertyValue::Integer(-3), "-3"),
            (PropertyValue::Thousandths(12_375), "12.375"),
            (PropertyValue::Thousandths(100), "0.1"),
            (PropertyValue::Thousandths(4_000), "4.0"),
            (PropertyValue::Thousandths(-20), "-0.02"),
            (PropertyValue::Text("a \"b\"\n".into()), r#""a \"b\"\n""#),
            (PropertyValue::Nested(r#"{"a":[1]}"#), r#"{"a":[1]}"#),
        ];
        for (value, expected) in cases {
            let mut out = Vec::new();
            value.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_moment_is_the_same_instant_with_any_offset_and_precision() {
        let microseconds = 1_763_942_399_999_999;
        let cases = [
            (0, false, "2025-11-23T23:59:59.999Z"),
            (0, true, "2025-11-23T23:59:59.999999Z"),
            (2, false, "2025-11-24T01:59:59.999+02:00"),
            (-8, true, "2025-11-23T15:59:59.999999-08:00"),
        ];
        for (offset_hours, fine, expected) in cases {
            let mut out = Vec::new();
            Moment { microseconds, offset_hours, fine }.write(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
