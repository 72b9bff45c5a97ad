//! The granularities of a time dimension in SQL: the bucket that an instant falls in, and the bucket as answers show it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A query's time zone in SQL.
#[derive(Clone, Debug)]
pub(crate) struct Zone {
    /// A constant: its name.
    pub sql: String,
    /// Its clocks change by parts of hours or amid one. ClickHouse's hours go wrong there.
    shifts_within_hours: bool,
}

/// The years whose clock changes say how a zone behaves: 2000 to 2037.
const OBSERVED: [i64; 2] = [946_684_800, 2_145_916_800];

/// What is known of zones by their names: to look at all their clock changes takes longer than to compile a query.
static SHIFTS_WITHIN_HOURS: LazyLock<Mutex<HashMap<String, bool>>> = LazyLock::new(Mutex::default);

impl Zone {
    pub fn new(zone: &TimeZone, sql: String) -> Self {
        let name = zone.iana_name().unwrap_or_default();
        let mut known = SHIFTS_WITHIN_HOURS.lock().unwrap_or_else(PoisonError::into_inner);
        let shifts_within_hours = match known.get(name) {
            Some(known) => *known,
            None => *known.entry(name.to_owned()).or_insert(shifts_within_hours(zone)),
        };
        Self { sql, shifts_within_hours }
    }
}

fn shifts_within_hours(zone: &TimeZone) -> bool {
    let [from, to] = OBSERVED.map(|second| Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH));
    let mut before = zone.to_offset(from);
    zone.following(from).take_while(|change| change.timestamp() < to).any(|change| {
        let shift = i64::from(change.offset().seconds() - before.seconds());
        let local = change.timestamp().as_second() + i64::from(before.seconds());
        before = change.offset();
        shift % 3600 != 0 || local % 3600 != 0
    })
}

/// From fine to coarse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Granularity {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Granularity {
    const ALL: [(&'static str, Self); 8] = [
        ("second", Self::Second),
        ("minute", Self::Minute),
        ("hour", Self::Hour),
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];

    /// The granularity of this name, whatever its case (as Cube takes `Day` for `day`).
    pub fn from_name(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, granularity)| *granularity)
    }

    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, granularity)| *granularity == self);
        named.map_or("", |(name, _)| name)
    }

    /// Whether every bucket of this granularity consists of whole buckets of `finer`.
    pub fn consists_of(self, finer: Self) -> bool {
        match finer {
            Self::Week => self == Self::Week,
            _ => self >= finer,
        }
    }

    /// The bucket that the instant `sql` falls in. Days and longer are dates, so that a day whose midnight a clock change
    /// skips is a day like any other. Weeks start on Monday. An hour that a clock change repeats is two buckets.
    pub fn bucket(self, sql: &str, zone: &Zone) -> String {
        let local = format!("toDateTime64({sql}, 3, {})", zone.sql);
        if self == Self::Hour && zone.shifts_within_hours {
            let offset = format!("timezoneOffset({local})");
            let hour = format!("toStartOfHour(addSeconds(toDateTime64({sql}, 3, 'UTC'), {offset}))");
            // The later of two hours of one name has the smaller offset.
            return format!("tuple({hour}, -{offset})");
        }
        self.bucket_of_local(&local)
    }

    /// The bucket of a time that has its zone, or of a finer bucket of which this one consists.
    pub fn bucket_of_local(self, local: &str) -> String {
        match self {
            Self::Second => format!("toStartOfSecond({local})"),
            Self::Minute => format!("toStartOfMinute({local})"),
            Self::Hour => format!("toStartOfHour({local})"),
            Self::Day => format!("toDate({local})"),
            Self::Week => format!("toMonday({local})"),
            Self::Month => format!("toStartOfMonth({local})"),
            Self::Quarter => format!("toStartOfQuarter({local})"),
            Self::Year => format!("toStartOfYear({local})"),
        }
    }

    /// A rollup's bucket: UTC, and a function of the column that ClickHouse's indexes see through.
    pub fn rollup_bucket(self, sql: &str) -> String {
        match self {
            Self::Second => format!("toStartOfSecond({sql}, 'UTC')"),
            Self::Minute => format!("toStartOfMinute({sql}, 'UTC')"),
            Self::Hour => format!("toStartOfHour({sql}, 'UTC')"),
            Self::Day => format!("toStartOfDay({sql}, 'UTC')"),
            Self::Week => format!("toMonday({sql}, 'UTC')"),
            Self::Month => format!("toStartOfMonth({sql}, 'UTC')"),
            Self::Quarter => format!("toStartOfQuarter({sql}, 'UTC')"),
            Self::Year => format!("toStartOfYear({sql}, 'UTC')"),
        }
    }

    /// The type of [`Self::rollup_bucket`] for a parameter to compare it with, and how that parameter is printed.
    pub fn rollup_type(self) -> (&'static str, &'static str) {
        match self {
            Self::Second => ("DateTime64(3, 'UTC')", "%Y-%m-%d %H:%M:%S.%3f"),
            Self::Minute | Self::Hour | Self::Day => ("DateTime('UTC')", "%Y-%m-%d %H:%M:%S"),
            Self::Week | Self::Month | Self::Quarter | Self::Year => ("Date", "%Y-%m-%d"),
        }
    }

    /// A bucket as `YYYY-MM-DDTHH:mm:ss.SSS`, local and without a zone.
    pub fn label(self, bucket: &str, zone: &Zone) -> String {
        if self >= Self::Day {
            return format!("concat(toString({bucket}), 'T00:00:00.000')");
        }
        if self == Self::Hour && zone.shifts_within_hours {
            return instant_label(&format!("tupleElement({bucket}, 1)"), "'UTC'");
        }
        instant_label(bucket, &zone.sql)
    }
}

/// An instant as `YYYY-MM-DDTHH:mm:ss.SSS` in a time zone, without naming it.
pub(super) fn instant_label(sql: &str, zone: &str) -> String {
    format!("replaceOne(toString(toDateTime64({sql}, 3, {zone})), ' ', 'T')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_zones_shift_within_hours() {
        for (name, expected) in [
            ("Australia/Lord_Howe", true),
            ("Pacific/Chatham", true),
            ("America/Los_Angeles", false),
            ("Asia/Kolkata", false),
            ("Europe/Berlin", false),
            ("UTC", false),
        ] {
            let zone = TimeZone::get(name).unwrap();
            for _ in 0..2 {
                assert_eq!(Zone::new(&zone, String::new()).shifts_within_hours, expected, "{name}");
            }
        }
    }
}
