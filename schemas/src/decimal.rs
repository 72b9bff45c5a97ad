//! Sums of `value` are exact decimals with nine places. Here a property becomes billionths.

use crate::PropertyValue;

/// How many decimal places a sum keeps.
pub const PLACES: u32 = 9;

/// Billionths in one.
const ONE: i128 = 10_i128.pow(PLACES);

/// Values of this magnitude and more, in billionths, are not summed.
const LIMIT: i128 = 10_i128.pow(19 + PLACES);

/// The value in billionths, or `None` if it is no number or not below 10^19 in magnitude.
///
/// The bound holds every 64-bit integer and leaves room for 10^10 such values in a Decimal(38, 9). A double is
/// taken by the shortest decimal text that reads back as the same double (0.1 is one tenth exactly); beyond nine
/// places it is rounded half to even. Numbers kept as JSON text are taken by that text, and so are strings that are
/// nothing but a decimal number: GitLab sums with Redis's INCRBYFLOAT, to which "3" is 3. There are no spaces, no `+` in
/// front and no bare point.
pub fn value_to_nanos(value: &PropertyValue<'_>) -> Option<i128> {
    match value {
        PropertyValue::Long(value) => Some(i128::from(*value) * ONE),
        PropertyValue::Double(value) => double_to_nanos(*value),
        PropertyValue::Json(text) | PropertyValue::String(text) => decimal_to_nanos(text),
        PropertyValue::Null | PropertyValue::Boolean(_) => None,
    }
}

fn double_to_nanos(value: f64) -> Option<i128> {
    /// Below this, a whole double is printed with all its digits, so that its own value is its shortest text's.
    const EXACT: f64 = 1e15;
    if value.fract() == 0.0 && value.abs() < EXACT {
        return Some(i128::from(value as i64) * ONE);
    }
    // `{:e}` is the shortest text that reads back as the same double. NaN and infinities fail to be read below.
    decimal_to_nanos(&format!("{value:e}"))
}

/// Reads a decimal number as JSON writes it (or with leading zeros) exactly and rounds it half to even at nine places.
fn decimal_to_nanos(text: &str) -> Option<i128> {
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let digits =
        whole.bytes().chain(fraction.bytes()).map(|byte| byte - b'0').skip_while(|digit| *digit == 0);
    // The value is 0.d1 d2 d3 … times ten to this power, so that so many digits are kept as billionths.
    let leading_zeros = whole.bytes().chain(fraction.bytes()).take_while(|byte| *byte == b'0').count();
    let kept =
        (whole.len() as i64 - leading_zeros as i64).saturating_add(exponent).saturating_add(PLACES.into());
    let nanos = round_half_even(digits, kept)?;
    Some(if negative { -nanos } else { nanos })
}

