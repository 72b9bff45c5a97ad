//! A new metric: over internal events, or computed from the database.

use std::str::FromStr;
use std::sync::Arc;

use serde_yaml_ng::{Mapping, Value};

use super::super::errors::{LoadError, LoadErrors};
use super::super::{Definitions, EventDefinition, metric};
use super::{GeneratedFile, TIERS, TO_DO};
use crate::counter::Identifier;
use crate::time_frame::TimeFrame;

/// The longest file name that GitLab's generator makes of events' names, without the extension.
const LONGEST_NAME: usize = 100;

/// A metric that is to be defined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMetric {
    /// What is measured.
    pub measure: Measure,
    /// What follows the generated beginning of the description: after `Count of unique users`, say, `who searched`.
    pub description: String,
    /// Over which times: any of `7d`, `28d`, `all`. One is written as it is and suffixes the name, several as a list.
    pub time_frames: Vec<TimeFrame>,
    /// The team it belongs to; that of the events when they have one in common.
    pub product_group: Option<String>,
    /// The product's parts that it is about; those of the events when empty.
    pub product_categories: Vec<String>,
    /// The release that brings it, such as `18.9`.
    pub milestone: String,
    /// The change that brings it; [`TO_DO`] stands there without.
    pub introduced_by_url: Option<String>,
    /// Which tiers have it; those of the events when empty and the same for all.
    pub tiers: Vec<String>,
}

/// What a new metric measures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Measure {
    /// Internal events.
    Events {
        /// Which, and which of each.
        rules: Vec<NewRule>,
        /// What is counted of them.
        counting: Counting,
        /// What stands for the events in the metric's name; needed with filters, and when the events' names are too long.
        name: Option<String>,
    },
    /// The database, through a class of GitLab's.
    Database {
        /// The metric's whole key path.
        key_path: String,
        /// The class, such as `CountIssuesMetric`.
        instrumentation_class: String,
    },
}

/// What is counted of the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counting {
    /// How many there were.
    Total,
    /// How many distinct identifiers they had: `user.id`, `project.id`, `namespace.id`, or an additional property's name.
    Unique(String),
    /// The sum of their `value`.
    Sum,
}

/// Events of one name that a metric counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
    /// The event's name.
    pub event: String,
    /// Values by property; each combination becomes a rule of its own.
    pub filter: Vec<(String, Vec<Value>)>,
}

/// The text says neither `total`, `sum`, nor `unique:…`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected total, sum, or unique:IDENTIFIER such as unique:user, got {0:?}")]
pub struct ParseCountingError(String);

/// Reads `total`, `sum`, `unique:user`, `unique:project`, `unique:namespace`, `unique:PROPERTY`.
impl FromStr for Counting {
    type Err = ParseCountingError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.strip_prefix("unique:")) {
            ("total", _) => Ok(Self::Total),
            ("sum", _) => Ok(Self::Sum),
            (_, Some(record @ ("user" | "project" | "namespace"))) => {
                Ok(Self::Unique(format!("{record}.id")))
            }
            (_, Some(identifier)) if !identifier.is_empty() => Ok(Self::Unique(identifier.to_owned())),
            _ => Err(ParseCountingError(text.to_owned())),
        }
    }
}

/// The text is no event with filters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected EVENT or EVENT:PROPERTY=VALUE,VALUE;PROPERTY=VALUE, got {0:?}")]
pub struct ParseRuleError(String);

/// Reads `event` or `event:label=red,blue;value=1`. As in GitLab's generator `value` is a number, `label` and `property` are
/// texts, and a value of any other property is a number if it can be one.
impl FromStr for NewRule {
    type Err = ParseRuleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseRuleError(text.to_owned());
        let Some((event, conditions)) = text.split_once(':') else {
            return Ok(Self { event: text.trim().to_owned(), filter: Vec::new() });
        };
        let mut filter: Vec<(String, Vec<Value>)> = Vec::new();
        for condition in conditions.split(';') {
            let (property, values) = condition.split_once('=').ok_or_else(wrong)?;
            let property = property.trim();
            if filter.iter().any(|(known, _)| known == property) {
                return Err(wrong());
            }
            let mut read = Vec::new();
            for value in values.split(',').map(str::trim) {
                let value = match property {
                    "label" | "property" => value.into(),
                    _ => super::number(value).unwrap_or_else(|| value.into()),
                };
                if !read.contains(&value) {
                    read.push(value);
                }
            }
            filter.push((property.to_owned(), read));
        }
        Ok(Self { event: event.trim().to_owned(), filter })
    }
}

