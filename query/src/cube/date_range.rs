//! Dates in queries: a day, or a date and time with or without a zone, turned into instants in the query's time zone.
//! Relative texts ("last week") are not part of this grammar.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use super::error::CubeError;

/// Both ends inclusive, in whole milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DateRange {
    pub start: DateTime,
    pub end: DateTime,
    pub zone: TimeZone,
}

impl DateRange {
    /// The range that `dateRange` or a filter's values name: one date is that whole day; a third is ignored, as in Cube.
    pub fn parse(dates: &[String], zone: &TimeZone) -> Result<Self, CubeError> {
        let first = dates.first().map_or("", String::as_str);
        let last = dates.get(1).map_or(first, String::as_str);
        Ok(Self { start: start_of(first, zone)?, end: end_of(last, zone)?, zone: zone.clone() })
    }

    /// The ends as ClickHouse reads them: `DateTime64(3, 'UTC')`.
    pub fn instants(&self) -> (String, String) {
        (instant_text(self.start, &self.zone), instant_text(self.end, &self.zone))
    }

    /// The ends as the normalized query shows them: local, `YYYY-MM-DDTHH:mm:ss.SSS`.
    pub fn labels(&self) -> [String; 2] {
        [local_label(self.start), local_label(self.end)]
    }

    /// Every day from the first to the last.
    pub fn days(&self) -> impl Iterator<Item = Date> {
        let last = self.end.date();
        self.start.date().series(1.day()).take_while(move |day| *day <= last)
    }
}

/// The first instant that `text` names, as ClickHouse reads it.
pub(super) fn start_instant(text: &str, zone: &TimeZone) -> Result<String, CubeError> {
    Ok(instant_text(start_of(text, zone)?, zone))
}

/// `YYYY-MM-DDTHH:mm:ss.SSS`.
pub(super) fn local_label(local: DateTime) -> String {
    local.strftime("%Y-%m-%dT%H:%M:%S.%3f").to_string()
}

fn instant_text(local: DateTime, zone: &TimeZone) -> String {
    // A local time that a clock change skips is the instant it would have been; one that occurs twice is the earlier.
    let instant = zone.to_ambiguous_timestamp(local).compatible().unwrap_or(Timestamp::MAX);
    instant.strftime("%Y-%m-%d %H:%M:%S.%3f").to_string()
}

fn start_of(text: &str, zone: &TimeZone) -> Result<DateTime, CubeError> {
    read(text, zone).map(|(local, _)| local)
}

fn end_of(text: &str, zone: &TimeZone) -> Result<DateTime, CubeError> {
    let (local, is_day) = read(text, zone)?;
    Ok(if is_day { local.date().at(23, 59, 59, 999_000_000) } else { local })
}

/// The local time that a text names, and whether it named a day only.
fn read(text: &str, zone: &TimeZone) -> Result<(DateTime, bool), CubeError> {
    let error = || CubeError::Date(text.to_owned());
    if text.len() == 10 {
        return Ok((
            text.parse::<Date>().map_err(|_| error())?.to_datetime(jiff::civil::Time::midnight()),
            true,
        ));
    }
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok((instant.to_zoned(zone.clone()).datetime(), false));
    }
    Ok((text.parse::<DateTime>().map_err(|_| error())?, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(dates: &[&str], zone: &str) -> Result<DateRange, CubeError> {
        let dates: Vec<String> = dates.iter().map(ToString::to_string).collect();
        DateRange::parse(&dates, &TimeZone::get(zone).unwrap())
    }

    #[test]
    fn dates_become_instants_in_the_querys_time_zone() {
        for (dates, zone, start, end) in [
            (&["2026-11-02", "2026-11-08"][..], "UTC", "2026-11-02 00:00:00.000", "2026-11-08 23:59:59.999"),
            (&["2026-11-02"], "UTC", "2026-11-02 00:00:00.000", "2026-11-02 23:59:59.999"),
            (
                &["2026-11-02", "2026-11-03", "2026-11-04"],
                "UTC",
                "2026-11-02 00:00:00.000",
                "2026-11-03 23:59:59.999",
            ),
            (&["2026-11-02"], "America/Los_Angeles", "2026-11-02 08:00:00.000", "2026-11-03 07:59:59.999"),
            // The day on which the clock is put back has 25 hours.
            (&["2026-11-01"], "America/Los_Angeles", "2026-11-01 07:00:00.000", "2026-11-02 07:59:59.999"),
            (
                &["2026-11-03T10:00:00.000", "2026-11-03T11:00:00.5"],
                "UTC",
                "2026-11-03 10:00:00.000",
                "2026-11-03 11:00:00.500",
            ),
            (
                &["2026-11-03 10:00:00", "2026-11-03 11:00:00"],
                "UTC",
                "2026-11-03 10:00:00.000",
                "2026-11-03 11:00:00.000",
            ),
            (
                &["2026-11-03T10:00:00Z", "2026-11-03T11:00:00Z"],
                "Asia/Tokyo",
                "2026-11-03 10:00:00.000",
                "2026-11-03 11:00:00.000",
            ),
            (&["2026-11-03T10:00:00+02:00"], "UTC", "2026-11-03 08:00:00.000", "2026-11-03 08:00:00.000"),
        ] {
            assert_eq!(
                range(dates, zone).unwrap().instants(),
                (start.into(), end.into()),
                "{dates:?} {zone}"
            );
        }
    }

    #[test]
    fn labels_are_local() {
        let labels = range(&["2026-11-02"], "America/Los_Angeles").unwrap().labels();
        assert_eq!(labels, ["2026-11-02T00:00:00.000", "2026-11-02T23:59:59.999"]);
    }

    #[test]
    fn what_is_no_date_is_named() {
        for text in ["hello", "2026-13-45", "2026", "", "last week", "2026-11-02T25:00:00"] {
            let error = range(&[text, "2026-11-02"], "UTC").unwrap_err().to_string();
            assert_eq!(error, format!("Can't parse date: '{text}'"));
        }
    }
}
