//! Relative dates ("last week", "from 7 days ago to now"): Cube's own forms, tried in Cube's order anywhere in the text; what
//! is none of them is read as a date in English.

use jiff::civil::{Date, DateTime, Weekday};
use jiff::{Span, ToSpan, Zoned};

use super::date::{End, day_end};
use super::english;
use crate::CubeError;

/// A part of the calendar or the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Day,
    Week,
    Month,
    Year,
    Quarter,
    Hour,
    Minute,
    Second,
}

const UNITS: [(&str, Unit); 8] = [
    ("day", Unit::Day),
    ("week", Unit::Week),
    ("month", Unit::Month),
    ("year", Unit::Year),
    ("quarter", Unit::Quarter),
    ("hour", Unit::Hour),
    ("minute", Unit::Minute),
    ("second", Unit::Second),
];

/// The longest text on either side of `from … to …`, in characters.
const MAX_SIDE_LENGTH: usize = 50;

/// The longest text that is looked into, in bytes: what a phrase means is asked anew at each of its words.
const MAX_LENGTH: usize = 500;

/// The first and the last millisecond that `text` names on the clock of `now`'s zone.
pub(super) fn parse(text: &str, now: &Zoned) -> Result<[DateTime; 2], CubeError> {
    let text = text.to_lowercase();
    let too_far = || unreadable(&text);
    if text.len() > MAX_LENGTH {
        return Err(unreadable(&text));
    }
    if let Some((direction, unit)) = named_unit(&text) {
        return units(now, unit, direction, direction).ok_or_else(too_far);
    }
    if let Some((first, last, unit)) = counted_units(&text) {
        return units(now, unit, first, last).ok_or_else(too_far);
    }
    for (word, days) in [("today", 0), ("yesterday", -1), ("tomorrow", 1)] {
        if text.contains(word) {
            return units(now, Unit::Day, days, days).ok_or_else(too_far);
        }
    }
    let (first, last) = if let Some((from, to)) = between(&text)? {
        (
            english::parse(&from, now.datetime()).ok_or_else(|| unreadable(&from))?.start,
            english::parse(&to, now.datetime()).ok_or_else(|| unreadable(&to))?.start,
        )
    } else {
        let found = english::parse(&text, now.datetime()).ok_or_else(|| unreadable(&text))?;
        (found.start, found.end.unwrap_or(found.start))
    };
    let unit = exact_unit(&text);
    Ok([boundary(first, unit, End::First), boundary(last, unit, End::Last)])
}

/// `this`, `last` or `next` and a unit.
fn named_unit(text: &str) -> Option<(i64, Unit)> {
    text.char_indices().find_map(|(place, _)| {
        let (direction, rest) = direction(&text[place..])?;
        let (unit, _) = unit(after_space(rest)?)?;
        Some((direction, unit))
    })
}

/// `last` or `next`, a number and a unit: the first and the last of these units, counted from the current one.
fn counted_units(text: &str) -> Option<(i64, i64, Unit)> {
    text.char_indices().find_map(|(place, _)| {
        let (direction, rest) = direction(&text[place..])?;
        let rest = after_space(rest)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (unit, _) = unit(after_space(&rest[digits..])?)?;
        // A number beyond all calendars is as far away as the largest.
        let count = if digits == 0 { return None } else { rest[..digits].parse().unwrap_or(i64::MAX) };
        match direction {
            -1 => Some((-count, -1, unit)),
            1 => Some((1, count, unit)),
            _ => None,
        }
    })
}

fn direction(text: &str) -> Option<(i64, &str)> {
    [("this", 0), ("last", -1), ("next", 1)]
        .into_iter()
        .find_map(|(word, direction)| Some((direction, text.strip_prefix(word)?)))
}

fn unit(text: &str) -> Option<(Unit, &str)> {
    UNITS.into_iter().find_map(|(word, unit)| Some((unit, text.strip_prefix(word)?)))
}

/// What follows the space that `text` begins with.
fn after_space(text: &str) -> Option<&str> {
    let rest = text.trim_start();
    (rest.len() < text.len()).then_some(rest)
}

/// The sides of `from … to …`, split at the last `to` with not too much behind it, be it inside of a word.
fn between(text: &str) -> Result<Option<(String, String)>, CubeError> {
    let has_form =
        text.strip_prefix("from ").is_some_and(|rest| rest.contains(" to ")) && !text.contains('\n');
    if !has_form {
        return Ok(None);
    }
    let rest = &text["from".len()..];
    let sides = rest.rmatch_indices("to").map(|(place, _)| (&rest[..place], &rest[place + 2..]));
    let fits = |side: &str| side.chars().count() <= MAX_SIDE_LENGTH;
    match sides.into_iter().find(|(from, to)| fits(from) && fits(to)) {
        Some((from, to)) => Ok(Some((from.trim().to_owned(), to.trim().to_owned()))),
        None => Err(CubeError::Internal(
            "TypeError: dateString.match is not a function or its return value is not iterable".to_owned(),
        )),
    }
}