impl NewRule {
    /// Every combination of the filter's values, the first property's varying slowest.
    fn combinations(&self) -> Vec<Mapping> {
        self.filter.iter().fold(vec![Mapping::new()], |combinations, (property, values)| {
            let with_each = combinations.iter().flat_map(|combination| {
                values.iter().map(|value| {
                    let mut extended = combination.clone();
                    extended.insert(property.as_str().into(), value.clone());
                    extended
                })
            });
            with_each.collect()
        })
    }
}

impl Counting {
    /// Where such metrics stand, and how their names begin.
    fn names(&self) -> (&'static str, String) {
        match self {
            Self::Total => ("counts", "count_total".to_owned()),
            Self::Unique(identifier) => {
                ("redis_hll_counters", format!("count_distinct_{}_from", identifier.replace('.', "_")))
            }
            Self::Sum => ("sums", "sum_value_from".to_owned()),
        }
    }

    /// How descriptions of such metrics begin.
    fn description(&self) -> String {
        match self {
            Self::Total => "count of".to_owned(),
            Self::Sum => "sum of all".to_owned(),
            Self::Unique(identifier) => match identifier.strip_suffix(".id") {
                Some(record) => format!("count of unique {record}s"),
                None => "count of unique".to_owned(),
            },
        }
    }

    /// The rules that `rule` is written as.
    fn rules(&self, rule: &NewRule) -> impl Iterator<Item = Value> {
        rule.combinations().into_iter().map(move |filter| {
            let mut fields = Mapping::from_iter([("name".into(), rule.event.as_str().into())]);
            if let Self::Unique(identifier) = self {
                fields.insert("unique".into(), identifier.as_str().into());
            }
            if !filter.is_empty() {
                fields.insert("filter".into(), Value::Mapping(filter));
            }
            if *self == Self::Sum {
                fields.insert("operator".into(), "sum(value)".into());
            }
            Value::Mapping(fields)
        })
    }
}

/// What of a definition has to be decided before it is written.
struct Decided {
    /// The folder and the name.
    path: String,
    key_path: String,
    frames: Vec<TimeFrame>,
    product_group: String,
    product_categories: Vec<String>,
    introduced_by_url: String,
    tiers: Vec<String>,
}

impl NewMetric {
    /// The metric's file. All that is wrong comes back at once, in the loader's words; so does what doesn't fit the
    /// definitions in `known`: events and properties that nobody defined, a key path that is taken.
    pub fn generate(&self, known: &Definitions) -> Result<GeneratedFile, LoadErrors> {
        let events = self.events(known);
        let decided = self.decide(&events);
        let path: Arc<str> = decided.path.as_str().into();
        let document = self.document(&decided);
        let mut errors = Vec::new();
        let metrics = metric::parse(&path, &super::with_url(&document), &mut errors);
        let texts = [("description".to_owned(), self.description.as_str())];
        super::check_lines(&path, texts, &mut errors);
        super::check_tiers(&path, &decided.tiers, &mut errors);
        if let Measure::Events { rules, counting, name } = &self.measure {
            check_name(&path, rules, counting, name.as_deref(), &mut errors);
            check_events(&path, known, rules, counting, &mut errors);
        }
        if decided.frames.is_empty() || decided.frames.contains(&TimeFrame::None) {
            errors.push(super::error(
                &path,
                "time_frame",
                "at least one of 7d, 28d, all, and nothing else",
                "other",
            ));
        }
        for metric in &metrics {
            check_key_path(&path, known, &metric.key_path, &mut errors);
        }
        super::finish(decided.path, &document, errors)
    }

