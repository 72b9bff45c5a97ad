//! Metric definitions: the rules of GitLab's `config/metrics/schema/*.json`, and their expansion into one metric
//! per time frame. As with events, any non-empty string is a product group.

use std::sync::Arc;

use serde_yaml_ng::{Mapping, Value};

use super::errors::LoadError;
use super::fields::{self, Fields, nullable};
use super::{increments, rules, sql};
use crate::counter::Counter;
use crate::time_frame::TimeFrame;

/// One metric: a file's, or one of several when the file lists several time frames.
#[derive(Debug, Clone)]
pub struct Metric {
    /// The place in the payload, dotted, suffixed by frame where the file lists several.
    pub key_path: String,
    /// The window it is read over.
    pub time_frame: TimeFrame,
    /// Whether it is reported.
    pub status: Status,
    /// Where its value comes from.
    pub data_source: DataSource,
    /// Under which consent it is reported.
    pub data_category: DataCategory,
    /// The JSON type of its value.
    pub value_type: ValueType,
    /// How its counters combine; `None` when it isn't computed from counters.
    pub kind: Option<MetricKind>,
    /// The counters it is made of; empty when it isn't computed from counters.
    pub rules: Vec<Counter>,
    /// All fields as in the file, with `key_path` and `time_frame` those of this metric.
    pub document: Arc<Value>,
    /// The file it came from.
    pub path: Arc<str>,
}

impl Metric {
    /// Whether the metric is reported and read from counters: those of internal events, or of older clients'
    /// increments (data sources `redis` and `redis_hll`).
    pub fn is_counted(&self) -> bool {
        self.kind.is_some() && self.status != Status::Removed
    }

    /// Whether tracked events feed the metric's counters: it is not removed, and comes from internal events.
    pub fn is_tracked(&self) -> bool {
        self.data_source == DataSource::InternalEvents && self.status != Status::Removed
    }
}

/// An enum whose variants are words of a definition file.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The word that stands for it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// Every word, for error messages.
            const WORDS: &'static str = concat!("one of", $(" ", $text),+);

            fn read(value: &Value) -> Option<Self> {
                match value.as_str()? {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

words!(
    /// Whether a metric is reported.
    Status {
        /// Reported.
        Active = "active",
        /// Reported, though known to be wrong.
        Broken = "broken",
        /// No longer reported.
        Removed = "removed",
    }
);

words!(
    /// Where a metric's value comes from.
    DataSource {
        /// A query of the product's database.
        Database = "database",
        /// An older counter in Redis.
        Redis = "redis",
        /// An older unique count in Redis.
        RedisHll = "redis_hll",
        /// A query of Prometheus.
        Prometheus = "prometheus",
        /// The installation itself.
        System = "system",
        /// The licence.
        License = "license",
        /// Tracked events: the ones Tally counts.
        InternalEvents = "internal_events",
    }
);

words!(
    /// Under which consent a metric is reported.
    DataCategory {
        /// What is needed to operate the subscription.
        Operational = "operational",
        /// What the instance may choose not to send.
        Optional = "optional",
        /// What the subscription's contract asks for.
        Subscription = "subscription",
        /// What names the instance.
        Standard = "standard",
    }
);

words!(
    /// The JSON type of a metric's value.
    ValueType {
        /// A text.
        String = "string",
        /// A number.
        Number = "number",
        /// A boolean.
        Boolean = "boolean",
        /// An object.
        Object = "object",
    }
);

/// How a metric's counters combine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricKind {
    /// The sum of counts.
    Total,
    /// The sum of sums.
    Sum,
    /// The size of the union of distinct identifiers.
    Unique,
    /// Counts by value, added up value by value.
    UniqueTotals,
}

impl MetricKind {
    /// The kind's name, for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total count",
            Self::Sum => "sum(value)",
            Self::Unique => "unique count",
            Self::UniqueTotals => "unique totals",
        }
    }
}

const KNOWN: &[&str] = &[
    "key_path",
    "description",
    "product_group",
    "product_categories",
    "value_type",
    "status",
    "milestone",
    "milestone_removed",
    "introduced_by_url",
    "removed_by_url",
    "repair_issue_url",
    "options",
    "data_source",
    "data_category",
    "instrumentation_class",
    "performance_indicator_type",
    "tiers",
    "value_json_schema",
    "name",
    "events",
    "time_frame",
];

const PERFORMANCE_INDICATORS: &[&str] = &[
    "gmau",
    "smau",
    "paid_gmau",
    "umau",
    "customer_health_score",
    "devops_report",
    "lighthouse",
    "leading_indicator",
];

/// A metric file's own `time_frame`.
enum Frames {
    /// One, which leaves the key path as it is.
    One(TimeFrame),
    /// A list, each of which suffixes the key path.
    Listed(Vec<TimeFrame>),
}

