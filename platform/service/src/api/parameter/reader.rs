//! Reads an endpoint's parameters one after the other and notes in GitLab's words what fails: every failing parameter, in
//! the order of reading, joined by comma and space.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::str::FromStr;

use jiff::civil::Date;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{Invalid, Scalar, coerce};
use crate::api::ApiError;

/// The page that is meant when none is named.
const FIRST_PAGE: u64 = 1;

/// Parameters as they were sent: a query string's, or a JSON body's.
pub trait Sent {
    /// The value under this name; `None` if it was not sent at all.
    fn value(&self, name: &str) -> Option<Scalar<'_>>;
}

impl<S: BuildHasher> Sent for HashMap<String, String, S> {
    fn value(&self, name: &str) -> Option<Scalar<'_>> {
        self.get(name).map(|text| Scalar::from(text.as_str()))
    }
}

impl Sent for BTreeMap<String, String> {
    fn value(&self, name: &str) -> Option<Scalar<'_>> {
        self.get(name).map(|text| Scalar::from(text.as_str()))
    }
}

impl Sent for Map<String, Value> {
    fn value(&self, name: &str) -> Option<Scalar<'_>> {
        self.get(name).map(Scalar::from)
    }
}

/// Reads parameters. What is not sent, or does not fit, reads as `None`; [`Self::finish`] refuses the latter.
///
/// ```
/// use std::collections::HashMap;
/// use tally_service::api::parameter::Reader;
///
/// let sent = HashMap::from([("page".to_owned(), "x".to_owned())]);
/// let mut read = Reader::new(&sent);
/// let id = read.required("id", Reader::integer);
/// let page = read.page();
/// let refusal = read.finish((id, page)).unwrap_err();
/// assert_eq!(refusal.to_string(), "id is missing, page is invalid");
/// ```
pub struct Reader<'s> {
    sent: &'s dyn Sent,
    /// What the parameters stand in, as answers show it: `packs[0]`; empty for an endpoint's own.
    within: String,
    failures: Vec<String>,
}

impl<'s> Reader<'s> {
    /// Reads an endpoint's own parameters.
    pub fn new(sent: &'s dyn Sent) -> Self {
        Self::within(sent, "")
    }

    /// Reads the fields of an object that is itself a parameter: `packs[0]`, whose field `expires_at` failures call
    /// `packs[0][expires_at]`.
    pub fn within(sent: &'s dyn Sent, name: impl Into<String>) -> Self {
        Self { sent, within: name.into(), failures: Vec::new() }
    }

    /// Whether the parameter was sent, be it null or empty.
    pub fn is_sent(&self, name: &str) -> bool {
        self.sent.value(name).is_some()
    }

    /// A parameter that must be sent; `read` is one of the readers below. Sent as null or "", it is there for GitLab, too,
    /// and reads as `None`.
    pub fn required<T>(&mut self, name: &str, read: impl FnOnce(&mut Self, &str) -> Option<T>) -> Option<T> {
        if !self.is_sent(name) {
            self.fail(name, "is missing");
            return None;
        }
        read(self, name)
    }