    /// The definitions of the events, as far as there are any.
    fn events<'d>(&self, known: &'d Definitions) -> Vec<&'d EventDefinition> {
        match &self.measure {
            Measure::Events { rules, .. } => {
                rules.iter().filter_map(|rule| known.event(&rule.event)).collect()
            }
            Measure::Database { .. } => Vec::new(),
        }
    }

    /// Takes from the events what was not said.
    fn decide(&self, events: &[&EventDefinition]) -> Decided {
        let frames = self.frames();
        let key_path = self.key_path(&frames);
        let name = key_path.rsplit('.').next().unwrap_or_default();
        let name = if matches!(self.measure, Measure::Database { .. }) { key_path.as_str() } else { name };
        let folder = match frames.as_slice() {
            [frame] => format!("metrics/counts_{}", frame.as_str()),
            _ => "metrics/counts_all".to_owned(),
        };
        let mut tiers = self.tiers.clone();
        if tiers.is_empty() {
            tiers = in_common(events, |event| Some(texts(event, "tiers"))).unwrap_or_default();
        }
        let mut product_categories = self.product_categories.clone();
        if product_categories.is_empty() {
            product_categories = events.iter().flat_map(|event| texts(event, "product_categories")).collect();
        }
        let group = || in_common(events, |event| Some(event.document["product_group"].as_str()?.to_owned()));
        let url =
            || in_common(events, |event| Some(event.document["introduced_by_url"].as_str()?.to_owned()));
        Decided {
            path: super::path(&tiers, &folder, name),
            product_group: self.product_group.clone().or_else(group).unwrap_or_default(),
            product_categories: super::sorted(product_categories),
            introduced_by_url: self
                .introduced_by_url
                .clone()
                .or_else(url)
                .unwrap_or_else(|| TO_DO.to_owned()),
            tiers: super::in_order_of(&TIERS, &tiers),
            key_path,
            frames,
        }
    }

    /// The time frames in the order in which they are written, each once.
    fn frames(&self) -> Vec<TimeFrame> {
        use TimeFrame::{All, None, SevenDays, TwentyEightDays};
        let order = match self.measure {
            Measure::Events { .. } => [TwentyEightDays, SevenDays, All, None],
            Measure::Database { .. } => [SevenDays, TwentyEightDays, All, None],
        };
        order.into_iter().filter(|frame| self.time_frames.contains(frame)).collect()
    }

    fn key_path(&self, frames: &[TimeFrame]) -> String {
        let (rules, counting, name) = match &self.measure {
            Measure::Events { rules, counting, name } => (rules, counting, name),
            Measure::Database { key_path, .. } => return key_path.clone(),
        };
        let (category, beginning) = counting.names();
        let events = super::sorted(rules.iter().map(|rule| rule.event.clone()));
        let events = name.clone().unwrap_or_else(|| events.join("_and_"));
        let end = match frames {
            [TimeFrame::SevenDays] => "_weekly",
            [TimeFrame::TwentyEightDays] => "_monthly",
            _ => "",
        };
        format!("{category}.{beginning}_{events}{end}")
    }

    /// The whole description, with the beginning that GitLab's generator puts before it.
    fn whole_description(&self, frames: &[TimeFrame]) -> String {
        let frame = match frames {
            [TimeFrame::SevenDays] => "weekly",
            [TimeFrame::TwentyEightDays] => "monthly",
            [TimeFrame::All] => "total",
            _ => "",
        };
        let counting = match &self.measure {
            Measure::Events { counting, .. } => counting.description(),
            Measure::Database { .. } => String::new(),
        };
        let beginning = [frame, &counting].join(" ");
        let mut beginning = beginning.trim().to_owned();
        if let Some(first) = beginning.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        format!("{beginning} {}", self.description).trim_start().to_owned()
    }

    /// The fields in the order of GitLab's generator.
    fn document(&self, decided: &Decided) -> Mapping {
        let mut fields = Mapping::new();
        let mut add = |name: &str, value: Value| fields.insert(name.into(), value);
        add("key_path", decided.key_path.as_str().into());
        add("description", self.whole_description(&decided.frames).into());
        add("product_group", decided.product_group.as_str().into());
        if !decided.product_categories.is_empty() {
            add("product_categories", super::list(&decided.product_categories));
        }
        add("performance_indicator_type", Value::Sequence(Vec::new()));
        add("value_type", "number".into());
        add("status", "active".into());
        add("milestone", self.milestone.as_str().into());
        add("introduced_by_url", decided.introduced_by_url.as_str().into());
        let frames: Vec<Value> = decided.frames.iter().map(|frame| frame.as_str().into()).collect();
        add(
            "time_frame",
            match frames.as_slice() {
                [frame] => frame.clone(),
                _ => Value::Sequence(frames),
            },
        );
        let source = match self.measure {
            Measure::Events { .. } => "internal_events",
            Measure::Database { .. } => "database",
        };
        add("data_source", source.into());
        add("data_category", "optional".into());
        add("tiers", super::list(&decided.tiers));
        match &self.measure {
            Measure::Events { rules, counting, .. } => {
                let mut rules: Vec<&NewRule> = rules.iter().collect();
                rules.sort_by(|a, b| a.event.cmp(&b.event));
                add("events", rules.into_iter().flat_map(|rule| counting.rules(rule)).collect());
            }
            Measure::Database { instrumentation_class, .. } => {
                add("instrumentation_class", instrumentation_class.as_str().into());
            }
        }
        fields
    }
}

