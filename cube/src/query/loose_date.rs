//! Dates as JavaScript's `Date` reads them that aren't in an ISO form: `2026/11/3`, `11/3/2026 10:00`, `Nov 3, 2026 5 pm`,
//! `3 Nov 2026 10:00:00 GMT+0100`. Without a zone, Cube's clock is in UTC.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::date::Absolute;
use super::english::token::{Token, Tokens};
use super::english::words;

/// The parts of a date in the order in which the text has them.
#[derive(Default)]
struct Parts {
    numbers: Vec<Number>,
    /// A month by name.
    month: Option<i32>,
    time: Option<[i8; 3]>,
    is_afternoon: Option<bool>,
    offset: Option<Offset>,
}

struct Number {
    value: i32,
    digits: usize,
}

pub(super) fn parse(text: &str) -> Option<Absolute> {
    let text = text.to_ascii_lowercase();
    let tokens = Tokens::of(&text);
    let mut parts = Parts::default();
    let mut place = 0;
    while let Some(token) = tokens.get(place) {
        place = match token {
            Token::Number(_) if tokens.is_sign(place + 1, &[':']) => parts.clock(&tokens, place)?,
            Token::Number(digits) => parts.number(digits, place)?,
            Token::Word(word) => parts.word(word, place)?,
            Token::Sign('+' | '-') if parts.time.is_some() => parts.offset(&tokens, place)?,
            Token::Sign('/' | '-' | ',' | '.') => place + 1,
            Token::Sign(_) => return None,
        };
    }
    let local = parts.date()?.to_datetime(parts.time()?);
    match parts.offset {
        Some(offset) => Some(Absolute::Instant(offset.to_timestamp(local).ok()?)),
        None => Some(Absolute::Local(local)),
    }
}

impl Parts {
    fn number(&mut self, digits: &str, place: usize) -> Option<usize> {
        self.numbers.push(Number { value: digits.parse().ok()?, digits: digits.len() });
        Some(place + 1)
    }

    fn word(&mut self, word: &str, place: usize) -> Option<usize> {
        match word {
            "am" | "pm" => self.is_afternoon = Some(word == "pm"),
            "z" | "utc" | "gmt" => self.offset = Some(Offset::UTC),
            _ => match words::month(word) {
                Some((month, _)) => self.month = Some(month),
                None => return words::weekday(word).map(|_| place + 1),
            },
        }
        Some(place + 1)
    }

    /// `10:00` or `10:00:00`.
    fn clock(&mut self, tokens: &Tokens<'_>, place: usize) -> Option<usize> {
        let part = |place: usize| tokens.digits(place).and_then(|digits| digits.parse::<i8>().ok());
        let (hour, minute) = (part(place)?, part(place + 2)?);
        let second = part(place + 4).filter(|_| tokens.is_sign(place + 3, &[':']));
        self.time = Some([hour, minute, second.unwrap_or(0)]);
        Some(if second.is_some() { place + 5 } else { place + 3 })
    }

    /// `+0100` or `+01:00`.
    fn offset(&mut self, tokens: &Tokens<'_>, place: usize) -> Option<usize> {
        let sign = if tokens.is_sign(place, &['-']) { -1 } else { 1 };
        let digits = tokens.digits(place + 1)?;
        let (hours, minutes, next): (i32, i32, usize) = match digits.len() {
            4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?, place + 2),
            2 if tokens.is_sign(place + 2, &[':']) => {
                let minutes = tokens.digits(place + 3).filter(|digits| digits.len() == 2)?;
                (digits.parse().ok()?, minutes.parse().ok()?, place + 4)
            }
            _ => return None,
        };
        self.offset = Some(Offset::from_seconds(sign * (hours * 60 + minutes) * 60).ok()?);
        Some(next)
    }

    fn date(&self) -> Option<Date> {
        let (year, month, day) = match (self.month, self.numbers.as_slice()) {
            (Some(month), [day, year]) if !day.is_year() => (year, month, day.value),
            (Some(month), [year, day]) => (year, month, day.value),
            (None, [year, month, day]) if year.is_year() => (year, month.value, day.value),
            (None, [month, day, year]) => (year, month.value, day.value),
            _ => return None,
        };
        Date::new(year.as_year()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
    }

    fn time(&self) -> Option<Time> {
        let [hour, minute, second] = self.time.unwrap_or_default();
        let hour = match self.is_afternoon {
            None => hour,
            Some(_) if !(1..=12).contains(&hour) => return None,
            Some(is_afternoon) => hour % 12 + if is_afternoon { 12 } else { 0 },
        };
        DateTime::new(1, 1, 1, hour, minute, second, 0).ok().map(DateTime::time)
    }
}

impl Number {
    fn is_year(&self) -> bool {
        self.digits > 2 || self.value > 31
    }

    /// Two digits are of this century up to 49.
    fn as_year(&self) -> Option<i16> {
        let year = match self.value {
            0..=49 if self.digits <= 2 => self.value + 2000,
            50..=99 if self.digits <= 2 => self.value + 1900,
            year => year,
        };
        i16::try_from(year).ok()
    }
}
