//! Parameters that stand in lists and objects, or of which null means something: tally-service's coercions for such
//! values, and a collection of what is wrong with them that tells a parameter's problems together, each once.

use jiff::civil::Date;
use serde_json::{Map, Value};
use tally_service::api::ApiError;
use tally_service::api::parameter::{Invalid, Scalar, coerce};

/// What an object holds, by name.
pub(crate) type Fields = Map<String, Value>;

/// A value as its declared type; `None` for null or an empty text, which is as good as null.
pub(crate) type Coerced<T> = Result<Option<T>, Invalid>;

/// A parameter of which null means something else than not sending it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent<T> {
    Absent,
    Null,
    Value(T),
}

impl<T> Sent<T> {
    /// The value, if there is one.
    pub(crate) fn value(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }
}

impl<T: Clone> Sent<T> {
    /// What becomes of a value that may be taken away.
    pub(crate) fn or_keep(&self, existing: Option<T>) -> Option<T> {
        match self {
            Self::Absent => existing,
            Self::Null => None,
            Self::Value(value) => Some(value.clone()),
        }
    }
}

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

    /// The value of an optional parameter. What is no such value is as good as absent, once it is noted.
    pub(crate) fn optional<T>(
        &mut self,
        fields: &Fields,
        name: &str,
        coerce: impl Fn(&Value) -> Coerced<T>,
    ) -> Sent<T> {
        fields.get(name).map_or(Sent::Absent, |value| self.coerce(value, name, coerce))
    }

    /// The same of a parameter that must be sent; null is something sent.
    pub(crate) fn required<T>(
        &mut self,
        fields: &Fields,
        name: &str,
        coerce: impl Fn(&Value) -> Coerced<T>,
    ) -> Sent<T> {
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
    ) -> Sent<T> {
        match coerce(value) {
            Ok(Some(value)) => Sent::Value(value),
            Ok(None) => Sent::Null,
            Err(Invalid) => {
                self.add(name, "is invalid");
                Sent::Absent
            }
        }
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

/// An integer, also as text.
pub(crate) fn integer(value: &Value) -> Coerced<i64> {
    coerce::integer(&Scalar::from(value))
}

/// A text; numbers and booleans are taken as theirs.
pub(crate) fn text(value: &Value) -> Coerced<String> {
    match value {
        Value::Null => Ok(None),
        value => coerce::string(Scalar::from(value)).map(|text| Some(text.into_owned())),
    }
}

/// A boolean, also in its spellings as text or number.
pub(crate) fn boolean(value: &Value) -> Coerced<bool> {
    coerce::boolean(&Scalar::from(value))
}

/// A day in digits, or with its month's name as GitLab's documentation writes it: `13 Jun 2021`, `June 13, 2021`.
pub(crate) fn date(value: &Value) -> Coerced<Date> {
    coerce::date(&Scalar::from(value)).or_else(|invalid| match value {
        Value::String(text) => date_in_words(text).map(Some).ok_or(invalid),
        _ => Err(invalid),
    })
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

fn date_in_words(text: &str) -> Option<Date> {
    let words: Vec<&str> = text.split([' ', ',']).filter(|word| !word.is_empty()).collect();
    let &[first, second, year, ..] = words.as_slice() else { return None };
    let (day, name) = if first.starts_with(char::is_alphabetic) { (second, first) } else { (first, second) };
    Date::new(digits(year, 4)?, month(name)?, digits(day, 2)?).ok()
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
    fn dates_are_read_in_the_documented_forms() {
        let day = Ok(Some(jiff::civil::date(2021, 6, 3)));
        for text in [
            "2021-06-03",
            "20210603",
            "2021-06-03T10:00:00Z",
            "3 Jun 2021",
            "03 June 2021",
            "3 Jun 2021 10:00",
            "Jun 3 2021",
            "june 3, 2021",
        ] {
            assert_eq!(date(&json!(text)), day, "{text}");
        }
        for value in [
            json!("2021-13-01"),
            json!("31 Jun 2021"),
            json!("13 Foo 2021"),
            json!("J 3 2021"),
            json!("13 Jun"),
            json!("tomorrow"),
            json!(" "),
            json!(5),
            json!([]),
        ] {
            assert_eq!(date(&value), Err(Invalid), "{value}");
        }
        assert_eq!((date(&json!("")), date(&json!(null))), (Ok(None), Ok(None)));
    }

    #[test]
    fn null_is_no_text_and_no_object() {
        assert_eq!(text(&json!(null)), Ok(None));
        assert_eq!(text(&json!(7)), Ok(Some("7".to_owned())));
        assert_eq!(text(&json!({})), Err(Invalid));
        assert_eq!((object(&json!(null)), object(&json!(""))), (Ok(None), Ok(None)));
        assert_eq!(object(&json!({"a": 1})).unwrap().unwrap().len(), 1);
        for value in [json!([]), json!("x"), json!(1)] {
            assert_eq!(object(&value), Err(Invalid), "{value}");
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
