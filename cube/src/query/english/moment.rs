//! A time of which parts are said and parts are only meant: a phrase beside it may say those.

use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan};

use super::super::relative::{Unit, span};

/// One part of a date or a time of day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Part {
    pub value: i32,
    /// Said, not meant.
    pub known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Moment {
    pub year: Part,
    pub month: Part,
    pub day: Part,
    pub hour: Part,
    pub minute: Part,
    pub second: Part,
    pub millisecond: Part,
    /// Whether a weekday was said.
    pub weekday: bool,
}

/// Amounts by unit; a unit said twice counts once.
pub(super) type Amounts = [Option<f64>; 8];

/// The units in the order of [`Amounts`].
pub(super) const UNITS: [Unit; 8] =
    [Unit::Second, Unit::Minute, Unit::Hour, Unit::Day, Unit::Week, Unit::Month, Unit::Quarter, Unit::Year];

impl Moment {
    /// Noon of the reference's day, nothing of it said.
    pub fn of(reference: DateTime) -> Self {
        let mut moment = Self::at(reference, false, false);
        moment.imply_time(reference.date().at(12, 0, 0, 0));
        moment
    }

    fn at(local: DateTime, date_known: bool, time_known: bool) -> Self {
        let date = |value: i32| Part { value, known: date_known };
        let time = |value: i32| Part { value, known: time_known };
        Self {
            year: date(i32::from(local.year())),
            month: date(i32::from(local.month())),
            day: date(i32::from(local.day())),
            hour: time(i32::from(local.hour())),
            minute: time(i32::from(local.minute())),
            second: time(i32::from(local.second())),
            millisecond: time(i32::from(local.millisecond())),
            weekday: false,
        }
    }

    /// That very time.
    pub fn exactly(local: DateTime) -> Self {
        Self::at(local, true, true)
    }

    /// The reference moved by these amounts. What is said are the parts that the units are about.
    pub fn moved(reference: DateTime, amounts: &Amounts, sign: f64) -> Option<Self> {
        let mut local = reference;
        for (unit, amount) in UNITS.into_iter().zip(amounts) {
            if let Some(amount) = amount {
                local = add(local, unit, sign * amount)?;
            }
        }
        let has = |wanted: Unit| {
            UNITS.into_iter().zip(amounts).any(|(unit, amount)| unit == wanted && amount.is_some())
        };
        if has(Unit::Hour) || has(Unit::Minute) || has(Unit::Second) {
            return Some(Self::exactly(local));
        }
        let mut moment = Self::at(local, has(Unit::Day), false);
        moment.month.known |= has(Unit::Month);
        moment.year.known |= has(Unit::Month) || has(Unit::Year);
        Some(moment)
    }

    pub fn say_date(mut self, year: Part, month: i32, day: i32) -> Self {
        self.year = year;
        self.month = known(month);
        self.day = known(day);
        self
    }

    pub fn say_time(mut self, hour: i32, minute: i32) -> Self {
        self.hour = known(hour);
        self.minute = known(minute);
        self
    }

    pub fn imply_date(&mut self, date: Date) {
        self.year.imply(i32::from(date.year()));
        self.month.imply(i32::from(date.month()));
        self.day.imply(i32::from(date.day()));
    }

    pub fn imply_time(&mut self, local: DateTime) {
        self.hour.imply(i32::from(local.hour()));
        self.minute.imply(i32::from(local.minute()));
        self.second.imply(i32::from(local.second()));
        self.millisecond.imply(i32::from(local.millisecond()));
    }

    pub fn is_only_date(&self) -> bool {
        !self.hour.known && !self.minute.known && !self.second.known
    }

    pub fn is_only_time(&self) -> bool {
        !self.weekday && !self.day.known && !self.month.known
    }

    pub fn is_only_weekday(&self) -> bool {
        self.weekday && !self.day.known && !self.month.known
    }

    /// The local time; `None` if there is no such date.
    pub fn local(&self) -> Option<DateTime> {
        let part = |part: Part| i8::try_from(part.value).ok();
        let date =
            Date::new(i16::try_from(self.year.value).ok()?, part(self.month)?, part(self.day)?).ok()?;
        let nanosecond = self.millisecond.value.checked_mul(1_000_000)?;
        let time = Time::new(part(self.hour)?, part(self.minute)?, part(self.second)?, nanosecond).ok()?;
        Some(date.to_datetime(time))
    }

    /// This date at `other`'s time of day.
    pub fn with_time_of(mut self, other: &Self) -> Self {
        self.hour.take(other.hour);
        self.minute.take(other.minute);
        self.second.take(other.second);
        self.millisecond.take(other.millisecond);
        self
    }

    /// Takes over what `other` says and this doesn't.
    pub fn fill_from(&mut self, other: &Self) {
        let parts = [
            (&mut self.year, other.year),
            (&mut self.month, other.month),
            (&mut self.day, other.day),
            (&mut self.hour, other.hour),
            (&mut self.minute, other.minute),
            (&mut self.second, other.second),
            (&mut self.millisecond, other.millisecond),
        ];
        for (part, other) in parts {
            if other.known && !part.known {
                *part = other;
            }
        }
        self.weekday |= other.weekday;
    }
}

impl Part {
    fn imply(&mut self, value: i32) {
        if !self.known {
            self.value = value;
        }
    }

    fn take(&mut self, other: Self) {
        if other.known || !self.known {
            *self = other;
        }
    }
}

/// A part that is said.
pub(super) fn known(value: i32) -> Part {
    Part { value, known: true }
}

/// A part that is meant.
pub(super) fn meant(value: i32) -> Part {
    Part { value, known: false }
}

/// Moves a local time. Of an hour and less, fractions count; days and weeks are rounded, longer units cut.
fn add(local: DateTime, unit: Unit, amount: f64) -> Option<DateTime> {
    let seconds = match unit {
        Unit::Hour => 3600.0,
        Unit::Minute => 60.0,
        Unit::Second => 1.0,
        Unit::Day => return shift(local, Unit::Day, (amount + 0.5).floor()),
        Unit::Week => return shift(local, Unit::Day, (amount * 7.0 + 0.5).floor()),
        _ => return shift(local, unit, amount.trunc()),
    };
    let milliseconds = amount * seconds * 1000.0;
    if milliseconds.abs() > 1e17 {
        return None;
    }
    local.checked_add(SignedDuration::from_millis(milliseconds as i64)).ok()
}

fn shift(local: DateTime, unit: Unit, count: f64) -> Option<DateTime> {
    if count.abs() > 1e9 {
        return None;
    }
    local.checked_add(span(unit, count as i64)?).ok()
}

/// The year in which day and month are closest to the reference.
pub(super) fn closest_year(reference: DateTime, month: i32, day: i32) -> i32 {
    let year = i32::from(reference.year());
    let distance = |year: i32| {
        let date = Date::new(i16::try_from(year).ok()?, i8::try_from(month).ok()?, 1).ok()?;
        let date = date.checked_add(i64::from(day - 1).days()).ok()?;
        Some(date.to_datetime(reference.time()).duration_since(reference).abs())
    };
    let candidates = [year, year + 1, year - 1].into_iter().filter_map(|year| Some((distance(year)?, year)));
    // The first of equals stays.
    candidates.min_by_key(|(distance, _)| *distance).map_or(year, |(_, year)| year)
}
