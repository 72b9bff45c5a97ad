//! Absolute dates: texts that name a day or a time, their printed form, and the instants that a local time stands for in a
//! time zone with changing clocks.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::{DateRange, loose_date};

/// What Cube prints instead of a date that is none.
pub(super) const INVALID: &str = "Invalid date";

/// What a text names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Absolute {
    Day(Date),
    /// A time on nobody's clock in particular.
    Local(DateTime),
    /// A time with its offset.
    Instant(Timestamp),
}

/// Reads `2026-11-03`, `2026-11-03T10:00`, `2026-11-03 10:00:00.5`, with `Z` or an offset or without, shorter ISO forms
/// (`2026-11`, `2026`, `20261103`), and what JavaScript's `Date` would read.
pub(super) fn parse(text: &str) -> Option<Absolute> {
    iso(text).or_else(|| loose_date::parse(text))
}

fn iso(text: &str) -> Option<Absolute> {
    if let Ok(date) = text.parse::<Date>()
        && text.len() == 10
    {
        return Some(Absolute::Day(date));
    }
    let (date, rest) = split_date(text.trim_start())?;
    if rest.is_empty() {
        return Some(Absolute::Local(date.to_datetime(Time::midnight())));
    }
    let (time, zone) = split_time(rest.strip_prefix(['T', ' '])?)?;
    let local = time.on(date)?;
    match zone.trim_start() {
        "" => Some(Absolute::Local(local)),
        "Z" => Some(Absolute::Instant(Offset::UTC.to_timestamp(local).ok()?)),
        offset => Some(Absolute::Instant(self::offset(offset)?.to_timestamp(local).ok()?)),
    }
}

/// The date that `text` begins with, and what follows it.
fn split_date(text: &str) -> Option<(Date, &str)> {
    let end = text.find(['T', ' ']).unwrap_or(text.len());
    let (date, rest) = text.split_at(end);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = date.split('-').collect();
    let date = match parts.as_slice() {
        [year] if year.len() == 4 && is_number(year) && rest.is_empty() => day(year, "1", "1")?,
        [whole] if whole.len() == 8 && is_number(whole) => day(&whole[..4], &whole[4..6], &whole[6..])?,
        [year, month] if year.len() == 4 && month.len() == 2 && is_number(year) => day(year, month, "1")?,
        [year, month, date] if year.len() == 4 && month.len() == 2 && date.len() == 2 => {
            day(year, month, date)?
        }
        _ => return None,
    };
    Some((date, rest))
}

fn day(year: &str, month: &str, day: &str) -> Option<Date> {
    Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?).ok()
}

