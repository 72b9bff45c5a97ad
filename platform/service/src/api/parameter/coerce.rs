//! What GitLab's API framework makes of a scalar for each declared type. For all but strings, null and "" mean that the
//! parameter is not given.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use uuid::Uuid;

pub use super::Invalid;
use super::Scalar;

/// dry-types' spellings of true and false, which are GitLab's.
const TRUE: [&str; 13] = ["1", "on", "On", "ON", "t", "true", "True", "TRUE", "T", "y", "yes", "Yes", "YES"];
const FALSE: [&str; 13] =
    ["0", "off", "Off", "OFF", "f", "false", "False", "FALSE", "F", "n", "no", "No", "NO"];

/// A string; numbers and booleans are their text, null is the empty text.
pub fn string(scalar: Scalar<'_>) -> Result<Cow<'_, str>, Invalid> {
    match scalar {
        Scalar::Text(text) => Ok(text),
        Scalar::Null => Ok(Cow::Borrowed("")),
        Scalar::Boolean(value) => Ok(Cow::Borrowed(if value { "true" } else { "false" })),
        Scalar::Integer(value) => Ok(Cow::Owned(value.to_string())),
        Scalar::Unsigned(value) => Ok(Cow::Owned(value.to_string())),
        Scalar::Float(value) => Ok(Cow::Owned(Value::from(value).to_string())),
        Scalar::Container => Err(Invalid),
    }
}

/// An integer: `"12"` is 12 and 1.5 is 1. A number beyond 64 bits is the nearest one within.
pub fn integer(scalar: &Scalar<'_>) -> Result<Option<i64>, Invalid> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Integer(value) => Ok(Some(*value)),
        Scalar::Unsigned(_) => Ok(Some(i64::MAX)),
        Scalar::Float(value) => Ok(Some(value.trunc() as i64)),
        Scalar::Text(text) if text.is_empty() => Ok(None),
        Scalar::Text(text) => decimal(text).map(Some).ok_or(Invalid),
        Scalar::Boolean(_) | Scalar::Container => Err(Invalid),
    }
}

/// Ruby's `Integer(text, 10)`: white space around it, a sign, and single underscores between digits.
fn decimal(text: &str) -> Option<i64> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    let mut value: i64 = 0;
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for digit in group.bytes() {
            let digit = char::from(digit).to_digit(10)?;
            value = value.saturating_mul(10).saturating_add(digit.into());
        }
    }
    Some(if negative { -value } else { value })
}

/// A boolean in any of its spellings.
pub fn boolean(scalar: &Scalar<'_>) -> Result<Option<bool>, Invalid> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Boolean(value) => Ok(Some(*value)),
        Scalar::Integer(1) => Ok(Some(true)),
        Scalar::Integer(0) => Ok(Some(false)),
        Scalar::Text(text) => match &**text {
            "" => Ok(None),
            text if TRUE.contains(&text) => Ok(Some(true)),
            text if FALSE.contains(&text) => Ok(Some(false)),
            _ => Err(Invalid),
        },
        _ => Err(Invalid),
    }
}

/// A UUID in text.
pub fn uuid(scalar: &Scalar<'_>) -> Result<Option<Uuid>, Invalid> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Text(text) if text.is_empty() => Ok(None),
        Scalar::Text(text) => Uuid::parse_str(text).map(Some).map_err(|_| Invalid),
        _ => Err(Invalid),
    }
}

/// An instant in RFC 3339, in milliseconds since the epoch.
pub fn timestamp(scalar: &Scalar<'_>) -> Result<Option<i64>, Invalid> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Text(text) if text.is_empty() => Ok(None),
        Scalar::Text(text) => rfc3339(text).map(Some).ok_or(Invalid),
        _ => Err(Invalid),
    }
}

