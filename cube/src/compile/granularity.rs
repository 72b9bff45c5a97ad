//! The granularities of a time dimension in SQL: the bucket that an instant falls in, and the bucket as answers show it.

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

    /// The bucket that the instant `sql` falls in, in the time zone that `zone` (SQL of a constant) names. Days and longer
    /// are dates, so that a day whose midnight a clock change skips is a day like any other. Weeks start on Monday. An hour
    /// that a clock change repeats is two buckets.
    pub fn bucket(self, sql: &str, zone: &str) -> String {
        self.bucket_of_local(&format!("toDateTime64({sql}, 3, {zone})"))
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
