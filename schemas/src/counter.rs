//! A counter: what events are counted, narrowed by which filter, and how. Several metrics share one; its
//! canonical text is the key in the store.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::str::FromStr;

/// One thing counted per day.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Counter {
    /// The event's name.
    pub event: String,
    /// Every named property must equal its value.
    pub filter: BTreeMap<String, FilterValue>,
    /// What is kept of the matching events.
    pub kind: CounterKind,
}

/// What a counter keeps of the events that match it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CounterKind {
    /// How many there were.
    Total,
    /// The sum of their `value`.
    SumOfValue,
    /// How many distinct identifiers they had.
    Unique(Identifier),
    /// How many there were, by the value of an identifier.
    UniqueTotals(Identifier),
}

/// What tells one actor, place or thing from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identifier {
    /// `user.id`
    User,
    /// `project.id`
    Project,
    /// `namespace.id`
    Namespace,
    /// An additional property's value.
    Property(String),
}

/// What a filter asks a property to equal; a text never equals a number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FilterValue {
    /// A text, compared exactly.
    String(String),
    /// A number, compared by value: 1 equals 1.0.
    Number(Number),
}

/// A finite number in one normal form, so that equal numbers are equal, hash alike and print alike.
/// Its order is for keys of maps only, it isn't that of the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Number(Normal);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Normal {
    /// Every whole number that fits 64 bits.
    Whole(i64),
    /// The bits of any other finite double.
    Other(u64),
}

/// The text is no counter's canonical text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a counter at byte {at}: expected {expected}")]
pub struct ParseCounterError {
    /// The byte where reading stopped.
    pub at: usize,
    /// What should have stood there.
    pub expected: &'static str,
}

impl Counter {
    /// The counter of every event of that name.
    pub fn total(event: impl Into<String>) -> Self {
        Self { event: event.into(), filter: BTreeMap::new(), kind: CounterKind::Total }
    }
}

impl Identifier {
    /// Reads the `unique` of a metric's event rule: `user.id`, `project.id`, `namespace.id`, or else the name of an
    /// additional property.
    pub fn from_unique(text: &str) -> Self {
        match text {
            "user.id" => Self::User,
            "project.id" => Self::Project,
            "namespace.id" => Self::Namespace,
            property => Self::Property(property.to_owned()),
        }
    }

    /// The identifier as a metric's `unique` names it.
    pub fn as_unique(&self) -> &str {
        match self {
            Self::User => "user.id",
            Self::Project => "project.id",
            Self::Namespace => "namespace.id",
            Self::Property(name) => name,
        }
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(Normal::Whole(value))
    }
}

impl Number {
    /// The number a double stands for, or `None` for infinities and NaN.
    #[inline]
    pub fn from_double(value: f64) -> Option<Self> {
        /// 2^63, the first whole number beyond an `i64`.
        const LIMIT: f64 = 9_223_372_036_854_775_808.0;
        if !value.is_finite() {
            return None;
        }
        let whole = value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value);
        Some(Self(if whole { Normal::Whole(value as i64) } else { Normal::Other(value.to_bits()) }))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Normal::Whole(value) => write!(f, "{value}"),
            // The shortest text that reads back as the same double, with an exponent where that is shorter.
            Normal::Other(bits) => write!(f, "{:?}", f64::from_bits(bits)),
        }
    }
}

impl fmt::Display for FilterValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::String(text) => quote(f, text),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Property(property) => name(f, property),
            record => f.write_str(record.as_unique()),
        }
    }
}

/// The canonical text: `name{key="text",key=1}` with the filter's keys in order and no braces without filter, then
/// nothing for a total, `.sum(value)`, `.unique(user.id)` or `.totals(label)`. Names other than letters, digits,
/// `_` and `-` are quoted. In quotes, `"`, `\` and line feeds are escaped as `\"`, `\\` and `\n`.
impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        name(f, &self.event)?;
        for (index, (key, value)) in self.filter.iter().enumerate() {
            f.write_str(if index == 0 { "{" } else { "," })?;
            name(f, key)?;
            write!(f, "={value}")?;
        }
        if !self.filter.is_empty() {
            f.write_str("}")?;
        }
        match &self.kind {
            CounterKind::Total => Ok(()),
            CounterKind::SumOfValue => f.write_str(".sum(value)"),
            CounterKind::Unique(identifier) => write!(f, ".unique({identifier})"),
            CounterKind::UniqueTotals(identifier) => write!(f, ".totals({identifier})"),
        }
    }
}

fn is_bare(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}