/// A key path may neither be another metric's, nor lead through it, nor the other way round.
fn check_key_path(path: &Arc<str>, known: &Definitions, key_path: &str, errors: &mut Vec<LoadError>) {
    let leads_through = |inner: &str, outer: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let clashes = |other: &str| leads_through(key_path, other) || leads_through(other, key_path);
    if let Some(other) = known.metrics().iter().find(|other| clashes(&other.key_path)) {
        let expected = if other.key_path == key_path {
            "a key path no other metric has"
        } else {
            "a key path that doesn't lead through another metric's, nor one that another's leads through"
        };
        let got = format!("{key_path:?}, where {} has {:?}", other.path, other.key_path);
        errors.push(super::error(path, "key_path", expected, got));
    }
}

/// Names made of events' names must stay short, and can't tell a filtered metric from an unfiltered one.
fn check_name(
    path: &Arc<str>,
    rules: &[NewRule],
    counting: &Counting,
    name: Option<&str>,
    errors: &mut Vec<LoadError>,
) {
    let is_word = |name: &str| {
        name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    };
    let file_name = path.rsplit('/').next().unwrap_or_default().trim_end_matches(".yml");
    match name {
        Some(name) if name.is_empty() || !is_word(name) => {
            errors.push(super::error(
                path,
                "name",
                "lower-case letters, digits and underscores",
                super::describe(name),
            ));
        }
        None if rules.iter().any(|rule| !rule.filter.is_empty()) => {
            let expected = "a name in place of the events', because some events are filtered out";
            errors.push(super::error(path, "name", expected, "nothing"));
        }
        _ if file_name.len() > LONGEST_NAME => {
            let (_, beginning) = counting.names();
            let expected = format!(
                "a shorter name to follow {beginning}_, so that the file's has at most {LONGEST_NAME} bytes"
            );
            errors.push(super::error(path, "name", expected, format!("{} bytes", file_name.len())));
        }
        _ => {}
    }
}

/// Every event must be defined, with what is counted and filtered of it.
fn check_events(
    path: &Arc<str>,
    known: &Definitions,
    rules: &[NewRule],
    counting: &Counting,
    errors: &mut Vec<LoadError>,
) {
    let mut wrong = |event: &str, expected: &str, got: String| {
        errors.push(super::error(path, format!("events.{event}"), expected, got));
    };
    let counted = match counting {
        Counting::Total => None,
        Counting::Sum => Some(Identifier::Property("value".to_owned())),
        Counting::Unique(identifier) => Some(Identifier::from_unique(identifier)),
    };
    for rule in rules {
        let Some(event) = known.event(&rule.event) else {
            wrong(&rule.event, "an internal event that is defined", super::describe(&rule.event));
            continue;
        };
        let record = match &counted {
            Some(Identifier::User) => Some("user"),
            Some(Identifier::Project) => Some("project"),
            Some(Identifier::Namespace) => Some("namespace"),
            Some(Identifier::Property(_)) | None => None,
        };
        if let Some(record) = record
            && !event.identifiers.iter().any(|identifier| identifier == record)
        {
            let got = format!("only [{}]", event.identifiers.join(", "));
            wrong(&rule.event, &format!("an event with the identifier {record:?}"), got);
        }
        let property = match &counted {
            Some(Identifier::Property(name)) => Some(name.as_str()),
            _ => None,
        };
        let filtered = rule.filter.iter().map(|(name, _)| name.as_str());
        for name in property.into_iter().chain(filtered).filter(|name| !event.declares(name)) {
            let declared: Vec<&str> =
                event.additional_properties.iter().map(|(name, _)| name.as_str()).collect();
            let expected = format!("an event with the additional property {name:?}");
            wrong(&rule.event, &expected, format!("only [{}]", declared.join(", ")));
        }
    }
}

/// The value that all events agree on; `None` when they don't, or there are none.
fn in_common<T: PartialEq>(
    events: &[&EventDefinition],
    value: impl Fn(&EventDefinition) -> Option<T>,
) -> Option<T> {
    let mut values = events.iter().map(|event| value(event));
    let first = values.next()??;
    values.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

/// A field's list of texts; empty where there is none.
fn texts(event: &EventDefinition, field: &str) -> Vec<String> {
    let items = event.document.get(field).and_then(Value::as_sequence);
    items.into_iter().flatten().filter_map(|item| Some(item.as_str()?.to_owned())).collect()
}
