//! Parameters as GitLab's API framework declares them: what it makes of a value of each type, and the collection of
//! everything that is wrong with a request, which is answered at once.

use jiff::civil::Date;
use serde_json::{Map, Value};
use tally_service::api::ApiError;
use tally_service::api::parameter::{self, Invalid};

/// What an object holds, by name.
pub(crate) type Fields = Map<String, Value>;

/// A value as its declared type; `None` for null or an empty text, which is as good as null.
pub(crate) type Coerced<T> = Result<Option<T>, Invalid>;

/// What is wrong with a request's parameters, in the order in which it is told.
#[derive(Debug, Default)]
pub(crate) struct Failures(Vec<(String, Vec<&'static str>)>);

impl Failures {
    /// Notes a problem; a parameter's problems are told together, each once.
    pub(crate) fn add(&mut self, name: &str, problem: &'static str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, problems)) if problems.contains(&problem) => {}
            Some((_, problems)) => problems.push(problem),
            None => self.0.push((name.to_owned(), vec![problem])),
        }
    }

    /// The value of an optional parameter: `None` if it was not sent or is no such value, `Some(None)` for null.
    pub(crate) fn optional<T>(
        &mut self,
        fields: &Fields,
        name: &str,
        coerce: impl Fn(&Value) -> Coerced<T>,
    ) -> Option<Option<T>> {
        self.coerce(fields.get(name)?, name, coerce)
    }

    /// The same of a parameter that must be sent; null is something sent.
    pub(crate) fn required<T>(
        &mut self,
        fields: &Fields,
        name: &str,
        coerce: impl Fn(&Value) -> Coerced<T>,
    ) -> Option<Option<T>> {
        if !fields.contains_key(name) {
            self.add(name, "is missing");
        }
        self.optional(fields, name, coerce)
    }

    /// A value that the answer calls `name`.
    pub(crate) fn coerce<T>(
        &mut self,
        value: &Value,
        name: &str,
        coerce: impl Fn(&Value) -> Coerced<T>,
    ) -> Option<Option<T>> {
        let coerced = coerce(value);
        if coerced.is_err() {
            self.add(name, "is invalid");
        }
        coerced.ok()
    }

    /// [`ApiError::BadParameters`] if anything was noted.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let problems = self.0.iter().flat_map(|(name, problems)| problems.iter().map(move |is| (name, is)));
        let told: Vec<String> = problems.map(|(name, problem)| format!("{name} {problem}")).collect();
        Err(ApiError::BadParameters(told.join(", ")))
    }
}

/// A whole number, also as text; what follows a number's decimal point is cut.
pub(crate) fn integer(value: &Value) -> Coerced<i64> {
    /// The largest double below 2^63, beyond which nothing fits.
    const LIMIT: f64 = 9_223_372_036_854_774_784.0;
    match value {
        Value::Null => Ok(None),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Ok(Some(whole)),
            (None, Some(fraction)) if !number.is_u64() && fraction.abs() <= LIMIT => {
                Ok(Some(fraction as i64))
            }
            _ => Err(Invalid),
        },
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => text.trim().parse().map(Some).map_err(|_| Invalid),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(Invalid),
    }
}

/// A text; numbers and booleans are taken as theirs.
pub(crate) fn text(value: &Value) -> Coerced<String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        Value::Number(_) | Value::Bool(_) => Ok(Some(value.to_string())),
        Value::Array(_) | Value::Object(_) => Err(Invalid),
    }
}

/// A boolean, also in its spellings as text or number.
pub(crate) fn boolean(value: &Value) -> Coerced<bool> {
    match value {
        Value::Bool(value) => Ok(Some(*value)),
        value => text(value)?.map_or(Ok(None), |text| parameter::boolean(&text)),
    }
}

/// A day: `2021-06-13`, `20210613`, `13 Jun 2021` or `June 13, 2021`; a time after it is ignored.
pub(crate) fn date(value: &Value) -> Coerced<Date> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.trim().is_empty() => Ok(None),
        Value::String(text) => read_date(text).map(Some).ok_or(Invalid),
        _ => Err(Invalid),
    }
}

/// An object.
pub(crate) fn object(value: &Value) -> Coerced<Fields> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if text.is_empty() => Ok(None),
        Value::Object(fields) => Ok(Some(fields.clone())),
        _ => Err(Invalid),
    }
}