    /// A text; numbers and booleans are taken as theirs. Null reads as `None`, the empty text as itself.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let value = self.sent.value(name).filter(|value| *value != Scalar::Null)?;
        self.fitting(name, coerce::string(value).map(|text| Some(text.into_owned())))
    }

    /// An integer.
    pub fn integer(&mut self, name: &str) -> Option<i64> {
        let value = self.scalar(name);
        self.fitting(name, coerce::integer(&value))
    }

    /// A boolean in any of its spellings.
    pub fn boolean(&mut self, name: &str) -> Option<bool> {
        let value = self.scalar(name);
        self.fitting(name, coerce::boolean(&value))
    }

    /// A day in any of its forms.
    pub fn date(&mut self, name: &str) -> Option<Date> {
        let value = self.scalar(name);
        self.fitting(name, coerce::date(&value))
    }

    /// An instant in RFC 3339, in milliseconds since the epoch.
    pub fn timestamp(&mut self, name: &str) -> Option<i64> {
        let value = self.scalar(name);
        self.fitting(name, coerce::timestamp(&value))
    }

    /// A UUID.
    pub fn uuid(&mut self, name: &str) -> Option<Uuid> {
        let value = self.scalar(name);
        self.fitting(name, coerce::uuid(&value))
    }

    /// One of a closed set of texts, `choose` telling which. The empty text is none of them.
    pub fn one_of<T>(&mut self, name: &str, choose: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let text = self.text(name)?;
        let choice = choose(&text);
        if choice.is_none() {
            self.fail(name, "does not have a valid value");
        }
        choice
    }

    /// As [`Self::one_of`], for a type that reads itself.
    pub fn choice<T: FromStr>(&mut self, name: &str) -> Option<T> {
        self.one_of(name, |text| text.parse().ok())
    }

    /// `page`, from 1; 0 is the first, too.
    pub fn page(&mut self) -> u64 {
        self.natural("page").map_or(FIRST_PAGE, |page| page.max(FIRST_PAGE))
    }

    /// `per_page`: from 1; more than `at_most` is taken as that.
    pub fn per_page(&mut self, default: u64, at_most: u64) -> u64 {
        let size = self.natural("per_page");
        if size == Some(0) {
            self.fail("per_page", "has a value not allowed");
        }
        size.unwrap_or(default).min(at_most)
    }

    /// Notes that the parameter fails, in words that follow its name: `is invalid`.
    pub fn fail(&mut self, name: &str, problem: &str) {
        let failure = if self.within.is_empty() {
            format!("{name} {problem}")
        } else {
            format!("{}[{name}] {problem}", self.within)
        };
        self.failures.push(failure);
    }

    /// Takes over what failed within an object that is one of these parameters.
    pub fn absorb(&mut self, nested: Reader<'_>) {
        self.failures.extend(nested.failures);
    }

    /// Whether nothing failed so far.
    pub fn is_fine(&self) -> bool {
        self.failures.is_empty()
    }

    /// What was read, or the refusal that names everything that failed.
    pub fn finish<T>(self, parameters: T) -> Result<T, ApiError> {
        if self.is_fine() { Ok(parameters) } else { Err(ApiError::BadParameters(self.failures.join(", "))) }
    }

    fn scalar(&self, name: &str) -> Scalar<'s> {
        self.sent.value(name).unwrap_or(Scalar::Null)
    }

    fn natural(&mut self, name: &str) -> Option<u64> {
        let number = self.integer(name)?;
        let natural = u64::try_from(number).ok();
        if natural.is_none() {
            self.fail(name, "does not have a valid value");
        }
        natural
    }

    fn fitting<T>(&mut self, name: &str, coerced: Result<Option<T>, Invalid>) -> Option<T> {
        coerced.unwrap_or_else(|Invalid| {
            self.fail(name, "is invalid");
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(text: &str) -> HashMap<String, String> {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    fn object(json: Value) -> Map<String, Value> {
        let Value::Object(object) = json else { panic!("an object is wanted") };
        object
    }

    #[test]
    fn every_failing_parameter_is_named_in_the_order_of_reading() {
        let sent = object(
            json!({"id": "x", "day": 5, "flag": "maybe", "word": ["a"], "kind": "none", "at": "noon", "key": "k"}),
        );
        let mut read = Reader::new(&sent);
        read.required("name", Reader::text);
        read.required("id", Reader::integer);
        read.date("day");
        read.boolean("flag");
        read.text("word");
        read.one_of("kind", |text| (text == "some").then_some(()));
        read.timestamp("at");
        read.uuid("key");
        assert_eq!(
            read.finish(()).unwrap_err().to_string(),
            "name is missing, id is invalid, day is invalid, flag is invalid, word is invalid, \
             kind does not have a valid value, at is invalid, key is invalid"
        );
    }

    #[test]
    fn what_is_not_sent_or_null_reads_as_none() {
        let sent = object(json!({"id": null, "day": "", "word": null}));
        let mut read = Reader::new(&sent);
        assert_eq!(read.required("id", Reader::integer), None);
        assert_eq!(read.date("day"), None);
        assert_eq!(read.text("word"), None);
        assert_eq!(read.one_of("kind", |_| Some(())), None);
        assert_eq!(read.finish(7), Ok(7));
    }

    #[test]
    fn query_strings_and_bodies_are_read_alike() {
        let body = object(json!({"id": 12, "flag": true, "word": 1.5}));
        let text = query("id=12&flag=yes&word=1.5");
        for sent in [&body as &dyn Sent, &text] {
            let mut read = Reader::new(sent);
            let values = (read.integer("id"), read.boolean("flag"), read.text("word"));
            assert_eq!(read.finish(values), Ok((Some(12), Some(true), Some("1.5".to_owned()))));
        }
    }

    #[test]
    fn pages_have_defaults_and_a_largest_size() {
        for (text, expected) in [
            ("", Ok((1, 20))),
            ("page=3&per_page=50", Ok((3, 50))),
            ("page=0", Ok((1, 20))),
            ("page=&per_page=", Ok((1, 20))),
            ("per_page=1000", Ok((1, 100))),
            ("per_page=0", Err("per_page has a value not allowed")),
            ("page=-1", Err("page does not have a valid value")),
            ("per_page=-1", Err("per_page does not have a valid value")),
            ("page=x", Err("page is invalid")),
        ] {
            let sent = query(text);
            let mut read = Reader::new(&sent);
            let page = (read.page(), read.per_page(20, 100));
            assert_eq!(
                read.finish(page).map_err(|error| error.to_string()),
                expected.map_err(str::to_owned),
                "{text}"
            );
        }
    }

    #[test]
    fn a_nested_objects_failures_bear_its_name() {
        let (outer, inner) = (object(json!({})), object(json!({"expires_at": "x"})));
        let mut read = Reader::new(&outer);
        let mut pack = Reader::within(&inner, "packs[0]");
        pack.date("expires_at");
        pack.required("purchase_xid", Reader::text);
        read.absorb(pack);
        assert_eq!(
            read.finish(()).unwrap_err().to_string(),
            "packs[0][expires_at] is invalid, packs[0][purchase_xid] is missing"
        );
    }
}