/// The first `kept` of `digits` as a number, rounded half to even by the others; `None` from [`LIMIT`] on. The
/// first digit, if any, isn't zero.
fn round_half_even(digits: impl Iterator<Item = u8> + Clone, kept: i64) -> Option<i128> {
    let mut digits = digits.peekable();
    if kept < 0 || digits.peek().is_none() {
        return Some(0);
    }
    if kept > i64::from(19 + PLACES) {
        return None;
    }
    let mut nanos: i128 = 0;
    for _ in 0..kept {
        nanos = nanos * 10 + i128::from(digits.next().unwrap_or(0));
    }
    let first_cut = digits.next().unwrap_or(0);
    let above_half = first_cut > 5 || (first_cut == 5 && digits.any(|digit| digit != 0));
    let round_up = above_half || (first_cut == 5 && nanos % 2 == 1);
    nanos += i128::from(round_up);
    (nanos < LIMIT).then_some(nanos)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn doubles_are_taken_by_their_shortest_text_and_rounded_half_to_even() {
        let table = [
            (0.0, Some(0)),
            (-0.0, Some(0)),
            (0.1, Some(100_000_000)),
            (-2.5, Some(-2_500_000_000)),
            (0.3, Some(300_000_000)),
            (0.1 + 0.2, Some(300_000_000)),
            (1e-9, Some(1)),
            (1.5e-9, Some(2)),
            (2.5e-9, Some(2)),
            (-2.5e-9, Some(-2)),
            (2.500_000_01e-9, Some(3)),
            (0.5e-9, Some(0)),
            (0.6e-9, Some(1)),
            (0.999_999_999_9, Some(1_000_000_000)),
            (1e-300, Some(0)),
            (123_456.789, Some(123_456_789_000_000)),
            (1e18, Some(1_000_000_000_000_000_000_000_000_000)),
            (1.234_567_890_123_456_8e18, Some(1_234_567_890_123_456_800_000_000_000)),
            (9.99e18, Some(9_990_000_000_000_000_000_000_000_000)),
            (1e19, None),
            (-1e19, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ];
        for (value, expected) in table {
            assert_eq!(value_to_nanos(&PropertyValue::Double(value)), expected, "{value:e}");
        }
    }

    #[test]
    fn only_numbers_have_a_value() {
        let json = |text: &'static str| PropertyValue::Json(Cow::Borrowed(text));
        let table = [
            (PropertyValue::Null, None),
            (PropertyValue::Boolean(true), None),
            (PropertyValue::Long(i64::MAX), Some(i128::from(i64::MAX) * ONE)),
            (PropertyValue::Long(i64::MIN), Some(i128::from(i64::MIN) * ONE)),
            (json("[1]"), None),
            (json("{}"), None),
            (json("9999999999999999999"), Some(9_999_999_999_999_999_999 * ONE)),
            (json("10000000000000000000"), None),
            (json("9999999999999999999.9999999996"), None),
            (json("1E+2"), Some(100 * ONE)),
            (json("1e999999999999999999999"), None),
            (json("1e9223372036854775807"), None),
            (json("0e9223372036854775807"), Some(0)),
            (json("1e-9223372036854775807"), Some(0)),
        ];
        for (value, expected) in table {
            assert_eq!(value_to_nanos(&value), expected, "{value:?}");
        }
    }

    #[test]
    fn a_string_that_is_a_decimal_number_is_that_number() {
        let table = [
            ("3", Some(3 * ONE)),
            ("-3.25", Some(-3_250_000_000)),
            ("007", Some(7 * ONE)),
            ("1e2", Some(100 * ONE)),
            ("1.5E-1", Some(150_000_000)),
            ("", None),
            ("-", None),
            (" 3", None),
            ("3 ", None),
            ("3\n", None),
            ("+3", None),
            (".5", None),
            ("5.", None),
            ("1e", None),
            ("1e 2", None),
            ("1_000", None),
            ("0x10", None),
            ("٣", None),
            ("NaN", None),
            ("inf", None),
            ("three", None),
        ];
        for (text, expected) in table {
            assert_eq!(value_to_nanos(&PropertyValue::String(text.into())), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whole_numbers_are_exact_in_every_form(value in -999_999_999_999_999_i64..=999_999_999_999_999) {
            let expected = Some(i128::from(value) * ONE);
            prop_assert_eq!(value_to_nanos(&PropertyValue::Long(value)), expected);
            prop_assert_eq!(value_to_nanos(&PropertyValue::Double(value as f64)), expected);
            prop_assert_eq!(value_to_nanos(&PropertyValue::Json(value.to_string().into())), expected);
        }

        #[test]
        fn doubles_are_off_by_at_most_half_a_billionth_and_their_own_precision(value in -1e18..1e18) {
            let nanos = value_to_nanos(&PropertyValue::Double(value)).unwrap();
            let off = (nanos as f64 / 1e9 - value).abs();
            prop_assert!(off <= 0.5e-9 + value.abs() * 1e-15, "{} is off by {}", value, off);
        }

        #[test]
        fn nine_places_are_kept_exactly(nanos in -999_999_999_999_999_999_i64..=999_999_999_999_999_999) {
            let sign = if nanos < 0 { "-" } else { "" };
            let (whole, fraction) = (nanos.abs() / 1_000_000_000, nanos.abs() % 1_000_000_000);
            let text = format!("{sign}{whole}.{fraction:09}");
            prop_assert_eq!(value_to_nanos(&PropertyValue::Json(text.into())), Some(i128::from(nanos)));
        }
    }
}