fn read_date(text: &str) -> Option<Date> {
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    match words.as_slice() {
        [name, day, year, ..] if name.starts_with(char::is_alphabetic) => {
            Date::new(digits(year, 4)?, month(name)?, digits(day, 2)?).ok()
        }
        [day, name, year, ..] if name.starts_with(char::is_alphabetic) => {
            Date::new(digits(year, 4)?, month(name)?, digits(day, 2)?).ok()
        }
        [date, ..] => numeric_date(date.split('T').next()?),
        [] => None,
    }
}

fn numeric_date(text: &str) -> Option<Date> {
    let parts: Vec<&str> = text.split(['-', '/']).collect();
    match parts.as_slice() {
        [year, month, day] => Date::new(digits(year, 4)?, digits(month, 2)?, digits(day, 2)?).ok(),
        [all] if all.len() == 8 && all.is_ascii() => {
            Date::new(digits(&all[..4], 4)?, digits(&all[4..6], 2)?, digits(&all[6..], 2)?).ok()
        }
        _ => None,
    }
}

/// A month by its English name or the first three letters of it.
fn month(name: &str) -> Option<i8> {
    const MONTHS: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let name = name.to_ascii_lowercase();
    let is_it = |month: &&str| name == **month || (name.len() == 3 && month.starts_with(&name));
    MONTHS.iter().position(is_it).and_then(|index| i8::try_from(index + 1).ok())
}

fn digits<T: std::str::FromStr>(text: &str, at_most: usize) -> Option<T> {
    let is_number = text.len() <= at_most && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_are_read_from_numbers_and_texts() {
        for (value, expected) in [
            (json!(12), Ok(Some(12))),
            (json!("12"), Ok(Some(12))),
            (json!(" -3 "), Ok(Some(-3))),
            (json!(1.5), Ok(Some(1))),
            (json!(null), Ok(None)),
            (json!(""), Ok(None)),
            (json!("abc"), Err(Invalid)),
            (json!("1.5"), Err(Invalid)),
            (json!(true), Err(Invalid)),
            (json!([1]), Err(Invalid)),
            (json!({}), Err(Invalid)),
            (json!(u64::MAX), Err(Invalid)),
            (json!(1e300), Err(Invalid)),
            (json!("9223372036854775808"), Err(Invalid)),
        ] {
            assert_eq!(integer(&value), expected, "{value}");
        }
    }

    #[test]
    fn dates_are_read_in_the_documented_forms() {
        let day = Ok(Some(jiff::civil::date(2021, 6, 3)));
        for text in [
            "2021-06-03",
            "2021-6-3",
            "2021/06/03",
            "20210603",
            "2021-06-03T10:00:00Z",
            "2021-06-03 10:00",
            "3 Jun 2021",
            "03 June 2021",
            "Jun 3 2021",
            "june 3, 2021",
        ] {
            assert_eq!(date(&json!(text)), day, "{text}");
        }
        for value in
            [json!("2021-13-01"), json!("13 Foo 2021"), json!("tomorrow"), json!("J 3 2021"), json!(5)]
        {
            assert_eq!(date(&value), Err(Invalid), "{value}");
        }
        assert_eq!((date(&json!("")), date(&json!(null))), (Ok(None), Ok(None)));
    }

    #[test]
    fn texts_and_booleans_are_read_from_scalars() {
        assert_eq!(text(&json!(7)), Ok(Some("7".to_owned())));
        assert_eq!(text(&json!(null)), Ok(None));
        assert_eq!(text(&json!(["a"])), Err(Invalid));
        for (value, expected) in [
            (json!(true), Ok(Some(true))),
            (json!("no"), Ok(Some(false))),
            (json!(1), Ok(Some(true))),
            (json!(""), Ok(None)),
            (json!("maybe"), Err(Invalid)),
            (json!({}), Err(Invalid)),
        ] {
            assert_eq!(boolean(&value), expected, "{value}");
        }
    }

    #[test]
    fn a_parameters_problems_are_told_together_and_once() {
        let mut failures = Failures::default();
        for (name, problem) in
            [("a", "is missing"), ("b", "is missing"), ("a", "is empty"), ("b", "is missing")]
        {
            failures.add(name, problem);
        }
        let told = failures.check().unwrap_err().to_string();
        assert_eq!(told, "a is missing, a is empty, b is missing");
    }
}