/// The unit that a date in English is widened to: the smallest one of the clock that the text names, else the day.
fn exact_unit(text: &str) -> Unit {
    [("second", Unit::Second), ("minute", Unit::Minute), ("hour", Unit::Hour)]
        .into_iter()
        .find_map(|(word, unit)| text.contains(word).then_some(unit))
        .unwrap_or(Unit::Day)
}

/// From the first to the last of the units with these distances from the current one.
fn units(now: &Zoned, unit: Unit, first: i64, last: i64) -> Option<[DateTime; 2]> {
    Some([
        boundary(moved(now, unit, first)?, unit, End::First),
        boundary(moved(now, unit, last)?, unit, End::Last),
    ])
}

/// The local time that many units from now. Hours pass on the clock of the world, days on the calendar.
fn moved(now: &Zoned, unit: Unit, count: i64) -> Option<DateTime> {
    match unit {
        Unit::Hour | Unit::Minute | Unit::Second => {
            Some(now.checked_add(span(unit, count)?).ok()?.datetime())
        }
        _ => now.datetime().checked_add(span(unit, count)?).ok(),
    }
}

/// So many units.
pub(super) fn span(unit: Unit, count: i64) -> Option<Span> {
    let span = Span::new();
    match unit {
        Unit::Day => span.try_days(count),
        Unit::Week => span.try_weeks(count),
        Unit::Month => span.try_months(count),
        Unit::Quarter => span.try_months(count.checked_mul(3)?),
        Unit::Year => span.try_years(count),
        Unit::Hour => span.try_hours(count),
        Unit::Minute => span.try_minutes(count),
        Unit::Second => span.try_seconds(count),
    }
    .ok()
}

/// The first or last millisecond of the unit that `local` lies in.
pub(super) fn boundary(local: DateTime, unit: Unit, end: End) -> DateTime {
    let (hour, minute, second) = (local.hour(), local.minute(), local.second());
    let date = local.date();
    match (unit, end) {
        (Unit::Second, End::First) => date.at(hour, minute, second, 0),
        (Unit::Second, End::Last) => date.at(hour, minute, second, 999_000_000),
        (Unit::Minute, End::First) => date.at(hour, minute, 0, 0),
        (Unit::Minute, End::Last) => date.at(hour, minute, 59, 999_000_000),
        (Unit::Hour, End::First) => date.at(hour, 0, 0, 0),
        (Unit::Hour, End::Last) => date.at(hour, 59, 59, 999_000_000),
        (_, end) => day_end(calendar_boundary(date, unit, end), end),
    }
}

/// The first or last day of the unit that `date` lies in; weeks begin on Monday. At the ends of the calendar it is that end.
fn calendar_boundary(date: Date, unit: Unit, end: End) -> Date {
    match (unit, end) {
        (Unit::Week, End::First) => {
            date.saturating_sub(i64::from(date.weekday().since(Weekday::Monday)).days())
        }
        (Unit::Week, End::Last) => {
            date.saturating_add(i64::from(date.weekday().until(Weekday::Sunday)).days())
        }
        (Unit::Month, End::First) => date.first_of_month(),
        (Unit::Month, End::Last) => date.last_of_month(),
        (Unit::Quarter, End::First) => {
            date.first_of_month().saturating_sub(i64::from((date.month() - 1) % 3).months())
        }
        (Unit::Quarter, End::Last) => {
            date.first_of_month().saturating_add(i64::from((12 - date.month()) % 3).months()).last_of_month()
        }
        (Unit::Year, End::First) => date.first_of_year(),
        (Unit::Year, End::Last) => date.last_of_year(),
        _ => date,
    }
}

