//! A metric's event rules: which counters it is made of, and how they combine. GitLab's `internal_events.json`,
//! and its way to choose a metric's kind.

use std::collections::BTreeMap;

use serde_yaml_ng::{Mapping, Value};

use super::fields::{Fields, describe};
use super::metric::MetricKind;
use crate::counter::{Counter, CounterKind, FilterValue, Identifier, Number};

/// One entry of `events`, as written.
struct Rule {
    event: String,
    filter: BTreeMap<String, FilterValue>,
    unique: Option<Identifier>,
    operator: Option<Operator>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Total,
    SumOfValue,
}

/// The metric's kind and counters; `None` if anything is wrong with its rules.
pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Option<(MetricKind, Vec<Counter>)> {
    let list = fields.required("events", "a list of at least one rule", |value| {
        value.as_sequence().filter(|rules| !rules.is_empty())
    })?;
    let rules: Vec<Option<Rule>> =
        list.iter().enumerate().map(|(index, rule)| read(fields, index, rule)).collect();
    let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
    let kind = kind(&rules);
    for (index, rule) in rules.iter().enumerate() {
        if rule.kind() != kind {
            let got = format!("a rule of kind {}", rule.kind().as_str());
            let expected = format!("rules of one kind, here {}", kind.as_str());
            fields.error_got(&format!("events.{index}"), expected, got);
        }
    }
    Some((kind, rules.into_iter().map(|rule| rule.counter(kind)).collect()))
}

/// GitLab's choice: a sum if any rule sums; else totals by value if any rule is unique with `operator: total`; else
/// a total if the first rule isn't unique; else a count of unique identifiers.
fn kind(rules: &[Rule]) -> MetricKind {
    let any = |kind: MetricKind| rules.iter().any(|rule| rule.kind() == kind);
    if any(MetricKind::Sum) {
        MetricKind::Sum
    } else if any(MetricKind::UniqueTotals) {
        MetricKind::UniqueTotals
    } else if rules.first().is_some_and(|rule| rule.unique.is_none()) {
        MetricKind::Total
    } else {
        MetricKind::Unique
    }
}

impl Rule {
    fn kind(&self) -> MetricKind {
        match (self.operator, &self.unique) {
            (Some(Operator::SumOfValue), _) => MetricKind::Sum,
            (Some(Operator::Total), Some(_)) => MetricKind::UniqueTotals,
            (None, Some(_)) => MetricKind::Unique,
            (_, None) => MetricKind::Total,
        }
    }

    fn counter(self, kind: MetricKind) -> Counter {
        let kind = match (kind, self.unique) {
            (MetricKind::Sum, _) => CounterKind::SumOfValue,
            (MetricKind::Unique, Some(identifier)) => CounterKind::Unique(identifier),
            (MetricKind::UniqueTotals, Some(identifier)) => CounterKind::UniqueTotals(identifier),
            _ => CounterKind::Total,
        };
        Counter { event: self.event, filter: self.filter, kind }
    }
}

fn read(fields: &mut Fields<'_, '_>, index: usize, rule: &Value) -> Option<Rule> {
    let name = format!("events.{index}");
    let Some(mapping) = rule.as_mapping() else {
        fields.error_got(&name, "a mapping with at least a name", describe(rule));
        return None;
    };
    read_mapping(fields, &name, mapping)
}

fn read_mapping(fields: &mut Fields<'_, '_>, name: &str, mapping: &Mapping) -> Option<Rule> {
    fields.nested(name, mapping, |rule| {
        rule.only(&["name", "unique", "filter", "operator"]);
        let event = rule.required("name", "an event's name", super::fields::filled);
        let unique = rule.optional("unique", "a string", super::fields::filled);
        let operator = rule.optional("operator", "total or sum(value)", |value| match value.as_str()? {
            "total" => Some(Operator::Total),
            "sum(value)" => Some(Operator::SumOfValue),
            _ => None,
        });
        let filter = filter(rule);
        let is_sound = operator.is_some() == rule.has("operator") && unique.is_some() == rule.has("unique");
        if !is_sound {
            return None;
        }
        Some(Rule {
            event: event?.to_owned(),
            filter: filter?,
            unique: unique.map(Identifier::from_unique),
            operator,
        })
    })
}

fn filter(rule: &mut Fields<'_, '_>) -> Option<BTreeMap<String, FilterValue>> {
    if !rule.has("filter") {
        return Some(BTreeMap::new());
    }
    let mapping = rule.optional("filter", "a mapping of properties to values", Value::as_mapping)?;
    rule.nested("filter", mapping, |filter| {
        let entries = filter.entries();
        let complete = entries.len() == mapping.len();
        let values: Vec<Option<_>> = entries
            .into_iter()
            .map(|(name, _)| {
                let (expected, read): (_, fn(&Value) -> Option<FilterValue>) = match name {
                    "label" | "property" => ("a string", string_value),
                    "value" => ("a number", number_value),
                    _ => {
                        ("a string or a number", |value| string_value(value).or_else(|| number_value(value)))
                    }
                };
                filter.required(name, expected, read).map(|value| (name.to_owned(), value))
            })
            .collect();
        values.into_iter().collect::<Option<_>>().filter(|_| complete)
    })
}

fn string_value(value: &Value) -> Option<FilterValue> {
    value.as_str().map(|text| FilterValue::String(text.to_owned()))
}

fn number_value(value: &Value) -> Option<FilterValue> {
    let number = match value.as_i64() {
        Some(whole) => Some(Number::from(whole)),
        None => value.as_f64().and_then(Number::from_double),
    };
    number.map(FilterValue::Number)
}