fn name(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    if !text.is_empty() && text.chars().all(is_bare) { f.write_str(text) } else { quote(f, text) }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            other => f.write_char(other)?,
        }
    }
    f.write_str("\"")
}

impl FromStr for Counter {
    type Err = ParseCounterError;

    fn from_str(text: &str) -> Result<Self, ParseCounterError> {
        let mut parser = Parser { text, at: 0 };
        let event = parser.name("an event's name")?;
        let filter = if parser.skip("{") { parser.filter()? } else { BTreeMap::new() };
        let kind = parser.kind()?;
        if parser.at < text.len() {
            return Err(parser.expected("the end"));
        }
        Ok(Self { event, filter, kind })
    }
}

/// Reads a counter's canonical text from the left.
struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn expected(&self, expected: &'static str) -> ParseCounterError {
        ParseCounterError { at: self.at, expected }
    }

    fn skip(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
        }
        found
    }

    fn require(&mut self, token: &'static str) -> Result<(), ParseCounterError> {
        if self.skip(token) { Ok(()) } else { Err(self.expected(token)) }
    }

    fn name(&mut self, expected: &'static str) -> Result<String, ParseCounterError> {
        if self.skip("\"") {
            return self.quoted();
        }
        let rest = self.rest();
        let name = rest[..rest.find(|next| !is_bare(next)).unwrap_or(rest.len())].to_owned();
        if name.is_empty() {
            return Err(self.expected(expected));
        }
        self.at += name.len();
        Ok(name)
    }

    fn quoted(&mut self) -> Result<String, ParseCounterError> {
        let mut text = String::new();
        loop {
            let next = self.next_char()?;
            match next {
                '"' => return Ok(text),
                '\\' => match self.next_char()? {
                    'n' => text.push('\n'),
                    escaped @ ('"' | '\\') => text.push(escaped),
                    _ => return Err(self.expected("an escape of a quote, a backslash or a line feed before")),
                },
                other => text.push(other),
            }
        }
    }

    fn next_char(&mut self) -> Result<char, ParseCounterError> {
        let next = self.rest().chars().next().ok_or_else(|| self.expected("a closing quote"))?;
        self.at += next.len_utf8();
        Ok(next)
    }

    fn filter(&mut self) -> Result<BTreeMap<String, FilterValue>, ParseCounterError> {
        let mut filter = BTreeMap::new();
        loop {
            let key = self.name("a filter's key")?;
            self.require("=")?;
            let value = self.filter_value()?;
            if filter.insert(key, value).is_some() {
                return Err(self.expected("no key twice"));
            }
            if self.skip("}") {
                return Ok(filter);
            }
            self.require(",")?;
        }
    }

    fn filter_value(&mut self) -> Result<FilterValue, ParseCounterError> {
        if self.skip("\"") {
            return self.quoted().map(FilterValue::String);
        }
        let rest = self.rest();
        let end = rest.find([',', '}']).unwrap_or(rest.len());
        let digits = &rest[..end];
        let number = match digits.parse::<i64>() {
            Ok(whole) => Some(Number::from(whole)),
            Err(_) => digits.parse().ok().and_then(Number::from_double),
        };
        let number = number.ok_or_else(|| self.expected("a quoted text or a number"))?;
        self.at += end;
        Ok(FilterValue::Number(number))
    }

    fn kind(&mut self) -> Result<CounterKind, ParseCounterError> {
        if self.skip(".sum(value)") {
            Ok(CounterKind::SumOfValue)
        } else if self.skip(".unique(") {
            self.identifier().map(CounterKind::Unique)
        } else if self.skip(".totals(") {
            self.identifier().map(CounterKind::UniqueTotals)
        } else {
            Ok(CounterKind::Total)
        }
    }

    fn identifier(&mut self) -> Result<Identifier, ParseCounterError> {
        let records = [Identifier::User, Identifier::Project, Identifier::Namespace];
        let record = records.into_iter().find(|record| self.skip(record.as_unique()));
        let identifier = match record {
            Some(record) => record,
            None => Identifier::Property(self.name("an identifier")?),
        };
        self.require(")")?;
        Ok(identifier)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    use super::*;

    fn number(value: f64) -> FilterValue {
        FilterValue::Number(Number::from_double(value).unwrap())
    }

    fn text(value: &str) -> FilterValue {
        FilterValue::String(value.to_owned())
    }

    fn counter(filter: &[(&str, FilterValue)], kind: CounterKind) -> Counter {
        let filter = filter.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        Counter { event: "view".to_owned(), filter, kind }
    }

    #[test]
    fn canonical_texts_are_as_documented() {
        let property = |name: &str| Identifier::Property(name.to_owned());
        let table = [
            (counter(&[], CounterKind::Total), "view"),
            (counter(&[], CounterKind::SumOfValue), "view.sum(value)"),
            (counter(&[], CounterKind::Unique(Identifier::User)), "view.unique(user.id)"),
            (counter(&[], CounterKind::Unique(Identifier::Project)), "view.unique(project.id)"),
            (counter(&[], CounterKind::Unique(Identifier::Namespace)), "view.unique(namespace.id)"),
            (counter(&[], CounterKind::Unique(property("label"))), "view.unique(label)"),
            (counter(&[], CounterKind::Unique(property("user.id"))), "view.unique(\"user.id\")"),
            (counter(&[], CounterKind::UniqueTotals(property("label"))), "view.totals(label)"),
            (
                counter(&[("value", number(1.0)), ("label", text("a"))], CounterKind::Total),
                "view{label=\"a\",value=1}",
            ),
            (counter(&[("value", number(-0.5))], CounterKind::SumOfValue), "view{value=-0.5}.sum(value)"),
            (counter(&[("value", number(1e300))], CounterKind::Total), "view{value=1e300}"),
            (counter(&[("a b", text("\"\\\n}"))], CounterKind::Total), r#"view{"a b"="\"\\\n}"}"#),
            (Counter::total("two words"), "\"two words\""),
        ];
        for (counter, canonical) in table {
            assert_eq!(counter.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(counter), "{canonical}");
        }
    }

    #[test]
    fn one_number_in_two_forms_is_one_counter() {
        assert_eq!(number(1.0), FilterValue::Number(Number::from(1)));
        assert_eq!(number(-0.0), FilterValue::Number(Number::from(0)));
        assert_eq!("view{value=1.0}".parse::<Counter>(), "view{value=1}".parse());
        assert_ne!("view{value=\"1\"}".parse::<Counter>(), "view{value=1}".parse());
        // 2^53 and 2^53 + 1 are two numbers, though one double.
        assert_ne!(number(9_007_199_254_740_992.0), FilterValue::Number(Number::from(9_007_199_254_740_993)));
        assert_eq!(Number::from_double(f64::NAN), None);
        assert_eq!(Number::from_double(f64::INFINITY), None);
    }

    #[test]
    fn other_texts_are_refused() {
        let table = [
            "",
            "{a=1}",
            "view{",
            "view{}",
            "view{a}",
            "view{a=}",
            "view{a=x}",
            "view{a=inf}",
            "view{a=1",
            "view{a=1,}",
            "view{a=1,a=2}",
            "view{a=\"x}",
            "view{a=\"\\x\"}",
            "view.sum(label)",
            "view.unique()",
            "view.unique(user.id",
            "view.unique(user.idx)",
            "view.totals(label) ",
            "two words",
            "\"open",
        ];
        for text in table {
            assert!(text.parse::<Counter>().is_err(), "{text}");
        }
    }

    fn identifiers() -> impl Strategy<Value = Identifier> {
        prop_oneof![
            Just(Identifier::User),
            Just(Identifier::Project),
            Just(Identifier::Namespace),
            any::<String>().prop_map(Identifier::Property),
        ]
    }

    prop_compose! {
        fn counters()(
            event in prop_oneof!["[a-z0-9_]{1,20}", any::<String>()],
            filter in btree_map(any::<String>(), prop_oneof![
                any::<String>().prop_map(FilterValue::String),
                any::<i64>().prop_map(|value| FilterValue::Number(Number::from(value))),
                any::<f64>().prop_filter_map("finite", Number::from_double).prop_map(FilterValue::Number),
            ], 0..4),
            kind in prop_oneof![
                Just(CounterKind::Total),
                Just(CounterKind::SumOfValue),
                identifiers().prop_map(CounterKind::Unique),
                identifiers().prop_map(CounterKind::UniqueTotals),
            ],
        ) -> Counter {
            Counter { event, filter, kind }
        }
    }

    proptest! {
        #[test]
        fn every_counter_is_read_back_from_its_text(counter in counters()) {
            prop_assert_eq!(counter.to_string().parse::<Counter>(), Ok(counter));
        }

        #[test]
        fn any_text_is_refused_or_read_but_never_panics(text in any::<String>()) {
            if let Ok(counter) = text.parse::<Counter>() {
                prop_assert_eq!(counter.to_string().parse::<Counter>(), Ok(counter));
            }
        }
    }
}