/// Reads a metric definition, one metric per time frame; none if anything is wrong, which `errors` then tells.
pub(super) fn parse(path: &Arc<str>, mapping: &Mapping, errors: &mut Vec<LoadError>) -> Vec<Metric> {
    let errors_before = errors.len();
    let mut fields = Fields::new(path, mapping, errors);
    let metric = read(&mut fields, path, mapping);
    match metric {
        Some((metric, frames)) if errors.len() == errors_before => expand(&metric, frames, mapping),
        _ => Vec::new(),
    }
}

fn read(fields: &mut Fields<'_, '_>, path: &Arc<str>, mapping: &Mapping) -> Option<(Metric, Frames)> {
    fields.only(KNOWN);
    check_plain_fields(fields);
    let key_path =
        fields.required("key_path", "lower-case letters, digits and underscores, dotted", key_path);
    let status = fields.required("status", Status::WORDS, Status::read);
    let data_source = fields.required("data_source", DataSource::WORDS, DataSource::read);
    let data_category = fields.required("data_category", DataCategory::WORDS, DataCategory::read);
    let value_type = fields.required("value_type", ValueType::WORDS, ValueType::read);
    let frames = fields.required(
        "time_frame",
        "one of 7d 28d all none, or a list of different ones of 7d 28d all",
        read_frames,
    );
    check_status(fields, status);
    check_sql(fields);
    let (kind, rules) = match data_source {
        Some(DataSource::InternalEvents) => read_rules(fields, frames.as_ref())?,
        Some(DataSource::Redis) if status != Some(Status::Removed) => read_redis(fields),
        Some(DataSource::RedisHll) if status != Some(Status::Removed) => read_redis_hll(fields),
        _ => (None, Vec::new()),
    };
    let frames = frames?;
    let metric = Metric {
        key_path: key_path?.to_owned(),
        time_frame: TimeFrame::None,
        status: status?,
        data_source: data_source?,
        data_category: data_category?,
        value_type: value_type?,
        kind,
        rules,
        document: Arc::new(Value::Mapping(mapping.clone())),
        path: Arc::clone(path),
    };
    Some((metric, frames))
}

fn check_plain_fields(fields: &mut Fields<'_, '_>) {
    fields.text("description");
    fields.required("product_group", "a non-empty string", fields::filled);
    fields.required("milestone", fields::MILESTONE, fields::milestone);
    fields.required("introduced_by_url", fields::URL, fields::url);
    fields.required("tiers", fields::TIERS, fields::tiers);
    fields.optional("milestone_removed", fields::MILESTONE, fields::milestone);
    fields.optional("removed_by_url", "an absolute URL or null", nullable(fields::url));
    fields.optional("repair_issue_url", fields::URL, fields::url);
    fields.optional("product_categories", "a list of strings", fields::strings);
    fields.optional("options", "a mapping", Value::as_mapping);
    fields.optional("value_json_schema", "a string", Value::as_str);
    fields.optional("name", "a string", Value::as_str);
    fields.optional("instrumentation_class", "a class name such as CountIssuesMetric", class_name);
    let expected = format!("a list out of {}", PERFORMANCE_INDICATORS.join(", "));
    fields.optional("performance_indicator_type", &expected, |value| {
        let listed = |item: &Value| item.as_str().is_some_and(|text| PERFORMANCE_INDICATORS.contains(&text));
        value.as_sequence().filter(|items| items.iter().all(listed))
    });
}

/// `^[a-z0-9_.]+$`, without empty segments.
fn key_path(value: &Value) -> Option<&str> {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    let is_segment = |segment: &str| !segment.is_empty() && segment.bytes().all(is_allowed);
    value.as_str().filter(|text| text.split('.').all(is_segment))
}

/// `^(([A-Z][a-z]+)+::)*(([A-Z]+[a-z]+)+)$`
fn class_name(value: &Value) -> Option<&str> {
    let text = value.as_str()?;
    let (modules, class) =
        text.rsplit_once("::").map_or((None, text), |(modules, class)| (Some(modules), class));
    // Capitals and then small letters, again and again; `most` capitals in a row.
    let is_camel = |name: &str, most: usize| {
        let mut capitals = 0;
        let mut small = 0;
        for byte in name.bytes() {
            match byte {
                b'A'..=b'Z' if small > 0 || capitals == 0 => (capitals, small) = (1, 0),
                b'A'..=b'Z' if capitals < most => capitals += 1,
                b'a'..=b'z' if capitals > 0 => small += 1,
                _ => return false,
            }
        }
        small > 0
    };
    let modules_fit = modules.is_none_or(|modules| modules.split("::").all(|module| is_camel(module, 1)));
    (modules_fit && is_camel(class, usize::MAX)).then_some(text)
}

fn read_frames(value: &Value) -> Option<Frames> {
    if let Some(text) = value.as_str() {
        return text.parse().ok().map(Frames::One);
    }
    let listed = fields::words(value, &["7d", "28d", "all"]).filter(|listed| !listed.is_empty())?;
    listed.into_iter().map(|frame| frame.parse().ok()).collect::<Option<_>>().map(Frames::Listed)
}