/// A day: `2016-12-1`, `20161201`, or a date with a time, of which the day counts as it is written, whatever the offset.
pub fn date(scalar: &Scalar<'_>) -> Result<Option<Date>, Invalid> {
    match scalar {
        Scalar::Null => Ok(None),
        Scalar::Text(text) if text.is_empty() => Ok(None),
        Scalar::Text(text) => day(text).map(Some).ok_or(Invalid),
        _ => Err(Invalid),
    }
}

fn day(text: &str) -> Option<Date> {
    let date = text.split(['T', ' ']).next()?;
    let parts: Vec<&str> = date.split('-').collect();
    match parts.as_slice() {
        [year, month, day] => Date::new(number(year, 4)?, number(month, 2)?, number(day, 2)?).ok(),
        [digits] if digits.len() == 8 && digits.is_ascii() => {
            Date::new(number(&digits[..4], 4)?, number(&digits[4..6], 2)?, number(&digits[6..], 2)?).ok()
        }
        _ => None,
    }
}

fn number<T: std::str::FromStr>(digits: &str, at_most: usize) -> Option<T> {
    let is_number = digits.len() <= at_most && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_number)
}

/// Milliseconds since the epoch of an instant in RFC 3339; `None` for the further forms of ISO 8601, which the parser
/// of dates would take.
fn rfc3339(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let separators = bytes.len() >= "2026-01-02T03:04:05Z".len()
        && bytes[4] == b'-'
        && bytes[7] == b'-'
        && matches!(bytes[10], b'T' | b't')
        && bytes[13] == b':'
        && bytes[16] == b':';
    let offset = matches!(bytes, [.., b'Z' | b'z'] | [.., b'+' | b'-', _, _, b':', _, _]);
    if !separators || !offset {
        return None;
    }
    text.parse::<Timestamp>().ok().map(Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Scalar<'_> {
        Scalar::Text(text.into())
    }

    #[test]
    fn integers_are_read_as_ruby_reads_them() {
        let rows = [
            (Scalar::Null, Ok(None)),
            (text(""), Ok(None)),
            (Scalar::Integer(12), Ok(Some(12))),
            (text("12"), Ok(Some(12))),
            (text(" 12\n"), Ok(Some(12))),
            (text("+12"), Ok(Some(12))),
            (text("-12"), Ok(Some(-12))),
            (text("1_000"), Ok(Some(1000))),
            (text("012"), Ok(Some(12))),
            (Scalar::Float(1.5), Ok(Some(1))),
            (Scalar::Float(-1.5), Ok(Some(-1))),
            (Scalar::Float(1e300), Ok(Some(i64::MAX))),
            (Scalar::Unsigned(u64::MAX), Ok(Some(i64::MAX))),
            (text("99999999999999999999"), Ok(Some(i64::MAX))),
            (text("abc"), Err(Invalid)),
            (text("1.5"), Err(Invalid)),
            (text("1__0"), Err(Invalid)),
            (text("_1"), Err(Invalid)),
            (text("1_"), Err(Invalid)),
            (text("-"), Err(Invalid)),
            (text("+-1"), Err(Invalid)),
            (text(" "), Err(Invalid)),
            (text("0x1f"), Err(Invalid)),
            (text("١"), Err(Invalid)),
            (Scalar::Boolean(true), Err(Invalid)),
            (Scalar::Container, Err(Invalid)),
        ];
        for (scalar, expected) in rows {
            assert_eq!(integer(&scalar), expected, "{scalar:?}");
        }
    }

    #[test]
    fn booleans_have_many_spellings() {
        for spelling in TRUE {
            assert_eq!(boolean(&text(spelling)), Ok(Some(true)), "{spelling}");
        }
        for spelling in FALSE {
            assert_eq!(boolean(&text(spelling)), Ok(Some(false)), "{spelling}");
        }
        for spelling in ["maybe", "tRUE", "2", " true", "Y"] {
            assert_eq!(boolean(&text(spelling)), Err(Invalid), "{spelling}");
        }
    }

    #[test]
    fn dates_are_read_in_several_forms() {
        let december = Ok(Some(jiff::civil::date(2016, 12, 1)));
        let rows = [
            ("2016-12-1", december),
            ("2016-12-01", december),
            ("20161201", december),
            ("2016-12-01T10:00:00Z", december),
            ("2016-12-01T23:00:00-05:00", december),
            ("2016-12-01T01:00:00+05:00", december),
            ("2016-12-01 01:00", december),
            ("", Ok(None)),
            ("2016-13-45", Err(Invalid)),
            ("2016-12", Err(Invalid)),
            ("2016-+1-01", Err(Invalid)),
            ("garbage", Err(Invalid)),
        ];
        for (written, expected) in rows {
            assert_eq!(date(&text(written)), expected, "{written}");
        }
        assert_eq!(date(&Scalar::Integer(20_161_201)), Err(Invalid));
    }

    #[test]
    fn booleans_are_taken_as_such_as_one_and_zero_and_as_text() {
        assert_eq!(boolean(&text("Yes")), Ok(Some(true)));
        assert_eq!(boolean(&text("off")), Ok(Some(false)));
        assert_eq!(boolean(&Scalar::Boolean(true)), Ok(Some(true)));
        assert_eq!(boolean(&Scalar::Integer(0)), Ok(Some(false)));
        assert_eq!(boolean(&Scalar::Null), Ok(None));
        assert_eq!(boolean(&text("")), Ok(None));
        for scalar in [text("maybe"), text("tRUE"), Scalar::Integer(2), Scalar::Float(1.0), Scalar::Container]
        {
            assert_eq!(boolean(&scalar), Err(Invalid), "{scalar:?}");
        }
    }

    #[test]
    fn strings_take_numbers_and_booleans_as_text() {
        assert_eq!(string(Scalar::Integer(1)).unwrap(), "1");
        assert_eq!(string(Scalar::Float(1.0)).unwrap(), "1.0");
        assert_eq!(string(Scalar::Float(-3.5e80)).unwrap(), "-3.5e+80");
        assert_eq!(string(Scalar::Boolean(false)).unwrap(), "false");
        assert_eq!(string(Scalar::Null).unwrap(), "");
        assert_eq!(string(Scalar::Container), Err(Invalid));
    }

    #[test]
    fn timestamps_are_rfc_3339_and_nothing_else() {
        let second = 1_767_323_045_000;
        let rows = [
            ("2026-01-02T03:04:05Z", Some(second)),
            ("2026-01-02t03:04:05z", Some(second)),
            ("2026-01-02T03:04:05.678Z", Some(second + 678)),
            ("2026-01-02T03:04:05.678999Z", Some(second + 678)),
            ("2026-01-02T05:04:05+02:00", Some(second)),
            ("2026-01-02T03:04:05", None),
            ("2026-01-02T03:04Z", None),
            ("2026-01-02T05:04+02:00", None),
            ("2026-01-02 03:04:05Z", None),
            ("2026-01-02", None),
            ("2026-02-30T00:00:00Z", None),
            ("2026-01-02T25:00:00Z", None),
            ("2026-01-02T03:04:05+02:00[Europe/Berlin]", None),
            ("yesterday", None),
        ];
        for (text, expected) in rows {
            assert_eq!(rfc3339(text), expected, "{text}");
        }
        assert_eq!(timestamp(&Scalar::Integer(5)), Err(Invalid));
        assert_eq!(timestamp(&Scalar::Null), Ok(None));
    }

    #[test]
    fn uuids_are_text() {
        let id = "01890a5d-ac96-774b-bcce-b302099a8057";
        assert_eq!(uuid(&text(id)).unwrap().unwrap().to_string(), id);
        assert_eq!(uuid(&text("")), Ok(None));
        assert_eq!(uuid(&text("01890a5d")), Err(Invalid));
        assert_eq!(uuid(&Scalar::Integer(1)), Err(Invalid));
    }
}
