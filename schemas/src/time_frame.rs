//! The windows metrics are read over: completed ISO weeks, all time, or none.
//! Weeks run Monday to Sunday in UTC and the current one is never counted, as in GitLab.

use std::fmt;
use std::str::FromStr;

use jiff::ToSpan;
use jiff::civil::Date;

/// Over which time a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TimeFrame {
    /// `7d`: the last completed ISO week.
    SevenDays,
    /// `28d`: the last four completed ISO weeks.
    TwentyEightDays,
    /// `all`: everything ever counted.
    All,
    /// `none`: a value without a time.
    None,
}

/// A span of whole UTC days; an absent bound is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first day counted.
    pub first: Option<Date>,
    /// The last day counted (inclusive).
    pub last: Option<Date>,
}

impl TimeFrame {
    /// The frame's text in definitions.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SevenDays => "7d",
            Self::TwentyEightDays => "28d",
            Self::All => "all",
            Self::None => "none",
        }
    }

    /// The days read on `today` (UTC). Open on both sides for `all` and `none`, which therefore count `today`.
    pub fn window(self, today: Date) -> Window {
        let weeks = match self {
            Self::SevenDays => 1,
            Self::TwentyEightDays => 4,
            Self::All | Self::None => return Window { first: None, last: None },
        };
        let monday = today.saturating_sub(i64::from(today.weekday().to_monday_zero_offset()).days());
        Window {
            first: Some(monday.saturating_sub((7 * weeks).days())),
            last: Some(monday.saturating_sub(1.days())),
        }
    }
}

impl fmt::Display for TimeFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Window {
    /// Whether the window has that day.
    pub fn contains(&self, day: Date) -> bool {
        self.first.is_none_or(|first| first <= day) && self.last.is_none_or(|last| day <= last)
    }
}

/// The text is no time frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected one of 7d, 28d, all, none, got {0:?}")]
pub struct UnknownTimeFrame(pub String);

impl FromStr for TimeFrame {
    type Err = UnknownTimeFrame;

    fn from_str(text: &str) -> Result<Self, UnknownTimeFrame> {
        let frames = [Self::SevenDays, Self::TwentyEightDays, Self::All, Self::None];
        let named = frames.into_iter().find(|frame| frame.as_str() == text);
        named.ok_or_else(|| UnknownTimeFrame(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{Datelike, Days, NaiveDate, Weekday};
    use jiff::civil::date;

    use super::*;

    fn to_jiff(day: NaiveDate) -> Date {
        date(day.year() as i16, day.month() as i8, day.day() as i8)
    }

    fn to_chrono(day: Date) -> NaiveDate {
        NaiveDate::from_ymd_opt(day.year().into(), day.month() as u32, day.day() as u32).unwrap()
    }

    /// The ISO weeks a frame reads, as (ISO year, week), oldest first.
    fn weeks(frame: TimeFrame, today: Date) -> Vec<(i32, u32)> {
        let window = frame.window(today);
        let (first, last) = (to_chrono(window.first.unwrap()), to_chrono(window.last.unwrap()));
        let mut weeks: Vec<_> = first
            .iter_days()
            .take_while(|day| *day <= last)
            .map(|day| (day.iso_week().year(), day.iso_week().week()))
            .collect();
        weeks.dedup();
        weeks
    }

    #[test]
    fn windows_are_the_last_complete_iso_weeks_of_every_date_from_2019_to_2030() {
        let mut today = NaiveDate::from_ymd_opt(2019, 1, 1).unwrap();
        let end = NaiveDate::from_ymd_opt(2030, 12, 31).unwrap();
        let mut dates = 0;
        while today <= end {
            // Walks back to the day before this week's Monday, by the calendar's week numbers alone.
            let mut sunday = today;
            while sunday.iso_week() == today.iso_week() {
                sunday = sunday.pred_opt().unwrap();
            }
            assert_eq!(sunday.weekday(), Weekday::Sun);
            for (frame, days) in [(TimeFrame::SevenDays, 7), (TimeFrame::TwentyEightDays, 28)] {
                let first = sunday.checked_sub_days(Days::new(days - 1)).unwrap();
                let expected = Window { first: Some(to_jiff(first)), last: Some(to_jiff(sunday)) };
                assert_eq!(frame.window(to_jiff(today)), expected, "{frame} on {today}");
            }
            dates += 1;
            today = today.succ_opt().unwrap();
        }
        assert_eq!(dates, 4383);
    }

    #[test]
    fn gitlabs_vector_for_a_saturday() {
        let today = date(2024, 6, 1);
        assert_eq!(weeks(TimeFrame::SevenDays, today), [(2024, 21)]);
        assert_eq!(
            weeks(TimeFrame::TwentyEightDays, today),
            [(2024, 18), (2024, 19), (2024, 20), (2024, 21)]
        );
    }

    #[test]
    fn years_of_53_weeks_keep_their_last_week() {
        for year in [2020, 2026] {
            let new_year = i32::from(year) + 1;
            let monday_after = to_jiff(NaiveDate::from_isoywd_opt(new_year, 1, Weekday::Mon).unwrap());
            let sunday_before = monday_after.yesterday().unwrap();
            let week_53 = (i32::from(year), 53);
            assert_eq!(weeks(TimeFrame::SevenDays, monday_after), [week_53]);
            assert_eq!(weeks(TimeFrame::SevenDays, sunday_before), [(i32::from(year), 52)]);
            let four = [50, 51, 52, 53].map(|week| (i32::from(year), week));
            assert_eq!(weeks(TimeFrame::TwentyEightDays, monday_after), four);
            // 1 January is still in week 53 of the old year.
            assert_eq!(weeks(TimeFrame::SevenDays, date(year + 1, 1, 1)), [(i32::from(year), 52)]);
        }
    }

    #[test]
    fn gitlabs_vector_of_ten_events() {
        // Days before today (a Wednesday), and how many events there were.
        let today = date(2024, 5, 29);
        let events = [(0, 2), (5, 2), (12, 3), (40, 3)];
        let count = |frame: TimeFrame| -> u32 {
            let window = frame.window(today);
            let counted = events
                .iter()
                .filter(|(ago, _)| window.contains(today.saturating_sub(i64::from(*ago).days())));
            counted.map(|(_, count)| count).sum()
        };
        assert_eq!(count(TimeFrame::All), 10);
        assert_eq!(count(TimeFrame::SevenDays), 2);
        assert_eq!(count(TimeFrame::TwentyEightDays), 5);
    }

    #[test]
    fn frames_are_read_back_from_their_text() {
        for text in ["7d", "28d", "all", "none"] {
            assert_eq!(text.parse::<TimeFrame>().unwrap().to_string(), text);
        }
        assert!("14d".parse::<TimeFrame>().is_err());
    }
}
