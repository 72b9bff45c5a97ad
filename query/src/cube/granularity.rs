//! The granularities of a time dimension: names, intervals, and the SQL of a bucket and of its label.

use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Granularity {
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
    const ALL: [Self; 8] = [
        Self::Second,
        Self::Minute,
        Self::Hour,
        Self::Day,
        Self::Week,
        Self::Month,
        Self::Quarter,
        Self::Year,
    ];

    /// The granularity of this name, whatever its case; `None` for a name that isn't one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|granularity| granularity.as_str().eq_ignore_ascii_case(name))
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }

    /// What a time annotation says about it.
    pub fn annotation(self) -> Value {
        let name = self.as_str();
        json!({"name": name, "title": name, "interval": format!("1 {name}")})
    }

    /// The bucket that the instant `sql` falls in, in the time zone that `zone` (SQL of a constant) names. Days and longer
    /// are dates, so that a day whose midnight a clock change skips is a day like any other. Weeks start on Monday.
    pub fn bucket(self, sql: &str, zone: &str) -> String {
        let local = format!("toTimeZone({sql}, {zone})");
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

    /// The bucket as `YYYY-MM-DDTHH:mm:ss.SSS`, local and without a zone.
    pub fn label(self, bucket: &str, zone: &str) -> String {
        if self >= Self::Day {
            return format!("concat(toString({bucket}), 'T00:00:00.000')");
        }
        instant_label(bucket, zone)
    }
}

/// An instant as `YYYY-MM-DDTHH:mm:ss.SSS` in a time zone, without naming it.
pub(super) fn instant_label(sql: &str, zone: &str) -> String {
    format!("replaceOne(toString(toDateTime64({sql}, 3, {zone})), ' ', 'T')")
}