/// GitLab's `status.json`.
fn check_status(fields: &mut Fields<'_, '_>, status: Option<Status>) {
    match status {
        Some(Status::Broken) => {
            if !fields.has("repair_issue_url") {
                fields.error("repair_issue_url", "an absolute URL, because the metric is broken");
            }
        }
        Some(Status::Removed) => {
            for name in ["removed_by_url", "milestone_removed"] {
                if !fields.has(name) {
                    fields.error(name, "a value, because the metric is removed");
                }
            }
        }
        Some(Status::Active) | None => {}
    }
}

/// Tally's own: SQL that computes the metric. It is run beside everybody's data, and not by whoever wrote it.
fn check_sql(fields: &mut Fields<'_, '_>) {
    let Some(options) = fields.get("options").and_then(Value::as_mapping) else { return };
    fields.nested("options", options, |options| {
        let text = options.optional("sql", sql::EXPECTED, Value::as_str);
        if let Some(Err(got)) = text.map(sql::check) {
            options.error_got("sql", sql::EXPECTED, got);
        }
    });
}

/// GitLab's `internal_events.json` and `valid_timeframe_for_unique_property.json`.
fn read_rules(
    fields: &mut Fields<'_, '_>,
    frames: Option<&Frames>,
) -> Option<(Option<MetricKind>, Vec<Counter>)> {
    if fields.has("instrumentation_class") {
        fields.error("instrumentation_class", "no such field, because data_source is internal_events");
    }
    let (kind, rules) = rules::parse(fields)?;
    let is_fixed = |frame: &TimeFrame| matches!(frame, TimeFrame::SevenDays | TimeFrame::TwentyEightDays);
    let all_fixed = match frames {
        Some(Frames::One(frame)) => is_fixed(frame),
        Some(Frames::Listed(listed)) => listed.iter().all(is_fixed),
        None => true,
    };
    if kind == MetricKind::Unique && !all_fixed {
        fields.error("time_frame", "only 7d or 28d, because the metric counts unique values");
    }
    Some((Some(kind), rules))
}

/// GitLab's `redis.json`. Removed metrics are exempt.
fn read_redis(fields: &mut Fields<'_, '_>) -> (Option<MetricKind>, Vec<Counter>) {
    require_class(fields, "RedisMetric");
    let Some(options) = fields.get("options").and_then(Value::as_mapping) else {
        fields.error("options", "a mapping with event and prefix");
        return (None, Vec::new());
    };
    let rule = fields.nested("options", options, |options| {
        options.only(&["event", "prefix", "include_usage_prefix"]);
        let event = options.text("event");
        let prefix = options.required("prefix", "a string or null", nullable(Value::as_str)).flatten();
        options.optional("include_usage_prefix", "true or false", Value::as_bool);
        event.map(|event| increments::redis_total(prefix, event))
    });
    (Some(MetricKind::Total), rule.into_iter().collect())
}

/// GitLab's `redis_hll.json`: the unique users of `options.events`, or of the rules in `events`. Removed metrics are
/// exempt, the schema's exemption being a list of key paths that are all removed.
fn read_redis_hll(fields: &mut Fields<'_, '_>) -> (Option<MetricKind>, Vec<Counter>) {
    require_class(fields, "RedisHLLMetric");
    let Some(options) = fields.get("options").and_then(Value::as_mapping) else {
        if !fields.has("events") {
            return (None, Vec::new());
        }
        return rules::parse(fields).map_or((None, Vec::new()), |(kind, rules)| (Some(kind), rules));
    };
    let rules = fields.nested("options", options, |options| {
        options.only(&["events"]);
        let events = options.required("events", "a list of strings", fields::strings).unwrap_or_default();
        events.iter().filter_map(Value::as_str).map(increments::unique_users).collect()
    });
    (Some(MetricKind::Unique), rules)
}

fn require_class(fields: &mut Fields<'_, '_>, class: &str) {
    fields.required("instrumentation_class", class, |value| value.as_str().filter(|name| *name == class));
}

/// One metric per frame. A listed frame suffixes the key path: `_weekly` for 7d, `_monthly` for 28d, nothing for
/// all. A single one doesn't.
fn expand(metric: &Metric, frames: Frames, mapping: &Mapping) -> Vec<Metric> {
    let listed = match frames {
        Frames::One(time_frame) => return vec![Metric { time_frame, ..metric.clone() }],
        Frames::Listed(listed) => listed,
    };
    let of_frame = |time_frame: TimeFrame| {
        let suffix = match time_frame {
            TimeFrame::SevenDays => "_weekly",
            TimeFrame::TwentyEightDays => "_monthly",
            TimeFrame::All | TimeFrame::None => "",
        };
        let key_path = format!("{}{suffix}", metric.key_path);
        let mut document = mapping.clone();
        document.insert("key_path".into(), key_path.as_str().into());
        document.insert("time_frame".into(), time_frame.as_str().into());
        Metric { key_path, time_frame, document: Arc::new(Value::Mapping(document)), ..metric.clone() }
    };
    listed.into_iter().map(of_frame).collect()
}