fn unreadable(text: &str) -> CubeError {
    CubeError::Invalid(format!("Can't parse date: '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::super::date::label;
    use super::*;

    fn range(text: &str, now: &str) -> String {
        let now: Zoned = now.parse().unwrap();
        match parse(text, &now) {
            Ok([first, last]) => format!("{} {}", label(first), label(last)),
            Err(error) => error.to_string(),
        }
    }

    /// `first last`, each cut to days where that is all there is to it.
    fn days(text: &str) -> String {
        let range = range(text, "2026-11-18T10:30:00Z[UTC]");
        range.replace("T00:00:00.000", "").replace("T23:59:59.999", "")
    }

    #[test]
    fn cube_s_own_forms_are_whole_units() {
        for (text, expected) in [
            ("today", "2026-11-18 2026-11-18"),
            ("This week", "2026-11-16 2026-11-22"),
            ("last week", "2026-11-09 2026-11-15"),
            ("last 7 days", "2026-11-11 2026-11-17"),
            ("next 5 days", "2026-11-19 2026-11-23"),
            ("last 2 weeks", "2026-11-02 2026-11-15"),
            ("last month", "2026-10-01 2026-10-31"),
            ("last quarter", "2026-07-01 2026-09-30"),
            ("last 2 quarters", "2026-04-01 2026-09-30"),
            ("next year", "2027-01-01 2027-12-31"),
            ("last 0 days", "2026-11-18 2026-11-17"),
            ("last 6 hours", "2026-11-18T04:00:00.000 2026-11-18T09:59:59.999"),
            ("last 30 seconds", "2026-11-18T10:29:30.000 2026-11-18T10:29:59.999"),
            // The first form anywhere in the text counts.
            ("from yesterday to today", "2026-11-18 2026-11-18"),
            ("from last week to now", "2026-11-09 2026-11-15"),
            ("last weekend", "2026-11-09 2026-11-15"),
        ] {
            assert_eq!(days(text), expected, "{text}");
        }
    }

    #[test]
    fn other_texts_are_dates_in_english() {
        for (text, expected) in [
            ("now", "2026-11-18 2026-11-18"),
            ("from 7 days ago to now", "2026-11-11 2026-11-18"),
            ("from 23 hours ago to now", "2026-11-17T11:00:00.000 2026-11-18T10:59:59.999"),
            ("from now to 2 weeks from now", "2026-11-18 2026-12-02"),
            ("from 1 quarter ago to now", "2026-08-18 2026-11-18"),
            ("10 minutes ago", "2026-11-18T10:20:00.000 2026-11-18T10:20:59.999"),
            ("2 weeks ago by hour", "2026-11-04T10:00:00.000 2026-11-04T10:59:59.999"),
            ("2026-11-03T10:00:00Z", "2026-11-03 2026-11-03"),
            ("2026-11-03 10:00", "2026-11-03 2026-11-03"),
            ("nov 1 - nov 5", "2026-11-01 2026-11-05"),
            ("1st - 5th of nov", "2026-11-01 2026-11-05"),
            ("dec 30 - jan 5 2025", "2025-01-05 2025-12-30"),
            ("november 2026", "2026-11-01 2026-11-01"),
            ("monday", "2026-11-16 2026-11-16"),
            ("last friday", "2026-11-13 2026-11-13"),
            ("next friday", "2026-11-27 2026-11-27"),
            ("monday - friday", "2026-11-16 2026-11-20"),
            ("past week", "2026-11-11 2026-11-11"),
            ("last seven days", "2026-11-11 2026-11-11"),
            ("half an hour ago", "2026-11-18T10:00:00.000 2026-11-18T10:59:59.999"),
            ("3 days before nov 5", "2026-11-02 2026-11-02"),
            ("11/5/2025", "2025-11-05 2025-11-05"),
            ("in 2 days", "2026-11-20 2026-11-20"),
            ("midnight", "2026-11-19 2026-11-19"),
        ] {
            assert_eq!(days(text), expected, "{text}");
        }
    }

    #[test]
    fn what_names_no_date_is_repeated() {
        for text in [
            "",
            "2026",
            "2026-11",
            "q3 2026",
            "week to date",
            "all time",
            "previous week",
            "nov",
            "2026-02-30",
        ] {
            assert_eq!(days(text), format!("Can't parse date: '{text}'"));
        }
        assert_eq!(days("from 2026-11-05 to invalid"), "Can't parse date: 'invalid'");
        // The last "to" splits, be it inside of a word.
        assert_eq!(days("from now to october 5"), "Can't parse date: 'ber 5'");
        assert_eq!(days("last 99999999999999999999 days").split(':').next(), Some("Can't parse date"));
    }

    #[test]
    fn long_texts_are_not_looked_into() {
        let ago = |times: usize| format!("{}ago", "1 day ".repeat(times));
        assert_eq!(days(&ago(80)), "2026-11-17 2026-11-17");
        assert_eq!(days(&ago(90)), format!("Can't parse date: '{}'", ago(90)));
    }

    #[test]
    fn days_are_those_of_the_query_s_zone() {
        for (text, now, expected) in [
            (
                "today",
                "2026-11-18T23:30:00-08:00[America/Los_Angeles]",
                "2026-11-18T00:00:00.000 2026-11-18T23:59:59.999",
            ),
            // In the night in which the clock is put back, an hour ago shows the same hour.
            (
                "last hour",
                "2026-11-01T01:30:00-08:00[America/Los_Angeles]",
                "2026-11-01T01:00:00.000 2026-11-01T01:59:59.999",
            ),
            (
                "last hour",
                "2026-03-08T03:30:00-07:00[America/Los_Angeles]",
                "2026-03-08T01:00:00.000 2026-03-08T01:59:59.999",
            ),
        ] {
            assert_eq!(range(text, now), expected, "{text} at {now}");
        }
    }
}
