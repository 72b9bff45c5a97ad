//! Dates in English.
use jiff::civil::DateTime;

pub(super) struct Found {
    pub start: DateTime,
    pub end: Option<DateTime>,
}

pub(super) fn parse(_text: &str, _reference: DateTime) -> Option<Found> {
    None
}