/// The time of day that `text` begins with, and the offset behind it.
fn split_time(text: &str) -> Option<(ClockTime, &str)> {
    let end = text.find(['Z', '+', '-', ' ']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(end);
    let (clock, fraction) = clock.split_once(['.', ',']).unwrap_or((clock, ""));
    let parts: Vec<&str> = clock.split(':').collect();
    let is_part = |part: &&str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if parts.len() > 3 || !parts.iter().all(is_part) || (!fraction.is_empty() && parts.len() < 3) {
        return None;
    }
    let number = |place: usize| parts.get(place).map_or(Some(0), |part| part.parse().ok());
    let millisecond = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    Some((ClockTime { hour: number(0)?, minute: number(1)?, second: number(2)?, millisecond }, zone))
}

struct ClockTime {
    hour: i8,
    minute: i8,
    second: i8,
    millisecond: i32,
}

impl ClockTime {
    /// `24:00` is the next day's midnight.
    fn on(&self, date: Date) -> Option<DateTime> {
        if (self.hour, self.minute, self.second, self.millisecond) == (24, 0, 0, 0) {
            return Some(date.tomorrow().ok()?.to_datetime(Time::midnight()));
        }
        Some(
            date.to_datetime(
                Time::new(self.hour, self.minute, self.second, self.millisecond * 1_000_000).ok()?,
            ),
        )
    }
}

/// `+02:00`, `+0200` or `+02`.
fn offset(text: &str) -> Option<Offset> {
    let (sign, digits) = text.split_at_checked(1)?;
    let digits = digits.replace(':', "");
    let is_offset = matches!(digits.len(), 2 | 4) && digits.bytes().all(|byte| byte.is_ascii_digit());
    let sign = match sign {
        "+" if is_offset => 1,
        "-" if is_offset => -1,
        _ => return None,
    };
    let hours: i32 = digits[..2].parse().ok()?;
    let minutes: i32 = format!("{:0<2}", &digits[2..]).parse().ok()?;
    Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok()
}

/// Which end of a range a text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

/// `YYYY-MM-DDTHH:mm:ss.SSS`.
pub(super) fn label(local: DateTime) -> String {
    local.strftime("%Y-%m-%dT%H:%M:%S.%3f").to_string()
}

/// The label of a time dimension's date: a day's first or last millisecond, else the time. A time with an offset is shown
/// in UTC, and so, as in Cube, means that time on the clock of the query's zone.
pub(super) fn range_label(text: &str, end: End) -> String {
    match parse(text) {
        Some(Absolute::Day(date)) => label(day_end(date, end)),
        Some(Absolute::Local(local)) => label(local),
        Some(Absolute::Instant(instant)) => label(Offset::UTC.to_datetime(instant)),
        None => INVALID.to_owned(),
    }
}

/// A day's first or last millisecond.
pub(super) fn day_end(date: Date, end: End) -> DateTime {
    match end {
        End::First => date.to_datetime(Time::midnight()),
        End::Last => date.at(23, 59, 59, 999_000_000),
    }
}

impl DateRange {
    /// The range between two labels; `None` where one isn't a date.
    pub(super) fn between(labels: &[String; 2], zone: &TimeZone) -> Option<Self> {
        let [from, to] = labels;
        let from = boundary(from, zone, End::First)?;
        let to = boundary(to, zone, End::Last)?;
        Some(Self { labels: labels.clone(), from: from.1, to: to.1 })
    }

    /// The range that a filter's two values name. Values with an offset are those instants.
    pub(super) fn of_values(from: &str, to: &str, zone: &TimeZone) -> Option<Self> {
        let (from_label, from) = boundary(from, zone, End::First)?;
        let (to_label, to) = boundary(to, zone, End::Last)?;
        Some(Self { labels: [from_label, to_label], from, to })
    }
}

/// The local label of the time that `text` names and the instant that it is in `zone`.
pub(super) fn boundary(text: &str, zone: &TimeZone, end: End) -> Option<(String, Timestamp)> {
    let local = match parse(text)? {
        Absolute::Day(date) => day_end(date, end),
        Absolute::Local(local) => local,
        Absolute::Instant(instant) => return Some((label(zone.to_datetime(instant)), instant)),
    };
    Some((label(local), instant(local, zone, end)?))
}

/// The first instant whose local time is not before `local`, or the last whose local time is not after it, in whole
/// milliseconds. Clocks that are put back show some times twice, clocks that are put forward skip some.
pub(super) fn instant(local: DateTime, zone: &TimeZone, end: End) -> Option<Timestamp> {
    match (zone.to_ambiguous_timestamp(local).offset(), end) {
        (AmbiguousOffset::Unambiguous { offset }, _)
        | (AmbiguousOffset::Fold { before: offset, .. }, End::First)
        | (AmbiguousOffset::Fold { after: offset, .. }, End::Last) => offset.to_timestamp(local).ok(),
        (AmbiguousOffset::Gap { after, .. }, end) => {
            let before_change = after.to_timestamp(local).ok()?;
            let change = zone.following(before_change).next()?.timestamp();
            match end {
                End::First => Some(change),
                End::Last => change.checked_sub(SignedDuration::from_millis(1)).ok(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn absolute_dates_are_shown_local_and_to_the_millisecond() {
        for (text, first, last) in [
            ("2026-11-02", "2026-11-02T00:00:00.000", "2026-11-02T23:59:59.999"),
            ("2026-11-02T10:00:00.1234567", "2026-11-02T10:00:00.123", "2026-11-02T10:00:00.123"),
            ("2026-11-02 10:00", "2026-11-02T10:00:00.000", "2026-11-02T10:00:00.000"),
            ("2026-11-02T24:00", "2026-11-03T00:00:00.000", "2026-11-03T00:00:00.000"),
            ("2026-11-02T10:00:00+02:00", "2026-11-02T08:00:00.000", "2026-11-02T08:00:00.000"),
            ("2026-11-02T10:00:00-0530", "2026-11-02T15:30:00.000", "2026-11-02T15:30:00.000"),
            ("20261102", "2026-11-02T00:00:00.000", "2026-11-02T00:00:00.000"),
            ("2026-11", "2026-11-01T00:00:00.000", "2026-11-01T00:00:00.000"),
            ("11/2/2026 5:00 pm", "2026-11-02T17:00:00.000", "2026-11-02T17:00:00.000"),
            ("Nov 2, 2026", "2026-11-02T00:00:00.000", "2026-11-02T00:00:00.000"),
            ("2026-13-45", INVALID, INVALID),
            ("2026-11-02T25:00", INVALID, INVALID),
            ("3 Nov 2026 10:00 +01:30", "2026-11-03T08:30:00.000", "2026-11-03T08:30:00.000"),
            ("3 Nov 2026 10:00 +01:2147483647", INVALID, INVALID),
            ("hello", INVALID, INVALID),
            ("last week", INVALID, INVALID),
        ] {
            assert_eq!(
                (range_label(text, End::First).as_str(), range_label(text, End::Last).as_str()),
                (first, last),
                "{text}"
            );
        }
    }

    /// Every quarter of an hour for two days around `local`, with its local time.
    fn quarters(local: DateTime, zone: &TimeZone) -> Vec<(Timestamp, DateTime)> {
        let middle = Offset::UTC.to_timestamp(local).unwrap();
        (-192..192)
            .map(|quarter: i64| {
                let instant = middle + SignedDuration::from_mins(15 * quarter);
                (instant, zone.to_datetime(instant))
            })
            .collect()
    }

    proptest! {
        /// Ranges hold exactly the instants between the first one that shows the one end and the last one that shows the
        /// other, in every zone and at every change of its clocks: compared with looking at the clock every 15 minutes.
        /// (Zones' offsets are whole quarters of an hour since 1980, but for one that was a minute off until 1986.)
        #[test]
        fn ends_of_ranges_are_found_on_any_clock(
            zone in prop::sample::select(jiff::tz::db().available().map(|name| name.to_string()).collect::<Vec<_>>()),
            year in 1987i16..2040,
            change in 0usize..4,
            quarter in -20i64..20,
        ) {
            let zone = TimeZone::get(&zone).unwrap();
            let january = Date::new(year, 1, 1).unwrap().to_datetime(Time::midnight());
            let start = Offset::UTC.to_timestamp(january).unwrap();
            // Near a change of the clocks if there is one.
            let near = zone.following(start).nth(change).map_or(start, |change| change.timestamp());
            let near = zone.to_datetime(near).round(jiff::Unit::Hour).unwrap();
            let local = near + SignedDuration::from_mins(15 * quarter);
            let clock = quarters(local, &zone);
            prop_assume!(clock.iter().all(|(_, shown)| shown.minute() % 15 == 0 && shown.second() == 0));

            let first = clock.iter().find(|(_, shown)| *shown >= local).map(|(instant, _)| *instant).unwrap();
            prop_assert_eq!(instant(local, &zone, End::First), Some(first));
            // The last millisecond of the quarter that `local` begins.
            let end = local + SignedDuration::from_millis(15 * 60 * 1000 - 1);
            let last = clock.iter().rev().find(|(_, shown)| *shown <= local).map(|(instant, _)| *instant).unwrap();
            let last = last + SignedDuration::from_millis(15 * 60 * 1000 - 1);
            prop_assert_eq!(instant(end, &zone, End::Last), Some(last));
        }
    }
}
