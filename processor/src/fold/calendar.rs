//! Days and months of a timestamp, UTC: a day is a bucket of the counters, a month a partition of the tables.

use jiff::ToSpan;
use jiff::civil::{Date, date};

const DAY_MS: i64 = 86_400_000;
const EPOCH: Date = date(1970, 1, 1);

/// The last day that ClickHouse's `Date` can hold, 2149-06-06.
const LAST_DAY: i64 = u16::MAX as i64;

/// The UTC day of a timestamp, as days since 1970-01-01; `None` outside of what the tables can hold.
pub fn day_of(timestamp_ms: i64) -> Option<u16> {
    let day = timestamp_ms.div_euclid(DAY_MS);
    (0..=LAST_DAY).contains(&day).then_some(day as u16)
}

/// Names table partitions. Remembers the last answer, since batches rarely change day.
#[derive(Debug, Default)]
pub struct Months {
    /// A day with its date.
    last: Option<(u16, u32)>,
}

impl Months {
    /// The month of a day as `YYYYMM`, as `toYYYYMM` gives it.
    pub fn month_of(&mut self, day: u16) -> u32 {
        self.date_of(day) / 100
    }

    /// A day as `YYYYMMDD`, as `toYYYYMMDD` gives it.
    pub fn date_of(&mut self, day: u16) -> u32 {
        if let Some((known_day, date)) = self.last
            && known_day == day
        {
            return date;
        }
        let date = EPOCH.checked_add(i64::from(day).days()).expect("65535 days after 1970 is a date");
        let [year, month, of_month] =
            [i32::from(date.year()), date.month().into(), date.day().into()].map(i32::unsigned_abs);
        let number = (year * 100 + month) * 100 + of_month;
        self.last = Some((day, number));
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_begin_at_midnight_utc() {
        assert_eq!(day_of(0), Some(0));
        assert_eq!(day_of(DAY_MS - 1), Some(0));
        assert_eq!(day_of(DAY_MS), Some(1));
        assert_eq!(day_of(-1), None);
        assert_eq!(day_of((LAST_DAY + 1) * DAY_MS - 1), Some(u16::MAX));
        assert_eq!(day_of((LAST_DAY + 1) * DAY_MS), None);
    }

    #[test]
    fn months_follow_the_calendar() {
        let mut months = Months::default();
        for (day, month) in [(0, 197_001), (30, 197_001), (31, 197_002), (20_453, 202_512), (20_454, 202_601)]
        {
            assert_eq!(months.month_of(day), month, "day {day}");
        }
        assert_eq!([0, 58, 20_454].map(|day| months.date_of(day)), [19_700_101, 19_700_228, 20_260_101]);
    }
}
